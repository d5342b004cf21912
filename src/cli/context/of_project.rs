//! What the project around us means for a verb.

use std::path::Path;

use super::Context;
use crate::acquire;
use crate::cli::show::output::{self, CliError, Report};
use crate::config::{Config, PROJECT_FILE};
use crate::failure::Kind;
use crate::files::Writers;
use crate::gitlab::{self, Found};
use crate::job::Mount;
use crate::oci::Registry;

impl Context {
    /// A project file names the registry of its own GitLab and no other one: short names would go there.
    pub(super) fn settle_registry(&mut self) {
        let Some(said) = self.config.registry.as_ref().filter(|value| value.origin.is_project())
        else {
            return;
        };
        let Err((why, hint)) = self.of_own_gitlab(&said.value) else { return };
        let refused = format!("{}: the registry {} {why}", said.origin, said.value);
        let hint = hint.unwrap_or_else(|| {
            "names of a project file would go there: write it into ~/.config/moorline/config.toml, or use \
             --registry or MOORLINE_REGISTRY"
                .to_owned()
        });
        self.project.borrow_mut().registry = Some((refused, hint));
        self.config.registry = None;
    }

    /// Whether a registry is that of the GitLab that this clone came from; if not, why, behind its name, and what
    /// helps against just that.
    fn of_own_gitlab(&self, registry: &Registry) -> Result<(), (String, Option<String>)> {
        let no = |why: String| Err((why, None));
        let project = self.project.borrow();
        let dir = project.dir.as_deref().unwrap_or(Path::new("."));
        let remote = match gitlab::look(dir, project.writers()) {
            Ok(Found::Remote(remote)) => remote,
            Ok(Found::Nothing) => {
                return no("is named outside of a clone of its GitLab".to_owned());
            }
            Ok(Found::Nameless) => {
                return no("is named in a clone that came from no GitLab".to_owned());
            }
            Ok(Found::Strangers(path, why)) => {
                let path = output::cell(&path.display().to_string());
                return no(format!("cannot be compared with this clone's remote: {path}: {why}"));
            }
            Err(error) => {
                let why = output::cell(&error.to_string());
                return no(format!("cannot be compared with this clone's remote: {why}"));
            }
        };
        drop(project);
        match acquire::is_registry_of(self, registry, &remote) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let host = &remote.host;
                let hint = format!(
                    "names of a project file would go there; if it belongs to {host}, say so once: moorline login \
                     {registry} --username NAME, or \"{registry}\" = \"https://{host}\" below [realms] in \
                     ~/.config/moorline/config.toml"
                );
                Err((format!("is not the registry of this clone's {host}"), Some(hint)))
            }
            Err(report) => no(format!("cannot be compared with what is known here: {}", report.0)),
        }
    }

    /// For verbs that take names of images: stops when the registry of short names, which `moorline.toml` says, is
    /// not used.
    ///
    /// # Errors
    /// With the reason.
    pub fn require_registry(&self) -> Result<(), Report> {
        let project = self.project.borrow();
        let Some((refused, hint)) = &project.registry else { return Ok(()) };
        Err(CliError::new(Kind::Configuration, refused.clone()).with_hint(hint.clone()).into())
    }

    /// The same as one warning, for verbs that do without.
    pub fn warn_of_registry(&self) {
        if let Some((refused, _)) = &self.project.borrow().registry {
            output::warn(format!("{refused}; it is passed over"));
        }
    }

    /// For verbs that use `moorline.toml`: stops when the caller's own is not used, warns of somebody else's.
    ///
    /// # Errors
    /// When the file belongs to the caller, and others can write it or its directory, or it is not a regular file.
    pub fn require_project(&self) -> Result<(), Report> {
        let project = self.project.borrow();
        if project.open {
            output::warn(format!(
                "everybody can write this checkout, as GitLab's executors make it; {PROJECT_FILE} is used all the same"
            ));
        }
        match &project.refused {
            Some(refused) if refused.theirs => {
                output::warn(format!(
                    "{} {}: {} ({})",
                    refused.file, refused.is, refused.why, refused.hint
                ));
                Ok(())
            }
            Some(refused) => Err(refused.report()),
            None => Ok(()),
        }
    }

    /// Stops when `what` could be a short name of a project file that is not used: as a reference it would be
    /// somebody else's image.
    ///
    /// # Errors
    /// With the reason.
    pub fn no_lost_name(&self, what: &str) -> Result<(), Report> {
        let project = self.project.borrow();
        let Some(refused) = &project.refused else { return Ok(()) };
        if what.contains(['/', ':', '@']) {
            return Ok(());
        }
        let what = output::cell(what);
        let message = format!(
            "{what} may be a short name of {}, which {}: {}",
            refused.file, refused.is, refused.why
        );
        let hint = format!("{}; an image of that name is written {what}:TAG", refused.hint);
        Err(CliError::new(Kind::Configuration, message).with_hint(hint).into())
    }

    /// Stops a verb that is nothing without the project's file.
    ///
    /// # Errors
    /// With the reason why it is not used.
    pub fn needs_project(&self) -> Result<(), Report> {
        self.project.borrow().refused.as_ref().map_or(Ok(()), |refused| Err(refused.report()))
    }

    /// The text of another file of the project, such as the lock; `None` when there is none.
    ///
    /// # Errors
    /// When it is not used.
    pub fn project_file(&self, name: &str) -> Result<Option<String>, Report> {
        self.project.borrow_mut().file(name)
    }

    /// Who may have written what the project brings.
    pub fn project_writers(&self) -> Writers {
        self.project.borrow().writers().clone()
    }

    /// The mounts of the configuration for a job, and a sentence about each that is left out. Those that a flag
    /// replaces are not looked at. A project's lie below its directory and are read-only.
    ///
    /// # Errors
    /// When the project file asks for another one.
    pub fn configured_mounts(&self, flags: &[Mount]) -> Result<(Vec<Mount>, Vec<String>), Report> {
        let (mut mounts, mut notes) = (Vec::new(), Vec::new());
        for value in &self.config.submit.mounts {
            let mount = &value.value;
            if flags.iter().any(|flag| flag.same_target(mount)) {
                continue;
            }
            if !value.origin.is_project() {
                mounts.push(mount.clone());
                continue;
            }
            match self.project.borrow().mount(mount) {
                Ok(Some(mount)) => mounts.push(mount),
                Ok(None) => notes.push(format!(
                    "{}: the mount {mount} is left out: there is no such path",
                    value.origin
                )),
                Err(why) => {
                    let why = output::cell(&format!("{}: the mount {mount}: {why}", value.origin));
                    return Err(CliError::new(Kind::Configuration, why)
                        .with_hint(format!("if you want it, give it yourself: --mount {mount}"))
                        .into());
                }
            }
        }
        Ok((mounts, notes))
    }

    /// Whether a mount of a job is one that the project file asked for.
    pub fn is_of_project(&self, mount: &Mount) -> bool {
        let project = self.project.borrow();
        let mut of_project = self.config.submit.mounts.iter().filter(|v| v.origin.is_project());
        of_project.any(|value| project.mount(&value.value).ok().flatten().as_ref() == Some(mount))
    }

    /// Notes a setting that the project file adds to the job that is being made.
    pub fn contributed(&self, what: impl AsRef<str>) {
        self.contributed.borrow_mut().push(output::cell(what.as_ref()));
    }

    /// Says what the project file adds to the job, each setting once, and hands it on for the record.
    pub(super) fn take_contributed(&self, backend: &str) -> Vec<String> {
        let config: &Config = &self.config;
        let set = config.submit.backend.as_ref().filter(|value| value.origin.is_project());
        if set.is_some_and(|value| value.value == backend) {
            self.contributed(format!("backend {backend}"));
        }
        let noted = std::mem::take(&mut *self.contributed.borrow_mut());
        let noted: Vec<String> =
            noted.into_iter().map(|what| format!("{PROJECT_FILE} adds: {what}")).collect();
        for line in &noted {
            self.voice.say(line);
        }
        noted
    }
}
