//! What the backends' tests share: job directories, patience, and the one suite that every backend
//! must pass.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use moorline::backend::{Backend, Engine, Environment, Order, Seen};
use moorline::job::{EngineKey, IntentId, JobId, JobState, Resources};

/// Much longer than anything takes; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A new job directory below `jobs` whose script is `script`.
pub fn order(jobs: &Path, script: &str) -> Order {
    let mut random = [0; 26];
    getrandom::fill(&mut random).unwrap();
    let number = u128::from_be_bytes(random[..16].try_into().unwrap());
    let job = JobId::from_parts(1_700_000_000_000, number >> 48);
    let dir = jobs.join(job.to_string());
    std::fs::create_dir_all(dir.join("control")).unwrap();
    std::fs::create_dir(dir.join("work")).unwrap();
    std::fs::write(dir.join("control/job.sh"), format!("#!/bin/sh\n{script}\n")).unwrap();
    Order {
        job,
        intent: IntentId::from_bytes(random[10..26].try_into().unwrap()),
        dir,
        digest: format!("sha256:{:064x}", 7),
        resources: Resources::default(),
        hold: false,
        tasks: None,
        at_once: None,
        sent: None,
    }
}

/// An engine that is spoken to through its commands.
pub fn engine(kind: &str, environment: &Environment) -> Engine {
    moorline::backend::commanded(kind, environment).unwrap()
}

/// A real engine that `tests/env/PART.sh` started: `MOORLINE_TEST_PART` names its file `DIR/env`, whose
/// `export NAME='value'` lines say how it is reached, and the ordinary account that submits
/// (`MOORLINE_TEST_PART_USER`). Started as root, a test runs itself again as that account.
pub struct Real {
    pub part: &'static str,
    /// The module of the tests.
    pub module: &'static str,
}

impl Real {
    fn variable(&self) -> String {
        format!("MOORLINE_TEST_{}", self.part.to_uppercase())
    }

    /// `None` when there is none to test with.
    pub fn env(&self, test: &str) -> Option<HashMap<String, String>> {
        let (part, name) = (self.part, self.variable());
        let Some(file) = std::env::var_os(&name) else {
            let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|p| p == part), "{test}: {part} is required here");
            let why = format!("{name} is not set (tests/env/{part}.sh starts one)");
            // Not eprintln: what that prints in a passing test is not shown.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
            return None;
        };
        let text = std::fs::read_to_string(&file).expect("the file of the engine");
        let pair = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        Some(text.lines().filter_map(pair).collect())
    }

    /// Runs the body as the ordinary user: directly, or in a copy of this program started as that user
    /// with these variables more. The body gets an environment that knows the engine.
    pub fn as_user(
        &self,
        test: &str,
        more: &[(&str, &str)],
        body: impl FnOnce(Environment, &Path),
    ) {
        let Some(env) = self.env(test) else { return };
        let base = tempfile::tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let again = std::env::var("MOORLINE_TEST_AGAIN").is_ok_and(|name| name == test);
        if again || (!is_root && more.is_empty()) {
            let ours = env.iter().filter(|(name, _)| !name.starts_with("MOORLINE_"));
            let ours = ours.map(|(name, value)| (name.into(), value.into()));
            body(Environment::allowed(std::env::vars_os().chain(ours)), base.path());
            return;
        }
        let copy = base.path().join("again");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        for path in [base.path(), &copy] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut words: Vec<String> = vec![];
        if is_root {
            let user = &env[&format!("{}_USER", self.variable())];
            let setpriv =
                ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--reset-env"];
            words.extend([&setpriv[..], &["--"]].concat().into_iter().map(str::to_owned));
        }
        // --reset-env forgets all variables, so they are set after it.
        let name = self.variable();
        let file = std::env::var(&name).unwrap();
        let own = [("MOORLINE_TEST_AGAIN", test), (&name, &file)];
        words.push("env".to_owned());
        words.extend(own.iter().chain(more).map(|(name, value)| format!("{name}={value}")));
        let exe = copy.to_str().unwrap();
        let exact = format!("{}::{test}", self.module);
        words.extend([exe, "--exact", &exact, "--nocapture"].map(str::to_owned));
        let status = Command::new(&words[0]).args(&words[1..]).current_dir("/").status().unwrap();
        assert!(status.success(), "{test} as an ordinary user: {status}");
    }
}

/// Polls until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn status(backend: &dyn Backend, key: &EngineKey) -> Seen {
    backend.status(std::slice::from_ref(key)).unwrap().remove(0)
}

pub fn end(backend: &dyn Backend, key: &EngineKey) -> Seen {
    until(&format!("the end of {key}"), || {
        Some(status(backend, key)).filter(|seen| seen.state.is_final())
    })
}

/// The number that a job wrote to a file, once it is there.
pub fn pid_in(file: &Path) -> i32 {
    until(&file.display().to_string(), || {
        std::fs::read_to_string(file).ok().filter(|t| t.ends_with('\n'))?.trim().parse().ok()
    })
}

/// Whether a process still runs; a zombie does not.
pub fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub fn environment() -> Environment {
    Environment::allowed(std::env::vars_os())
}

