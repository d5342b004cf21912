//! Which runtime runs a job here.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{ExecuteError, Refusal, find_program, probe};
use crate::job::{Name, RuntimeChoice};

/// A runtime that was found to work.
#[derive(Debug)]
pub(super) enum Runtime {
    /// A program with apptainer's command line.
    Program {
        /// `apptainer` or `singularity`.
        name: Name,
        /// Where it is.
        path: PathBuf,
    },
    /// Our own.
    Builtin,
}

impl Runtime {
    /// As receipts say it.
    pub(super) fn name(&self) -> Name {
        match self {
            Self::Program { name, .. } => *name,
            Self::Builtin => Name::known("builtin"),
        }
    }
}

/// The first that works; an explicit choice is not replaced by another.
///
/// # Errors
/// [`ExecuteError::NoRuntime`] with the reason of each.
pub(super) fn choose(choice: RuntimeChoice) -> Result<Runtime, ExecuteError> {
    let order: &[RuntimeChoice] = match choice {
        RuntimeChoice::Auto => {
            &[RuntimeChoice::Apptainer, RuntimeChoice::Singularity, RuntimeChoice::Builtin]
        }
        RuntimeChoice::Apptainer => &[RuntimeChoice::Apptainer],
        RuntimeChoice::Singularity => &[RuntimeChoice::Singularity],
        RuntimeChoice::Builtin => &[RuntimeChoice::Builtin],
        RuntimeChoice::Other(name) => {
            let why = format!("{name}: this moorline does not know it");
            return Err(ExecuteError::NoRuntime(why));
        }
    };
    let mut reasons = Vec::new();
    for one in order {
        match attempt(*one) {
            Ok(runtime) => return Ok(runtime),
            Err(ExecuteError::NoRuntime(why)) => reasons.push(format!("{}: {why}", one.name())),
            // no word on the runtime: the next would meet the same
            Err(error) => return Err(error),
        }
    }
    Err(ExecuteError::NoRuntime(reasons.join("; ")))
}

fn attempt(choice: RuntimeChoice) -> Result<Runtime, ExecuteError> {
    let name = match choice {
        RuntimeChoice::Apptainer => "apptainer",
        RuntimeChoice::Singularity => "singularity",
        RuntimeChoice::Auto | RuntimeChoice::Builtin | RuntimeChoice::Other(_) => {
            return probe().map(|()| Runtime::Builtin).map_err(Refusal::into_error);
        }
    };
    let path = find_program(name).ok_or(ExecuteError::NoRuntime("not installed".into()))?;
    let what = format!("{} --version", path.display());
    let status = Command::new(&path)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|e| match ExecuteError::starting(what.clone(), e) {
            ExecuteError::NotStarted(why) => ExecuteError::NoRuntime(why),
            error => error,
        })?;
    if !status.success() {
        return Err(ExecuteError::NoRuntime(format!("{what} ended with {status}")));
    }
    Ok(Runtime::Program { name: Name::known(name), path })
}
