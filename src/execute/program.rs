//! Runs a job with an installed apptainer or singularity.
//!
//! It gets a 0700 scratch of its own inside the job's control directory (it would write to the home
//! directory and to `/run/user/UID`, which workers lack) and an allow-listed environment. A leader
//! stands above it (session.rs), which has a session of its own and is the reaper of all that the
//! container leaves behind; what outlives the leader comes to the worker and is ended.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::attend::Ended;
use super::container::{Manner, Terminal, attended, hear};
use super::hiding::{self, Keep, Secrets};
use super::measure::Measured;
use super::session::{self, Fence, at};
use super::starter::{Start, Word};
use super::talk::{Line, Talk};
use super::verbs::LEADER;
use super::{ExecuteError, keyring, packed, scratch, tickets};
use crate::backend;
use crate::job::{Access, JobSpec, WORK_DIR};
use crate::runtime::apptainer::{self, Given};
use crate::runtime::{Bind, environment};
use crate::sif::{self, SifReader};
use crate::store::Held;
use crate::worker::{Hides, Plan, exit};

/// Runs the job to its end.
///
/// # Errors
/// When the runtime could not be started.
pub(super) fn run(
    program: &Path,
    plan: &Plan,
    (sif, given, command): (&Path, Given, Vec<String>),
    (binds, hide): (&[Bind], Vec<PathBuf>),
    workdir: &Path,
    (control, attempt): (&Path, &str),
) -> Result<Ended, ExecuteError> {
    let manner = Manner::of(&plan.job.terms)?;
    let scratch = Scratch::make(control, attempt)?;
    let mut binds = [binds, &covers(hide, binds, workdir, control, &scratch)?].concat();
    let tickets = tickets::bind(&plan.job, control, &scratch.0)?;
    let has_tickets = tickets.is_some();
    binds.extend(tickets);
    let job = JobSpec { command, ..plan.job.clone() };
    let mut start = Start {
        program: apptainer::argv(program, &job, sif, &binds, (workdir, &given.home))
            .into_iter()
            .map(Word::from)
            .collect(),
        env: given.environment,
        cwd: workdir.to_owned(),
        terminal: false,
        umask: plan.job.terms.umask,
        afs: binds.iter().map(|b| &*b.source).chain([workdir]).any(keyring::on_afs),
        container: None,
    };
    for name in ["PATH", "HOME"] {
        if let Ok(value) = std::env::var(name) {
            start.env.insert(name.to_owned(), value);
        }
    }
    if has_tickets {
        for prefix in ["APPTAINERENV_", "SINGULARITYENV_"] {
            start.env.insert(format!("{prefix}{}", tickets::VARIABLE), tickets::value());
        }
    }
    for (name, directory) in [("CACHEDIR", "cache"), ("TMPDIR", "tmp"), ("CONFIGDIR", "config")] {
        let path = scratch.directory(directory)?.to_string_lossy().into_owned();
        start.env.insert(format!("APPTAINER_{name}"), path.clone());
        start.env.insert(format!("SINGULARITY_{name}"), path);
    }
    let run = scratch.directory("run")?.to_string_lossy().into_owned();
    start.env.insert("XDG_RUNTIME_DIR".into(), run);
    // the runtime's business and a path that the container has not: empty means none
    start.env.entry("APPTAINERENV_XDG_RUNTIME_DIR".into()).or_default();

    let ears = hear()?;
    let terminal = Terminal::of_this_process(true)?;
    start.terminal = terminal.pty.is_some();
    // what a leader that was killed leaves behind comes here
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let mut command = Command::new("/proc/self/exe");
    command.arg(LEADER);
    let ended = attended(command, &start, (ears, terminal), &manner, None);
    session::end_children();
    ended
}

