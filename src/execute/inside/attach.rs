//! Mounts by handle: no path is looked up between choosing a place and mounting there.
//!
//! ```text
//! Linux 5.12 and later                          before (4.18 and later), or where a filter refuses it
//! --------------------                          ------------------------
//! source, target: opened without links          the same
//! open_tree: a detached copy of the tree        mount through /proc/self/fd/SOURCE, /proc/self/fd/TARGET
//! mount_setattr: flags on all of it, also on    the target is opened again: its mount must be new and lie
//!   what is covered or cannot be reached          on the one that was opened before
//! move_mount to the target's handle             each mount of the tree is opened, compared by its id and
//!                                                 remounted through /proc/self/fd/N, by a process that may
//!                                                 hang instead of this one
//! ```
//!
//! A bind takes no flags, so nosuid, nodev and read-only are set on the mounts that it brings; flags
//! that the machine has set stay.

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use moorline_mount_attr::{Limits, Reach, restrict};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};

use crate::execute::asker::{Answer, Asker, Question};
use crate::execute::failed::{Failed, at};
use crate::files::handles::{self, Refused, as_path, mount_id};
use crate::mountinfo::{MountInfo, Table};
use crate::runtime::builtin::OUTSIDE;

/// This process in the machine's `/proc`, as it is seen then.
const PROC: &str = "/.moorline-outside/proc/self";

/// What is bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bind {
    /// With everything that is mounted below it.
    pub(super) recursive: bool,
    pub(super) read_only: bool,
    /// Devices on it can be opened.
    pub(super) devices: bool,
}

impl Bind {
    fn limits(self) -> Limits {
        Limits { read_only: self.read_only, devices: self.devices }
    }
}

/// Makes mounts in the container's new root.
pub(super) struct Bench {
    root: OwnedFd,
    outside: OwnedFd,
    /// For kernels without `mount_setattr`.
    older: Option<Asker>,
    /// Mounts that are known to be out of reach, by their place in the container.
    passed_over: Vec<OsString>,
}

/// A place to mount at.
struct Target {
    directory: OwnedFd,
    name: OsString,
    handle: OwnedFd,
}

/// Whether this kernel sets flags on a whole tree by handle; `root` is the root of a mount of ours.
/// Otherwise the process that sets them one by one is started: after the change of root this
/// program's libraries are out of sight.
pub(super) fn older(root: &Path) -> Result<Option<Asker>, Failed> {
    let tried =
        rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok().and_then(
            |root| copy(root.as_fd(), Bind { recursive: true, read_only: true, devices: false }),
        );
    if tried.is_some() {
        return Ok(None);
    }
    Asker::before_pivot(Path::new(PROC)).map(Some).map_err(at("starting a process for mounts"))
}

