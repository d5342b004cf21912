//! A job's own temporary directory: where it can be made, how it is kept, and how those that killed
//! workers left go.
//!
//! ```text
//! BASE/moorline-job-PROCESS-XXXXXX/    0700; held (store/held.rs) as long as its process lives
//! ```
//!
//! BASE is `TMPDIR`, else `/tmp`, else `/var/tmp`: the first in which a directory can be made and
//! written to. Why an earlier one was passed over is noted. The names are random; one that another
//! user made is never used. Below `/dev/shm` nothing is put, because every container has that.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::StatVfsMountFlags;

use super::{ExecuteError, PassedOver};
use crate::failure::{Kind, io_kind};
use crate::listing;
use crate::mountinfo::is_mount_point;
use crate::store::{Held, Process, remove_unheld};
use crate::worker::Plan;

/// What the names of a worker's directories begin with.
pub(super) const JOB: &str = "moorline-job-";
/// Those of a probe.
pub(super) const PROBE: &str = "moorline-probe-";
/// Those of the demo, which stay.
const DEMO: &str = "moorline-demo-";

/// Where directories of all users are, after `TMPDIR`.
const USUAL: [&str; 2] = ["/tmp", "/var/tmp"];
/// So much must fit into it at least: a file system may have room for a name and none for bytes.
const LEAST: usize = 64 << 10;
/// How often a name is tried that somebody removes at once.
const TRIES: usize = 4;

/// A directory of this process alone; it goes when this does.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    /// The directory that it is in.
    pub(super) base: PathBuf,
    /// Why it is not in a better place.
    pub(super) notes: Vec<String>,
    _held: Option<Held>,
}

impl Scratch {
    /// Makes one. `programs`: the programs in it must be executable.
    ///
    /// # Errors
    /// [`ExecuteError::NoScratch`] with what is wrong with each place.
    pub(super) fn make(prefix: &str, programs: bool) -> Result<Self, ExecuteError> {
        let (path, held, base, notes) = find(prefix, programs)?;
        Ok(Self { path, base, notes, _held: held })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // the standard library's way may panic (listing.rs); nothing is there under a new name
        let _ = listing::remove_tree(&self.path);
    }
}

/// A directory for the demo, which stays; and why it is not in a better place.
///
/// # Errors
/// [`ExecuteError::NoScratch`] with what is wrong with each place.
pub fn demo_directory() -> Result<(PathBuf, Vec<String>), ExecuteError> {
    let (path, _, _, notes) = find(DEMO, true).or_else(|_| find(DEMO, false))?;
    Ok((path, notes))
}

/// A new directory, its hold, where it is, and why not in a better place.
type Found = (PathBuf, Option<Held>, PathBuf, Vec<String>);

fn find(prefix: &str, programs: bool) -> Result<Found, ExecuteError> {
    let mut passed: Vec<PassedOver> = Vec::new();
    for (base, named) in bases() {
        match try_in(prefix, &base, programs) {
            Ok((path, held)) => {
                let used = base.display();
                let notes = passed.iter().map(|p| format!("{p}; {used} is used")).collect();
                return Ok((path, held, base, notes));
            }
            Err((why, full)) => passed.push(PassedOver { base, named, why, full }),
        }
    }
    Err(ExecuteError::NoScratch(passed))
}

/// The places in order, and whether `TMPDIR` named them.
fn bases() -> Vec<(PathBuf, bool)> {
    let named = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let usual = USUAL.iter().map(PathBuf::from).filter(|dir| named.as_ref() != Some(dir));
    let usual: Vec<PathBuf> = usual.collect();
    named
        .into_iter()
        .map(|dir| (dir, true))
        .chain(usual.into_iter().map(|dir| (dir, false)))
        .collect()
}

/// Why a place is of no use, and whether that is lack of room.
type Why = (String, bool);

