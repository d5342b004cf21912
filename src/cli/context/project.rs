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

use super::places::{self, Variables};
use crate::cli::show::output::{self, CliError, Report};
use crate::config::PROJECT_FILE;
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
    pub(super) dir: Option<PathBuf>,
    pub(super) writers: Writers,
    /// The same without what a job of GitLab CI accepts.
    pub(super) strict: Writers,
    pub(super) refused: Option<Refused>,
    /// The registry that `moorline.toml` names, and why it is not used; what to do.
    pub(super) registry: Option<(String, String)>,
    /// Whether everybody can write what is used.
    pub(super) open: bool,
}

/// Why a file of the project is not used.
#[derive(Clone, Debug)]
pub struct Refused {
    pub(super) file: String,
    /// What is done about it: "is not used".
    pub(super) is: &'static str,
    pub(super) why: String,
    pub(super) hint: String,
    /// Whether somebody else put it there.
    pub(super) theirs: bool,
}

impl Refused {
    pub(super) fn report(&self) -> Report {
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
        Self { dir, writers, strict, refused: None, registry: None, open: false }
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
    pub(super) fn mount(&self, mount: &Mount) -> Result<Option<Mount>, String> {
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
