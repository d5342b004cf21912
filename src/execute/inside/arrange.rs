//! Puts the container's root together: carries out the steps of a layout in a mount namespace of
//! its own, and takes the machine's root out of sight.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::attach::{self, Bench, Bind};
use super::{Inside, make, overlay};
use crate::execute::asker::{Answer, Asker, Identity, Question};
use crate::execute::failed::{Failed, at};
use crate::execute::hiding::{Hidden, Keep};
use crate::execute::unshare::unshare;
use crate::files::handles::{self, Refused};
use crate::job::Access;
use crate::mountinfo::{MountInfo, Table};
use crate::runtime::builtin::{OUTSIDE, Step, What};

/// Flags of what nothing is run from.
const HARMLESS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// A mount namespace of this thread's own that hears of the machine's mounts and tells it of none.
pub(in crate::execute) fn own_mounts() -> Result<(), Errno> {
    unshare(UnshareFlags::NEWNS)?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)
}

pub(super) fn arrange(inside: &Inside) -> Result<(), Failed> {
    make_bindable(inside);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let outside = inside.root.join(OUTSIDE.trim_start_matches('/'));
    match &inside.writable {
        Some(layer) => overlay::mount(layer, &inside.root)?,
        None if inside.served => {}
        None => {
            rustix::mount::mount("moorline", &inside.root, "tmpfs", flags, c"mode=0755,size=16m")
                .map_err(at("mounting the container's root"))?;
        }
    }
    // an image that is served is there already, and shows this directory until it is removed below
    if !inside.served {
        fs::create_dir(&outside).map_err(at("making a directory in the container's root"))?;
    }
    let older = attach::older(&inside.root)?;
    rustix::process::pivot_root(&inside.root, &outside).map_err(at("pivot_root"))?;
    std::env::set_current_dir("/").map_err(at("entering the container's root"))?;
    let mut bench = Bench::new(older, &inside.passed_over)?;
    let (skeleton, mounts) = inside.steps.split_at(before_mounts(&inside.steps));
    for step in skeleton {
        if inside.writable.is_some() {
            overlay::over_image(step)?;
        } else {
            carry_out(&mut bench, step, inside)?;
        }
    }
    for step in mounts {
        carry_out(&mut bench, step, inside)?;
    }
    for hidden in &inside.hide {
        hide(&mut bench, hidden)?;
    }
    // the handles and the process that lead outside
    drop(bench);
    rustix::mount::unmount(OUTSIDE, UnmountFlags::DETACH)
        .map_err(at("detaching the machine's root"))?;
    fs::remove_dir(OUTSIDE).map_err(at("removing a mount point"))?;
    if inside.writable.is_some() {
        return Ok(());
    }
    let fixed = MountFlags::BIND | MountFlags::RDONLY | flags;
    rustix::mount::mount_remount("/", fixed, "").map_err(at("making the root read-only"))
}

/// How many of the steps come before something is mounted: they make the root.
fn before_mounts(steps: &[Step]) -> usize {
    let mounts = |step: &Step| matches!(step, Step::Mount { .. });
    steps.iter().position(mounts).unwrap_or(steps.len())
}

/// Somebody's unbindable mount below a directory would make the kernel refuse the whole bind. In this
/// namespace it may be bound.
fn make_bindable(inside: &Inside) {
    let Ok(table) = Table::own() else { return };
    let sources: Vec<&Path> = inside
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Mount { what: What::Bind { source, .. }, .. } => Some(source.as_path()),
            _ => None,
        })
        .collect();
    let mut asker = Asker::new();
    let below = |e: &&MountInfo| sources.iter().any(|source| e.point.starts_with(source));
    for entry in table.iter().filter(|e| e.unbindable).filter(below) {
        let question = Question::Mount(entry.point.clone().into());
        let reached = asker.ask(&question) == Answer::Mount(entry.id);
        let handle = File::open("/").ok().filter(|_| reached);
        let done = handle.and_then(|root| {
            let handle = handles::open(root.as_fd(), &entry.point).ok()?;
            let path = handles::as_path(Path::new("/proc/self"), handle.as_fd());
            rustix::mount::mount_change(path, MountPropagationFlags::PRIVATE).ok()
        });
        if done.is_none() {
            // the only way to one that cannot be reached: what is mounted later does not appear then
            let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            let _ = rustix::mount::mount_change("/", all);
            return;
        }
    }
}

fn carry_out(bench: &mut Bench, step: &Step, inside: &Inside) -> Result<(), Failed> {
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
        Step::Image { source, target } => {
            let say = format!("binding the image's {}", target.display());
            bench.bind(
                &say,
                source,
                target,
                Bind { recursive: false, read_only: true, devices: false },
            )
        }
        Step::Mount { target, what } => mount(bench, target, what, inside),
    }
}

