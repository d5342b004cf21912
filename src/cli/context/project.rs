//! The files of the project in the current directory: whose they are, and whether they are used.
//!
//! ```text
//! moorline.toml, moorline.lock     used when file and directory belong to the caller or root, and nobody
//!                                  else can write there (files/trust.rs says who else is accepted)
//!   not used, somebody else's      one warning; a short name in WHAT is an error, since the file may have it.
//!                                  A file that somebody plants in /tmp stops nothing else
//!   not used, the caller's own     error 12 in every verb that would use it: the caller meant it
//!   not looked for                 the directory cannot be read (`su` keeps it): one warning, and a short name is
//!                                  an error as above
//! ```
//!
//! In a job of GitLab CI, below its checkout, what everybody can write is accepted with one warning: GitLab's
//! executors clone under umask 0000. The owner still has to be the caller or root.
//!
//! Links are not followed: a repository can hold any link, and the caller makes it by cloning. A configuration
//! that is kept elsewhere is named with `--config`.

use std::path::{Path, PathBuf};

use super::Context;
use super::places::{self, Variables};
use crate::cli::show::output::{self, CliError, Report};
use crate::config::{Config, PROJECT_FILE};
use crate::failure::Kind;
use crate::files::{Folder, ForeignError, ForeignFile, Outsider, Writers};
use crate::job::{Access, Mount, Need};

/// Larger project and lock files are refused.
const MOST_BYTES: u64 = 4 << 20;

const NOT_USED: &str = "is not used";

/// The current directory as a project.
#[derive(Debug)]
pub struct Project {
    /// Without links. `None` when there is no current directory any more.
    dir: Option<PathBuf>,
    writers: Writers,
    /// The same without what a job of GitLab CI accepts.
    strict: Writers,
    refused: Option<Refused>,
    /// Whether everybody can write what is used.
    open: bool,
}

/// Why a file of the project is not used.
#[derive(Clone, Debug)]
pub struct Refused {
    file: String,
    /// What is done about it: "is not used".
    is: &'static str,
    why: String,
    hint: String,
    /// Whether somebody else put it there.
    theirs: bool,
}

impl Refused {
    fn report(&self) -> Report {
        CliError::new(Kind::Configuration, format!("{} {}: {}", self.file, self.is, self.why))
            .with_hint(self.hint.clone())
            .into()
    }
}

