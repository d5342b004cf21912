//! The suite on the local backend, and what only that one promises.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backend::{awkward, end, environment, order, pid_in, runs, status, suite, until};
use moorline::backend::{Backend, BackendError, Local};
use moorline::job::{EngineKey, JobState};

/// Tells the entry point below that it is wanted, and in which directory.
const ENTRY: &str = "MOORLINE_TEST_ENTRY";

/// The program whose hidden verb `supervise` stands over a job.
const PROGRAM: &str = env!("CARGO_BIN_EXE_moorline");

fn local(base: &Path) -> (Local, PathBuf) {
    let jobs = awkward(base);
    (Local::new(PROGRAM.into(), jobs.clone(), environment()), jobs)
}

#[test]
fn the_suite() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    suite(&local, &jobs);
}

/// Starts a process that leaves the session, and one that also ignores TERM; both say their number.
const ESCAPES: &str = "setsid sh -c '( echo $$ >../escaped; exec sleep 10000 ) & ' &
( setsid sh -c 'trap \"\" TERM HUP; echo $$ >../stubborn; while :; do sleep 1000; done' & )
while [ ! -s ../escaped ] || [ ! -s ../stubborn ]; do sleep 0.01; done
echo $$ >../main; ";

#[test]
fn cancel_ends_what_left_the_session_and_what_ignores_term() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let order = order(&jobs, &format!("{ESCAPES} sleep 10000"));
    let key = local.submit(&order).unwrap();
    pid_in(&order.dir.join("main"));
    let pids = ["escaped", "stubborn"].map(|name| pid_in(&order.dir.join(name)));
    local.cancel(&key).unwrap();
    assert_eq!(status(&local, &key).state, JobState::Killed);
    assert!(pids.iter().all(|pid| !runs(*pid)), "cancel returns when all are gone");
}

/// The program's grace is the job's, and the backend's KILL comes after it: cancelled or out of time.
#[test]
fn a_job_has_the_grace_that_it_asked_for() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let slow = "trap 'trap \"\" TERM; sleep 7; echo done >../finished; exit 0' TERM; echo $$ >../main; \
                while :; do sleep 0.1; done";
    let mut orders = [order(&jobs, slow), order(&jobs, slow), order(&jobs, slow)];
    orders[1].resources.time_seconds = Some(1);
    let keys = orders.each_ref().map(|order| {
        let grace = if order.job == orders[2].job { None } else { Some(9) };
        std::fs::write(order.dir.join("control/plan.json"), plan(order, grace)).unwrap();
        local.submit(order).unwrap()
    });
    for order in &orders {
        pid_in(&order.dir.join("main"));
    }
    std::thread::scope(|threads| {
        for key in [&keys[0], &keys[2]] {
            let local = &local;
            threads.spawn(move || local.cancel(key).unwrap());
        }
    });
    assert_eq!(end(&local, &keys[1]).exit_code, Some(218));
    let finished = orders.each_ref().map(|order| order.dir.join("finished").exists());
    assert_eq!(finished, [true, true, false], "the last one asked for nothing");
}

/// A plan with this grace, as `submit` writes it.
fn plan(order: &moorline::backend::Order, grace: Option<u32>) -> Vec<u8> {
    use moorline::job::{JobSpec, Nonce, Terms};
    let place = order.dir.join("x.sif");
    let digest = moorline::oci::Sha256Digest::from_bytes([7; 32]);
    let image =
        moorline::pin::Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None };
    let delivery = moorline::job::Delivery::Shared { place };
    let job = JobSpec {
        resources: order.resources.clone(),
        terms: Terms { grace, ..Terms::default() },
        ..JobSpec::plain(order.job, image, delivery, vec!["true".into()])
    };
    let ids = (order.intent, Nonce::from_bytes([3; 16]));
    let plan = moorline::worker::Plan::plain(ids, job, order.dir.join("work"));
    plan.to_bytes().unwrap()
}

#[test]
fn nothing_outlives_the_jobs_first_process() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let order = order(&jobs, &format!("{ESCAPES} exit 3"));
    let key = local.submit(&order).unwrap();
    let seen = end(&local, &key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(3)), "{seen:?}");
    let pids = ["escaped", "stubborn"].map(|name| pid_in(&order.dir.join(name)));
    assert!(pids.iter().all(|pid| !runs(*pid)));
}

#[test]
fn the_time_limit_ends_the_job() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let mut order = order(&jobs, "echo $$ >../main; sleep 10000; exit 0");
    order.resources.time_seconds = Some(1);
    let key = local.submit(&order).unwrap();
    let seen = end(&local, &key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(218)), "{seen:?}");
    assert!(!runs(pid_in(&order.dir.join("main"))));
}

#[test]
#[ignore = "the submitting process, started by another test"]
fn submitter_entry() {
    let base = PathBuf::from(std::env::var_os(ENTRY).expect("started by another test"));
    let (local, jobs) = local(&base);
    let script = "echo $$ >../main; while [ ! -e ../go ]; do sleep 0.05; done; env; exit 5";
    let order = order(&jobs, script);
    let key = local.submit(&order).unwrap();
    std::fs::write(base.join("key"), serde_json::to_vec(&key).unwrap()).unwrap();
}

