//! What no container may see, and every way to it.
//!
//! Moorline's own directories (jobs, ledger, store, configuration and credentials, the node's cache)
//! are the evidence's ground: a job that reads another job's nonce can write its receipt. A path is
//! only one way to a directory. Other ways are found in three steps, each for what the one before
//! cannot see:
//!
//! ```text
//! mount table     the same device, and a root above or below it          /home and /users, bind mounts
//! device, inode   a bound directory is the same as one above it          what the table does not tell
//! marker          a file in it is found below a bound path (marker.rs)   overlay, second NFS mount, sshfs
//! ```
//!
//! What the first two find is covered by an empty directory; what the third finds refuses the job. A
//! directory that is not there yet is made first: otherwise the job would see it when somebody makes
//! it. A mount of a hidden directory, or of something in it, is refused; only `work` directories of
//! jobs may be mounted by name, and the job's own one stays where it is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ExecuteError;
use super::asker::{Answer, Asker, Identity, Question};
use super::marker::{Marker, Search, Wanted, tails};
use crate::mountinfo::{MountInfo, Table};
use crate::runtime::Bind;
use crate::worker::TASKS;

/// A directory that is covered in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hidden {
    /// Where.
    pub(super) target: OsString,
    /// What must be there.
    pub(super) identity: Identity,
    /// What stays in it.
    pub(super) keep: Option<Keep>,
}

/// The job's own working directory in a directory that is covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keep {
    /// Its path on this machine.
    pub(super) source: OsString,
    /// Its path from the covered directory on.
    pub(super) below: OsString,
}

/// What is to be hidden for one job.
pub(super) struct Secrets<'a> {
    /// The directories.
    pub(super) places: Vec<PathBuf>,
    /// The one that holds the jobs, if it is known.
    pub(super) jobs: Option<PathBuf>,
    /// The job's working directory.
    pub(super) work: &'a Path,
}

/// The directory that holds the jobs, from the control directory of one, `JOBS/ID/control`.
pub(super) fn jobs_of(control: &Path) -> Option<PathBuf> {
    let own = control.file_name().is_some_and(|name| name == "control");
    control.ancestors().nth(2).filter(|_| own).map(Path::to_owned)
}

/// A hidden directory, and where it is.
struct Kept {
    path: PathBuf,
    identity: Identity,
    /// It and the directories above it.
    line: Vec<(PathBuf, Identity)>,
    /// Its path on its file system, and the mount through which it was found.
    location: PathBuf,
    mount: MountInfo,
    /// Paths that lead to it by the mount table.
    ways: Vec<PathBuf>,
    /// Mounts of something inside it: its path from the directory on, and the mount.
    parts: Vec<(PathBuf, MountInfo)>,
    holds_jobs: bool,
}

/// The directories of the container that must be covered; the binds' targets hold no links any more.
///
/// # Errors
/// When a bind would show what is hidden in a way that cannot be covered.
pub(super) fn cover(secrets: &Secrets<'_>, binds: &[Bind]) -> Result<Vec<Hidden>, ExecuteError> {
    let table = Table::own().map_err(ExecuteError::io("reading the mount table"))?;
    let mut asker = Asker::new();
    let mut places: Vec<Kept> = Vec::new();
    for path in &secrets.places {
        if let Some(mut place) = find(path, &table, binds, &mut asker)?
            && places.iter().all(|p| p.path != place.path)
        {
            let jobs = secrets.jobs.as_ref().and_then(|jobs| fs::canonicalize(jobs).ok());
            place.holds_jobs = jobs.is_some_and(|jobs| jobs == place.path);
            places.push(place);
        }
    }
    let mut hidden = Vec::new();
    for place in &places {
        for (at, bind) in binds.iter().enumerate() {
            // the later of two with one target wins
            if binds[at + 1..].iter().all(|b| Path::new(&b.target) != Path::new(&bind.target)) {
                hidden.extend(through(bind, place, secrets.work, &mut asker)?);
            }
        }
    }
    hidden.retain(|h: &Hidden| is_shown(h, binds));
    hidden.sort_by(|a, b| Path::new(&a.target).cmp(Path::new(&b.target)));
    let mut outermost: Vec<Hidden> = Vec::new();
    for one in hidden {
        if !outermost.iter().any(|o| Path::new(&one.target).starts_with(&o.target)) {
            outermost.push(one);
        }
    }
    look_elsewhere(&places, binds, &table, &mut asker)?;
    Ok(outermost)
}

