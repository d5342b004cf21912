//! Which program a runtime is that was found in `PATH`: the file, whose it is, what it says of itself, and
//! its SHA-256. The receipt holds it, so that an audit can see a program that only has the right name.
//!
//! A name says little: `docker` may be podman's, `singularity` a link to apptainer. A program that lies
//! can say anything of itself; its bytes cannot.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::ExecuteError;
use crate::files::{self, Identity};
use crate::oci::{Digest, Sha256Digest};
use crate::worker::RuntimeProgram;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// More of its answer is not read.
const MOST_WORDS: u64 = 4096;

/// How a program is asked for its version.
pub(super) struct Asked<'a> {
    /// Its arguments.
    pub(super) words: &'a [&'a str],
    /// What it needs besides `PATH`.
    pub(super) env: &'a [(&'a str, &'a OsStr)],
    /// Whether it answers on standard error.
    pub(super) on_stderr: bool,
}

/// A program that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Where it is, links followed.
    pub(super) path: PathBuf,
    /// The uid that owns the file, who could exchange it.
    pub(super) owner: u32,
    /// The first line of what it says to `--version`.
    pub(super) version: Option<String>,
    /// Of the file.
    pub(super) sha256: Option<Digest>,
    identity: Option<Identity>,
}

impl Program {
    /// Looks at a program and asks it what it is. What else cannot be learnt is missing.
    ///
    /// # Errors
    /// [`ExecuteError::NoRuntime`] when it does not answer.
    pub(super) fn of(found: &Path) -> Result<Self, ExecuteError> {
        Self::asked(found, &Asked { words: &["--version"], env: &[], on_stderr: false })
    }

    /// As [`Program::of`], for one that is asked otherwise.
    ///
    /// # Errors
    /// As there.
    pub(super) fn asked(found: &Path, asked: &Asked<'_>) -> Result<Self, ExecuteError> {
        let path = fs::canonicalize(found).unwrap_or_else(|_| found.to_owned());
        let handle = File::open(&path).ok();
        let metadata = handle.as_ref().and_then(|file| file.metadata().ok());
        let metadata = metadata.or_else(|| fs::metadata(&path).ok());
        let sha256 = handle.filter(|_| metadata.as_ref().is_some_and(fs::Metadata::is_file));
        Ok(Self {
            // not readable for its user is possible, executable is enough
            owner: metadata.as_ref().map_or(u32::MAX, MetadataExt::uid),
            sha256: sha256.and_then(hash),
            version: version(&path, asked)?,
            identity: metadata.as_ref().map(Identity::of),
            path,
        })
    }

    /// As receipts say it.
    pub(super) fn said(&self) -> RuntimeProgram {
        RuntimeProgram {
            path: self.path.to_string_lossy().into_owned(),
            owner: self.owner,
            version: self.version.clone(),
            sha256: self.sha256,
        }
    }

    /// The runtime that it is by its own words, whatever its file is called.
    pub(super) fn kind(&self) -> Option<&'static str> {
        let first = self.version.as_deref()?.split_whitespace().next()?.to_ascii_lowercase();
        // "singularity-ce version 4.1.0"
        let first = first.strip_suffix("-ce").unwrap_or(&first);
        ["apptainer", "singularity", "podman", "docker"].into_iter().find(|kind| *kind == first)
    }

    /// Whether the file is still the one that was looked at. The runtime is started by its path.
    pub(super) fn unchanged(&self) -> bool {
        fs::metadata(&self.path).ok().map(|m| Identity::of(&m)) == self.identity
    }
}

fn hash(mut file: File) -> Option<Digest> {
    files::sha256(&mut file).ok().map(|sum| Digest::from_bytes(sum.sha256))
}

