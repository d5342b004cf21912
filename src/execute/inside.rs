//! The container's own first process: carries out the layout, gives up every privilege, starts the
//! program, and reaps.
//!
//! It is this very program, started by hakoniwa as process 1 of a new pid namespace and as root of a
//! new user namespace that maps to the caller, so that it may mount:
//!
//! ```text
//! worker --hakoniwa: user + pid namespace--> inside (pid 1)
//!   unshare mounts, everything a slave of the machine's mounts (automounts arrive, nothing leaves)
//!   tmpfs skeleton, pivot_root, steps, remount nosuid nodev ro, detach the machine's root
//!   unshare a second user namespace with the caller's own uid and gid: the program owns no mount
//!   empty the bounding set, drop all capabilities, no_new_privs
//!   start the program (pid 2), pass signals on, reap orphans, end with it: the kernel ends the rest
//! ```
//!
//! It is single-threaded until all that is done: `unshare(CLONE_NEWUSER)` demands it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use serde::{Deserialize, Serialize};

use super::mountinfo;
use super::signals::{FORWARDED, Watch};
use crate::job::Access;
use crate::runtime::builtin::{Step, What};
use crate::worker::exit;

/// Where the machine's root is while the container's is put together.
const OUTSIDE: &str = "/.moorline-outside";

/// What is to be done inside; travels as a JSON file, which is removed when it was read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inside {
    /// An empty directory of the machine.
    pub(super) root: PathBuf,
    /// See [`crate::runtime::builtin`].
    pub(super) steps: Vec<Step>,
    /// The caller.
    pub(super) uid: u32,
    /// The caller's group.
    pub(super) gid: u32,
    /// Where [`Line`]s are written.
    pub(super) status: PathBuf,
    /// Program and arguments; empty when only the way there is tried.
    pub(super) program: Vec<String>,
    /// Its variables, all of them.
    pub(super) env: BTreeMap<String, String>,
    /// Where it starts.
    pub(super) cwd: String,
}

/// What this process tells the worker, one JSON text a line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "it", rename_all = "lowercase")]
pub(super) enum Line {
    /// The program was not started.
    Refused { why: String },
    /// It was.
    Started { at: jiff::Timestamp },
    /// It ended, as a shell would say it.
    Ended { code: i32 },
}

/// A step that failed.
struct Failed(String);

/// Names what a system call was for.
fn at<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failed {
    let what = what.into();
    move |e| Failed(format!("{what}: {}", e.into()))
}

/// The main function of the process; returns its exit code.
pub(super) fn main(description: &Path) -> i32 {
    let Some(inside) = fs::read(description).ok().and_then(|b| serde_json::from_slice(&b).ok())
    else {
        return exit::RUNTIME_FAILED;
    };
    let _ = fs::remove_file(description);
    let inside: Inside = inside;
    // opened before the machine's files go out of sight; closed by the program's exec
    let Ok(mut status) = OpenOptions::new().append(true).open(&inside.status) else {
        return exit::RUNTIME_FAILED;
    };
    let code = run(&inside, &mut status).unwrap_or_else(|Failed(why)| {
        tell(&mut status, &Line::Refused { why });
        exit::RUNTIME_FAILED
    });
    tell(&mut status, &Line::Ended { code });
    code
}

fn tell(status: &mut File, line: &Line) {
    // the worker says so when it finds nothing
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        let _ = status.write_all(&text);
    }
}

fn run(inside: &Inside, status: &mut File) -> Result<i32, Failed> {
    arrange(inside)?;
    give_up_privileges(inside)?;
    std::env::set_current_dir(&inside.cwd).map_err(at(format!("entering {}", inside.cwd)))?;
    let Some((program, arguments)) = inside.program.split_first() else {
        tell(status, &Line::Started { at: jiff::Timestamp::now() });
        return Ok(0);
    };
    let terminal = std::io::stdin().is_terminal();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&inside.env);
    if !terminal {
        // signals of the engine reach it through this process only, and once
        command.process_group(0);
    }
    let child = command.spawn().map_err(|e| not_started(program, &e))?;
    tell(status, &Line::Started { at: jiff::Timestamp::now() });
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or_else(|| Failed("no pid".into()))?;
    let forward = move |signal| {
        if !terminal {
            let _ = rustix::process::kill_process_group(pid, signal);
        } else if signal != Signal::INT && signal != Signal::QUIT {
            // what comes from the keyboard, the terminal told the program already
            let _ = rustix::process::kill_process(pid, signal);
        }
    };
    let _watch = Watch::start(&FORWARDED, forward).map_err(at("installing a signal handler"))?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, how))) if ended == pid => return Ok(shell_code(how)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(at("waiting for the program")(e)),
        }
    }
}

fn not_started(program: &str, error: &std::io::Error) -> Failed {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    Failed(match error.kind() {
        NotFound => {
            format!("{program:?} was not found in the image (or its interpreter is not there)")
        }
        PermissionDenied => format!("{program:?} in the image may not be executed"),
        _ => format!("{program:?} could not be executed: {error}"),
    })
}

/// A wait status as a shell gives it.
fn shell_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|n| 128 + n)).unwrap_or(1)
}

// ---- mounts -------------------------------------------------------------------------------------

/// Makes a namespace of the calling thread's own.
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // deprecated for CLONE_FILES, which can take handles away from other threads: never used here
    #[expect(deprecated, reason = "safe for these flags; the replacement is unsafe for all")]
    rustix::thread::unshare(flags)
}

