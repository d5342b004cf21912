//! The files of this machine that a job starts: measured, copied, kept for a repetition.
//!
//! ```text
//! ./exe of the submitter --measure--> plan.json: name, SHA-256, size
//!                        --copy, hashed once more--> control/inputs/exe   stays as it is
//!                                                    work/exe             what the program sees
//! rerun: control/inputs/exe, else work/exe; refused unless it still has the SHA-256 of the plan
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::SubmitError;
use crate::files::{FileError, ForeignFile, Opened, sha256};
use crate::job::{Input, JobId, WORK_DIR};
use crate::ledger::Submission;
use crate::oci::{Digest, Sha256Digest};

/// The folder of `control/` that keeps inputs.
const KEPT: &str = "inputs";
/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in the working directory.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Where the submitter had it.
    pub origin: PathBuf,
    /// Whether it is copied into the job's own directory; otherwise it is used where it is.
    pub copied: bool,
    /// What it must be, when the job repeats another.
    pub earlier: Option<Earlier>,
}

/// What an input of an earlier job must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// These bytes.
    Sha256(Digest),
    /// An older program kept no hash: it is taken as it is now.
    Unmeasured,
}

impl Source {
    fn open(&self) -> Result<File, SubmitError> {
        let opened = match self.earlier {
            None => File::open(&self.path),
            // a job could write here: no link, no pipe
            Some(_) => ForeignFile::own(u64::MAX)
                .open(&self.path)
                .map(Opened::into_file)
                .map_err(io::Error::from),
        };
        opened.map_err(self.unread())
    }

    fn unread(&self) -> impl FnOnce(io::Error) -> SubmitError {
        let about = FileError::about("cannot read", &self.path);
        move |source| SubmitError::Input(about(source))
    }

    /// Hashes the file.
    ///
    /// # Errors
    /// When it cannot be read, or is another than the one that is to be repeated.
    pub fn measure(&self) -> Result<Input, SubmitError> {
        let sum = sha256(&mut self.open()?).map_err(self.unread())?;
        let found = Digest::from_bytes(sum.sha256);
        match self.earlier {
            Some(Earlier::Sha256(expected)) if expected != found => {
                Err(self.changed(expected, found))
            }
            _ => Ok(Input {
                source: self.origin.clone(),
                name: PathBuf::from(&self.name),
                sha256: found,
                size: sum.length,
            }),
        }
    }

    fn changed(&self, expected: Digest, found: Digest) -> SubmitError {
        SubmitError::InputChanged {
            name: self.name.clone(),
            path: self.path.clone(),
            expected,
            found,
        }
    }

    /// Copies the file into a job's directory, if it is one that is copied.
    ///
    /// # Errors
    /// When it cannot be copied, or is not what was measured a moment ago.
    pub(super) fn put(&self, measured: &Input, job: &Path) -> Result<(), SubmitError> {
        if !self.copied {
            return Ok(());
        }
        let io_error = || SubmitError::io("cannot copy into the job", &self.path);
        let kept = job.join("control").join(KEPT);
        let mut from = self.open()?;
        let mode = from.metadata().map_err(io_error())?.permissions().mode();
        let mut copied = || {
            let folder = kept.join(&self.name);
            if let Some(folder) = folder.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let mut to = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o400 | mode & 0o100)
                .open(kept.join(&self.name))?;
            // from file to file the kernel copies; then what is there is hashed
            io::copy(&mut from, &mut to)?;
            to.sync_all()?;
            to.rewind()?;
            sha256(&mut to)
        };
        let found = Digest::from_bytes(copied().map_err(io_error())?.sha256);
        if found != measured.sha256 {
            return Err(self.changed(measured.sha256, found));
        }
        // from the copy that was hashed, with the mode that the user gave it; the owner may write it
        let seen = job.join("work").join(&self.name);
        let give = || {
            if let Some(folder) = seen.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(kept.join(&self.name), &seen)?;
            fs::set_permissions(&seen, fs::Permissions::from_mode(mode & 0o777 | 0o200))
        };
        give().map_err(io_error())
    }
}

