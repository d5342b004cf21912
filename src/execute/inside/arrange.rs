//! Puts the container's root together: carries out the steps of a layout in a mount namespace of
//! its own, and takes the machine's root out of sight.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::{Inside, make, unshare};
use crate::execute::mountinfo;
use crate::execute::session::{Failed, at};
use crate::job::Access;
use crate::runtime::builtin::{OUTSIDE, Step, What};

/// A mount namespace of this thread's own that hears of the machine's mounts and tells it of none.
pub(in crate::execute) fn own_mounts() -> Result<(), Errno> {
    unshare(UnshareFlags::NEWNS)?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)
}

pub(super) fn arrange(inside: &Inside) -> Result<(), Failed> {
    let tmpfs = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("moorline", &inside.root, "tmpfs", tmpfs, c"mode=0755,size=16m")
        .map_err(at("mounting the container's root"))?;
    let outside = inside.root.join(OUTSIDE.trim_start_matches('/'));
    fs::create_dir(&outside).map_err(at("making a directory in the container's root"))?;
    rustix::process::pivot_root(&inside.root, &outside).map_err(at("pivot_root"))?;
    std::env::set_current_dir("/").map_err(at("entering the container's root"))?;
    for step in &inside.steps {
        carry_out(step, inside)?;
    }
    restrict(&inside.steps)?;
    rustix::mount::unmount(OUTSIDE, UnmountFlags::DETACH)
        .map_err(at("detaching the machine's root"))?;
    fs::remove_dir(OUTSIDE).map_err(at("removing a mount point"))?;
    let fixed = MountFlags::BIND | MountFlags::RDONLY | tmpfs;
    rustix::mount::mount_remount("/", fixed, "").map_err(at("making the root read-only"))
}

/// A path of the machine as it is seen while the root is put together.
fn outside(path: &Path) -> PathBuf {
    Path::new(OUTSIDE).join(path.strip_prefix("/").unwrap_or(path))
}

fn carry_out(step: &Step, inside: &Inside) -> Result<(), Failed> {
    match step {
        Step::Directory { target } => {
            make::directory(target).map_err(at(format!("making {}", target.display())))
        }
        Step::File { target } => {
            make::file(target).map_err(at(format!("making {}", target.display())))
        }
        Step::Link { target, to } => {
            make::link(target, to).map_err(at(format!("linking {}", target.display())))
        }
        Step::Image { source, target } => rustix::mount::mount_bind(outside(source), target)
            .map_err(at(format!("binding the image's {}", target.display()))),
        Step::Mount { target, what } => mount(target, what, inside),
    }
}

fn mount(target: &Path, what: &What, inside: &Inside) -> Result<(), Failed> {
    let say = format!("mounting at {}", target.display());
    if fs::symlink_metadata(target).is_err() {
        return Err(Failed(format!(
            "{say}: there is no such path, and nothing can be made there; mount its parent elsewhere"
        )));
    }
    let harmless = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match what {
        What::Bind { source, .. } => {
            rustix::mount::mount_bind_recursive(outside(source), target).map_err(at(say))
        }
        What::Hidden => {
            let flags = harmless | MountFlags::RDONLY;
            rustix::mount::mount("moorline", target, "tmpfs", flags, c"mode=0555,size=4k")
                .map_err(at(say))
        }
        What::Proc => {
            // refused where a part of the machine's own /proc is hidden, as in other containers
            if rustix::mount::mount("proc", target, "proc", harmless, None).is_err() {
                rustix::mount::mount_bind_recursive(outside(Path::new("/proc")), target)
                    .map_err(at(say))?;
            }
            if inside.uid == 0 { protect_proc(target) } else { Ok(()) }
        }
        What::Dev { own_shm } => devices(target, *own_shm, inside),
    }
}

/// Root of the machine may write there, by uid alone.
fn protect_proc(proc: &Path) -> Result<(), Failed> {
    for name in ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi"] {
        let path = proc.join(name);
        if fs::symlink_metadata(&path).is_err() {
            continue;
        }
        let say = format!("protecting {}", path.display());
        rustix::mount::mount_bind(&path, &path).map_err(at(say.clone()))?;
        let flags = MountFlags::BIND
            | MountFlags::RDONLY
            | MountFlags::NOSUID
            | MountFlags::NODEV
            | MountFlags::NOEXEC;
        rustix::mount::mount_remount(&path, flags, "").map_err(at(say))?;
    }
    Ok(())
}

