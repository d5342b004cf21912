//! Whether the built-in runtime works here: asked by doing it.
//!
//! A container with a root of nothing but `/proc`, `/dev` and one bind goes the whole way to the
//! program and ends there. What refuses it has few causes; each has its remedy in [`Refusal`]. Trouble
//! with the directory that it needs, or with starting processes, is told apart: it says nothing of
//! containers.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::thread::UnshareFlags;

use super::ExecuteError;
use super::confined::Confined;
use super::container::{self, Manner};
use super::failed::{Failed, at};
use super::floor;
use super::inside::{Inside, own_mounts, privileges};
use super::scratch::{self, Scratch};
use super::starter::{Container, Start};
use super::unshare::unshare;
use super::verbs::{NAMESPACES, PROBE};
use crate::failure::{Failure, Kind};
use crate::job::Access;
use crate::procstatus::ProcStatus;
use crate::runtime::builtin::{Step, What};

/// Why containers cannot be made here, and what the administrator would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// [`Kind::NoRuntime`] when containers cannot be made; else what kept it from being found out:
    /// [`Kind::NoSpace`], [`Kind::Configuration`].
    pub kind: Kind,
    /// What was refused, in the kernel's words.
    pub said: String,
    /// What refuses it.
    pub cause: String,
    /// The commands or text that allow it; several lines.
    pub fix: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cause, self.said)?;
        if let Some(fix) = &self.fix {
            write!(f, "; to allow it: {fix}")?;
        }
        Ok(())
    }
}

impl Refusal {
    fn of(error: &ExecuteError) -> Self {
        let said = error.to_string();
        match error {
            ExecuteError::NoScratch(_)
            | ExecuteError::NoProcess { .. }
            | ExecuteError::Io { .. } => {
                let kind = match error.kind() {
                    Kind::NoRuntime => Kind::Configuration,
                    kind => kind,
                };
                let cause = "what a container needs here".to_owned();
                Self { kind, said, cause, fix: error.hint() }
            }
            _ => explain(&said, &Facts::of_this_machine()),
        }
    }

    /// The same as an error of a job.
    pub(super) fn into_error(self) -> ExecuteError {
        match self.kind {
            Kind::NoRuntime => ExecuteError::NoRuntime(self.to_string()),
            kind => ExecuteError::Hindered { kind, said: self.said, fix: self.fix },
        }
    }
}

/// What the child says when a container could be made.
const YES: &str = "containers work";
/// What it says before the rest, by kind, when that is no word on containers.
const HINDERED: [(&str, Kind); 2] =
    [("no space: ", Kind::NoSpace), ("hindered: ", Kind::Configuration)];
/// Between what was said and what to try.
const TRY: &str = "\ntry: ";

/// Whether containers seem to be allowed here: makes the namespaces and no container, a fifth of the work. What only
/// mounting would find out, the start of a container says.
///
/// # Errors
/// As [`probe`].
pub(super) fn look() -> Result<(), Refusal> {
    ask(&[PROBE, NAMESPACES])
}

/// Really makes a container: unshares, maps ids, mounts, pivots, drops privileges. Needs nothing
/// installed and takes some 20 ms. It is done in a child, so the caller may have threads; the child
/// is this program, whose `main` must run [`super::early`] first.
///
/// # Errors
/// A [`Refusal`] with cause and remedy.
pub fn probe() -> Result<(), Refusal> {
    ask(&[PROBE])
}

/// Whether this kernel is older than what a container needs, by the release that it says.
pub(super) fn is_too_old() -> bool {
    floor::too_old(&rustix::system::uname().release().to_string_lossy()).is_some()
}

fn ask(words: &[&str]) -> Result<(), Refusal> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if let Some(cause) = floor::too_old(&release) {
        let fix = Some("install apptainer, or a newer kernel".to_owned());
        let said = format!("this is Linux {release}");
        return Err(Refusal { said, cause, fix, kind: Kind::NoRuntime });
    }
    let refuse = |said: &str| Err(heard(said));
    let output = Command::new("/proc/self/exe").args(words).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() && output.stdout == YES.as_bytes() => Ok(()),
        Ok(output) => match String::from_utf8_lossy(&output.stdout).trim() {
            "" => refuse(&format!("the probe ended with {}", output.status)),
            said => refuse(said),
        },
        Err(error) => {
            Err(Refusal::of(&ExecuteError::starting("starting this program again", error)))
        }
    }
}

