//! Where the working directory is.

/// Where the working directory is inside the container.
pub const WORK_DIR: &str = "/work_dir";