/// Whether a target still shows what its bind brings: no other bind lies over it.
fn is_shown(hidden: &Hidden, binds: &[Bind]) -> bool {
    let target = Path::new(&hidden.target);
    // the deepest bind at or above the target is the one that is seen there
    binds
        .iter()
        .filter(|b| target.starts_with(&b.target))
        .max_by_key(|b| Path::new(&b.target).components().count())
        .is_some_and(|b| {
            let rest = target.strip_prefix(&b.target).unwrap_or(target);
            fs::symlink_metadata(b.source.join(rest))
                .is_ok_and(|m| Identity::of(&m) == hidden.identity)
        })
}

/// Looks where a directory is; one that is not there is made when a bind would show it.
fn find(
    path: &Path,
    table: &Table,
    binds: &[Bind],
    asker: &mut Asker,
) -> Result<Option<Kept>, ExecuteError> {
    let found = match asker.ask_patiently(&Question::Find(path.into())) {
        Answer::Found { path, directory: true, identity } => Some((PathBuf::from(path), identity)),
        Answer::Silent if binds.iter().any(|b| path.starts_with(&b.source)) => {
            return Err(ExecuteError::NotStarted(format!(
                "{} must be hidden from the job, and its file system does not answer",
                path.display()
            )));
        }
        // a file is no place of ours
        Answer::Found { .. } | Answer::Silent => return Ok(None),
        _ => make(path, table, binds, asker)?,
    };
    let Some((path, identity)) = found else { return Ok(None) };
    let Some((location, mount)) = locate(&path, table, asker) else { return Ok(None) };
    let (mut ways, mut parts) = (vec![path.clone()], Vec::new());
    for (way, entry) in elsewhere(table, &mount, &location) {
        match way {
            Way::Whole(path) => ways.push(path),
            Way::Part(rest) => parts.push((rest, entry.clone())),
        }
    }
    ways.sort();
    ways.dedup();
    let line = line(&path);
    Ok(Some(Kept { path, identity, line, location, mount, ways, parts, holds_jobs: false }))
}

/// Where a path is on its file system, and on which mount.
fn locate(path: &Path, table: &Table, asker: &mut Asker) -> Option<(PathBuf, MountInfo)> {
    let Answer::Mount(id) = asker.ask(&Question::Mount(path.into())) else { return None };
    let mount = table.by_id(id)?.clone();
    let rest = path.strip_prefix(&mount.point).ok()?;
    Some((mount.root.join(rest), mount))
}

/// A path and every directory above it, with what they are. The path was just resolved.
fn line(path: &Path) -> Vec<(PathBuf, Identity)> {
    path.ancestors()
        .filter_map(|p| Some((p.to_owned(), Identity::of(&fs::symlink_metadata(p).ok()?))))
        .collect()
}

/// How another mount shows a directory.
enum Way {
    /// All of it, at this path.
    Whole(PathBuf),
    /// Something in it: its path from the directory on.
    Part(PathBuf),
}

/// The mounts of the same file system that show a location.
fn elsewhere<'a>(
    table: &'a Table,
    mount: &'a MountInfo,
    location: &'a Path,
) -> impl Iterator<Item = (Way, &'a MountInfo)> {
    table.iter().filter(|e| e.device == mount.device).filter_map(move |e| {
        if let Ok(rest) = location.strip_prefix(&e.root) {
            Some((Way::Whole(joined(&e.point, rest)), e))
        } else {
            let rest = e.root.strip_prefix(location).ok()?;
            Some((Way::Part(rest.to_owned()), e))
        }
    })
}