impl Project {
    /// The current directory. `groups` are those that the caller trusts.
    pub(super) fn here<'a>(
        environment: &Variables,
        groups: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let dir = std::fs::canonicalize(".").ok();
        let strict = Writers::of_caller().and_groups(groups);
        let of_ci = dir.as_deref().is_some_and(|dir| in_ci_checkout(environment, dir));
        let writers = if of_ci { strict.clone().and_everybody() } else { strict.clone() };
        Self { dir, writers, strict, refused: None, open: false }
    }

    /// Who may have written what this project brings.
    pub fn writers(&self) -> &Writers {
        &self.writers
    }

    /// Reads `moorline.toml`, and notes when it is not used.
    pub(super) fn text(&mut self) -> Option<String> {
        match self.read(PROJECT_FILE) {
            Ok(text) => text,
            Err(refused) => {
                self.refused = Some(refused);
                None
            }
        }
    }

    /// Reads another file of the project; `None` when there is none.
    ///
    /// # Errors
    /// When it is not used, with the reason and what to do.
    pub fn file(&mut self, name: &str) -> Result<Option<String>, Report> {
        self.read(name).map_err(|refused| refused.report())
    }

    fn read(&mut self, name: &str) -> Result<Option<String>, Refused> {
        let looked = Folder::open(Path::new(".")).and_then(|folder| {
            let owner = folder.owner_of(Path::new(name))?;
            Ok(owner.map(|owner| (folder, owner)))
        });
        let (folder, owner) = match looked {
            Ok(Some(found)) => found,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(self.unseen(name));
            }
            // there is no directory, or none any more
            Ok(None) | Err(_) => return Ok(None),
        };
        let theirs = !self.writers.trusts(owner);
        let dir = self.shown_dir();
        let outsider = folder.outsider(&self.writers).map_err(|error| {
            let why = format!("nobody can say who may write its directory {dir}: {error}");
            let hint = "move the project to another file system".to_owned();
            Refused { file: name.to_owned(), is: NOT_USED, why, hint, theirs }
        })?;
        if let Some(outsider) = outsider {
            let theirs = theirs || matches!(outsider, Outsider::Owner { .. });
            let hint = hint(&outsider, &dir, name);
            let why = format!("of its directory {dir}: {outsider}");
            return Err(Refused { file: name.to_owned(), is: NOT_USED, why, hint, theirs });
        }
        let file = ForeignFile::written_by(&self.writers, MOST_BYTES);
        let opened = match file.open_in(&folder, Path::new(name)) {
            Ok(opened) => opened,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(self.unfit(name, &error, theirs)),
        };
        let strict = |found: std::io::Result<Option<Outsider>>| found.ok().flatten().is_some();
        self.open |=
            strict(self.strict.outsider(opened.file())) || strict(folder.outsider(&self.strict));
        opened.text().map(Some).map_err(|error| self.unfit(name, &error, theirs))
    }

    fn unfit(&self, name: &str, error: &ForeignError, theirs: bool) -> Refused {
        let hint = match error {
            ForeignError::Outsider(outsider) => hint(outsider, &self.shown_dir(), name),
            ForeignError::Link | ForeignError::ForeignLink(_) => format!(
                "put the file itself there; a configuration that is kept elsewhere is named with --config FILE, in \
                 place of your own ({name} of a repository could link to any file of yours)"
            ),
            _ => format!("put a regular file of UTF-8 text there, or remove {name}"),
        };
        Refused { file: name.to_owned(), is: NOT_USED, why: error.to_string(), hint, theirs }
    }

    /// The directory is in the way, whatever lies in it.
    fn unseen(&self, name: &str) -> Refused {
        Refused {
            file: name.to_owned(),
            is: "is not looked for",
            why: format!("the current directory {} cannot be read", self.shown_dir()),
            hint: "change to a directory that you can read".to_owned(),
            theirs: true,
        }
    }

    fn shown_dir(&self) -> String {
        let dir = self.dir.as_deref().unwrap_or(Path::new("."));
        output::cell(&dir.display().to_string())
    }

    /// A mount of the project file as a job may have it: its source below the project once all links are
    /// resolved, read-only. `None` when the source is not there: a link could take its place later.
    fn mount(&self, mount: &Mount) -> Result<Option<Mount>, String> {
        let Some(dir) = &self.dir else { return Err("the current directory is gone".into()) };
        let named = dir.join(&mount.source);
        let source = match std::fs::canonicalize(&named) {
            Ok(source) => source,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if mount.need == Need::Required {
                    return Err(format!("there is no {}", named.display()));
                }
                return Ok(None);
            }
            Err(error) => return Err(format!("{}: {error}", named.display())),
        };
        if !source.starts_with(dir) {
            let leads = if source == named {
                String::new()
            } else {
                format!("leads to {} and ", source.display())
            };
            return Err(format!(
                "it {leads}lies outside of the project's directory {}",
                dir.display()
            ));
        }
        let text = |path: PathBuf| {
            path.into_os_string().into_string().map_err(|_| "its path is no UTF-8".to_owned())
        };
        // somebody may put a link there before the job starts: the worker looks again
        let below = Some(text(dir.clone())?);
        Ok(Some(Mount { source: text(source)?, access: Access::Ro, below, ..mount.clone() }))
    }
}

/// Whether a directory lies in the checkout of a job of GitLab CI that this process runs in.
fn in_ci_checkout(environment: &Variables, dir: &Path) -> bool {
    let checkout = places::set(environment, "CI_PROJECT_DIR").map(Path::new);
    let Some(checkout) = checkout.filter(|path| path.is_absolute()) else { return false };
    // the root would be no checkout but the whole machine
    let checkout = std::fs::canonicalize(checkout).ok().filter(|path| path.parent().is_some());
    places::set(environment, "GITLAB_CI") == Some("true")
        && checkout.is_some_and(|checkout| dir.starts_with(checkout))
}

/// What to do about it.
fn hint(outsider: &Outsider, dir: &str, name: &str) -> String {
    match outsider {
        Outsider::Owner { .. } => {
            "it is somebody else's input: look at it, and copy it into a directory of your own"
                .into()
        }
        Outsider::Group { gid, name: group, .. } => {
            let group = group.clone().unwrap_or_else(|| gid.to_string());
            format!(
                "chmod g-w {dir} {dir}/{name}; or, if you trust all members of that group, write trusted_groups = \
                 [\"{group}\"] into ~/.config/moorline/config.toml"
            )
        }
        Outsider::AccessList => format!("setfacl -b {dir} {dir}/{name}"),
        Outsider::Everybody { .. } => format!("chmod o-w {dir} {dir}/{name}"),
    }
}

impl Context {
    /// For verbs that use `moorline.toml`: stops when the caller's own is not used, warns of somebody else's.
    ///
    /// # Errors
    /// When the file belongs to the caller, and others can write it or its directory, or it is no regular file.
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
