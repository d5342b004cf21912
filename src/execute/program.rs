//! Runs a job with an installed apptainer or singularity.
//!
//! It gets a 0700 scratch of its own inside the job's control directory (it would write to the home
//! directory and to `/run/user/UID`, which workers lack) and an allow-listed environment. Processes
//! that outlive it come to the worker, which is made their reaper, and are ended.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};

use super::container::Ended;
use super::signals::Told;
use super::{ExecuteError, mounts, signals};
use crate::job::{Access, WORK_DIR};
use crate::runtime::{Bind, apptainer, environment};
use crate::worker::Plan;

/// How long the program may take to end after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the job to its end.
///
/// # Errors
/// When the runtime could not be started.
pub(super) fn run(
    program: &Path,
    plan: &Plan,
    sif: &Path,
    binds: &[Bind],
    workdir: &Path,
    (control, attempt): (&Path, &str),
) -> Result<Ended, ExecuteError> {
    let scratch = Scratch::make(control, attempt)?;
    let binds = [binds, &covers(binds, workdir, control, &scratch)?].concat();
    let argv = apptainer::argv(program, &plan.job, sif, &binds, workdir);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(workdir).env_clear().process_group(0);
    for name in environment::FROM_HOST.iter().copied().chain(["PATH", "HOME"]) {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, directory) in [("CACHEDIR", "cache"), ("TMPDIR", "tmp"), ("CONFIGDIR", "config")] {
        let path = scratch.directory(directory)?;
        command.env(format!("APPTAINER_{name}"), &path).env(format!("SINGULARITY_{name}"), &path);
    }
    command.env("XDG_RUNTIME_DIR", scratch.directory("run")?);
    command.envs(apptainer::variables(&plan.job));

    // ends stragglers below: what the container leaves behind comes here
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let started_at = jiff::Timestamp::now();
    let mut child = command
        .spawn()
        .map_err(|e| ExecuteError::NotStarted(format!("{}: {e}", program.display())))?;
    let told = Told::default();
    let watch = signals::Watch::start(&signals::ENDING, forward(&child, told.clone()))
        .map_err(ExecuteError::io("watching for signals"))?;
    let status = child.wait().map_err(ExecuteError::io("waiting for the runtime"))?;
    end_stragglers();
    drop(watch);
    let own = status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(1);
    let code = told.code().unwrap_or(own);
    Ok(Ended { started_at, code })
}

/// Passes signals to the runtime's process group; after the grace, or the second time, KILL.
fn forward(child: &Child, told: Told) -> impl FnMut(Signal) + Send + 'static {
    let group = Pid::from_raw(child.id().cast_signed());
    move |signal| {
        let Some(group) = group else { return };
        let kill = move || {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        };
        if told.first(signal) {
            let _ = rustix::process::kill_process_group(group, signal);
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                kill();
            });
        } else {
            kill();
        }
    }
}

/// Ends every remaining child, and those that come here when their parents end.
fn end_stragglers() {
    let me = rustix::process::getpid().as_raw_pid();
    loop {
        // threads of this process may have started none of them, so one list is enough
        let children =
            fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|p| Pid::from_raw(p.parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Empty directories over the places where the container would see the control directory, also
/// through what the runtime binds by itself.
fn covers(
    binds: &[Bind],
    workdir: &Path,
    control: &Path,
    scratch: &Scratch,
) -> Result<Vec<Bind>, ExecuteError> {
    let own = |source: &Path, target: &Path| Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        access: Access::Rw,
        directory: true,
    };
    let mut seen = binds.to_vec();
    seen.push(own(workdir, Path::new(WORK_DIR)));
    for path in [workdir, Path::new("/tmp"), Path::new("/var/tmp")] {
        seen.push(own(path, path));
    }
    mounts::refuse_inside(&seen, control)?;
    let empty = scratch.directory("empty")?;
    Ok(mounts::seen_through(&seen, control)
        .into_iter()
        .map(|target| Bind { source: empty.clone(), target, access: Access::Ro, directory: true })
        .collect())
}

/// A directory that goes with its value.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn make(control: &Path, attempt: &str) -> Result<Self, ExecuteError> {
        let path = control.join(format!("runtime-{attempt}"));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(ExecuteError::io(format!("making {}", path.display())))?;
        Ok(Self(path))
    }

    fn directory(&self, name: &str) -> Result<std::path::PathBuf, ExecuteError> {
        let path = self.0.join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(ExecuteError::io(format!("making {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what stays is inside the job's own directory
        let _ = crate::listing::remove_tree(&self.0);
    }
}
