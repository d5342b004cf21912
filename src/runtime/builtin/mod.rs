//! The built-in runtime: which mounts make a container's root out of an image, as a list of steps.
//!
//! Pure: the image is looked at through [`ImageTree`], `execute` carries the steps out in a mount
//! namespace of its own. The image cannot be written, and may lack a mount point. Where Moorline serves the image
//! itself, the server shows the names that are missing ([`Lacking`]), and each mount is one step. Elsewhere they
//! are made in a skeleton on a tmpfs, which binds the image's own entries beside them, so that it
//! takes a bind for each name of the image's `/`:
//!
//! ```text
//! /            tmpfs, read-only in the end
//!   bin        symbolic link as in the image
//!   usr/       bind of the image's /usr, read-only
//!   opt/       skeleton, because /opt/data is asked for and the image has only /opt/tools
//!     tools/   bind of the image's /opt/tools
//!     data/    bind of what the job asked for
//!   proc dev sys tmp etc/hosts work_dir ...
//! ```
//!
//! Symbolic links of the image on the way to a mount point are followed inside the image, never on
//! the machine (CVE-2024-9676), and paths are compared by component: `/scratch` says nothing of
//! `/scratch2` (CVE-2026-48785).

mod covers;
mod error;
mod fits;
mod lacking;
mod layout;
mod points;
mod skeleton;
mod steps;
#[cfg(test)]
pub(crate) mod testing;
mod tree;

pub use covers::{Cover, covers};
pub use error::LayoutError;
pub use layout::{Ground, Layout, layout};
pub use points::{Point, Role};
pub use steps::{Lacking, OUTSIDE, Step, What};
pub use tree::{ImageTree, Node, resolve};
