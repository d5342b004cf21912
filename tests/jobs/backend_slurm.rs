//! The suite on a real Slurm (`tests/env/slurm.sh`), as an ordinary user, and what must not leak.
//!
//! `MOORLINE_TEST_SLURM` names the file `DIR/env` of a running one. Started as root, each test
//! runs itself again as the account that the file names.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::backend::{
    Real, awkward, end, engine, environment, order, pid_in, status, suite, until,
};
use crate::support::records;
use moorline::backend::{Backend, BackendError, Engine, Environment, Local, Order};
use moorline::job::{EngineKey, IntentId, JobId, JobState, Resources, Tasks};

fn of_slurm(environment: &Environment) -> Engine {
    engine("slurm", environment)
}

const SLURM: Real = Real { part: "slurm", module: "backend_slurm" };

/// `export NAME='value'` lines of `DIR/env`; `None` when there is no Slurm to test with.
fn slurm_env(name: &str) -> Option<HashMap<String, String>> {
    SLURM.env(name)
}

fn as_user(test: &str, more: &[(&str, &str)], body: impl FnOnce(Environment, &Path)) {
    SLURM.as_user(test, more, body);
}

#[test]
fn the_suite() {
    as_user("the_suite", &[], |environment, base| {
        assert!(!rustix::process::geteuid().is_root());
        suite(&of_slurm(&environment), &awkward(base));
        let names: Vec<_> =
            std::fs::read_dir(base).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "no canary: {names:?}");
    });
}

const SENTINELS: [(&str, &str); 6] = [
    ("MOORLINE_PASSWORD", "sentinel-NTbq1"),
    ("MOORLINE_SIGNING_KEY", "sentinel-NTbq2"),
    ("CI_JOB_TOKEN", "sentinel-NTbq3"),
    ("CI_REGISTRY_PASSWORD", "sentinel-NTbq4"),
    ("DOCKER_AUTH_CONFIG", "sentinel-NTbq5"),
    // Slurm's own prefix: `sbatch --export` sends every SLURM_* on.
    ("SLURM_CLUSTER_PASSWORD", "sentinel-NTbq6"),
];

/// How each of them begins.
const SENTINEL: &str = "sentinel-NTbq";

