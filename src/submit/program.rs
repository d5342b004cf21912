//! Which program a job's nodes get: the worker of their processor; the whole program where they pull.
//!
//! ```text
//! beside moorline      moorline-worker            for this machine's processor; else moorline itself
//!                      moorline-worker-aarch64    for another one, by the kernel's name of it
//! ```
//!
//! Only a worker of the same build is taken: it must read this program's plans, and write receipts that this
//! program reads.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::SubmitError;
use crate::backend;
use crate::build;
use crate::elf;
use crate::files::ForeignFile;
use crate::job::JobSpec;
use crate::oci::Platform;

const WORKER: &str = "moorline-worker";
/// Larger programs are not looked at.
const MOST_BYTES: u64 = 1 << 30;

/// The processor of the nodes that a job goes to, as Go calls it. What has its engine here runs here.
pub fn processor(job: &JobSpec, kind: &str) -> String {
    let own = Platform::host().architecture;
    let pinned = job.image.pin().map(|pin| &pin.platform).or(job.terms.platform.as_ref());
    let named = pinned.map(Platform::go_architecture);
    match named {
        Some(named) if !backend::facts_of(kind).is_some_and(|facts| facts.here) => {
            match named.as_str() {
                // these run on the larger one's nodes
                "386" => "amd64".to_owned(),
                _ => named,
            }
        }
        _ => own,
    }
}

/// The program for nodes of this processor. `own` is the program that runs now.
///
/// # Errors
/// [`SubmitError::NoWorker`] when there is none: this machine's own program does not start there.
pub fn worker(own: &Path, processor: &str) -> Result<PathBuf, SubmitError> {
    // through the link by which it may have been started
    let program = std::fs::canonicalize(own).unwrap_or_else(|_| own.to_owned());
    let beside = |name: &str| program.with_file_name(name);
    if processor == Platform::host().architecture {
        let worker = beside(WORKER);
        return Ok(if is_ours(&worker, &program) && is_same(&worker) { worker } else { program });
    }
    let name = format!("{WORKER}-{}", kernels_name(processor));
    let worker = beside(&name);
    let no = |why: &str| SubmitError::NoWorker {
        processor: processor.to_owned(),
        path: worker.clone(),
        why: why.to_owned(),
    };
    let opened = ForeignFile::anyones(MOST_BYTES).through_links().bytes(&worker);
    let bytes = opened.map_err(|error| no(&error.to_string()))?;
    if !is_ours(&worker, &program) {
        return Err(no("it belongs to another user than this program"));
    }
    if elf::processor(&bytes) != Some(processor) {
        return Err(no("it is for another processor"));
    }
    if !build::is_in(&bytes) {
        return Err(no("it is of another build than this program"));
    }
    Ok(worker)
}

/// The whole program for nodes of this processor: it pulls, which the worker alone cannot.
///
/// # Errors
/// [`SubmitError::NoWorker`] for another processor than this machine's.
pub fn whole(own: &Path, processor: &str) -> Result<PathBuf, SubmitError> {
    let program = std::fs::canonicalize(own).unwrap_or_else(|_| own.to_owned());
    if processor == Platform::host().architecture {
        return Ok(program);
    }
    Err(SubmitError::NoWorker {
        processor: processor.to_owned(),
        path: program,
        why: "a job that pulls gets the whole program, and this one is for another processor"
            .to_owned(),
    })
}

/// Whether who owns this program, or root, put the worker there.
fn is_ours(worker: &Path, program: &Path) -> bool {
    let owner = |path: &Path| std::fs::metadata(path).map(|meta| meta.uid());
    match (owner(worker), owner(program)) {
        (Ok(worker), Ok(program)) => worker == program || worker == 0,
        _ => false,
    }
}

/// Whether it says that it is of this build.
fn is_same(worker: &Path) -> bool {
    let mut command = Command::new(worker);
    command.arg("--version").env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    command.output().is_ok_and(|said| said.stdout == build::worker_version().as_bytes())
}

/// What `uname -m` says.
fn kernels_name(processor: &str) -> &str {
    match processor {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(path: &Path, bytes: impl AsRef<[u8]>) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_one_beside_it_is_taken_when_it_is_of_the_same_build() {
        let dir = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(dir.path()).unwrap();
        let host = Platform::host().architecture;
        let own = dir.join("moorline");
        program(&own, "#!/bin/sh\n");
        assert_eq!(worker(&own, &host).unwrap(), own);
        let small = dir.join("moorline-worker");
        program(&small, "#!/bin/sh\necho moorline-worker 0.0.1 (0)\n");
        assert_eq!(worker(&own, &host).unwrap(), own);
        let says = build::worker_version();
        program(&small, format!("#!/bin/sh\necho '{}'\n", says.trim_end()));
        assert_eq!(worker(&own, &host).unwrap(), small);
        std::os::unix::fs::symlink(&own, dir.join("link")).unwrap();
        assert_eq!(worker(&dir.join("link"), &host).unwrap(), small);
    }

    #[test]
    fn another_processors_is_looked_at_and_else_missed() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("moorline");
        program(&own, "");
        let why = || worker(&own, "riscv64").unwrap_err().to_string();
        assert!(why().contains("moorline-worker-riscv64"), "{}", why());
        let other = dir.path().join("moorline-worker-riscv64");
        // class, order, and the machine's number at 18
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend(62_u16.to_le_bytes());
        program(&other, &bytes);
        assert!(why().contains("it is for another processor"), "{}", why());
        bytes[18..20].copy_from_slice(&243_u16.to_le_bytes());
        program(&other, &bytes);
        assert!(why().contains("of another build"), "{}", why());
        let build = build::worker_version();
        let build = build.split(['(', ')']).nth(1).unwrap();
        bytes.extend(format!("moorline build {build};").bytes());
        program(&other, &bytes);
        assert_eq!(worker(&own, "riscv64").unwrap(), fs::canonicalize(&other).unwrap());
    }
}