/// A detached copy of a tree with its flags set; `None` where the kernel does not do that.
fn copy(source: BorrowedFd<'_>, bind: Bind) -> Option<OwnedFd> {
    let (reach, recursive) = if bind.recursive {
        (Reach::All, OpenTreeFlags::AT_RECURSIVE)
    } else {
        (Reach::One, OpenTreeFlags::empty())
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(source, "", flags | recursive).ok()?;
    restrict(tree.as_fd(), bind.limits(), reach).ok()?;
    Some(tree)
}

impl Bench {
    /// After the change of root.
    pub(super) fn new(older: Option<Asker>, passed_over: &[OsString]) -> Result<Self, Failed> {
        let open = |path: &str| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty()).map_err(at(format!("opening {path}")))
        };
        let (root, outside) = (open("/")?, open(OUTSIDE)?);
        Ok(Self { root, outside, older, passed_over: passed_over.to_vec() })
    }

    /// A place in the container; links are refused by name.
    fn target(&self, say: &str, target: &Path) -> Result<Target, Failed> {
        let (Some(above), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Failed(format!("{say}: it is not a path of a mount")));
        };
        let found = handles::open(self.root.as_fd(), above).and_then(|directory| {
            let handle = handles::open(self.root.as_fd(), target)?;
            Ok(Target { directory, name: name.to_owned(), handle })
        });
        found.map_err(|refused| {
            Failed(match refused {
                Refused::Link(_) => format!("{say}: {refused}; remove it, or mount elsewhere"),
                _ if refused.is_out_of_reach() => format!(
                    "{say}: there is no such path, and nothing can be made there; mount its parent \
                     elsewhere ({refused})"
                ),
                _ => format!("{say}: {refused}"),
            })
        })
    }

    /// A handle of a path of the machine.
    pub(super) fn source(&self, path: &Path) -> Result<OwnedFd, Refused> {
        handles::open(self.outside.as_fd(), path)
    }

    /// What is at a path of the container.
    pub(super) fn look(&self, path: &Path) -> Result<OwnedFd, Refused> {
        handles::open(self.root.as_fd(), path)
    }

    /// Binds something of the machine; `say` names the step.
    pub(super) fn bind(
        &mut self,
        say: &str,
        source: &Path,
        target: &Path,
        bind: Bind,
    ) -> Result<(), Failed> {
        // links were resolved when the machine was looked at: one that is there now was put there since
        let from = self.source(source).map_err(|e| Failed(format!("{say}: {e}")))?;
        let to = self.target(say, target)?;
        if self.older.is_none()
            && let Some(tree) = copy(from.as_fd(), bind)
        {
            let flags =
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            return rustix::mount::move_mount(&tree, "", &to.handle, "", flags).map_err(at(say));
        }
        let under = mount_id(Path::new(PROC), to.handle.as_fd()).map_err(at(say))?;
        let before = table(say)?;
        let (from, onto) = (path(from.as_fd()), path(to.handle.as_fd()));
        if bind.recursive {
            rustix::mount::mount_bind_recursive(from, onto).map_err(at(say))?;
        } else {
            rustix::mount::mount_bind(from, onto).map_err(at(say))?;
        }
        let made = again(say, &to, under, &before)?;
        let after = table(say)?;
        self.restrict_one_by_one(say, made, &after, bind.limits())
    }

    /// Mounts a new file system.
    pub(super) fn fresh(
        &self,
        say: &str,
        target: &Path,
        kind: &str,
        flags: MountFlags,
        options: Option<&CStr>,
    ) -> Result<(), Failed> {
        let to = self.target(say, target)?;
        let source = if kind == "tmpfs" { "moorline" } else { kind };
        rustix::mount::mount(source, path(to.handle.as_fd()), kind, flags, options).map_err(at(say))
    }

    /// Sets the flags of a mount of ours again, by handle.
    pub(super) fn remount(
        &self,
        say: &str,
        target: &Path,
        flags: MountFlags,
    ) -> Result<(), Failed> {
        let to = self.look(target).map_err(|e| Failed(format!("{say}: {e}")))?;
        rustix::mount::mount_remount(path(to.as_fd()), MountFlags::BIND | flags, "")
            .map_err(at(say))
    }

    /// The older way to set flags: on the mount `made` and on each below it.
    fn restrict_one_by_one(
        &mut self,
        say: &str,
        made: u32,
        table: &Table,
        limits: Limits,
    ) -> Result<(), Failed> {
        if self.older.is_none() {
            // `mount_setattr` works here and refused this tree: no other way will do better
            return Err(Failed(format!("{say}: the mounts below it cannot be restricted")));
        }
        let mut tree = vec![made];
        for entry in table.iter() {
            if entry.id != made && !tree.contains(&entry.parent) {
                continue;
            }
            if entry.id != made {
                tree.push(entry.id);
            }
            let Some(flags) = missing_flags(entry, limits) else { continue };
            self.set(entry, flags, table).map_err(|why| {
                Failed(format!("{say}: restricting {}: {why}", entry.point.display()))
            })?;
        }
        Ok(())
    }

    fn set(&mut self, entry: &MountInfo, flags: MountFlags, table: &Table) -> Result<(), String> {
        let path = entry.point.clone().into_os_string();
        let question = Question::Restrict { path, mount: entry.id, flags: flags.bits() };
        let answer = self.older.as_mut().map_or(Answer::Silent, |older| older.ask(&question));
        let known = self.passed_over.iter().any(|p| p == entry.point.as_os_str())
            || table.is_covered(entry);
        match answer {
            Answer::Done => Ok(()),
            // nobody gets there: not this process, and not the program
            Answer::No { .. } | Answer::Silent if known => Ok(()),
            Answer::No { why, .. } => Err(why),
            _ => Err("its file system did not answer".to_owned()),
        }
    }
}