/// `join` without the slash that it adds for an empty path.
fn joined(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }
}

/// Makes a directory that is missing, if a bind would show it once it is there.
fn make(
    path: &Path,
    table: &Table,
    binds: &[Bind],
    asker: &mut Asker,
) -> Result<Option<(PathBuf, Identity)>, ExecuteError> {
    let above = path.ancestors().skip(1).find_map(|above| {
        let Answer::Found { path: found, directory: true, .. } =
            asker.ask(&Question::Find(above.into()))
        else {
            return None;
        };
        Some((PathBuf::from(found), path.strip_prefix(above).ok()?))
    });
    let Some((above, rest)) = above else { return Ok(None) };
    let Some((location, mount)) = locate(&above, table, asker) else { return Ok(None) };
    let seen = elsewhere(table, &mount, &location).any(|(way, _)| match way {
        Way::Whole(way) => binds.iter().any(|b| way.join(rest).starts_with(&b.source)),
        Way::Part(_) => false,
    });
    if !seen {
        return Ok(None);
    }
    let path = above.join(rest);
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(&path) {
        Ok(()) => {}
        // who cannot make it here cannot in the container either
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            return Ok(None);
        }
        Err(source) => {
            return Err(ExecuteError::Io {
                what: format!("making {}, which is hidden", path.display()),
                source,
            });
        }
    }
    let m = fs::metadata(&path).map_err(ExecuteError::io(path.display().to_string()))?;
    Ok(Some((path, Identity::of(&m))))
}

/// Where one bind shows one place.
fn through(
    bind: &Bind,
    place: &Kept,
    work: &Path,
    asker: &mut Asker,
) -> Result<Vec<Hidden>, ExecuteError> {
    let mut hidden = Vec::new();
    let source = &bind.source;
    let mut same = |path: &Path| match asker.ask(&Question::Look(path.into())) {
        Answer::Found { identity, .. } => Some(identity),
        _ => None,
    };
    let keep = || {
        let below = work.strip_prefix(&place.path).ok().filter(|_| place.holds_jobs)?;
        Some(Keep { source: work.into(), below: below.into() })
    };
    let at = |rest: &Path| OsString::from(joined(Path::new(&bind.target), rest));
    for way in &place.ways {
        if let Ok(rest) = source.strip_prefix(way) {
            if same(way) == Some(place.identity) && !place.may_be_mounted(rest) {
                return Err(refused(bind, place));
            }
        } else if let Ok(rest) = way.strip_prefix(source)
            && same(way) == Some(place.identity)
        {
            hidden.push(Hidden { target: at(rest), identity: place.identity, keep: keep() });
        }
    }
    for (inner, mount) in &place.parts {
        if let Ok(rest) = source.strip_prefix(&mount.point) {
            if !place.may_be_mounted(&joined(inner, rest)) {
                return Err(refused(bind, place));
            }
        } else if let Ok(rest) = mount.point.strip_prefix(source)
            && !place.may_be_mounted(inner)
            && let Some(identity) = same(&mount.point)
        {
            hidden.push(Hidden { target: at(rest), identity, keep: None });
        }
    }
    // what no table shows: a directory above, or below, is the very same
    let lines = line(source);
    let Some((_, found)) = lines.first() else { return Ok(hidden) };
    for (above, _) in place.line.iter().skip(1).filter(|(path, one)| one == found && path != source)
    {
        let rest = place.path.strip_prefix(above).unwrap_or(&place.path);
        hidden.push(Hidden { target: at(rest), identity: place.identity, keep: keep() });
    }
    for (above, _) in lines.iter().filter(|(_, one)| *one == place.identity) {
        if !place.may_be_mounted(source.strip_prefix(above).unwrap_or(source)) {
            return Err(refused(bind, place));
        }
    }
    Ok(hidden)
}

