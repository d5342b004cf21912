//! The Kerberos tickets that the submitter handed over (`kerberos`), on the worker.
//!
//! ```text
//! control/krb5cc, 0600    --copied-->  scratch/krb5cc, 0600   --bound read-only-->  /run/moorline/krb5cc
//! ```
//!
//! Control directory and scratch are hidden from the container, so the bind is the only way to them. The first
//! one goes when the job has ended. An attempt that was told to end may be followed by another one (a requeue),
//! so its tickets stay until whoever asks for the job sees its end (`follow`).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{ExecuteError, node};
use crate::files::ForeignFile;
use crate::job::{Access, JobSpec};
use crate::runtime::Bind;
use crate::worker::TICKETS_FILE;

/// Where the program finds them.
const PLACE: &str = "/run/moorline/krb5cc";
/// The variable that names the place to it.
pub(super) const VARIABLE: &str = "KRB5CCNAME";
/// A cache has some thousand bytes.
const MOST: u64 = 4 << 20;

/// The value of the variable.
pub(super) fn value() -> String {
    format!("FILE:{PLACE}")
}

/// Copies the tickets of a job that asked for some into `directory`, and says what is to be bound.
///
/// # Errors
/// When they are not there: the program would run on without them otherwise.
pub(super) fn bind(
    job: &JobSpec,
    control: &Path,
    directory: &Path,
) -> Result<Option<Bind>, ExecuteError> {
    if !job.terms.kerberos {
        return Ok(None);
    }
    let from = control.join(TICKETS_FILE);
    let bytes = ForeignFile::own(MOST).bytes(&from).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| {
        ExecuteError::NotStarted(format!(
            "the job's Kerberos tickets {}: {error}; submit it again with --krb",
            from.display()
        ))
    })?;
    let source = directory.join(TICKETS_FILE);
    write(&source, &bytes).map_err(ExecuteError::io(format!("writing {}", source.display())))?;
    Ok(Some(Bind { source, target: PLACE.into(), access: Access::Ro, directory: false }))
}

fn write(path: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// Takes them away when the job has ended.
pub fn forget(control: &Path) {
    // there are none, mostly; where it fails they stay what they are, readable by their user alone
    let _ = fs::remove_file(control.join(TICKETS_FILE));
    // and the token of a worker that was told to end before it had pulled
    node::forget_credential(control);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::runtime::builtin::testing::job;

    #[test]
    fn they_are_private_and_missing_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut job = job(&["x"]);
        assert!(bind(&job, dir.path(), dir.path()).unwrap().is_none());
        job.terms.kerberos = true;
        let control = dir.path().join("control");
        fs::create_dir(&control).unwrap();
        let error = bind(&job, &control, dir.path()).unwrap_err().to_string();
        assert!(error.contains("Kerberos tickets") && error.contains("--krb"), "{error}");
        fs::write(control.join(TICKETS_FILE), "bytes").unwrap();
        let bind = bind(&job, &control, dir.path()).unwrap().unwrap();
        assert_eq!(fs::read(&bind.source).unwrap(), b"bytes");
        assert_eq!(fs::metadata(&bind.source).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((bind.access, value()), (Access::Ro, format!("FILE:{}", bind.target.display())));
        forget(&control);
        assert!(!control.join(TICKETS_FILE).exists());
        forget(&control);
    }
}
