//! What can stop the demo.

use std::io;
use std::path::{Path, PathBuf};

use super::image;
use crate::failure::{Failure, Kind};

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
    /// A job that the demo starts by itself.
    #[error("the demo could not run its job: {0}")]
    OwnRun(Box<dyn Failure>),
    /// podman or docker does not take the image.
    #[error("{program} does not load the demo's image: {said}")]
    Container {
        /// Which.
        program: &'static str,
        /// The last line of what it said.
        said: String,
    },
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
            Self::OwnRun(error) => error.kind(),
            Self::StandIn(_) => Kind::Network,
            Self::Container { .. } | Self::NotIsolated { .. } => Kind::NoRuntime,
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

pub(super) fn io<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> DemoError + 'a {
    move |source| DemoError::Io { doing, path: path.to_owned(), source }
}