fn mount(bench: &mut Bench, target: &Path, what: &What, inside: &Inside) -> Result<(), Failed> {
    let say = format!("mounting at {}", target.display());
    match what {
        What::Bind { source, access, .. } => {
            let bind = Bind {
                recursive: true,
                read_only: *access == Access::Ro,
                devices: is_for_devices(source),
            };
            bench.bind(&say, source, target, bind)
        }
        What::Proc => {
            // refused where a part of the machine's own /proc is hidden, as in other containers
            if bench.fresh(&say, target, "proc", HARMLESS, None).is_err() {
                let bind = Bind { recursive: true, read_only: false, devices: false };
                bench.bind(&say, Path::new("/proc"), target, bind)?;
            }
            if inside.uid == 0 { protect_proc(bench, target) } else { Ok(()) }
        }
        What::Dev { own_shm } => devices(bench, target, *own_shm, inside),
    }
}

/// Whether somebody who mounts this by name wants devices: a graphics card, a fast network. Only the machine's root
/// makes them there, and who may open one is still the device's own business. `/dev/shm` is memory, which any
/// program writes to.
fn is_for_devices(source: &Path) -> bool {
    source.starts_with("/dev") && source != Path::new("/dev") && !source.starts_with("/dev/shm")
}

/// Mounts an empty directory, which can still be written to.
fn cover(bench: &Bench, say: &str, target: &Path) -> Result<(), Failed> {
    bench.fresh(say, target, "tmpfs", HARMLESS, Some(c"mode=0555,size=64k,nr_inodes=64"))?;
    bench.remount(say, target, HARMLESS | MountFlags::RDONLY)
}

/// Covers a directory of Moorline's. It must be the very one that was found: somebody may have
/// exchanged it since.
fn hide(bench: &mut Bench, hidden: &Hidden) -> Result<(), Failed> {
    let target = Path::new(&hidden.target);
    let say = format!("hiding {}", target.display());
    let found = match bench.look(target) {
        Ok(handle) => File::from(handle).metadata().map_err(at(say.as_str()))?,
        // the program has no more rights than this process: what cannot be reached is not seen
        Err(Refused::System(_, Errno::ACCESS)) => return Ok(()),
        Err(refused) => return Err(Failed(format!("{say}: {refused}"))),
    };
    if Identity::of(&found) != hidden.identity {
        return Err(Failed(format!("{say}: it was exchanged while the container was made")));
    }
    let Some(Keep { source, below }) = &hidden.keep else { return cover(bench, &say, target) };
    bench.fresh(&say, target, "tmpfs", HARMLESS, Some(c"mode=0555,size=64k,nr_inodes=64"))?;
    let mut here = bench.look(target).map_err(|e| Failed(format!("{say}: {e}")))?;
    for name in Path::new(below) {
        rustix::fs::mkdirat(&here, name, Mode::from_raw_mode(0o555)).map_err(at(say.as_str()))?;
        here = handles::open(here.as_fd(), Path::new(name))
            .map_err(|e| Failed(format!("{say}: {e}")))?;
    }
    bench.remount(&say, target, HARMLESS | MountFlags::RDONLY)?;
    let bind = Bind { recursive: true, read_only: false, devices: false };
    bench.bind(&say, Path::new(source), &target.join(below), bind)
}

/// Root of the machine may write there, by uid alone.
fn protect_proc(bench: &mut Bench, proc: &Path) -> Result<(), Failed> {
    for name in ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi"] {
        let path = proc.join(name);
        if fs::symlink_metadata(&path).is_err() {
            continue;
        }
        let say = format!("protecting {}", path.display());
        match rustix::mount::mount_bind(&path, &path) {
            Err(Errno::INVAL) => {
                // the machine's own, below which something is mounted (binfmt_misc) that the kernel does not part with
                let bind = Bind { recursive: true, read_only: true, devices: false };
                bench.bind(&say, &Path::new("/proc").join(name), &path, bind)?;
                continue;
            }
            bound => bound.map_err(at(say.as_str()))?,
        }
        let flags = MountFlags::BIND | MountFlags::RDONLY | HARMLESS;
        rustix::mount::mount_remount(&path, flags, "").map_err(at(say.as_str()))?;
    }
    Ok(())
}

fn devices(bench: &mut Bench, dev: &Path, own_shm: bool, inside: &Inside) -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let say = format!("mounting {}", dev.display());
    bench.fresh(&say, dev, "tmpfs", flags, Some(c"mode=0755,size=1m"))?;
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
    // ranks of one node share memory through it; some machines have a link there, to another place
    let shm = Path::new("/dev/shm");
    if own_shm {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        bench.fresh("mounting /dev/shm", &dev.join("shm"), "tmpfs", flags, Some(c"mode=1777"))?;
    } else if bench.source(shm).is_ok_and(|found| is_directory(&found)) {
        let bind = Bind { recursive: true, read_only: false, devices: false };
        bench.bind("binding /dev/shm", shm, &dev.join("shm"), bind)?;
    }
    // terminals of the container's own; only interactive programs miss them
    let pts = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=620";
    let _ = rustix::mount::mount("devpts", dev.join("pts"), "devpts", pts, options);
    Ok(())
}

fn is_directory(handle: &std::os::fd::OwnedFd) -> bool {
    rustix::fs::fstat(handle)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// A path of the machine as it is seen while the root is put together.
fn outside(path: &Path) -> PathBuf {
    Path::new(OUTSIDE).join(path.strip_prefix("/").unwrap_or(path))
}
