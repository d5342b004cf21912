//! What the backends' tests share: job directories, patience, and the one suite that every backend
//! must pass.

use std::path::{Path, PathBuf};
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
    }
}

/// An engine that is spoken to through its commands.
#[allow(dead_code)] // not every program that includes this file has one
pub fn engine(kind: &str, environment: &Environment) -> Engine {
    moorline::backend::commanded(kind, environment).unwrap()
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
    assert_eq!(backend.find(&forking.intent).unwrap(), std::slice::from_ref(&forking_key));
    assert_eq!(backend.find(&IntentId::from_bytes([0xee; 16])).unwrap(), []);

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
        assert_eq!(backend.find(&order.intent).unwrap(), std::slice::from_ref(key));
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
