//! Which programs are installed here, and whether a container can run at all.

use std::path::PathBuf;

use super::Context;
use crate::cli::show::output::{CliError, Report};
use crate::failure::Kind;
use crate::job::RuntimeChoice;

impl Context {
    /// Finds a program in `PATH`.
    pub fn which(&self, program: &str) -> Option<PathBuf> {
        crate::files::in_path(self.env("PATH")?.as_ref(), program)
    }

    /// The container programs that are in `PATH`, in the order in which `auto` takes them.
    pub fn installed_runtimes(&self) -> Vec<&'static str> {
        let known = ["apptainer", "singularity"];
        known.into_iter().filter(|name| self.which(name).is_some()).collect()
    }

    /// Refuses early when nothing here can run a container: no download is worth it then.
    ///
    /// # Errors
    /// With the cause and what mends it; exit code 9, or 8 and 12 when it could not be tried.
    pub fn require_runtime(&self, wanted: Option<RuntimeChoice>) -> Result<(), Report> {
        let wanted = wanted.or(self.settings.runtime).unwrap_or_default();
        let installed = self.installed_runtimes();
        let there = match wanted {
            RuntimeChoice::Auto => !installed.is_empty(),
            RuntimeChoice::Builtin | RuntimeChoice::Other(_) => false,
            one => installed.contains(&one.name()),
        };
        if there {
            return Ok(());
        }
        if matches!(wanted, RuntimeChoice::Apptainer | RuntimeChoice::Singularity) {
            let message = format!("{} is not installed here", wanted.name());
            let error = CliError::new(Kind::NoRuntime, message);
            return Err(error.with_hint("--runtime builtin needs no container software").into());
        }
        crate::execute::probe().map_err(|refused| {
            let (cause, said) = (&refused.cause, &refused.said);
            // trouble with a directory or with processes is no word on containers
            let error = match refused.kind {
                Kind::NoRuntime => CliError::new(
                    Kind::NoRuntime,
                    format!("no container runtime works here: {cause} ({said})"),
                ),
                kind => return hindered(kind, said, refused.fix).into(),
            };
            match refused.fix {
                Some(fix) => error.with_hint(fix).into(),
                None => error.with_hint("install apptainer").into(),
            }
        })
    }
}

/// What kept a runtime from being tried.
fn hindered(kind: Kind, said: &str, fix: Option<String>) -> CliError {
    let error = CliError::new(kind, format!("no container can be started: {said}"));
    match fix {
        Some(fix) => error.with_hint(fix),
        None => error,
    }
}