/// A directory whose name has what engines, shells and Slurm's file patterns might read as theirs.
pub fn awkward(base: &Path) -> PathBuf {
    let dir = base.join("jobs %j 100%% 'q' $(touch canary) #SBATCH;x");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// What every backend must do. `jobs` is where it looks for job directories.
pub fn suite(backend: &dyn Backend, jobs: &Path) {
    let submit = |order: &Order| backend.submit(order).unwrap();

    // All are submitted before the first is waited for: an engine takes its time.
    let talks = "echo out; echo err >&2; pwd; echo \"$#\" \"$1\"; exit 7";
    let talking = order(jobs, talks);
    let talking_key = submit(&talking);
    let fine = order(jobs, "exit 0");
    let fine_key = submit(&fine);
    let shot = order(jobs, "kill -9 $$");
    let shot_key = submit(&shot);
    // `exec` in the inner shell: the number written is that of the process that stays.
    let forks = "( sh -c 'echo $$ >../grandchild; exec sleep 10000' & )\nsleep 10000";
    let forking = order(jobs, forks);
    let forking_key = submit(&forking);
    for key in [&talking_key, &fine_key, &shot_key, &forking_key] {
        assert_eq!(key.kind, backend.kind());
        assert!(key.cluster.is_some() && !key.owner.is_empty(), "{key:?}");
        let age = jiff::Timestamp::now().duration_since(key.submitted_at);
        assert!(age.unsigned_abs() < PATIENCE, "{key:?} was submitted {age:?} ago");
    }

    // Found again by its intent, with the same key, while it runs.
    assert_eq!(
        backend.find(&forking.job, &forking.intent).unwrap(),
        std::slice::from_ref(&forking_key)
    );
    assert_eq!(backend.find(&forking.job, &IntentId::from_bytes([0xee; 16])).unwrap(), []);

    // State, exit code and output.
    let seen = end(backend, &talking_key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(7)), "{seen:?}");
    let read = |name: &str| std::fs::read_to_string(talking.dir.join(name)).unwrap();
    let (work, control) = (talking.dir.join("work"), talking.dir.join("control"));
    assert_eq!(read("stdout"), format!("out\n{}\n1 {}\n", work.display(), control.display()));
    assert_eq!(read("stderr"), "err\n");
    let seen = end(backend, &fine_key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Completed, Some(0)), "{seen:?}");
    let seen = end(backend, &shot_key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(137)), "{seen:?}");

    // Cancelling ends a process that has forked twice.
    let grandchild = pid_in(&forking.dir.join("grandchild"));
    until("the running job", || {
        (status(backend, &forking_key).state == JobState::Running).then_some(())
    });
    assert!(runs(grandchild));
    backend.cancel(&forking_key).unwrap();
    let seen = end(backend, &forking_key);
    assert_eq!(seen.state, JobState::Killed, "{seen:?}");
    until("the grandchild's end", || (!runs(grandchild)).then_some(()));
    backend.cancel(&forking_key).expect("cancelling what has ended is no error");
    backend.cancel(&fine_key).expect("cancelling what has ended is no error");
    assert_eq!(status(backend, &fine_key).state, JobState::Completed);

    // Unknown is not finished, and answers come in the order of the questions.
    // of the form that this engine's ids have
    let digits = if backend.facts().here { 26 } else { 6 };
    let other = if backend.facts().here { "0" } else { "9" };
    let tail = fine_key.id.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let stranger = EngineKey { id: other.repeat(digits) + tail, ..fine_key.clone() };
    let seen = backend.status(&[fine_key.clone(), stranger.clone(), talking_key.clone()]).unwrap();
    let states: Vec<_> = seen.iter().map(|seen| seen.state).collect();
    assert_eq!(states, [JobState::Completed, JobState::Unknown, JobState::Failed]);
    backend.cancel(&stranger).expect_err("an unknown job cannot be cancelled");

    if backend.facts().can_hold {
        held(backend, jobs);
    }

    // The number is right, but the job that had it was another one.
    let long_ago = fine_key.submitted_at - jiff::SignedDuration::from_hours(1000);
    let reissued = EngineKey { submitted_at: long_ago, ..fine_key.clone() };
    let owner = EngineKey { owner: "somebody-else".to_owned(), ..fine_key };
    if !backend.facts().here {
        assert_eq!(status(backend, &reissued).state, JobState::Unknown);
        assert_eq!(status(backend, &owner).state, JobState::Unknown);
    }
}

/// What an engine must do that can hold: a job waits until it is released, is found and ended while it waits,
/// and a release that comes too late is no error.
fn held(backend: &dyn Backend, jobs: &Path) {
    let to_hold = |script: &str| Order { hold: true, ..order(jobs, script) };
    let waits = to_hold("echo begun");
    let waits_key = backend.submit(&waits).unwrap();
    let ends = to_hold("echo begun");
    let ends_key = backend.submit(&ends).unwrap();
    // one that was submitted later and is not held shows that the engine had the time to begin them
    let free = order(jobs, "exit 0");
    let free_key = backend.submit(&free).unwrap();
    assert_eq!(end(backend, &free_key).state, JobState::Completed);
    for (order, key) in [(&waits, &waits_key), (&ends, &ends_key)] {
        let seen = status(backend, key);
        assert_eq!((seen.state, seen.held), (JobState::Submitted, true), "{seen:?}");
        assert_eq!(backend.find(&order.job, &order.intent).unwrap(), std::slice::from_ref(key));
    }
    backend.release(&waits_key).unwrap();
    let seen = end(backend, &waits_key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Completed, Some(0)), "{seen:?}");
    assert_eq!(std::fs::read_to_string(waits.dir.join("stdout")).unwrap(), "begun\n");
    backend.release(&waits_key).expect("releasing what has ended is no error");
    backend.cancel(&ends_key).unwrap();
    assert_eq!(end(backend, &ends_key).state, JobState::Killed);
    let out = std::fs::read_to_string(ends.dir.join("stdout")).unwrap_or_default();
    assert_eq!(out, "", "it never began");
}