fn devices(dev: &Path, own_shm: bool, inside: &Inside) -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("moorline", dev, "tmpfs", flags, c"mode=0755,size=1m")
        .map_err(at(format!("mounting {}", dev.display())))?;
    // /dev/tty means a process's own terminal: where it has none, nothing is there to be opened.
    // /dev/console is how tools find the name of one that /dev/pts does not list
    let own = inside.terminal.as_ref().map(|terminal| {
        [("tty", outside(Path::new("/dev/tty"))), ("console", outside(terminal.path()))]
    });
    let common = ["null", "zero", "full", "random", "urandom"];
    let common = common.map(|name| (name, outside(Path::new("/dev")).join(name)));
    for (name, from) in common.into_iter().chain(own.into_iter().flatten()) {
        let to = dev.join(name);
        if fs::symlink_metadata(&from).is_err() {
            continue;
        }
        File::create_new(&to).map_err(at(format!("making {}", to.display())))?;
        rustix::mount::mount_bind(&from, &to).map_err(at(format!("binding {}", to.display())))?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(to, dev.join(name)).map_err(at("making /dev"))?;
    }
    for name in ["shm", "pts"] {
        fs::create_dir(dev.join(name)).map_err(at("making /dev"))?;
    }
    // ranks of one node share memory through it
    let shm = outside(Path::new("/dev/shm"));
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    if own_shm {
        rustix::mount::mount("moorline", dev.join("shm"), "tmpfs", flags, c"mode=1777")
            .map_err(at("mounting /dev/shm"))?;
    } else if shm.is_dir() {
        rustix::mount::mount_bind(&shm, dev.join("shm")).map_err(at("binding /dev/shm"))?;
        rustix::mount::mount_remount(dev.join("shm"), MountFlags::BIND | flags, "")
            .map_err(at("binding /dev/shm"))?;
    }
    // terminals of the container's own; only interactive programs miss them
    let pts = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=620";
    let _ = rustix::mount::mount("devpts", dev.join("pts"), "devpts", pts, options);
    Ok(())
}

/// Adds nosuid and nodev, and ro where it was asked for, to every mount that came in with a bind. A
/// bind ignores such flags, so each is set again; flags that the machine has set stay.
fn restrict(steps: &[Step]) -> Result<(), Failed> {
    let table = fs::read(outside(Path::new("/proc/self/mountinfo")))
        .map_err(at("reading the mount table"))?;
    for entry in mountinfo::parse(&table) {
        let Some(read_only) = owner(steps, &entry.point) else { continue };
        let has = |name: &str| entry.options.iter().any(|o| o == name);
        if has("nosuid") && has("nodev") && (has("ro") || !read_only) {
            continue;
        }
        let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
        for (name, flag) in [
            ("ro", MountFlags::RDONLY),
            ("noexec", MountFlags::NOEXEC),
            ("noatime", MountFlags::NOATIME),
            ("nodiratime", MountFlags::NODIRATIME),
            ("relatime", MountFlags::RELATIME),
            ("nosymfollow", MountFlags::NOSYMFOLLOW),
        ] {
            if has(name) {
                flags |= flag;
            }
        }
        if read_only {
            flags |= MountFlags::RDONLY;
        }
        rustix::mount::mount_remount(&entry.point, flags, "")
            .map_err(at(format!("restricting {}", entry.point.display())))?;
    }
    Ok(())
}

/// Which step a mount came in with: the deepest at or above it. `None` for what this file mounted
/// with the right flags itself; else whether it must be read-only.
fn owner(steps: &[Step], point: &Path) -> Option<bool> {
    if point.starts_with(OUTSIDE) {
        return None;
    }
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Image { target, .. } => Some((target, Some(true))),
            Step::Mount { target, what: What::Bind { access, .. } } => {
                Some((target, Some(*access == Access::Ro)))
            }
            Step::Mount { target, .. } => Some((target, None)),
            _ => None,
        })
        .filter(|(target, _)| point.starts_with(target))
        .max_by_key(|(target, _)| Path::new(target).components().count())
        .and_then(|(_, read_only)| read_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_belong_to_the_deepest_step() {
        let bind = |target: &str, access| Step::Mount {
            target: target.into(),
            what: What::Bind { source: "/x".into(), access, directory: true },
        };
        let steps = [
            Step::Image { source: "/r/usr".into(), target: "/usr".into() },
            bind("/scratch", Access::Ro),
            bind("/scratch/rw", Access::Rw),
            Step::Mount { target: "/proc".into(), what: What::Proc },
        ];
        for (point, expected) in [
            ("/usr", Some(true)),
            ("/scratch", Some(true)),
            ("/scratch/sub", Some(true)),
            ("/scratch2", None),
            ("/scratch/rw/deep", Some(false)),
            ("/proc/sys", None),
            ("/", None),
            ("/.moorline-outside/scratch", None),
        ] {
            assert_eq!(owner(&steps, Path::new(point)), expected, "{point}");
        }
    }
}