/// What the runtime is given so that the program has its variables, and the words to start: those that the built-in
/// runtime starts, because a shell between (`apptainer run`) would lose variables that it cannot set. A SIF that Moorline did not make sets its own
/// by its scripts, which may say more than its configuration (`%environment`); they see what the machine has.
///
/// # Errors
/// When the SIF cannot be read.
pub(super) fn given(
    measured: &Measured,
    job: &JobSpec,
) -> Result<(Given, Vec<String>), ExecuteError> {
    let host = |name: &str| std::env::var(name).ok();
    let shape: Vec<&str> =
        backend::engines().flat_map(|facts| facts.for_program).copied().collect();
    let sif_error = |source| ExecuteError::Sif { path: measured.path.clone(), source };
    let handle = measured.file.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
    let mut reader = SifReader::open(handle).map_err(sif_error)?;
    let ours = reader.object(sif::PROVENANCE).is_ok();
    let config = packed::configuration(&mut reader).map_err(sif_error)?;
    if let Some(config) = config.filter(|_| ours) {
        let command = environment::command(&config, &job.command);
        let given = Given::of(&environment::variables(&config, job, &shape, host));
        return Ok((given, command.ok_or(ExecuteError::NothingToRun)?));
    }
    let mut given = Given::of(&environment::of_job(job));
    let there = environment::FROM_HOST.iter().chain(&shape);
    given.environment.extend(there.filter_map(|&name| Some((name.to_owned(), host(name)?))));
    Ok((given, job.command.clone()))
}

/// Whether the container cannot get at what is covered. Without a pid namespace and a user namespace of
/// its own it can, by `/proc/PID/root` of another process of this user.
pub(super) fn hides(options: &[String]) -> Hides {
    // short flags may stand together in one word
    let has = |long: &[&str], short: char| {
        options.iter().any(|o| {
            long.contains(&o.as_str())
                || o.starts_with('-') && !o.starts_with("--") && o[1..].contains(short)
        })
    };
    let pid = has(&["--pid", "--containall"], 'p') || has(&[], 'C');
    if pid && has(&["--userns"], 'u') { Hides::Yes } else { Hides::No }
}

/// The main function of the leader; returns its exit code.
pub(super) fn lead() -> i32 {
    let Ok(mut talk) = Talk::from_stdin() else { return exit::RUNTIME_FAILED };
    let (stdin, start): (_, Start) = match talk.take() {
        Ok(told) => told,
        Err(error) => {
            let _ = talk.say(&Line::Refused { why: format!("hearing the worker: {error}") });
            return exit::RUNTIME_FAILED;
        }
    };
    let before = || {
        // this end of the socket is the worker's business alone
        let null = fs::File::open("/dev/null").map_err(at("opening /dev/null"))?;
        rustix::stdio::dup2_stdin(&null).map_err(at("setting standard input"))
    };
    session::lead(talk, (stdin, &start), Fence::Reaper, before, || Ok(()))
}

/// Empty directories over the places where the container would see what is hidden, also through what
/// the runtime binds by itself.
fn covers(
    places: Vec<PathBuf>,
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
    let mut seen = Vec::new();
    for path in [workdir, Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm")] {
        if let Ok(source) = fs::canonicalize(path) {
            seen.push(own(&source, path));
        }
    }
    seen.extend(binds.iter().cloned());
    seen.push(own(workdir, Path::new(WORK_DIR)));
    let jobs = hiding::jobs_of(control);
    let hidden = hiding::cover(&Secrets { places, jobs, work: workdir }, &seen)?;
    let mut covers = Vec::new();
    for (number, one) in hidden.iter().enumerate() {
        let target = Path::new(&one.target);
        let empty = scratch.directory(&format!("empty-{number}"))?;
        covers.push(Bind { access: Access::Ro, ..own(&empty, target) });
        if let Some(Keep { below, .. }) = &one.keep {
            let place = empty.join(below);
            fs::create_dir_all(&place)
                .map_err(ExecuteError::io(format!("making {}", place.display())))?;
            covers.push(own(workdir, &target.join(below)));
        }
    }
    Ok(covers)
}

/// A directory that goes with its value.
struct Scratch(PathBuf, Option<Held>);

impl Scratch {
    fn make(control: &Path, attempt: &str) -> Result<Self, ExecuteError> {
        let path = scratch::in_control(control, attempt);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(ExecuteError::io(format!("making {}", path.display())))?;
        let held = Held::hold(&path).ok().flatten();
        Ok(Self(path, held))
    }

    fn directory(&self, name: &str) -> Result<PathBuf, ExecuteError> {
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
        self.1 = None;
        // what stays is inside the job's own directory
        let _ = crate::listing::remove_tree(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_namespaces_hide() {
        let said = |options: &str| hides(&options.split(' ').map(String::from).collect::<Vec<_>>());
        for yes in ["--userns --pid", "-u -p", "-up", "-u --containall", "-C --userns --nv"] {
            assert_eq!(said(yes), Hides::Yes, "{yes}");
        }
        for no in ["", "--userns", "--pid", "--nv --userns-not", "--containall"] {
            assert_eq!(said(no), Hides::No, "{no}");
        }
    }
}
