//! A job's directory: made whole before the engine hears of the job, removed when it refuses.
//!
//! ```text
//! JOBS_DIR/               0700
//!   bin/HEX/moorline      this program, by the digest of its bytes; shared by all jobs
//!   ID/                   0700
//!     work/               bound to /work_dir
//!     control/            0700: job.sh, plan.json, inputs/, krb5cc, x509up, receipts, and what a worker that pulls
//!                         needs, and added runtimes (extras.rs); never in the container
//!     image.sif           a copy of the user's own file, where nodes do not see that
//!     stdout  stderr      written by the engine
//!     tasks/7/            of an array: what one task writes and leaves
//! ```

use std::fs;
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::SubmitError;
use crate::files;
use crate::grid_proxy::GridProxy;
use crate::job::{AddedFile, JobId, Tasks};
use crate::kerberos::Tickets;
use crate::oci::{Digest, Sha256Digest, SifDigest};
use crate::worker::{PLAN_FILE, PROXY_FILE, SCRIPT_FILE, TASKS, TICKETS_FILE, task_dir};

/// The texts that go into `control/`.
pub struct Texts {
    /// `job.sh`.
    pub script: String,
    /// `plan.json`.
    pub plan: Vec<u8>,
}

/// A job's directory that is removed when it is dropped before [`JobDir::keep`].
#[derive(Debug)]
pub struct JobDir {
    path: PathBuf,
    kept: bool,
}

impl JobDir {
    /// Makes the directory with its `work/` and `control/`.
    ///
    /// # Errors
    /// When a file cannot be written; nothing stays then.
    pub fn make(jobs_dir: &Path, id: &JobId, texts: &Texts) -> Result<Self, SubmitError> {
        private_all(jobs_dir)?;
        let dir = Self { path: jobs_dir.join(id.to_string()), kept: false };
        private(&dir.path)?;
        private(&dir.work())?;
        private(&dir.control())?;
        write(&dir.control().join(PLAN_FILE), &texts.plan, 0o400)?;
        write(&dir.control().join(SCRIPT_FILE), texts.script.as_bytes(), 0o500)?;
        Ok(dir)
    }

    /// Makes a directory for each task, for its output: engines open files there, and make no directories.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make_tasks(&self, tasks: &Tasks) -> Result<(), SubmitError> {
        private(&self.path.join(TASKS))?;
        tasks.numbers().try_for_each(|task| private(&task_dir(&self.path, Some(task))))
    }

    /// Puts the Kerberos tickets beside the plan. The worker takes them away when the job has ended.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_tickets(&self, tickets: &Tickets) -> Result<(), SubmitError> {
        self.put(TICKETS_FILE, tickets.bytes(), 0o600)
    }

    /// Puts a new file beside the plan, with this mode before the first byte.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn put(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), SubmitError> {
        write(&self.control().join(name), bytes, mode)
    }

    /// Puts the grid proxy beside the plan, likewise.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_proxy(&self, proxy: &GridProxy) -> Result<(), SubmitError> {
        write(&self.control().join(PROXY_FILE), proxy.bytes(), 0o600)
    }

    /// Copies the image to `to`, a file of this directory.
    ///
    /// # Errors
    /// When it cannot be copied, or is not `expected` any more.
    pub fn put_image(
        &self,
        from: &Path,
        to: &Path,
        expected: Option<SifDigest>,
    ) -> Result<(), SubmitError> {
        let found = copied(from, to).map_err(SubmitError::io("cannot copy into the job", from))?;
        if expected.is_some_and(|expected| *expected.bytes() != found.sha256) {
            return Err(SubmitError::ImageChanged { path: from.to_owned() });
        }
        Ok(())
    }

    /// Copies a file of an added runtime to `to`, below `control/`; whether it is that file still.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub(super) fn put_runtime_file(
        &self,
        from: &Path,
        to: &Path,
        file: &AddedFile,
    ) -> Result<bool, SubmitError> {
        let folder = to.parent().unwrap_or(&self.path);
        private_all(folder)?;
        let found = copied(from, to).map_err(SubmitError::io("cannot copy into the job", from))?;
        Ok(found.sha256 == *file.sha256.bytes())
    }

    /// `JOBS_DIR/ID`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `JOBS_DIR/ID/work`.
    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// `JOBS_DIR/ID/control`.
    pub fn control(&self) -> PathBuf {
        self.path.join("control")
    }

    /// The engine has the job, or may have it: the directory stays.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for JobDir {
    fn drop(&mut self) {
        if !self.kept {
            // the directory holds nothing of the user's that is not elsewhere
            let _ = crate::listing::remove_tree(&self.path);
        }
    }
}

