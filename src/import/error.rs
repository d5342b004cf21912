//! Why a foreign job cannot be read. Nothing of the text is repeated but names: it may hold a password.

use crate::failure::{Failure, Kind};

/// Why a foreign job cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The text is too long to be a job.
    #[error("it has {bytes} bytes: a job has {most} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// It is no Python.
    #[error("line {line}: {why}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// It makes no job.
    #[error("it makes no Job(...)")]
    NoJob,
    /// It makes several.
    #[error("it makes {0} jobs: which one is meant?")]
    Several(usize),
    /// A value of the job is something else than Ganga documents.
    #[error("line {line}: {what} is not {expected}")]
    Value {
        /// Where its object begins.
        line: usize,
        /// Which attribute.
        what: String,
        /// What it should be.
        expected: &'static str,
    },
    /// There is nothing to run.
    #[error("the job names no executable: application.exe is missing")]
    NoProgram,
    /// There is no container.
    #[error("the job has no virtualization: it runs outside of any image")]
    NoImage,
}

impl Failure for ImportError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::TooLong { .. } | Self::NoJob => {
                    "export one job in Ganga: export(jobs(17), \"job.py\")"
                }
                Self::Several(_) => "keep one job in the file: export(jobs(17), \"job.py\")",
                Self::Syntax { .. } | Self::Value { .. } => {
                    "write the value out: assignments, constructor calls, texts, numbers, lists and dicts are read, \
                     nothing is computed"
                }
                Self::NoProgram => "add j.application = Executable(exe=\"...\")",
                Self::NoImage => "add j.virtualization = Singularity(\"docker://...\")",
            }
            .to_owned(),
        )
    }
}