/// What a program answered.
pub(super) struct Answered {
    pub(super) status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Answered {
    /// The last line that it complained with.
    pub(super) fn complaint(&self) -> Option<String> {
        let says = |line: &String| line.chars().any(char::is_alphabetic);
        self.stderr.lines().rev().map(|line| shown(&plain(line))).find(says)
    }
}

fn version(path: &Path, asked: &Asked<'_>) -> Result<Option<String>, ExecuteError> {
    let answered = answer(path, asked)?;
    if !answered.status.success() {
        let why = answered.complaint().map(|why| format!(": {why}")).unwrap_or_default();
        let (words, status) = (asked.words.join(" "), answered.status);
        let said = format!("{} {words} ended with {status}{why}", path.display());
        return Err(ExecuteError::NoRuntime(said));
    }
    let said = if asked.on_stderr { &answered.stderr } else { &answered.stdout };
    let line = shown(said.lines().next().unwrap_or_default());
    Ok(Some(line).filter(|line| !line.is_empty()))
}

/// Asks it, with nothing of the caller's environment but `PATH`.
///
/// # Errors
/// [`ExecuteError::NoRuntime`] when it cannot be started or does not end.
pub(super) fn answer(path: &Path, asked: &Asked<'_>) -> Result<Answered, ExecuteError> {
    let what = format!("{} {}", path.display(), asked.words.join(" "));
    let deadline = Instant::now() + PATIENCE;
    // files, because a process that it leaves behind would hold a pipe open
    let io = || ExecuteError::io(format!("a file for the answer of {what}"));
    let (stdout, stderr) =
        (tempfile::tempfile().map_err(io())?, tempfile::tempfile().map_err(io())?);
    let mut command = Command::new(path);
    command
        .args(asked.words)
        .env_clear()
        .envs(asked.env.iter().copied())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(io())?)
        .stderr(stderr.try_clone().map_err(io())?);
    let mut child = loop {
        match command.spawn() {
            // somebody is still writing it, or a child of ours has not closed it yet
            Err(e)
                if e.kind() == std::io::ErrorKind::ExecutableFileBusy
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            started => {
                break started.map_err(|e| match ExecuteError::starting(what.clone(), e) {
                    ExecuteError::NotStarted(why) => ExecuteError::NoRuntime(why),
                    error => error,
                })?;
            }
        }
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                let patience = PATIENCE.as_secs();
                return Err(ExecuteError::NoRuntime(format!(
                    "{what} did not end within {patience} s"
                )));
            }
        }
    };
    Ok(Answered { status, stdout: said(stdout), stderr: said(stderr) })
}

/// What a program wrote into a file; what cannot be read was not said.
fn said(mut file: File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind().and_then(|()| file.take(MOST_WORDS).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A line without the colours that some give it: `ESC [ 31 m`.
fn plain(line: &str) -> String {
    let mut pieces = line.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |line, piece| line + piece.split_once('m').map_or(piece, |(_, rest)| rest))
}

/// A line for people.
fn shown(line: &str) -> String {
    let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::oci::Sha256Digest;

    #[test]
    fn a_program_is_what_it_says_and_what_it_is_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, script: &str| {
            fs::write(at(name), script).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
        };
        let script = "#!/bin/sh\nprintf 'apptainer version 1.4.5\\033[31m\\nmore\\n'\n";
        write("apptainer", script);
        symlink("apptainer", at("singularity")).unwrap();
        let of = |name: &str| Program::of(&at(name));
        let found = of("singularity").unwrap();
        assert_eq!(found.path, fs::canonicalize(at("apptainer")).unwrap());
        assert_eq!(found.owner, rustix::process::geteuid().as_raw());
        assert_eq!(found.version.as_deref(), Some("apptainer version 1.4.5[31m"));
        assert_eq!(found.kind(), Some("apptainer"));
        assert_eq!(found.sha256, Some(Digest::of(script.as_bytes())));
        assert!(found.unchanged());
        write("apptainer", "#!/bin/sh\nprintf '\\033[91mit has no home\\n\\033[0m' >&2\nexit 1\n");
        assert!(!found.unchanged());
        let refused = of("apptainer").unwrap_err().to_string();
        assert!(refused.contains("ended with exit status: 1: it has no home"), "{refused}");

        write("docker", "#!/bin/sh\necho Emulating >&2; echo 'podman version 4.3.1'\n");
        assert_eq!(of("docker").unwrap().kind(), Some("podman"));
        write("odd", "#!/bin/sh\necho something else\n");
        assert_eq!(of("odd").unwrap().kind(), None);
        assert!(matches!(of("gone"), Err(ExecuteError::NoRuntime(_))));
    }
}
