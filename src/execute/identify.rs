//! Which program a runtime is that was found in `PATH`: the file, whose it is, what it says of itself, and
//! its SHA-256. The receipt holds it, so that an audit can see a program that only has the right name.
//!
//! A name says little: `docker` may be podman's, `singularity` a link to apptainer. A program that lies
//! can say anything of itself; its bytes cannot.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// Asks it, with nothing of the caller's environment but `PATH`.
fn version(path: &Path, asked: &Asked<'_>) -> Result<Option<String>, ExecuteError> {
    let what = format!("{} {}", path.display(), asked.words.join(" "));
    let failed = |why: &str| ExecuteError::NoRuntime(format!("{what} {why}"));
    let deadline = Instant::now() + PATIENCE;
    let mut command = Command::new(path);
    command
        .args(asked.words)
        .env_clear()
        .envs(asked.env.iter().copied())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(if asked.on_stderr { Stdio::null() } else { Stdio::piped() })
        .stderr(if asked.on_stderr { Stdio::piped() } else { Stdio::null() });
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
    // it writes less than a pipe holds, or it is not waited for
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(&format!("did not end within {} s", PATIENCE.as_secs())));
            }
        }
    };
    if !status.success() {
        return Err(failed(&format!("ended with {status}")));
    }
    let mut said = Vec::new();
    // what cannot be read was not said
    if let Some(stdout) = child.stdout.take() {
        let _ = stdout.take(MOST_WORDS).read_to_end(&mut said);
    }
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(MOST_WORDS).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty()))
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
        write("apptainer", "#!/bin/sh\nexit 1\n");
        assert!(!found.unchanged());
        let refused = of("apptainer").unwrap_err().to_string();
        assert!(refused.contains("ended with exit status: 1"), "{refused}");

        write("docker", "#!/bin/sh\necho Emulating >&2; echo 'podman version 4.3.1'\n");
        assert_eq!(of("docker").unwrap().kind(), Some("podman"));
        write("odd", "#!/bin/sh\necho something else\n");
        assert_eq!(of("odd").unwrap().kind(), None);
        assert!(matches!(of("gone"), Err(ExecuteError::NoRuntime(_))));
    }
}