impl Kept {
    /// Whether a path in it may be mounted by name: the `work` directory of a job, and what is in it.
    fn may_be_mounted(&self, inner: &Path) -> bool {
        let names: Vec<&OsStr> = inner.iter().collect();
        let is_work = match names.as_slice() {
            [_, tasks, task, work, ..] if *tasks == TASKS => {
                *work == "work"
                    && !task.is_empty()
                    && task.as_bytes().iter().all(u8::is_ascii_digit)
            }
            [_, work, ..] => *work == "work",
            _ => false,
        };
        self.holds_jobs && is_work
    }
}

fn refused(bind: &Bind, place: &Kept) -> ExecuteError {
    ExecuteError::NotStarted(format!(
        "the mount {}:{} would show {}, which belongs to moorline",
        bind.source.display(),
        Path::new(&bind.target).display(),
        place.path.display()
    ))
}

/// File systems of the kernel's own, in which no file of anybody's lies.
const NO_FILES: [&str; 17] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "devtmpfs",
    "securityfs",
    "debugfs",
    "tracefs",
    "bpf",
    "configfs",
    "pstore",
    "efivarfs",
    "mqueue",
    "hugetlbfs",
    "autofs",
    "nsfs",
];

/// File systems that show what is on their own device and nothing else.
const ONE_DEVICE: [&str; 11] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "tmpfs", "ramfs", "squashfs", "iso9660",
];

/// Whether one file system could show what lies on another, so that no table tells.
fn could_show(shown: &MountInfo, hidden: &MountInfo) -> bool {
    let own = |e: &MountInfo| ONE_DEVICE.contains(&e.kind.as_str());
    shown.device != hidden.device
        && !NO_FILES.contains(&shown.kind.as_str())
        && !(own(shown) && own(hidden))
}

/// Refuses the job when a marker in a hidden directory is seen below a bound path.
fn look_elsewhere(
    places: &[Kept],
    binds: &[Bind],
    table: &Table,
    asker: &mut Asker,
) -> Result<(), ExecuteError> {
    let mut roots: Vec<(PathBuf, &MountInfo, &Bind)> = Vec::new();
    for bind in binds.iter().filter(|b| b.directory) {
        let mount = match asker.ask(&Question::Mount(bind.source.clone().into())) {
            Answer::Mount(id) => table.by_id(id),
            _ => None,
        };
        roots.extend(mount.map(|entry| (bind.source.clone(), entry, bind)));
        roots.extend(table.below(&bind.source).map(|entry| (entry.point.clone(), entry, bind)));
    }
    roots.retain(|(_, entry, _)| places.iter().any(|p| could_show(entry, &p.mount)));
    if roots.is_empty() {
        return Ok(());
    }
    // one that cannot be written to is not written to by a job either
    let marked: Vec<(&Kept, Marker)> =
        places.iter().filter_map(|p| Some((p, Marker::put(&p.path).ok()?))).collect();
    for (place, entry, bind) in roots {
        let (known, wanted): (Vec<&Kept>, Vec<Wanted>) = marked
            .iter()
            .filter(|(p, _)| could_show(entry, &p.mount))
            .map(|(p, marker)| (*p, p.wanted(marker)))
            .unzip();
        let skip = table.below(&place).map(|e| e.point.clone().into()).collect();
        let search = Search { place: place.into(), skip, wanted };
        if let Answer::Hit { marker, path } = asker.ask(&Question::Search(search)) {
            let hidden = known.get(marker).map_or(Path::new(""), |p| &p.path);
            return Err(ExecuteError::NotStarted(format!(
                "the mount {}:{} would show {}, which belongs to moorline, once more at {}; mount a \
                 directory that does not hold it",
                bind.source.display(),
                Path::new(&bind.target).display(),
                hidden.display(),
                Path::new(&path).display()
            )));
        }
    }
    Ok(())
}

