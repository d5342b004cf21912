//! The demo: the whole line on this machine, told step by step.
//!
//! It makes a small image out of the machine's own files, serves it from the registry stand-in on
//! loopback, and then only runs `moorline` commands (`shell.rs`) and looks at their answers. No
//! root, no container software and no network are needed.
//!
//! Where user namespaces are refused the job cannot be isolated by Moorline itself: an installed
//! apptainer is used, and with none the program is started through its own loader. That is called
//! *not isolated*, its verdict is *Unproven*, and only the demo does it.

pub mod image;
mod shell;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind};

pub use shell::{Scene, Shell};

/// The project that the demo's registry holds.
pub const PROJECT: &str = "physics/analysis";

/// What stopped the demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A command did not exit with 0.
    #[error("the demo stopped: `{command}` ended with exit code {code}")]
    Step {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
    },
    /// A command answered something else than the story says.
    #[error("the demo stopped: {what}: expected {expected}, got {got}")]
    Unexpected {
        /// What was looked at.
        what: &'static str,
        /// What the story says.
        expected: String,
        /// What came.
        got: String,
    },
    /// A file or process of the demo.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image could not be made.
    #[error(transparent)]
    Image(#[from] image::DemoImageError),
    /// The registry stand-in did not start.
    #[error("the registry stand-in did not start: {0}")]
    StandIn(String),
    /// `--require-isolation`, and there is none.
    #[error("this machine does not isolate: {cause}")]
    NotIsolated {
        /// Why.
        cause: String,
        /// What mends it.
        fix: String,
    },
}

impl Failure for DemoError {
    fn kind(&self) -> Kind {
        match self {
            Self::Step { .. } | Self::Unexpected { .. } => Kind::Integrity,
            Self::Io { source, .. } => crate::failure::io_kind(source, Kind::Configuration),
            Self::Image(error) => error.kind(),
            Self::StandIn(_) => Kind::Network,
            Self::NotIsolated { .. } => Kind::NoRuntime,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotIsolated { fix, .. } => Some(fix.clone()),
            Self::Image(error) => error.hint(),
            _ => None,
        }
    }
}
