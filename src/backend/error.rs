//! What can go wrong with an engine, told apart as far as the caller must know.

use crate::failure::{Failure, Kind};

/// An engine's failure; messages carry the engine's own words.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The engine's command is not installed.
    #[error("{engine} is not installed here: the command {command:?} was not found")]
    Absent {
        /// The engine.
        engine: &'static str,
        /// Its command.
        command: String,
    },
    /// The engine said no.
    #[error("{engine} refused the job: {said}")]
    Refused {
        /// The engine.
        engine: &'static str,
        /// Its words.
        said: String,
        /// What helps against this refusal, where the engine's facts know it.
        hint: Option<&'static str>,
    },
    /// Nobody answered; no job was taken.
    #[error("{engine} does not answer: {said}")]
    Unreachable {
        /// The engine.
        engine: &'static str,
        /// The words of its command.
        said: String,
    },
    /// The command failed for another reason.
    #[error("{engine}: {command} failed: {said}")]
    Failed {
        /// The engine.
        engine: &'static str,
        /// Its command.
        command: String,
        /// Its words.
        said: String,
    },
    /// The engine may have taken the job.
    #[error("{engine} did not say whether it accepted the job: {said}")]
    Uncertain {
        /// The engine.
        engine: &'static str,
        /// Its words.
        said: String,
    },
    /// The order cannot be said in the engine's language.
    #[error("{engine} cannot be given {what}: {why}")]
    Unfit {
        /// The engine.
        engine: &'static str,
        /// Which part of the order.
        what: String,
        /// Why not.
        why: String,
    },
    /// The engine's arrays are not what the order asks for.
    #[error("{engine} cannot be given {what}: {why}")]
    Array {
        /// The engine.
        engine: &'static str,
        /// Which part of the order.
        what: String,
        /// Why not.
        why: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A file or process of our own.
    #[error("{what}: {source}")]
    Io {
        /// What failed, on what.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

impl BackendError {
    /// What was met, without the engine's name: for a sentence that names it already.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Absent { command, .. } => {
                format!("its command {command:?} is not on this machine")
            }
            Self::Refused { said, .. }
            | Self::Unreachable { said, .. }
            | Self::Uncertain { said, .. } => said.clone(),
            Self::Failed { command, said, .. } => format!("{command} failed: {said}"),
            Self::Unfit { .. } | Self::Array { .. } | Self::Io { .. } => {
                crate::failure::chain(self)
            }
        }
    }
}

impl Failure for BackendError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => crate::failure::io_kind(source, Kind::Engine),
            Self::Unfit { .. } | Self::Array { .. } => Kind::Usage,
            _ => Kind::Engine,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Absent { engine, .. } => Some(format!(
                "run this on a machine where {engine} can be submitted to, or use --backend local"
            )),
            Self::Unreachable { engine, .. } => Some(format!(
                "see whether {engine} works here at all (moorline doctor asks it), then try again"
            )),
            Self::Uncertain { .. } => {
                Some("moorline recover asks the engine again; nothing is submitted twice".into())
            }
            Self::Unfit { .. } => {
                Some("choose a jobs directory, queue or account with a plainer name".into())
            }
            Self::Array { hint, .. } => Some((*hint).to_owned()),
            Self::Refused { hint, .. } => hint.map(str::to_owned),
            Self::Failed { .. } | Self::Io { .. } => None,
        }
    }
}