/// The inputs of an earlier submission, to be used again.
///
/// # Errors
/// Names what is lost or changed.
pub fn of_earlier(submission: &Submission, jobs_dir: &Path) -> Result<Vec<Source>, SubmitError> {
    let Some(spec) = submission.spec() else { return Ok(Vec::new()) };
    let job = submission.entry.job;
    let dir = jobs_dir.join(job.to_string());
    let own = spec.workdir.is_none();
    let work = spec.workdir.unwrap_or_else(|| dir.join("work"));
    if !own && !work.is_dir() {
        return Err(lost(job, "the working directory", &work));
    }
    if let ([], Some(name)) = (&spec.terms.inputs[..], spec.command.first())
        && let (true, Some(name)) = (own, name.strip_prefix("./"))
    {
        // an older program kept no hashes; what it copied lies in the job's own directory
        let path = work.join(name);
        let source = Source {
            name: name.to_owned(),
            path: path.clone(),
            origin: path.clone(),
            copied: true,
            earlier: Some(Earlier::Unmeasured),
        };
        let mounted =
            spec.mounts.iter().any(|mount| Path::new(&mount.target).starts_with(WORK_DIR));
        return match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(vec![source]),
            _ if mounted => Ok(Vec::new()),
            _ => Err(lost(job, &format!("./{name}"), &path)),
        };
    }
    spec.terms.inputs.iter().map(|input| find(job, input, own, &dir, &work)).collect()
}

/// The first place where the input still has its hash.
fn find(
    job: JobId,
    input: &Input,
    copied: bool,
    dir: &Path,
    work: &Path,
) -> Result<Source, SubmitError> {
    let kept = dir.join("control").join(KEPT).join(&input.name);
    let places = [copied.then_some(kept), Some(work.join(&input.name))];
    let mut why = None;
    for path in places.into_iter().flatten() {
        let source = Source {
            name: input.name.display().to_string(),
            path,
            origin: input.source.clone(),
            copied,
            earlier: Some(Earlier::Sha256(input.sha256)),
        };
        match source.measure() {
            Ok(_) => return Ok(source),
            Err(SubmitError::Input(error)) if error.source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = Some(error),
        }
    }
    let name = format!("./{}", input.name.display());
    Err(why.unwrap_or_else(|| lost(job, &name, &work.join(&input.name))))
}

fn lost(job: JobId, what: &str, path: &Path) -> SubmitError {
    SubmitError::InputLost { job, what: what.to_owned(), path: path.to_owned() }
}

/// What will keep a script of this machine from being started, in one sentence for each.
#[must_use]
pub fn script_hints(path: &Path) -> Vec<String> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut hints: Vec<String> =
        read.ok().and_then(|_| first_line(&name, &head)).into_iter().collect();
    if fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 == 0) {
        hints.push(format!("{name} is not executable: chmod +x {name} mends it"));
    }
    hints
}