impl Kept {
    fn wanted(&self, marker: &Marker) -> Wanted {
        let mut ends = tails(&self.path);
        ends.extend(tails(&self.location));
        // the server's own name for it: `SERVER:/EXPORT` and the path below
        let source = self.mount.source.as_bytes();
        if let Some(colon) = source.iter().position(|b| *b == b':') {
            let export = PathBuf::from(std::ffi::OsStr::from_bytes(&source[colon + 1..]));
            ends.extend(tails(
                &export.join(self.location.strip_prefix("/").unwrap_or(&self.location)),
            ));
        }
        ends.sort();
        ends.dedup();
        let known = self.ways.iter().map(|way| way.clone().into()).collect();
        Wanted { marker: marker.name.clone(), tails: ends, known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              2 1 0:9 /vol/home /home rw - nfs4 server:/export rw\n\
              3 1 0:9 /vol/home /users rw - nfs4 server:/export rw\n\
              4 1 0:9 /vol /all rw - nfs4 server:/export rw\n\
              5 1 0:9 /vol/home/me/jobs/1/work /w rw - nfs4 server:/export rw\n\
              6 1 0:9 /vol/home/me/jobs2 /j2 rw - nfs4 server:/export rw\n\
              7 1 0:10 /vol/home /other rw - nfs4 server:/export rw\n\
              8 1 8:2 / /scratch rw - xfs /dev/sdb rw\n\
              9 1 0:11 / /merged rw - overlay overlay rw,lowerdir=/home\n\
              10 1 0:12 / /sys rw - sysfs sysfs rw\n",
        )
    }

    #[test]
    fn other_ways_are_mounts_of_the_same_device_above_or_below() {
        let table = table();
        let mount = table.by_id(2).unwrap();
        let location = Path::new("/vol/home/me/jobs");
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        for (way, entry) in elsewhere(&table, mount, location) {
            match way {
                Way::Whole(path) => whole.push(path),
                Way::Part(inner) => parts.push((inner, entry.id)),
            }
        }
        let expected = ["/home/me/jobs", "/users/me/jobs", "/all/home/me/jobs"].map(PathBuf::from);
        assert_eq!(whole, expected);
        assert_eq!(parts, [(PathBuf::from("1/work"), 5)], "jobs2 is another directory");
    }

    #[test]
    fn markers_are_for_what_no_table_tells() {
        let table = table();
        let entry = |id| table.by_id(id).unwrap();
        assert!(could_show(entry(7), entry(2)), "a second mount of the same server");
        assert!(could_show(entry(9), entry(1)) && could_show(entry(1), entry(2)));
        assert!(!could_show(entry(3), entry(2)), "the same device: the table tells");
        assert!(!could_show(entry(8), entry(1)), "two disks");
        assert!(!could_show(entry(10), entry(2)), "the kernel's own");
    }

    #[test]
    fn the_work_of_jobs_may_be_mounted_by_name() {
        let place = |holds_jobs| Kept {
            path: "/jobs".into(),
            identity: Identity { device: 1, inode: 2 },
            line: vec![],
            location: "/jobs".into(),
            mount: table().by_id(1).unwrap().clone(),
            ways: vec![],
            parts: vec![],
            holds_jobs,
        };
        let jobs = place(true);
        for good in
            ["01abc/work", "01abc/work/deep", "01abc/tasks/7/work", "01abc/tasks/7/work/deep"]
        {
            assert!(jobs.may_be_mounted(Path::new(good)), "{good}");
            assert!(!place(false).may_be_mounted(Path::new(good)));
        }
        for bad in [
            "",
            "01abc",
            "01abc/control",
            "work",
            "01abc/workshop",
            "bin/x",
            "01abc/tasks",
            "01abc/tasks/7",
            "01abc/tasks/7/control/work",
            "01abc/tasks/x/work",
            "01abc/tasks/work",
        ] {
            assert!(!jobs.may_be_mounted(Path::new(bad)), "{bad}");
        }
        assert_eq!(jobs_of(Path::new("/j/01/control")), Some("/j".into()));
        assert_eq!(jobs_of(Path::new("/j/01/other")), None);
    }
}
