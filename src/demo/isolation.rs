//! How the demo is run, and how its job can be kept apart from the machine.

use std::path::{Path, PathBuf};

use super::containers;
use crate::execute;

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

impl Isolation {
    /// What there is on this machine; `which` finds a program.
    #[must_use]
    pub fn here(which: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let Err(refused) = execute::probe() else { return Self::Builtin };
        let cause = format!("{} ({})", refused.cause, refused.said);
        let fix = refused.fix.unwrap_or_else(|| "install apptainer".into());
        let installed = ["apptainer", "singularity"].into_iter().find(|name| which(name).is_some());
        if let Some(runtime) = installed {
            return Self::Installed { runtime, cause, fix };
        }
        let found = |name: &&'static str| Some(containers::Engine::new(name, which(name)?));
        let mut engines = containers::PROGRAMS.iter().filter_map(found);
        match engines.find(containers::Engine::answers) {
            Some(engine) => Self::Container { engine, cause, fix },
            None => Self::None { cause, fix },
        }
    }
}