fn first_line(name: &str, head: &[u8]) -> Option<String> {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    if head.starts_with(b"\x7fELF") || head.is_empty() {
        return None;
    }
    if head.starts_with(b"\xef\xbb\xbf#!") {
        return Some(format!(
            "{name} begins with a byte order mark, so its #! line is not seen: sed -i '1s/^\\xEF\\xBB\\xBF//' {name} removes it"
        ));
    }
    if !line.starts_with(b"#!") {
        // what binfmt_misc may know is left alone
        let text = head.iter().all(|b| *b >= 0x20 || b"\t\r\n\x0c\x1b".contains(b));
        return text.then(|| {
            format!(
                "{name} has no first line such as #!/bin/sh, so it cannot be started by itself: add one, or run it as `sh ./{name}`"
            )
        });
    }
    line.ends_with(b"\r").then(|| {
        format!(
            "{name} has Windows line ends, so the interpreter of its first line is not found: sed -i 's/\\r$//' {name} mends it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Recorded, View, testing};
    use crate::oci::SifDigest;

    fn source(dir: &Path, bytes: &[u8]) -> Source {
        let path = dir.join("exe");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Source { name: "exe".into(), origin: path.clone(), path, copied: true, earlier: None }
    }

    fn job(dir: &Path) -> PathBuf {
        let job = dir.join("job");
        fs::create_dir_all(job.join("control")).unwrap();
        fs::create_dir_all(job.join("work")).unwrap();
        job
    }

    #[test]
    fn an_input_is_kept_apart_from_what_the_program_sees() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), b"#!/bin/sh\n");
        let measured = source.measure().unwrap();
        assert_eq!((measured.sha256, measured.size), (Digest::of(b"#!/bin/sh\n"), 10));
        let job = job(dir.path());
        source.put(&measured, &job).unwrap();
        let mode = |path: &str| fs::metadata(job.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("work/exe"), mode("control/inputs/exe")), (0o755, 0o500));
        let below = Source { name: "in/put".into(), ..source };
        below.put(&measured, &job).unwrap();
        assert_eq!((mode("work/in/put"), mode("control/inputs")), (0o755, 0o700));
        // the program writes its own copy
        fs::write(job.join("work/exe"), "other").unwrap();
        assert_eq!(fs::read(job.join("control/inputs/exe")).unwrap(), b"#!/bin/sh\n");
    }

    #[test]
    fn a_change_between_measuring_and_copying_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), b"one");
        let measured = source.measure().unwrap();
        fs::write(&source.path, "two").unwrap();
        let error = source.put(&measured, &job(dir.path())).unwrap_err();
        assert!(matches!(error, SubmitError::InputChanged { .. }), "{error}");
        let expected = Source { earlier: Some(Earlier::Sha256(measured.sha256)), ..source };
        let error = expected.measure().unwrap_err().to_string();
        assert!(error.contains("./exe") && error.contains("sha256:"), "{error}");
    }

    /// Reported of scripts that were edited on Windows, and of those without a first line.
    #[test]
    fn scripts_that_cannot_start_get_a_hint() {
        let hint = |head: &[u8]| first_line("run.sh", head).unwrap_or_default();
        assert!(hint(b"#!/bin/sh\r\necho\r\n").contains("Windows line ends"));
        assert!(hint(b"\xef\xbb\xbf#!/bin/sh\n").contains("byte order mark"));
        assert!(hint(b"echo hello\n").contains("#!/bin/sh"));
        assert!(hint(b"echo hello\r\n").contains("#!/bin/sh"));
        for fine in [&b"#!/bin/sh\necho\r\n"[..], b"#!/bin/sh", b"\x7fELF\x02", b"MZ\x00\x01", b""]
        {
            assert_eq!(hint(fine), "");
        }
    }

    fn submission(dir: &Path, entry: &Recorded, command: &str) -> Submission {
        let ledger = Ledger::open(&dir.join("ledger")).unwrap();
        let image = testing::sif(None, SifDigest::of(b"sif"));
        let mut intent = testing::intent(entry, "local", image);
        intent.spec.command = vec![command.into()];
        ledger.intend(&intent).unwrap();
        View::read(ledger.dir()).unwrap().job(entry.job).unwrap().last().clone()
    }

    /// A record of an older program has no inputs: what it copied is found, and nobody vouches for it.
    #[test]
    fn an_older_record_names_its_input_without_a_hash() {
        let dir = testing::private();
        let entry = testing::entry(1);
        let work = dir.path().join("jobs").join(entry.job.to_string()).join("work");
        fs::create_dir_all(&work).unwrap();
        let submission = submission(dir.path(), &entry, "./exe");
        let jobs = dir.path().join("jobs");
        let error = of_earlier(&submission, &jobs).unwrap_err();
        assert!(matches!(error, SubmitError::InputLost { .. }), "{error}");
        // neither a link nor a pipe that a job left is followed or opened
        std::os::unix::fs::symlink("/bin/sh", work.join("exe")).unwrap();
        of_earlier(&submission, &jobs).unwrap_err();
        fs::remove_file(work.join("exe")).unwrap();
        fs::write(work.join("exe"), "x").unwrap();
        let found = of_earlier(&submission, &jobs).unwrap();
        assert_eq!(found[0].earlier, Some(Earlier::Unmeasured));
        assert_eq!(found[0].path, work.join("exe"));
    }
}
