//! What runtimes have in common that are programs of their own: they are found, identified, kept in an
//! environment and a scratch of their own, and led.
//!
//! A leader stands above the program (session.rs), which has a session of its own and is the reaper of all
//! that the container leaves behind; what outlives the leader comes to the worker and is ended.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::runtime::{Found, Request};
use crate::execute::attend::Ended;
use crate::execute::container::{Manner, Terminal, attended, hear};
use crate::execute::hiding::{self, Keep, Secrets};
use crate::execute::identify::{Asked, Program};
use crate::execute::report::Report;
use crate::execute::starter::{Start, Word};
use crate::execute::unseen::unseen;
use crate::execute::verbs::LEADER;
use crate::execute::witness::{Seen, Sign, Witness};
use crate::execute::{ExecuteError, find_program, keyring, scratch, session};
use crate::files::{self, WayError};
use crate::job::{Access, JobSpec, Name, WORK_DIR};
use crate::runtime::Bind;
use crate::store::Held;

/// Finds a program in `PATH`.
///
/// # Errors
/// [`ExecuteError::NoRuntime`].
pub(super) fn find(name: &str) -> Result<PathBuf, ExecuteError> {
    find_program(name).ok_or_else(|| ExecuteError::NoRuntime("not installed".into()))
}

/// Finds a program and asks it what it is.
///
/// # Errors
/// [`ExecuteError::NoRuntime`] when it is not there or does not answer.
pub(super) fn identified(name: &str) -> Result<Found, ExecuteError> {
    Ok(Found { program: Some(Program::of(&find(name)?)?), answer: Vec::new() })
}

/// The program that was found.
///
/// # Errors
/// Never for a runtime that was probed by [`identified`].
pub(super) fn program(found: &Found) -> Result<&Program, ExecuteError> {
    let missing = || ExecuteError::NoRuntime("it has no program".into());
    found.program.as_ref().ok_or_else(missing)
}

/// The user's options as words of a command line. None of them is a word of its own that could be taken for the
/// image: the next option, or `guard`, is what one without its value swallows.
///
/// # Errors
/// [`ExecuteError::Option`] for a word that is no option.
pub(super) fn options(
    options: &[String],
    runtime: &'static str,
    guard: &str,
) -> Result<Vec<OsString>, ExecuteError> {
    let is_option = |word: &str| word.starts_with('-') && !matches!(word, "-" | "--");
    if let Some(word) = options.iter().find(|word| !is_option(word)) {
        return Err(ExecuteError::Option { option: word.clone(), runtime });
    }
    let guard = options.first().map(|_| OsString::from(guard));
    Ok(options.iter().map(OsString::from).chain(guard).collect())
}

/// Puts into the receipt which program it is, and its options.
pub(super) fn tell(report: &mut Report, program: &Program, job: &JobSpec) {
    if let Some(kind) = program.kind() {
        report.runtime = Name::known(kind);
    }
    report.rootfs = Some("runtime".into());
    report.conditions.program = Some(program.said());
    report.conditions.options.clone_from(&job.options);
    if !job.options.is_empty() {
        report.notes.push(
            "network, mounts, variables and ids are said as the job asks for them: an option may have changed them".into(),
        );
    }
}

/// After its end: a program that was exchanged meanwhile is not the one that was identified.
pub(super) fn check_program(report: &mut Report, program: &Program) {
    if !program.unchanged() {
        if let Some(said) = &mut report.conditions.program {
            said.sha256 = None;
        }
        report.notes.push("the runtime's program was changed while it ran".into());
    }
}

/// What is started: the runtime's program, where the job works.
pub(super) fn start(
    request: &Request<'_>,
    words: impl IntoIterator<Item = impl Into<Word>>,
    env: BTreeMap<String, String>,
    binds: &[Bind],
) -> Start {
    let mut sources = binds.iter().map(|bind| &*bind.source).chain([request.workdir]);
    Start {
        program: words.into_iter().map(Into::into).collect(),
        env,
        cwd: request.workdir.to_owned(),
        terminal: false,
        umask: request.plan.job.terms.umask,
        afs: sources.any(keyring::on_afs),
        container: None,
        after: vec![],
    }
}

/// How a runtime's own failures are told from those of the program.
pub(super) struct Telling<'a> {
    /// The runtime.
    pub(super) runtime: &'static str,
    /// Exit codes with which it ends when it did not start the program. A program may have them, too.
    pub(super) failures: &'static [i32],
    /// How a program of the image is known.
    pub(super) sign: Sign,
    /// The program's file, where it is on the disk and only the runtime opens it.
    pub(super) program: Option<PathBuf>,
    /// Whether its container is there for long enough to be seen without the program.
    pub(super) lasting: bool,
    /// Whether it starts anything on this machine; asked where nobody saw that it did.
    pub(super) works: &'a dyn Fn() -> bool,
    /// Whether the image may have the program; asked as the other one.
    pub(super) there: &'a dyn Fn() -> bool,
}