fn try_in(prefix: &str, base: &Path, programs: bool) -> Result<(PathBuf, Option<Held>), Why> {
    let no = |why: &str| (why.to_owned(), false);
    if !base.is_absolute() {
        return Err(no("it is not absolute"));
    }
    match fs::metadata(base) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(no("it is not a directory")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(no("it does not exist")),
        Err(e) => return Err((e.to_string(), false)),
    }
    if is_shared_memory(base) {
        return Err(no("every container can write below /dev/shm"));
    }
    if programs && forbids_programs(base) {
        return Err(no("it is mounted noexec, so that no program in it can be started"));
    }
    sweep(base);
    for _ in 0..TRIES {
        let path = new_directory(prefix, base).map_err(|e| failed(base, &e))?;
        if let Err(error) = write_test(&path) {
            let _ = listing::remove_tree(&path);
            return Err(failed(base, &error));
        }
        match Held::hold(&path) {
            Ok(Some(held)) => return Ok((path, Some(held))),
            // somebody took it for a dead process' one
            Ok(None) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Ok((path, None)),
        }
    }
    Err(no("what is made there is removed at once"))
}

fn new_directory(prefix: &str, base: &Path) -> io::Result<PathBuf> {
    let process = Process::current().map_or_else(|| "unknown".to_owned(), |p| p.to_string());
    let prefix = if prefix == DEMO { prefix.to_owned() } else { format!("{prefix}{process}-") };
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).permissions(fs::Permissions::from_mode(0o700));
    Ok(builder.tempdir_in(base)?.keep())
}

fn write_test(dir: &Path) -> io::Result<()> {
    let path = dir.join("room");
    let mut file = File::create_new(&path)?;
    file.write_all(&vec![0; LEAST])?;
    drop(file);
    fs::remove_file(path)
}

/// An error in the words of who must mend it.
fn failed(base: &Path, error: &io::Error) -> Why {
    if io_kind(error, Kind::Configuration) != Kind::NoSpace {
        return (error.to_string(), false);
    }
    let no_names =
        rustix::fs::statvfs(base).is_ok_and(|stat| stat.f_files > 0 && stat.f_favail == 0);
    let what = if no_names { "it has no inode left for a new file" } else { "it is full" };
    (format!("{what} ({error})"), true)
}

/// Whether a directory lies in the memory that all containers of this machine share.
pub(super) fn is_shared_memory(dir: &Path) -> bool {
    const SHM: &str = "/dev/shm";
    let Ok(found) = fs::canonicalize(dir) else { return false };
    let device = |path: &str| fs::metadata(path).map(|meta| meta.dev()).ok();
    // mounted elsewhere, it has the same device
    let mounted = device(SHM).filter(|shm| Some(*shm) != device("/dev"));
    let its = fs::metadata(&found).map(|meta| meta.dev()).ok();
    found.starts_with(fs::canonicalize(SHM).unwrap_or_else(|_| SHM.into()))
        || (mounted.is_some() && mounted == its)
}

