//! Which programs are installed here, and whether a container can run at all.

use std::path::PathBuf;

use super::Context;
use crate::cli::output::{CliError, Report};
use crate::failure::Kind;
use crate::job::RuntimeChoice;

impl Context {
    /// Finds a program in `PATH`.
    pub fn which(&self, program: &str) -> Option<PathBuf> {
        let path = self.env("PATH")?;
        std::env::split_paths(path).map(|dir| dir.join(program)).find(|file| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::metadata(file)
                .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
    }

    /// Refuses early when nothing here can run a container: no download is worth it then.
    ///
    /// # Errors
    /// With the cause and what mends it; exit code 9.
    pub fn require_runtime(&self, wanted: Option<RuntimeChoice>) -> Result<(), Report> {
        let wanted = wanted.or(self.settings.runtime).unwrap_or_default();
        let installed = |names: &[&str]| names.iter().any(|name| self.which(name).is_some());
        let there = match wanted {
            RuntimeChoice::Auto => installed(&["apptainer", "singularity"]),
            RuntimeChoice::Apptainer => installed(&["apptainer"]),
            RuntimeChoice::Singularity => installed(&["singularity"]),
            RuntimeChoice::Builtin | RuntimeChoice::Other(_) => false,
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
            let message = format!("no container runtime works here: {cause} ({said})");
            let error = CliError::new(Kind::NoRuntime, message);
            match refused.fix {
                Some(fix) => error.with_hint(fix).into(),
                None => error.with_hint("install apptainer").into(),
            }
        })
    }
}