/// The path by which the calls that take no handle get at one.
fn path(handle: BorrowedFd<'_>) -> PathBuf {
    as_path(Path::new(PROC), handle)
}

fn table(say: &str) -> Result<Table, Failed> {
    Table::read(&Path::new(PROC).join("mountinfo"))
        .map_err(at(format!("{say}: reading the mount table")))
}

/// The id of the mount that was just made at `to`, on the mount `under`. Somebody who may write there
/// can have exchanged the directory since.
fn again(say: &str, to: &Target, under: u32, before: &Table) -> Result<u32, Failed> {
    let exchanged = || Failed(format!("{say}: the place was exchanged while it was mounted"));
    let handle =
        handles::open(to.directory.as_fd(), Path::new(&to.name)).map_err(|_| exchanged())?;
    let id = mount_id(Path::new(PROC), handle.as_fd()).map_err(at(say))?;
    let after = table(say)?;
    let new = before.by_id(id).is_none() && after.by_id(id).is_some_and(|e| e.parent == under);
    if new { Ok(id) } else { Err(exchanged()) }
}

/// The flags to set on a mount, with those that it has; `None` when it needs none.
fn missing_flags(entry: &MountInfo, limits: Limits) -> Option<MountFlags> {
    let Limits { read_only, devices } = limits;
    let nodev = entry.has("nodev") || devices;
    if entry.has("nosuid") && nodev && (entry.has("ro") || !read_only) {
        return None;
    }
    let mut flags = MountFlags::BIND | MountFlags::NOSUID;
    if !devices {
        flags |= MountFlags::NODEV;
    }
    for (name, flag) in [
        ("nodev", MountFlags::NODEV),
        ("ro", MountFlags::RDONLY),
        ("noexec", MountFlags::NOEXEC),
        ("noatime", MountFlags::NOATIME),
        ("nodiratime", MountFlags::NODIRATIME),
        ("relatime", MountFlags::RELATIME),
        ("nosymfollow", MountFlags::NOSYMFOLLOW),
    ] {
        if entry.has(name) {
            flags |= flag;
        }
    }
    Some(if read_only { flags | MountFlags::RDONLY } else { flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_there_stay() {
        let line = |options: &str| format!("2 1 0:5 / /a {options} - tmpfs x rw\n");
        let flags = |options: &str, read_only| {
            let limits = Limits { read_only, devices: false };
            missing_flags(Table::parse(line(options).as_bytes()).by_id(2).unwrap(), limits)
        };
        let base = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
        assert_eq!(flags("rw,nosuid,nodev,relatime", false), None);
        assert_eq!(flags("ro,nosuid,nodev", true), None);
        assert_eq!(
            flags("rw,nosuid,nodev,noexec,relatime", true),
            Some(base | MountFlags::NOEXEC | MountFlags::RELATIME | MountFlags::RDONLY)
        );
        let devices = |options: &str| {
            let limits = Limits { read_only: false, devices: true };
            missing_flags(Table::parse(line(options).as_bytes()).by_id(2).unwrap(), limits)
        };
        assert_eq!(devices("rw,nosuid"), None);
        assert_eq!(devices("rw"), Some(MountFlags::BIND | MountFlags::NOSUID));
        assert_eq!(devices("rw,nodev"), Some(base));
        assert_eq!(
            flags("ro,noatime", false),
            Some(base | MountFlags::NOATIME | MountFlags::RDONLY)
        );
    }
}
