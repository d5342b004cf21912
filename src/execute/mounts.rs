//! Which of a job's mounts this machine has, and what below them cannot be shown.
//!
//! Below a bound directory other mounts may lie, of anybody's. One that this user cannot reach, that
//! another mount covers, or whose server does not answer stops nothing: it is passed over and listed.

use std::io;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use super::asker::{Answer, Asker, COVERED, LONG, Question, SHORT};
use crate::files::{barred, explained};
use crate::job::{Access, Mount, Need};
use crate::mountinfo::Table;
use crate::runtime::Bind;
use crate::worker::MountNote;

/// What came of a job's mounts.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Those that are there.
    pub(super) binds: Vec<Bind>,
    /// Optional ones that are not, and why.
    pub(super) skipped: Vec<MountNote>,
    /// Mounts below them that cannot be reached.
    pub(super) passed: Vec<Passed>,
}

/// A mount below a bound directory that the container cannot show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Where it is on this machine.
    pub(super) source: PathBuf,
    /// Where it would be in the container.
    pub(super) target: PathBuf,
    /// Why it is not seen.
    pub(super) why: String,
}

impl Passed {
    /// As receipts say it.
    pub(super) fn note(&self) -> MountNote {
        MountNote {
            source: self.source.to_string_lossy().into_owned(),
            target: self.target.to_string_lossy().into_owned(),
            why: self.why.clone(),
        }
    }

    /// Whether something is missing: what another mount covers, nobody on this machine sees.
    fn is_loss(&self) -> bool {
        self.why != COVERED
    }
}

/// How many notes a receipt holds.
pub(super) const NOTES: usize = 100;

/// What a receipt says of them.
pub(super) fn notes(passed: &[Passed]) -> Vec<MountNote> {
    let mut notes: Vec<MountNote> = passed.iter().take(NOTES).map(Passed::note).collect();
    if passed.len() > NOTES {
        let why = format!("{} more were passed over", passed.len() - NOTES);
        notes.push(MountNote { source: String::new(), target: String::new(), why });
    }
    notes
}

/// The working directory, links resolved.
///
/// # Errors
/// When it is not there, or its file system does not answer.
pub(super) fn directory(path: &Path) -> Result<PathBuf, ExecuteError> {
    let what = || format!("the working directory {}", path.display());
    let error = match Asker::new().ask_patiently(&Question::Find(path.into())) {
        Answer::Found { path, .. } => {
            return entered(path.into()).map_err(ExecuteError::io(what()));
        }
        // with the system's own kind of error
        Answer::No { .. } => match std::fs::canonicalize(path) {
            Ok(path) => return entered(path).map_err(ExecuteError::io(what())),
            Err(error) => explained(path, error),
        },
        _ => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("its file system did not answer within {} s", LONG.as_secs()),
        ),
    };
    Err(ExecuteError::io(what())(error))
}

/// The program starts in it: better to say so here than from inside the container.
fn entered(path: PathBuf) -> io::Result<PathBuf> {
    // what lies in it is behind it, so it is in the way itself
    match barred(&path.join("x")) {
        Some(dir) if dir == path => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "it may not be entered"))
        }
        _ => Ok(path),
    }
}

/// Looks for a job's mounts.
///
/// # Errors
/// [`ExecuteError::MountMissing`] for a required one that is not there, and for a required read-only
/// one below which something cannot be reached: nobody could say that all of it is there, read-only.
pub(super) fn find(mounts: &[Mount]) -> Result<Found, ExecuteError> {
    let cannot = |e| ExecuteError::starting("asking file systems", e);
    let (mut asker, mut program) = (Asker::started().map_err(cannot)?, Asker::as_the_program());
    let mut found = Found::default();
    let missing = |mount: &Mount, why| ExecuteError::MountMissing { mount: mount.to_string(), why };
    for mount in mounts {
        // this also starts an automount
        let answer = asker.ask_patiently(&Question::Find(mount.source.clone().into()));
        let why = match answer {
            Answer::Found { path, directory, .. } => {
                let source = PathBuf::from(path);
                stays_below(mount, &source, &mut asker)?;
                let passed = pass_over(&source, Path::new(&mount.target), &mut program)?;
                let strict = mount.need == Need::Required && mount.access == Access::Ro;
                if let Some(lost) = passed.iter().find(|p| strict && p.is_loss()) {
                    let why = format!(
                        "{}, which is mounted below it, cannot be reached: {}",
                        lost.source.display(),
                        lost.why
                    );
                    return Err(missing(mount, why));
                }
                found.passed.extend(passed);
                found.binds.push(Bind {
                    source,
                    target: mount.target.as_str().into(),
                    access: mount.access,
                    directory,
                });
                continue;
            }
            Answer::No { why, .. } => why,
            _ => format!("its file system did not answer within {} s", LONG.as_secs()),
        };
        match mount.need {
            Need::Silent => {}
            Need::Optional => found.skipped.push(MountNote {
                source: mount.source.clone(),
                target: mount.target.clone(),
                why,
            }),
            Need::Required => return Err(missing(mount, why)),
        }
    }
    Ok(found)
}

/// Whether a project's mount still is where it was when the job was submitted: a job of that project may have put
/// a link there since. Links above the project's directory are this machine's own business.
///
/// # Errors
/// [`ExecuteError::MountMoved`].
fn stays_below(mount: &Mount, source: &Path, asker: &mut Asker) -> Result<(), ExecuteError> {
    let Some(below) = &mount.below else { return Ok(()) };
    let rest = Path::new(&mount.source).strip_prefix(below).ok();
    let top = match asker.ask_patiently(&Question::Find(below.into())) {
        Answer::Found { path, .. } => Some(PathBuf::from(path)),
        _ => None,
    };
    // joining nothing would add a slash
    let meant =
        top.zip(rest).map(|(top, rest)| top.components().chain(rest.components()).collect());
    if meant.is_some_and(|meant: PathBuf| meant == source) {
        return Ok(());
    }
    Err(ExecuteError::MountMoved {
        mount: mount.to_string(),
        found: source.to_owned(),
        below: below.clone(),
    })
}

/// The mounts below `source` that cannot be reached; `asker` asks as the program would.
///
/// # Errors
/// When the mount table cannot be read.
pub(super) fn pass_over(
    source: &Path,
    target: &Path,
    asker: &mut Asker,
) -> Result<Vec<Passed>, ExecuteError> {
    let table = Table::own().map_err(ExecuteError::io("reading the mount table"))?;
    let mut passed = Vec::new();
    for entry in table.below(source) {
        let why = if table.is_covered(entry) {
            COVERED.to_owned()
        } else {
            match asker.ask(&Question::Mount(entry.point.clone().into())) {
                Answer::Mount(id) if id == entry.id => continue,
                Answer::Mount(_) => COVERED.to_owned(),
                Answer::No { why, .. } => why,
                _ => format!("it did not answer within {} s", SHORT.as_secs()),
            }
        };
        let rest = entry.point.strip_prefix(source).unwrap_or(&entry.point);
        passed.push(Passed { source: entry.point.clone(), target: target.join(rest), why });
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_passed_over_that_can_be_reached() {
        let passed =
            pass_over(Path::new("/nowhere"), Path::new("/n"), &mut Asker::as_the_program())
                .unwrap();
        assert_eq!(passed, []);
        let one = |why: &str| Passed { source: "/a".into(), target: "/b".into(), why: why.into() };
        assert!(!one(COVERED).is_loss() && one("Permission denied").is_loss());
    }
}