/// The files below a directory that hold a text.
fn search(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(search(&path, text));
        } else if kind.is_file() {
            // A file of a running daemon may be gone by now.
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|w| w == text.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn secrets_of_the_submitter_reach_neither_job_nor_slurm() {
    let test = "secrets_of_the_submitter_reach_neither_job_nor_slurm";
    as_user(test, &SENTINELS, |environment, base| {
        assert_eq!(std::env::var("CI_JOB_TOKEN").as_deref(), Ok("sentinel-NTbq3"));
        let conf = slurm_conf();
        let slurm = of_slurm(&environment);
        let script =
            "env; cat /proc/$PPID/environ 2>/dev/null; while [ ! -e ../go ]; do sleep 0.1; done";
        let order = order(base, script);
        let key = slurm.submit(&order).unwrap();
        until("running", || (status(&slurm, &key).state == JobState::Running).then_some(()));
        // While it runs, Slurm keeps script and environment for it.
        let ask = |program: &str, args: &[&str]| {
            let out = Command::new(program).args(args).env("SLURM_CONF", &conf).output().unwrap();
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        let shown = ask("scontrol", &["show", "job", "-dd", &key.id]);
        std::fs::write(order.dir.join("go"), "").unwrap();
        assert_eq!(end(&slurm, &key).state, JobState::Completed);
        // the accounting hears of a job's comment some time after its end
        let comment = format!("moorline:{}:", order.intent);
        let line = until("accounted for", || {
            let line = ask("sacct", &["-n", "-P", "-j", &key.id, "-o", "ALL"]);
            line.contains(&comment).then_some(line)
        });
        let stdout = std::fs::read_to_string(order.dir.join("stdout")).unwrap();
        assert!(stdout.contains("SLURM_JOB_ID="), "{stdout}");
        for text in [&shown, &line, &stdout] {
            assert!(!text.contains(SENTINEL), "{text}");
        }
    });
    // As root, everything that Slurm kept: state, spool, logs, the database, and what it shows.
    if let Some(env) = slurm_env(test).filter(|_| rustix::process::geteuid().is_root()) {
        let conf = &env["SLURM_CONF"];
        let dir = Path::new(conf).parent().unwrap();
        assert!(!search(dir, "moorline-01").is_empty(), "the search finds jobs' names");
        assert_eq!(search(dir, SENTINEL), [] as [PathBuf; 0]);
        let ask = |args: &[&str]| {
            let out = Command::new("sacct").args(args).env("SLURM_CONF", conf).output().unwrap();
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        let user = &env["MOORLINE_TEST_SLURM_USER"];
        let ids = ask(&["-n", "-X", "-P", "-u", user, "-S", "now-1hours", "-o", "JobIDRaw"]);
        let ids = ids.split_whitespace().collect::<Vec<_>>().join(",");
        let kept = ask(&["-j", &ids, "--env-vars"]) + &ask(&["-j", &ids, "--batch-script"]);
        assert!(kept.contains("SLURM_JOB_NAME=moorline-"), "{kept}");
        assert!(!kept.contains(SENTINEL), "{kept}");
    }
}

/// Where the cluster's configuration is.
fn slurm_conf() -> String {
    slurm_env("").unwrap()["SLURM_CONF"].clone()
}

#[test]
fn variables_of_slurms_commands_change_nothing() {
    let test = "variables_of_slurms_commands_change_nothing";
    let hostile = [
        ("SBATCH_PARTITION", "no-such-partition"),
        ("SBATCH_JOB_NAME", "hostile"),
        ("SBATCH_EXPORT", "ALL"),
        ("SBATCH_REQUEUE", "1"),
        ("SBATCH_ARRAY_INX", "1-3"),
        ("SBATCH_WAIT", "1"),
        ("SACCT_FORMAT", "JobName"),
        ("SQUEUE_FORMAT", "%j"),
        ("SQUEUE_FORMAT2", "name"),
        ("SQUEUE_USERS", "nobody"),
        ("SLURM_TIME_FORMAT", "%Y"),
        ("SLURM_CLUSTERS", "elsewhere"),
        ("SCANCEL_STATE", "PENDING"),
        ("SCANCEL_INTERACTIVE", "1"),
        ("LC_ALL", "de_DE.UTF-8"),
    ];
    as_user(test, &hostile, |environment, base| {
        assert_eq!(std::env::var("SBATCH_PARTITION").as_deref(), Ok("no-such-partition"));
        let slurm = of_slurm(&environment);
        let order = order(
            base,
            "echo \"$SLURM_JOB_NAME ${SLURM_ARRAY_TASK_ID:-none}\"; echo $$ >../main; sleep 1000",
        );
        let key = slurm.submit(&order).unwrap();
        // Slurm says RUNNING some time before the script's first line.
        pid_in(&order.dir.join("main"));
        assert_eq!(slurm.find(&order.job, &order.intent).unwrap(), std::slice::from_ref(&key));
        slurm.cancel(&key).unwrap();
        assert_eq!(end(&slurm, &key).state, JobState::Killed);
        let stdout = std::fs::read_to_string(order.dir.join("stdout")).unwrap();
        assert_eq!(stdout, format!("moorline-{} none\n", order.job));
    });
}

#[test]
fn a_job_is_found_by_the_accounting_alone_and_beside_hostile_comments() {
    let test = "a_job_is_found_by_the_accounting_alone_and_beside_hostile_comments";
    as_user(test, &[], |environment, base| {
        let conf = slurm_conf();
        let slurm = of_slurm(&environment);
        let order = order(base, "exit 0");
        // Another job of this account, whose comment plays a row with this intent.
        let comment = format!("x\n1|1|somebody|moorline:{}:\n|||", order.intent);
        let other = Command::new("sbatch")
            .args(["--parsable", "--hold", "--wrap=sleep 1", "--output=/dev/null"])
            .arg(format!("--comment={comment}"))
            .env("SLURM_CONF", &conf)
            .output()
            .unwrap();
        assert!(other.status.success(), "{other:?}");
        assert_eq!(slurm.find(&order.job, &order.intent).unwrap(), []);
        let key = slurm.submit(&order).unwrap();
        assert_eq!(end(&slurm, &key).state, JobState::Completed);

        // A controller that has forgotten the job: a `squeue` that lists nothing.
        let fake = base.join("squeue");
        std::fs::write(&fake, "#!/bin/sh\nexit 0\n").unwrap();
        std::fs::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", base.display());
        let vars = [("PATH".into(), path.into()), ("SLURM_CONF".into(), conf.clone().into())];
        let forgetful = of_slurm(&Environment::allowed(vars));
        until("the accounting", || {
            (forgetful.find(&order.job, &order.intent).unwrap() == [key.clone()]).then_some(())
        });
        assert_eq!(end(&forgetful, &key).state, JobState::Completed);

        let id = String::from_utf8(other.stdout).unwrap();
        let cancelled = Command::new("scancel").arg(id.trim()).env("SLURM_CONF", &conf).status();
        assert!(cancelled.unwrap().success());
    });
}

#[test]
fn a_refusal_says_why() {
    as_user("a_refusal_says_why", &[], |environment, base| {
        let slurm = of_slurm(&environment);
        let mut order = order(base, "exit 0");
        order.resources.queue = Some("no-such-partition".into());
        let error = slurm.submit(&order).unwrap_err();
        assert!(matches!(error, BackendError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("invalid partition"), "{error}");
        order.resources.queue = None;
        order.resources.cpus = Some(100_000);
        let error = slurm.submit(&order).unwrap_err();
        assert!(matches!(error, BackendError::Refused { .. }), "{error:?}");
        assert_eq!(slurm.find(&order.job, &order.intent).unwrap(), []);
    });
}

#[test]
fn a_controller_that_is_not_there_is_told_apart() {
    as_user("a_controller_that_is_not_there_is_told_apart", &[], |_, base| {
        // The same configuration with a port where nobody listens: free a moment ago.
        let conf = std::fs::read_to_string(slurm_conf()).unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let other = |line: &str| match line.split_once('=') {
            Some(("SlurmctldPort" | "AccountingStoragePort", _)) => {
                line.split_once('=').unwrap().0.to_owned() + &format!("={}", closed.port())
            }
            _ => line.to_owned(),
        };
        let conf: Vec<String> = conf.lines().map(other).collect();
        let file = base.join("slurm.conf");
        std::fs::write(&file, conf.join("\n") + "\nMessageTimeout=5\n").unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let vars = [("PATH".into(), path), ("SLURM_CONF".into(), file.into_os_string())];
        let slurm = of_slurm(&Environment::allowed(vars));
        let order = order(base, "exit 0");
        for error in
            [slurm.submit(&order).unwrap_err(), slurm.find(&order.job, &order.intent).unwrap_err()]
        {
            assert!(matches!(error, BackendError::Unreachable { .. }), "{error:?}");
        }
    });
}

// ---- without a Slurm: programs of its commands' names

fn fake(dir: &Path, name: &str, script: &str) {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn faked(dir: &Path) -> Engine {
    let path = format!("{}:/usr/bin:/bin", dir.display());
    of_slurm(&Environment::allowed([("PATH".into(), path.into())]))
}

#[test]
fn no_slurm_and_a_silent_slurm_are_told_apart() {
    let base = tempfile::tempdir().unwrap();
    let order = order(base.path(), "exit 0");
    let nowhere = [("PATH".into(), base.path().as_os_str().to_owned())];
    let absent = of_slurm(&Environment::allowed(nowhere));
    for error in [
        absent.submit(&order).unwrap_err(),
        absent.find(&order.job, &order.intent).unwrap_err(),
        absent.plan(&order).map(drop).and(absent.submit(&order)).unwrap_err(),
    ] {
        assert!(matches!(error, BackendError::Absent { .. }), "{error:?}");
    }
    assert!(absent.plan(&order).is_ok(), "a plan needs no Slurm");

    let is_uncertain = |error: &BackendError| matches!(error, BackendError::Uncertain { .. });
    fake(base.path(), "sbatch", "sleep 1000");
    let hanging = faked(base.path()).with_limit(Duration::from_millis(200));
    assert!(is_uncertain(&hanging.submit(&order).unwrap_err()));
    fake(base.path(), "sbatch", "kill -9 $$");
    assert!(is_uncertain(&faked(base.path()).submit(&order).unwrap_err()));
    fake(base.path(), "sbatch", "exit 0");
    assert!(is_uncertain(&faked(base.path()).submit(&order).unwrap_err()));
    let lost = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv \
                operation' >&2; exit 1";
    fake(base.path(), "sbatch", lost);
    assert!(is_uncertain(&faked(base.path()).submit(&order).unwrap_err()));
}

/// A simulated Slurm that hangs: each of its commands is waited for once, however much is asked.
#[test]
fn a_command_that_hangs_is_waited_for_once() {
    let base = tempfile::tempdir().unwrap();
    let asked = base.path().join("asked");
    for name in ["squeue", "sacct", "scancel"] {
        let log = format!("echo {name} >>{}; sleep 1000", asked.display());
        fake(base.path(), name, &log);
    }
    let slurm = faked(base.path()).with_limit(Duration::from_millis(300));
    let jobs: Vec<EngineKey> = (1..=3).map(|n| records::key("slurm", n)).collect();
    let tasks: Tasks = "1-4".parse().unwrap();
    let arrays: Vec<(EngineKey, Tasks)> =
        jobs.iter().map(|job| (job.clone(), tasks.clone())).collect();
    for answer in slurm.status_of_arrays(&arrays) {
        assert_eq!(answer.len(), 1, "{answer:?}");
        let (of, seen) = &answer[0];
        assert_eq!((of, seen.state), (&tasks, JobState::Unknown));
        assert!(seen.silent.as_deref().unwrap().contains("no answer in time"), "{seen:?}");
    }
    let error = slurm.status(&jobs).unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error:?}");
    for job in &jobs {
        slurm.cancel(job).unwrap_err();
        slurm.find(&JobId::from_parts(1, 1), &IntentId::from_bytes([1; 16])).unwrap_err();
    }
    let mut asked: Vec<String> =
        std::fs::read_to_string(asked).unwrap().lines().map(str::to_owned).collect();
    asked.sort();
    assert_eq!(asked, ["sacct", "squeue"], "and whoever is not known is not cancelled");
}

/// One question is for 500 jobs: the second one may find nobody.
#[test]
fn a_later_question_without_an_answer_hides_no_earlier_one() {
    let base = tempfile::tempdir().unwrap();
    let begun = base.path().join("begun");
    let rows = format!(
        "[ ! -e {0} ] || sleep 1000; : >{0}; n=1; while [ $n -le 500 ]; do \
         echo \"$n|1700000001|ada|COMPLETED|0:0|None\"; n=$((n + 1)); done",
        begun.display()
    );
    fake(base.path(), "sacct", &rows);
    fake(base.path(), "squeue", "sleep 1000");
    let slurm = faked(base.path()).with_limit(Duration::from_secs(5));
    let jobs: Vec<EngineKey> = (1..=501).map(|n| records::key("slurm", n)).collect();
    let seen = slurm.status(&jobs).unwrap();
    assert_eq!(seen.len(), 501);
    assert!(seen[..500].iter().all(|seen| seen.state == JobState::Completed), "{:?}", seen[0]);
    assert!(seen[500].silent.is_some(), "{:?}", seen[500]);
}

#[test]
fn an_accepted_job_keeps_its_key_when_nothing_else_answers() {
    let base = tempfile::tempdir().unwrap();
    let order = order(base.path(), "exit 0");
    fake(base.path(), "sbatch", "echo '12;far'");
    for name in ["squeue", "sacct", "scontrol"] {
        let words = "Unable to contact slurm controller (connect failure)";
        fake(base.path(), name, &format!("echo '{words}' >&2; exit 1"));
    }
    let slurm = faked(base.path());
    let key = slurm.submit(&order).unwrap();
    assert_eq!((key.id.as_str(), key.cluster.as_deref()), ("12", Some("far")));
    let error = slurm.status(std::slice::from_ref(&key)).unwrap_err();
    assert!(error.to_string().contains("Unable to contact"), "{error}");
    slurm.cancel(&key).expect_err("the controller does not answer");
    slurm.find(&order.job, &order.intent).expect_err("no answer is not a no");
    // No accounting, and the controller has forgotten the job.
    fake(
        base.path(),
        "squeue",
        "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
    );
    let seen = status(&slurm, &key);
    assert_eq!(seen.state, JobState::Unknown);
    assert!(seen.reason.unwrap().contains("Unable to contact"));
    slurm.find(&order.job, &order.intent).expect_err("forgotten is not never submitted");
}

#[test]
fn plans() {
    let mut order = Order {
        job: JobId::from_parts(1_700_000_000_000, 42),
        intent: IntentId::from_bytes([7; 16]),
        dir: "/home/alice/jobs 100%/01HF7YAT000000000000000001A".into(),
        digest: format!("sha256:{}", "a".repeat(64)),
        resources: Resources::default(),
        hold: true,
        tasks: None,
        at_once: None,
        sent: None,
    };
    let slurm = of_slurm(&environment());
    let mut text = slurm.plan(&order).unwrap().argv.join("\n");
    order.resources = Resources {
        cpus: Some(4),
        memory_mib: Some(2048),
        time_seconds: Some(93_784),
        queue: Some("debug".into()),
        account: Some("hep".into()),
    };
    text += "\n\n";
    text += &slurm.plan(&order).unwrap().argv.join("\n");
    snapbox::assert_data_eq!(text + "\n", snapbox::file!["../golden/backend/sbatch.txt"].raw());

    let jobs = PathBuf::from("/home/alice/jobs");
    order.dir = jobs.join(order.job.to_string());
    let local = Local::new("/usr/bin/moorline".into(), jobs, environment());
    let text = local.plan(&order).unwrap().argv.join("\n") + "\n";
    snapbox::assert_data_eq!(text, snapbox::file!["../golden/backend/local.txt"].raw());
}