/// A mount namespace of this thread's own that hears of the machine's mounts and tells it of none.
pub(super) fn own_mounts() -> Result<(), Errno> {
    unshare(UnshareFlags::NEWNS)?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)
}

fn arrange(inside: &Inside) -> Result<(), Failed> {
    own_mounts().map_err(at("making a mount namespace"))?;
    let tmpfs = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("moorline", &inside.root, "tmpfs", tmpfs, c"mode=0755,size=16m")
        .map_err(at("mounting the container's root"))?;
    let outside = inside.root.join(OUTSIDE.trim_start_matches('/'));
    fs::create_dir(&outside).map_err(at("making a directory in the container's root"))?;
    rustix::process::pivot_root(&inside.root, &outside).map_err(at("pivot_root"))?;
    std::env::set_current_dir("/").map_err(at("entering the container's root"))?;
    for step in &inside.steps {
        carry_out(step, inside.uid)?;
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

fn carry_out(step: &Step, uid: u32) -> Result<(), Failed> {
    match step {
        Step::Directory { target } => {
            fs::create_dir(target).map_err(at(format!("making {target}")))
        }
        Step::File { target } => {
            File::create_new(target).map(drop).map_err(at(format!("making {target}")))
        }
        Step::Link { target, to } => {
            std::os::unix::fs::symlink(to, target).map_err(at(format!("linking {target}")))
        }
        Step::Image { source, target } => rustix::mount::mount_bind(outside(source), target)
            .map_err(at(format!("binding the image's {target}"))),
        Step::Mount { target, what } => mount(target, what, uid),
    }
}

fn mount(target: &str, what: &What, uid: u32) -> Result<(), Failed> {
    let say = format!("mounting at {target}");
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
            if uid == 0 { protect_proc(target) } else { Ok(()) }
        }
        What::Dev => devices(target),
    }
}

/// Root of the machine may write there, by uid alone.
fn protect_proc(proc: &str) -> Result<(), Failed> {
    for name in ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi"] {
        let path = format!("{proc}/{name}");
        if fs::symlink_metadata(&path).is_err() {
            continue;
        }
        rustix::mount::mount_bind(&path, &path).map_err(at(format!("protecting {path}")))?;
        let flags = MountFlags::BIND
            | MountFlags::RDONLY
            | MountFlags::NOSUID
            | MountFlags::NODEV
            | MountFlags::NOEXEC;
        rustix::mount::mount_remount(&path, flags, "").map_err(at(format!("protecting {path}")))?;
    }
    Ok(())
}

fn devices(dev: &str) -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("moorline", dev, "tmpfs", flags, c"mode=0755,size=1m")
        .map_err(at(format!("mounting {dev}")))?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (from, to) = (outside(Path::new("/dev")).join(name), format!("{dev}/{name}"));
        if fs::symlink_metadata(&from).is_err() {
            continue;
        }
        File::create_new(&to).map_err(at(format!("making {to}")))?;
        rustix::mount::mount_bind(&from, &to).map_err(at(format!("binding {to}")))?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(to, format!("{dev}/{name}")).map_err(at("making /dev"))?;
    }
    for name in ["shm", "pts"] {
        fs::create_dir(format!("{dev}/{name}")).map_err(at("making /dev"))?;
    }
    // ranks of one node share memory through it
    let shm = outside(Path::new("/dev/shm"));
    if shm.is_dir() {
        rustix::mount::mount_bind(&shm, format!("{dev}/shm")).map_err(at("binding /dev/shm"))?;
        let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount_remount(format!("{dev}/shm"), flags, "")
            .map_err(at("binding /dev/shm"))?;
    }
    // terminals of the container's own; only interactive programs miss them
    let pts = MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=620";
    let _ = rustix::mount::mount("devpts", format!("{dev}/pts"), "devpts", pts, options);
    Ok(())
}

/// Adds nosuid and nodev, and ro where it was asked for, to every mount that came in with a bind. A
/// bind ignores such flags, so each is set again; flags that the machine has set stay.
fn restrict(steps: &[Step]) -> Result<(), Failed> {
    let table = fs::read_to_string(outside(Path::new("/proc/self/mountinfo")))
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
        rustix::mount::mount_remount(entry.point.as_str(), flags, "")
            .map_err(at(format!("restricting {}", entry.point)))?;
    }
    Ok(())
}

/// Which step a mount came in with: the deepest at or above it. `None` for what this file mounted
/// with the right flags itself; else whether it must be read-only.
fn owner(steps: &[Step], point: &str) -> Option<bool> {
    let point = Path::new(point);
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

// ---- privileges ---------------------------------------------------------------------------------

fn give_up_privileges(inside: &Inside) -> Result<(), Failed> {
    unshare(UnshareFlags::NEWUSER).map_err(at("making the program's user namespace"))?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{} 0 1", inside.uid)),
        ("gid_map", format!("{} 0 1", inside.gid)),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(at(format!("writing {file}")))?;
    }
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // this kernel has no such capability
            Ok(()) | Err(Errno::INVAL) => {}
            Err(e) => return Err(at("emptying the bounding set")(e)),
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(at("dropping capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(at("setting no_new_privs"))?;
    // the program, of the same uid, must not look into this process
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at("prctl"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("prctl"))
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
            assert_eq!(owner(&steps, point), expected, "{point}");
        }
    }
}