#[test]
fn a_job_survives_its_submitter_and_sees_none_of_its_secrets() {
    let base = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    // The submitter's whole process group gets the hang-up that a closed terminal sends.
    let run =
        "\"$0\" --exact --ignored backend_suite::submitter_entry >&2; kill -HUP 0; sleep 1000";
    let status = Command::new("setsid")
        .args(["--wait", "sh", "-c", run])
        .arg(&exe)
        .env(ENTRY, base.path())
        .envs([
            ("MOORLINE_PASSWORD", "sentinel-1"),
            ("CI_JOB_TOKEN", "sentinel-2"),
            ("DOCKER_AUTH_CONFIG", "sentinel-3"),
            ("MY_PASSWORD", "sentinel-4"),
            ("MOORLINE_SIGNING_KEY", "sentinel-5"),
            ("LD_PRELOAD", ""),
        ])
        .status()
        .unwrap();
    assert!(!status.success(), "the hang-up ended the group: {status}");
    let key: EngineKey =
        serde_json::from_slice(&std::fs::read(base.path().join("key")).unwrap()).unwrap();

    let (local, jobs) = local(base.path());
    let dir = jobs.join(&key.id);
    assert!(runs(pid_in(&dir.join("main"))));
    assert_eq!(crate::backend::status(&local, &key).state, JobState::Running);
    std::fs::write(dir.join("go"), "").unwrap();
    let seen = end(&local, &key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(5)), "{seen:?}");
    let names = std::fs::read_to_string(dir.join("stdout")).unwrap();
    assert!(names.contains("PATH="), "{names}");
    for file in ["stdout", "stderr", "control/local.json", "control/supervisor.log"] {
        let text = std::fs::read_to_string(dir.join(file)).unwrap();
        assert!(!text.contains("sentinel"), "{file}: {text}");
    }
}

fn supervisor(dir: &Path) -> i32 {
    let record = std::fs::read(dir.join("control/local.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    i32::try_from(record["supervisor"]["pid"].as_i64().unwrap()).unwrap()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_killed_supervisor_is_told_honestly_and_its_orphans_are_found() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let order = order(&jobs, &format!("{ESCAPES} sleep 10000"));
    let key = local.submit(&order).unwrap();
    let main = pid_in(&order.dir.join("main"));
    let pids = ["escaped", "stubborn"].map(|name| pid_in(&order.dir.join(name)));
    kill(supervisor(&order.dir));
    let seen = until("the supervisor's end", || {
        Some(status(&local, &key)).filter(|seen| seen.state != JobState::Running)
    });
    assert_eq!((seen.state, seen.exit_code), (JobState::Unknown, None), "{seen:?}");
    assert!(seen.reason.as_ref().unwrap().contains(&main.to_string()), "{seen:?}");
    assert!(runs(main));

    local.cancel(&key).unwrap();
    assert!(!runs(main) && pids.iter().all(|pid| !runs(*pid)));
    assert_eq!(status(&local, &key).state, JobState::Killed);
}

#[test]
fn a_job_whose_whole_family_was_killed_has_failed_without_a_code() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let order = order(&jobs, "echo $$ >../main; exec sleep 10000");
    let key = local.submit(&order).unwrap();
    let main = pid_in(&order.dir.join("main"));
    kill(supervisor(&order.dir));
    kill(main);
    let seen = end(&local, &key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, None), "{seen:?}");
    assert!(seen.reason.unwrap().contains("supervisor was killed"));
}

#[test]
fn a_restarted_machine_is_told_and_no_stranger_is_signalled() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let order = order(&jobs, "sleep 10000");
    let key = local.submit(&order).unwrap();
    let file = order.dir.join("control/local.json");
    let now = std::fs::read_to_string(&file).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    std::fs::write(&file, now.replace(boot.trim(), "another-boot")).unwrap();
    let seen = status(&local, &key);
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, None), "{seen:?}");
    assert!(seen.reason.unwrap().contains("restarted"));
    local.cancel(&key).expect_err("those process numbers mean nothing any more");
    assert!(runs(supervisor(&order.dir)));
    std::fs::write(&file, now).unwrap();
    local.cancel(&key).unwrap();
}

#[test]
fn one_order_is_one_job() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let order = order(&jobs, "echo once >>../times");
    let key = local.submit(&order).unwrap();
    local.submit(&order).expect_err("it was submitted before");
    assert_eq!(end(&local, &key).state, JobState::Completed);
    assert_eq!(std::fs::read_to_string(order.dir.join("times")).unwrap(), "once\n");
}

#[test]
fn a_supervisor_that_does_not_begin_is_an_error_and_leaves_no_job() {
    let base = tempfile::tempdir().unwrap();
    let (good, jobs) = local(base.path());
    let order = order(&jobs, "exit 0");
    for (program, words) in [("/bin/false", "ended at once"), ("/no/such/program", "not found")] {
        let local = Local::new(program.into(), jobs.clone(), environment());
        let error = local.submit(&order).unwrap_err();
        assert!(matches!(error, BackendError::Failed { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(local.find(&order.job, &order.intent).unwrap(), []);
    }
    let key = good.submit(&order).expect("the same order can be given again");
    assert_eq!(end(&good, &key).state, JobState::Completed);
}

#[test]
fn an_id_cannot_be_a_path_and_a_directory_must_be_the_jobs_own() {
    let base = tempfile::tempdir().unwrap();
    let (local, jobs) = local(base.path());
    let mut order = order(&jobs, "exit 0");
    let key = local.submit(&order).unwrap();
    let path = EngineKey { id: format!("../jobs/{}", key.id), ..key };
    assert_eq!(status(&local, &path).state, JobState::Unknown);
    order.dir = base.path().to_owned();
    assert!(matches!(local.plan(&order), Err(BackendError::Unfit { .. })));
}