/// The same as [`attend`], for a runtime that does not say by itself whether it started the program. It did when the
/// code is one that only the program can have given, or when a program of the image was seen. `code` reads the
/// program's code where the runtime has another one.
///
/// # Errors
/// [`ExecuteError::NotSeen`] when that is not known, and [`ExecuteError::Told`] when the job was told to end before.
pub(super) fn attend_seen(
    start: Start,
    manner: &Manner<'_>,
    telling: Telling<'_>,
    code: impl FnOnce(&mut Ended) -> Result<(), ExecuteError>,
) -> Result<Ended, ExecuteError> {
    let witness = Witness::begin(telling.sign, telling.program.as_deref());
    let mut ended = attend(start, manner)?;
    code(&mut ended)?;
    let seen = witness.saw();
    if seen == Seen::Inside {
        return Ok(ended);
    }
    match (ended.told, ended.signal) {
        (Some(signal), _) => Err(ExecuteError::Told(signal)),
        (None, None) if !telling.failures.contains(&ended.code) => Ok(ended),
        (None, _) => {
            let (runtime, code) = (telling.runtime, ended.code);
            let works = (telling.works)();
            let unseen = telling.lasting && seen == Seen::Outside;
            let maybe = works && !unseen && (telling.there)();
            Err(ExecuteError::NotSeen { runtime, code, works, maybe })
        }
    }
}

/// Whether a runtime starts anything: the machine's own shell, in a tree that holds nothing else. `words` are its
/// arguments for the tree and those directories that are to be bound into it. Where that cannot be tried, it is
/// taken to work.
pub(super) fn starts_anything(
    program: &Program,
    words: impl FnOnce(&str, &[&str]) -> Vec<String>,
) -> bool {
    const SHOWN: [&str; 5] = ["/bin", "/lib", "/lib64", "/nix", "/usr"];
    const POINTS: [&str; 6] = ["dev", "etc", "proc", "sys", "tmp", "var/tmp"];
    let Ok(scratch) = scratch::Scratch::make(scratch::PROBE, true) else { return true };
    let tree = scratch.path().join("tree");
    let shown: Vec<&str> = SHOWN.into_iter().filter(|path| Path::new(path).is_dir()).collect();
    let points = shown.iter().map(|path| path.trim_start_matches('/'));
    let made = points.chain(POINTS).try_for_each(|point| fs::create_dir_all(tree.join(point)));
    let (Some(text), Ok(())) = (tree.to_str(), made) else { return true };
    let mut words = words(text, &shown);
    words.extend(["/bin/sh", "-c", "exit 0"].map(String::from));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let own = scratch.path().as_os_str();
    let names =
        ["HOME", "TMPDIR", "XDG_RUNTIME_DIR", "APPTAINER_CONFIGDIR", "SINGULARITY_CONFIGDIR"];
    let mut env: Vec<_> = names.map(|name| (name, own)).into();
    env.push(("USER", OsStr::new("moorline")));
    Program::asked(&program.path, &Asked { words: &words, env: &env, on_stderr: false }).is_ok()
}

/// Why somebody else could put another file at a path while it is opened there.
pub(super) fn exchangeable(path: &Path) -> Option<String> {
    let trusted = [0, rustix::process::geteuid().as_raw()];
    match files::walk(path.parent()?, &trusted, false) {
        Err(error @ WayError::Unsafe { .. }) => Some(error.to_string()),
        // what cannot be looked at is not known to be so
        Ok(_) | Err(WayError::Io(_)) => None,
    }
}

/// Runs the runtime's program to its end, and ends what it leaves behind.
///
/// # Errors
/// When it could not be started.
pub(super) fn attend(mut start: Start, manner: &Manner<'_>) -> Result<Ended, ExecuteError> {
    let ears = hear()?;
    let terminal = Terminal::of_this_process(true)?;
    start.terminal = terminal.pty.is_some();
    // what a leader that was killed leaves behind comes here
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let mut command = Command::new("/proc/self/exe");
    command.arg(LEADER);
    let ended = attended(command, &start, (ears, terminal), manner, None);
    session::end_children();
    ended
}

/// Empty directories over the places where the container would see what is hidden, also through those
/// directories of the machine that the runtime shows by itself (`shown`).
pub(super) fn covers(
    request: &Request<'_>,
    scratch: &Scratch,
    shown: &[&Path],
) -> Result<Vec<Bind>, ExecuteError> {
    let Request { binds, workdir, control, .. } = *request;
    let places = unseen(request.plan, control);
    let own = |source: &Path, target: &Path| Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        access: Access::Rw,
        directory: true,
    };
    let mut seen = Vec::new();
    for path in shown {
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
pub(super) struct Scratch(PathBuf, Option<Held>);

impl Scratch {
    /// In the job's control directory: the runtime would write to the home directory and to
    /// `/run/user/UID`, which workers lack.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make(control: &Path, attempt: &str) -> Result<Self, ExecuteError> {
        let path = scratch::in_control(control, attempt);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(ExecuteError::io(format!("making {}", path.display())))?;
        let held = Held::hold(&path).ok().flatten();
        Ok(Self(path, held))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A new directory in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, ExecuteError> {
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

    /// Hostile review of 2026-11-30: `--option=-b` swallowed the image of ch-run, and the first bare word was podman's.
    #[test]
    fn no_option_is_taken_for_the_image() {
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            options(&words, "ch-run", "--cd=/work_dir")
        };
        assert!(of(&[]).unwrap().is_empty());
        assert_eq!(of(&["-b"]).unwrap(), ["-b", "--cd=/work_dir"], "it swallows the guard");
        assert_eq!(of(&["--nv", "--a=b"]).unwrap(), ["--nv", "--a=b", "--cd=/work_dir"]);
        for word in ["image", "", "-", "--", "a=b"] {
            let refused = of(&["--entrypoint", word]).unwrap_err();
            assert!(matches!(refused, ExecuteError::Option { .. }), "{word:?}: {refused}");
        }
    }
}