/// Reads what the child said.
fn heard(said: &str) -> Refusal {
    for (word, kind) in HINDERED {
        if let Some(rest) = said.strip_prefix(word) {
            let (said, fix) = rest.split_once(TRY).map_or((rest, None), |(s, f)| (s, Some(f)));
            let cause = "what a container needs here".to_owned();
            return Refusal { kind, said: said.to_owned(), cause, fix: fix.map(str::to_owned) };
        }
    }
    explain(said, &Facts::of_this_machine())
}

/// The child's side; returns its exit code. `namespaces` asks for no more than these.
pub(super) fn main(namespaces: bool, stdout: &mut dyn Write) -> i32 {
    let asked = if namespaces { make_namespaces() } else { go() };
    let (said, code) = match asked {
        Ok(()) => (YES.to_owned(), 0),
        Err(said) => (said, 1),
    };
    i32::from(stdout.write_all(said.as_bytes()).is_err()).max(code)
}

/// An error in the words that [`heard`] reads.
fn tell(error: &ExecuteError) -> String {
    let refusal = match error {
        // the system's answer comes as text only
        ExecuteError::NotStarted(why) if is_process_limit(why) => {
            let source = std::io::Error::from_raw_os_error(EAGAIN);
            Refusal::of(&ExecuteError::NoProcess { what: "starting a container".into(), source })
        }
        ExecuteError::NotStarted(_) => return error.to_string(),
        _ => Refusal::of(error),
    };
    match HINDERED.iter().find(|(_, kind)| *kind == refusal.kind) {
        Some((word, _)) => {
            let fix = refusal.fix.map(|fix| format!("{TRY}{fix}")).unwrap_or_default();
            format!("{word}{}{fix}", refusal.said)
        }
        None => refusal.said,
    }
}

/// errno(3) on Linux.
const EAGAIN: i32 = 11;

/// Whether a failure to start a container is one to start a process.
pub(super) fn is_process_limit(why: &str) -> bool {
    why.contains("EAGAIN") || why.contains("Resource temporarily unavailable")
}

fn go() -> Result<(), String> {
    run().map_err(|error| tell(&error))
}

fn make_namespaces() -> Result<(), String> {
    // a job needs one, too: no room for it is found out before anything is fetched
    let _scratch = Scratch::make(scratch::PROBE, false).map_err(|error| tell(&error))?;
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let made = unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWPID)
        .map_err(at("making a user and a pid namespace"))
        .and_then(|()| privileges::map(&format!("0 {uid} 1"), &format!("0 {gid} 1")))
        .and_then(|()| own_mounts().map_err(at("making a mount namespace")));
    made.map_err(|Failed(why)| tell(&ExecuteError::NotStarted(why)))
}

fn run() -> Result<(), ExecuteError> {
    let scratch = Scratch::make(scratch::PROBE, false)?;
    let io = |e| ExecuteError::io("making a directory for the probe")(e);
    let path = fs::canonicalize(scratch.path()).map_err(io)?;
    for name in ["root", "bind"] {
        fs::create_dir(path.join(name)).map_err(io)?;
    }
    let directory = |target: &str| Step::Directory { target: target.into() };
    let mount = |target: &str, what| Step::Mount { target: target.into(), what };
    let bind = What::Bind { source: path.join("bind"), access: Access::Ro, directory: true };
    let inside = Inside {
        root: path.join("root"),
        steps: vec![
            directory("/proc"),
            directory("/dev"),
            directory("/bind"),
            mount("/proc", What::Proc),
            mount("/dev", What::Dev { own_shm: false }),
            mount("/bind", bind),
        ],
        hide: vec![],
        passed_over: vec![],
        served: false,
        writable: None,
        uid: rustix::process::getuid().as_raw(),
        terminal: None,
        start: Start {
            program: vec![],
            env: [].into(),
            cwd: "/bind".into(),
            terminal: false,
            umask: None,
            afs: false,
            after: vec![],
            container: Some(Container::of_this_process(false)),
        },
    };
    container::run(inside, Manner::default(), None).map(drop)
}

/// What can refuse user namespaces, read from this machine.
#[derive(Debug, Default)]
struct Facts {
    /// `user.max_user_namespaces`.
    max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian's kernels).
    unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu's kernels).
    apparmor_restricts: Option<u64>,
    /// Whether a seccomp filter is on this process.
    filtered: bool,
    /// Whether this is root without the capability that a user namespace with a root needs.
    weak_root: bool,
    /// This program.
    program: PathBuf,
}

impl Facts {
    fn of_this_machine() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        Self {
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            filtered: ProcStatus::own().is_filtered(),
            weak_root: Confined::own().weak_root,
            program: std::env::current_exe().unwrap_or_default(),
        }
    }
}