/// Copies to a new file, and hashes what is there.
fn copied(from: &Path, to: &Path) -> io::Result<files::Sum> {
    let mut target =
        fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o400).open(to)?;
    // from file to file the kernel copies; then what is there is hashed
    io::copy(&mut fs::File::open(from)?, &mut target)?;
    target.sync_all()?;
    target.rewind()?;
    files::sha256(&mut target)
}

/// With its parents, 0700 whatever the umask.
fn private_all(path: &Path) -> Result<(), SubmitError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(SubmitError::io("cannot make", path))
}

fn private(path: &Path) -> Result<(), SubmitError> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(SubmitError::io("cannot make", path))
}

fn write(path: &Path, data: &[u8], mode: u32) -> Result<(), SubmitError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(data).and_then(|()| file.sync_all()))
        .map_err(SubmitError::io("cannot write", path))
}

/// Where workers find the program with a digest.
pub(super) fn installed(jobs_dir: &Path, program: &Digest) -> PathBuf {
    jobs_dir.join("bin").join(program.hex()).join("moorline")
}

/// Puts this program where workers find it and returns the digest of its bytes.
///
/// # Errors
/// When it cannot be read or written.
pub fn install_binary(jobs_dir: &Path, program: &Path) -> Result<Digest, SubmitError> {
    let digest = hash(program)?;
    let target = installed(jobs_dir, &digest);
    let dir = jobs_dir.join("bin").join(digest.hex());
    if hash(&target).is_ok_and(|there| there == digest) {
        return Ok(digest);
    }
    private_all(&dir)?;
    for private in [jobs_dir.join("bin"), dir.clone()] {
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700))
            .map_err(SubmitError::io("cannot protect", &private))?;
    }
    let copy = || -> io::Result<()> {
        // what a killed submission left there goes
        let mut file = crate::store::temporary_beside(&dir)?;
        // from file to file the kernel copies
        io::copy(&mut fs::File::open(program)?, file.as_file_mut())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o500))?;
        files::publish(file, &target)
    };
    copy().map_err(SubmitError::io("cannot install", &target))?;
    Ok(digest)
}

fn hash(path: &Path) -> Result<Digest, SubmitError> {
    let sum = fs::File::open(path).and_then(|mut file| files::sha256(&mut file));
    let sum = sum.map_err(SubmitError::io("cannot read", path))?;
    Ok(Digest::from_bytes(sum.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Texts {
        Texts { script: "#!/bin/sh\n".into(), plan: b"{}".to_vec() }
    }

    #[test]
    fn a_directory_that_is_not_kept_goes_away() {
        let jobs = tempfile::tempdir().unwrap();
        let id = JobId::from_parts(1, 1);
        let dir = JobDir::make(jobs.path(), &id, &texts()).unwrap();
        let path = dir.path().to_owned();
        let mode = fs::metadata(dir.control()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(dir);
        assert!(!path.exists());
        JobDir::make(jobs.path(), &id, &texts()).unwrap().keep();
        assert!(path.join("control/job.sh").exists());
    }

    #[test]
    fn the_binary_is_installed_once_and_repaired() {
        let jobs = tempfile::tempdir().unwrap();
        let program = jobs.path().join("program");
        fs::write(&program, "bytes").unwrap();
        let digest = install_binary(jobs.path(), &program).unwrap();
        let target = jobs.path().join("bin").join(digest.hex()).join("moorline");
        fs::remove_file(&target).unwrap();
        fs::write(&target, "tampered").unwrap();
        assert_eq!(install_binary(jobs.path(), &program).unwrap(), digest);
        assert_eq!(fs::read(&target).unwrap(), b"bytes");
    }
}