/// Whether no program in a directory can be started.
pub(super) fn forbids_programs(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Removes what killed workers and probes of this user left in a directory. One whose process lives, or
/// that somebody holds, stays; so does what an older program left, of which nothing is known.
fn sweep(base: &Path) {
    let Some(here) = Process::current() else { return };
    let local = rustix::fs::statfs(base).is_ok_and(|stat| crate::files::is_local(stat.f_type));
    for name in listing::names(base).unwrap_or_default() {
        let process = name.to_str().and_then(process_of);
        let Some(process) = process.filter(|process| *process != here) else { continue };
        // of another kernel's or namespace's process the lock tells, where all processes see it
        if process.is_dead(&here) || (local && !process.is_comparable(&here)) {
            let _ = remove_left(&base.join(&name));
        }
    }
}

/// The process that the name of a directory of ours carries.
fn process_of(name: &str) -> Option<Process> {
    let rest = [JOB, PROBE].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    rest.rsplit_once('-')?.0.parse().ok()
}

/// A name for a runtime's directory in the job's control directory. What dead processes of earlier
/// attempts left there goes.
pub(super) fn in_control(control: &Path, attempt: &str) -> PathBuf {
    const PREFIX: &str = "runtime-";
    let here = Process::current();
    for name in listing::names(control).unwrap_or_default() {
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        let process = rest.and_then(|(_, process)| process.parse::<Process>().ok());
        if process.zip(here.as_ref()).is_some_and(|(it, here)| it.is_dead(here)) {
            let _ = remove_left(&control.join(&name));
        }
    }
    let process = here.map_or_else(|| "unknown".to_owned(), |process| process.to_string());
    control.join(format!("{PREFIX}{attempt}-{process}"))
}

/// Where jobs of this plan share unpacked images on this node, as far as that is known before a scratch
/// is made.
pub(super) fn cache_base(plan: &Plan) -> PathBuf {
    let usable = || bases().into_iter().map(|(base, _)| base).find(|base| base.is_dir());
    plan.node_cache.clone().or_else(usable).unwrap_or_else(|| USUAL[0].into())
}

/// Removes a directory of this user that nobody holds.
pub(super) fn remove_left(dir: &Path) -> io::Result<bool> {
    if fs::symlink_metadata(dir)?.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    let point = dir.join("rootfs");
    if is_mount_point(&point) {
        // squashfuse was killed too, and its mount is dead
        let _ = Command::new("fusermount")
            .args(["-u", "-z", "--"])
            .arg(&point)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    remove_unheld(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(prefix: &str) -> String {
        let here = Process::current().unwrap().to_string();
        let (rest, start) = here.rsplit_once('.').unwrap();
        format!("{prefix}{rest}.{}-aaaaaa", start.parse::<u64>().unwrap() + 1)
    }

    #[test]
    fn what_dead_processes_left_goes_and_the_rest_stays() {
        let base = tempfile::tempdir_in("/tmp").unwrap();
        let at = |name: &str| base.path().join(name);
        let (other_boot, held) = (format!("{JOB}0123.1.2.3-bbbbbb"), dead(PROBE));
        for name in [&dead(JOB), &other_boot, &held, &format!("{JOB}XXXXXX"), &"moorline".into()] {
            fs::create_dir_all(at(name).join("tmp")).unwrap();
        }
        let hold = Held::hold(&at(&held)).unwrap().unwrap();
        let (mine, _lock) = try_in(JOB, base.path(), false).unwrap();
        let (other, _lock) = try_in(JOB, base.path(), true).unwrap();
        assert!(mine.is_dir() && other.is_dir());
        assert!(!at(&dead(JOB)).exists() && !at(&other_boot).exists());
        assert!(
            at(&held).exists() && at("moorline-job-XXXXXX").exists() && at("moorline").exists()
        );
        drop(hold);
        sweep(base.path());
        assert!(!at(&held).exists());
    }

    #[test]
    fn a_runtimes_directory_of_a_dead_attempt_goes() {
        let control = tempfile::tempdir_in("/tmp").unwrap();
        let at = |name: &str| control.path().join(name);
        let dead = dead("runtime-0123-").replace("-aaaaaa", "");
        for name in [dead.as_str(), "runtime-0123", "runtime-0123-0123.1.2.3"] {
            fs::create_dir_all(at(name).join("cache")).unwrap();
        }
        let made = in_control(control.path(), "4567");
        assert!(!at(&dead).exists() && !made.exists());
        assert!(at("runtime-0123").exists() && at("runtime-0123-0123.1.2.3").exists());
        fs::create_dir(&made).unwrap();
        in_control(control.path(), "89ab");
        assert!(made.exists(), "its process lives");
    }

    #[test]
    fn a_place_that_is_of_no_use_is_named() {
        let base = tempfile::tempdir_in("/tmp").unwrap();
        fs::write(base.path().join("file"), "").unwrap();
        for (path, said) in [
            (base.path().join("none"), "does not exist"),
            (base.path().join("file"), "not a directory"),
            ("relative".into(), "not absolute"),
            ("/dev/shm".into(), "/dev/shm"),
            ("/proc".into(), ""),
        ] {
            let (why, full) = try_in(JOB, &path, false).unwrap_err();
            assert!(why.contains(said) && !full, "{why}");
        }
    }

    #[test]
    fn lack_of_room_is_told_from_other_trouble() {
        let failed = |errno| failed(Path::new("/"), &io::Error::from_raw_os_error(errno));
        assert!(failed(28).1 && failed(122).1);
        assert!(!failed(13).1 && !failed(30).1);
    }
}