fn explain(said: &str, facts: &Facts) -> Refusal {
    let (cause, fix) = if facts.max_user_namespaces == Some(0) {
        (
            "user namespaces are switched off: user.max_user_namespaces is 0",
            Some("sysctl -w user.max_user_namespaces=15000".to_owned()),
        )
    } else if facts.unprivileged_clone == Some(0) {
        (
            "user namespaces are for root only: kernel.unprivileged_userns_clone is 0",
            Some("sysctl -w kernel.unprivileged_userns_clone=1".to_owned()),
        )
    } else if facts.apparmor_restricts == Some(1) {
        (
            "AppArmor allows user namespaces to programs with a profile only: \
             kernel.apparmor_restrict_unprivileged_userns is 1",
            Some(apparmor_profile(&facts.program)),
        )
    } else if facts.weak_root {
        (
            "root has no CAP_SETFCAP here, and without it makes no user namespace",
            Some(
                "start the outer container as an ordinary user, or with that capability \
                 (apptainer: --add-caps CAP_SETFCAP; docker, podman: --cap-add SETFCAP)"
                    .to_owned(),
            ),
        )
    } else if facts.filtered {
        (
            "a seccomp filter forbids user namespaces, as docker's default one does",
            Some(
                "start the outer container with --security-opt seccomp=unconfined \
                 --security-opt systempaths=unconfined"
                    .to_owned(),
            ),
        )
    } else {
        ("containers cannot be made on this machine", None)
    };
    Refusal { kind: Kind::NoRuntime, said: said.to_owned(), cause: cause.to_owned(), fix }
}

fn apparmor_profile(program: &Path) -> String {
    format!(
        "put these lines into /etc/apparmor.d/moorline and run \
         apparmor_parser -r /etc/apparmor.d/moorline\n\
         abi <abi/4.0>,\n\
         include <tunables/global>\n\
         profile moorline \"{}\" flags=(unconfined) {{\n  userns,\n}}",
        program.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_remedies() {
        let program = PathBuf::from("/opt/moorline");
        for (facts, cause, fix) in [
            (
                Facts { max_user_namespaces: Some(0), ..Facts::default() },
                "max_user_namespaces is 0",
                "sysctl -w user.max_user_namespaces=",
            ),
            (
                Facts { unprivileged_clone: Some(0), ..Facts::default() },
                "for root only",
                "sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            (
                Facts { apparmor_restricts: Some(1), program, ..Facts::default() },
                "AppArmor",
                "profile moorline \"/opt/moorline\" flags=(unconfined) {\n  userns,\n}",
            ),
            (Facts { filtered: true, ..Facts::default() }, "seccomp", "seccomp=unconfined"),
            (
                Facts { weak_root: true, ..Facts::default() },
                "no CAP_SETFCAP",
                "--add-caps CAP_SETFCAP",
            ),
        ] {
            let refusal = explain("unshare: EPERM", &facts);
            assert!(refusal.cause.contains(cause), "{refusal}");
            assert!(refusal.fix.as_deref().unwrap_or_default().contains(fix), "{refusal}");
            assert!(refusal.to_string().contains("unshare: EPERM"));
        }
        assert_eq!(explain("x", &Facts::default()).fix, None);
    }

    #[test]
    fn what_is_no_word_on_containers_is_told_apart() {
        let passed = |full| super::super::PassedOver {
            base: "/x".into(),
            named: true,
            why: "it is full".into(),
            full,
        };
        let limit = ExecuteError::NotStarted("fork: EAGAIN: Try again".into());
        let quota = std::io::Error::from_raw_os_error(122);
        for (error, kind, said) in [
            (ExecuteError::NoScratch(vec![passed(true)]), Kind::NoSpace, "TMPDIR=/x: it is full"),
            (ExecuteError::NoScratch(vec![passed(false)]), Kind::Configuration, "TMPDIR=/x"),
            (ExecuteError::io("writing it")(quota), Kind::NoSpace, "writing it"),
            (limit, Kind::Configuration, "limit on processes"),
            (ExecuteError::NotStarted("unshare: EPERM".into()), Kind::NoRuntime, "EPERM"),
        ] {
            let heard = heard(&tell(&error));
            assert_eq!(heard.kind, kind, "{heard}");
            assert!(heard.said.contains(said), "{heard}");
            let code = heard.clone().into_error().exit_code();
            assert_eq!(
                code,
                [(Kind::NoSpace, 217), (Kind::NoRuntime, 213)]
                    .into_iter()
                    .find(|(k, _)| *k == kind)
                    .map_or(214, |(_, code)| code)
            );
        }
    }
}
