//! Which programs are installed here, and whether a container can run at all.

use std::path::PathBuf;

use super::Context;
use crate::cli::show::output::{CliError, Report};
use crate::execute::{self, Absent};
use crate::failure::Kind;
use crate::job::{Name, RuntimeChoice};

impl Context {
    /// Finds a program in `PATH`.
    pub fn which(&self, program: &str) -> Option<PathBuf> {
        crate::files::in_path(self.env("PATH")?.as_ref(), program)
    }

    /// The order in which `auto` tries runtimes; empty for the usual one.
    pub fn runtime_order(&self) -> &[Name] {
        self.config.runtimes.as_ref().map_or(&[], |order| &order.value)
    }

    /// Refuses early when nothing here can run a container: no download is worth it then.
    ///
    /// # Errors
    /// With the cause and what mends it; exit code 9, or 8 and 12 when it could not be tried.
    pub fn require_runtime(&self, wanted: Option<RuntimeChoice>) -> Result<(), Report> {
        let wanted = wanted.or(self.settings.runtime).unwrap_or_default();
        match execute::usable(wanted, self.runtime_order(), &self.added_runtimes()?) {
            Ok(_) => Ok(()),
            Err(absent) => Err(refused(wanted, absent)),
        }
    }

    /// Whether the built-in runtime makes a container here: it really makes one.
    ///
    /// # Errors
    /// As [`Context::require_runtime`].
    #[expect(clippy::unused_self, reason = "asked of the context, as what else works here is")]
    pub fn builtin_works(&self) -> Result<(), Report> {
        execute::builtin_works().map_err(|absent| refused(RuntimeChoice::Builtin, absent))
    }
}

/// What the user is told.
fn refused(wanted: RuntimeChoice, absent: Absent) -> Report {
    let message = match (absent.kind, wanted) {
        (Kind::NoRuntime, RuntimeChoice::Auto | RuntimeChoice::Builtin) => {
            format!("no container runtime works here: {}", absent.why)
        }
        (Kind::NoRuntime, named) => {
            format!("{} cannot be used here: {}", named.name(), absent.why)
        }
        // trouble with a directory or with processes is no word on containers
        _ => format!("no container can be started: {}", absent.why),
    };
    let hint = absent.hint.unwrap_or_else(|| match wanted {
        RuntimeChoice::Auto | RuntimeChoice::Builtin => "install apptainer".to_owned(),
        RuntimeChoice::Udocker => "moorline runtime add udocker FILE lets jobs bring it, with an archive of its engines \
                                   where there is no proot, runc or crun; --runtime builtin needs nothing"
            .to_owned(),
        _ => "--runtime builtin needs no container software".to_owned(),
    });
    CliError::new(absent.kind, message).with_hint(hint).into()
}
