//! Where configuration files are.

/// Where a project's configuration is looked for.
pub const PROJECT_FILE: &str = "moorline.toml";

/// The site's configuration.
pub const SITE_FILE: &str = "/etc/moorline/config.toml";

/// The user's configuration, below the directory of configurations.
pub const USER_FILE: &str = "moorline/config.toml";
