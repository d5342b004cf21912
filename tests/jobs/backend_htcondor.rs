//! The suite on a real `HTCondor` (`tests/env/htcondor.sh`), as an ordinary user, and what only that one promises.

use std::path::PathBuf;
use std::process::Command;

use crate::backend::{
    Real, awkward, end, engine, environment, order, pid_in, status, suite, until,
};
use moorline::backend::{Backend, BackendError, Environment, Order};
use moorline::job::{IntentId, JobId, JobState, Resources};

const HTCONDOR: Real = Real { part: "htcondor", module: "backend_htcondor" };

#[test]
fn the_suite() {
    HTCONDOR.as_user("the_suite", &[], |environment, base| {
        assert!(!rustix::process::geteuid().is_root());
        suite(&engine("htcondor", &environment), &awkward(base));
        let names: Vec<_> =
            std::fs::read_dir(base).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "no canary: {names:?}");
    });
}

#[test]
fn secrets_of_the_submitter_do_not_reach_the_job() {
    let sentinels = [
        ("MOORLINE_PASSWORD", "sentinel-NTbq1"),
        ("CI_JOB_TOKEN", "sentinel-NTbq3"),
        ("DOCKER_AUTH_CONFIG", "sentinel-NTbq5"),
        ("_CONDOR_PASSWORD", "sentinel-NTbq6"),
    ];
    let test = "secrets_of_the_submitter_do_not_reach_the_job";
    HTCONDOR.as_user(test, &sentinels, |environment, base| {
        assert_eq!(std::env::var("CI_JOB_TOKEN").as_deref(), Ok("sentinel-NTbq3"));
        let htcondor = engine("htcondor", &environment);
        let order = order(base, "env; cat /proc/$PPID/environ 2>/dev/null; exit 200");
        let key = htcondor.submit(&order).unwrap();
        let seen = end(&htcondor, &key);
        assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(200)), "{seen:?}");
        let out = std::fs::read_to_string(order.dir.join("stdout")).unwrap();
        assert!(out.contains(&format!("CONDOR_JOB_ID={}\n", key.id)), "{out}");
        let shown = Command::new("condor_history").args(["-long", &key.id]).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains(&order.intent.to_string()), "{shown}");
        for text in [&out, &shown] {
            assert!(!text.contains("sentinel-NTbq"), "{text}");
        }
    });
}

#[test]
fn limits_and_faults_end_a_job() {
    let test = "limits_and_faults_end_a_job";
    HTCONDOR.as_user(test, &[], |environment, base| {
        let htcondor = engine("htcondor", &environment);
        let mut long = order(base, "echo $$ >../main; sleep 10000");
        long.resources.time_seconds = Some(2);
        let long_key = htcondor.submit(&long).unwrap();
        // a pool holds what it cannot start
        let lost = order(base, "exit 0");
        std::fs::remove_dir(lost.dir.join("work")).unwrap();
        let lost_key = htcondor.submit(&lost);
        pid_in(&long.dir.join("main"));
        let seen = end(&htcondor, &long_key);
        assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(218)), "{seen:?}");
        match lost_key {
            Ok(key) => {
                let seen = end(&htcondor, &key);
                assert_eq!((seen.state, seen.exit_code), (JobState::Failed, None), "{seen:?}");
                assert!(seen.reason.is_some(), "{seen:?}");
            }
            // or it is not submitted at all
            Err(error) => assert!(matches!(error, BackendError::Refused { .. }), "{error:?}"),
        }
    });
}

#[test]
fn a_hold_of_the_owner_is_no_submission_hold() {
    let test = "a_hold_of_the_owner_is_no_submission_hold";
    HTCONDOR.as_user(test, &[], |environment, base| {
        let htcondor = engine("htcondor", &environment);
        let order = Order { hold: true, ..order(base, "exit 0") };
        let key = htcondor.submit(&order).unwrap();
        assert!(status(&htcondor, &key).held);
        let call = |name: &str| {
            let done = Command::new(name).arg(&key.id).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        };
        call("condor_release");
        // it may have begun
        let held = Command::new("condor_hold").arg(&key.id).output().unwrap();
        if held.status.success() {
            let seen = until("an answer", || {
                Some(status(&htcondor, &key)).filter(|seen| seen.state != JobState::Running)
            });
            assert!(!seen.held, "{seen:?}");
        }
        let _ = htcondor.cancel(&key);
    });
}

#[test]
fn no_htcondor_is_told_apart() {
    let base = tempfile::tempdir().unwrap();
    let order = order(base.path(), "exit 0");
    let nowhere = [("PATH".into(), base.path().as_os_str().to_owned())];
    let absent = engine("htcondor", &Environment::allowed(nowhere));
    for error in
        [absent.submit(&order).unwrap_err(), absent.find(&order.job, &order.intent).unwrap_err()]
    {
        assert!(matches!(error, BackendError::Absent { .. }), "{error:?}");
    }
    assert!(absent.plan(&order).is_ok(), "a plan needs no HTCondor");
}

#[test]
fn plans() {
    let order = Order {
        job: JobId::from_parts(1_700_000_000_000, 42),
        intent: IntentId::from_bytes([7; 16]),
        dir: PathBuf::from("/home/alice/it's $5 jobs/01HF7YAT000000000000000001A"),
        digest: format!("sha256:{}", "a".repeat(64)),
        resources: Resources {
            cpus: Some(4),
            memory_mib: Some(2048),
            time_seconds: Some(93_784),
            queue: None,
            account: Some("hep".into()),
        },
        hold: true,
        tasks: None,
        at_once: None,
        sent: None,
    };
    let plan = engine("htcondor", &environment()).plan(&order).unwrap();
    let text = plan.argv.join("\n") + "\n\n" + &plan.files[0].1;
    snapbox::assert_data_eq!(text, snapbox::file!["../golden/backend/htcondor.txt"].raw());
}
