//! How the demo is run, and how its job can be kept apart from the machine.

use std::path::Path;

use super::containers;

/// How the demo is run.
pub struct Options<'a> {
    /// The program whose commands are shown.
    pub program: &'a Path,
    /// An empty directory for everything that the demo writes.
    pub dir: &'a Path,
    /// `PATH`, also searched for the tools of the image.
    pub path: &'a str,
    /// What the story can count on; see [`Isolation`].
    pub isolation: &'a Isolation,
}

/// How a job can be kept apart from the machine here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// By Moorline itself.
    Builtin,
    /// Not by Moorline, but by this installed program (`apptainer`, `singularity`).
    Installed {
        /// Its name.
        runtime: &'static str,
        /// Why not by Moorline.
        cause: String,
        /// What mends it.
        fix: String,
    },
    /// By podman or docker, which the demo runs by itself.
    Container {
        /// Which.
        engine: containers::Engine,
        /// Why not by Moorline.
        cause: String,
        /// What mends it.
        fix: String,
    },
    /// Not at all.
    None {
        /// Why.
        cause: String,
        /// What mends it.
        fix: String,
    },
}
