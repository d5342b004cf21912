//! Arrays of tasks, with the whole program and the built-in runtime: one suite for all engines. `local` runs it
//! everywhere, as this user and, for root, as an ordinary one, too; a real Slurm (`slurm_arrays.rs`) and a real
//! `HTCondor` (`htcondor_arrays.rs`) where `tests/env` started them.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::backend::Real;
use crate::support::{Home, NOBODY, Server, am_root, read_json, until};

/// What a test needs of an engine.
pub struct Bench<'s> {
    pub home: Home,
    server: &'s Server,
    backend: &'static str,
}

impl Bench<'_> {
    pub fn submit(&self, flags: &[&str], script: &str) -> String {
        let image = self.server.name(":v1");
        let words = [&["submit", "--backend", self.backend], flags, &[&image, "sh", "-c", script]];
        self.home.ok(&words.concat())
    }

    fn row(&self, job: &str) -> Value {
        self.home.run(&["--json", "status", job]).exits(0).json()[0].clone()
    }

    /// `{"1-2": "completed", ...}`.
    fn tasks(&self, job: &str) -> BTreeMap<String, String> {
        let row = self.row(job);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tasks = row["tasks"].as_array().unwrap_or_else(|| panic!("{row}"));
        tasks.iter().map(|of| (text(&of["tasks"]), text(&of["state"]))).collect()
    }

    fn logs(&self, job: &str) -> String {
        self.home.ok(&["logs", job])
    }
}

fn pairs(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(tasks, state)| ((*tasks).to_owned(), (*state).to_owned())).collect()
}

/// What arrays are on every engine.
pub fn suite(bench: &Bench<'_>) {
    bench.home.ok(&["convert", &bench.server.name(":v1")]);
    bench.home.write("here/cuts.txt", "pt 20");
    // each task has its number, a working directory of its own with the inputs, and leaves its own files
    let script = "cat cuts.txt; echo task $MOORLINE_TASK_ID of $MOORLINE_JOB_ID; ls; echo $MOORLINE_TASK_ID >out; \
                  echo changed >cuts.txt; [ $MOORLINE_TASK_ID != 5 ] || exit 7; [ $MOORLINE_TASK_ID != 9 ] || exit 3";
    let flags = ["--array", "2-3,9,5", "--input", "cuts.txt", "--output", "out"];
    let job = bench.submit(&flags, script);
    let waited = bench.home.run(&["wait", "--timeout", "300", &job]);
    // the code is that of the first task, by number, that did not complete
    let stderr = bench.home.run(&["logs", "--stderr", &format!("{job}.2")]);
    assert_eq!(waited.code, 7, "{waited}{stderr}");
    assert!(waited.stderr.contains("of 4 tasks 2 completed, 2 failed"), "{waited}");
    let row = bench.row(&job);
    assert_eq!(row["state"], "failed", "{row}");
    assert_eq!(bench.tasks(&job).len(), 3, "{row}");
    for (task, code) in [(2, 0), (3, 0), (5, 7), (9, 3)] {
        let name = format!("{job}.{task}");
        assert_eq!(
            bench.logs(&name),
            format!("pt 20task {task} of {job}\ncuts.txt"),
            "{name}: {row}"
        );
        let own = bench.row(&name);
        assert_eq!((&own["job"], &own["exit_code"]), (&name.as_str().into(), &code.into()));
        bench.home.run(&["wait", "--timeout", "60", &name]).exits(code);
        // the engine's own name for the task finds it
        let engine = own["engine"].as_str().unwrap().to_owned();
        assert_eq!(bench.row(&engine)["job"], name.as_str(), "{own}");
        let audit = bench.home.run(&["--json", "audit", "job", &name]).exits(0).json();
        assert_eq!((&audit["verdict"], &audit["job"]), (&"match".into(), &name.as_str().into()));
        let attempts = audit["submissions"][0]["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{audit}");
        let conditions = &attempts[0]["conditions"];
        assert_eq!(conditions["task"], task, "{audit}");
        assert_eq!(conditions["outputs"][0]["path"], "out", "{audit}");
        let out = bench.home.job(&job).join(format!("tasks/{task}/work/out"));
        assert_eq!(fs::read_to_string(out).unwrap(), format!("{task}\n"));
    }
    let audit = bench.home.run(&["--json", "audit", "job", &job]).exits(0).json();
    assert_eq!(audit["verdict"], "match", "{audit}");
    // those whose image was unpacked by an earlier one stand apart
    let groups = audit["submissions"][0]["tasks"].as_array().unwrap();
    let mut tasks: Vec<&str> =
        groups.iter().flat_map(|of| of["tasks"].as_str().unwrap().split(',')).collect();
    tasks.sort_unstable();
    assert!(matches!(&*tasks.concat(), "2-359" | "2359"), "{audit}");
    assert!(groups.iter().all(|of| of["verdict"] == "match"), "{audit}");
    let text = bench.home.ok(&["audit", "job", &job]);
    assert!(text.contains("5,9: Match") || text.contains("5: Match"), "{text}");
    // each task's file into a directory of its own, or one task's
    let fetched = bench.home.ok(&["fetch", &job, "-o", "got"]);
    assert_eq!(fetched, "got/2/out\ngot/3/out\ngot/5/out\ngot/9/out");
    assert_eq!(bench.home.ok(&["fetch", &format!("{job}.9")]), "out");
    assert_eq!(fs::read_to_string(bench.home.path("here/out")).unwrap(), "9\n");
    // names that are none
    bench.home.run(&["logs", &job]).fails(2, &["is an array", "2-3,5,9", &format!("{job}.2")]);
    bench.home.run(&["status", &format!("{job}.4")]).fails(3, &["2-3,5,9"]);
    let range = format!("{job}.2-3");
    bench.home.run(&["status", &range]).fails(2, &["several tasks", &format!("{job}.2 {job}.3")]);
    let listed = bench.home.run(&["--json", "jobs"]).exits(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "one job, whatever it has of tasks");

    // one task is waited for, and nobody asks for the whole
    let job = bench.submit(&["--array", "1-2"], "exit $MOORLINE_TASK_ID");
    bench.home.run(&["wait", "--timeout", "120", &format!("{job}.2")]).exits(2);
    until("the engine's word on the other", 120, || {
        let row = bench.row(&format!("{job}.1"));
        (row["state"] == "failed" && row["exit_code"] == 1).then_some(())
    });
    let job = listed[0]["job"].as_str().unwrap().to_owned();

    // one task again, in the same digest
    let again = bench.home.ok(&["rerun", "--wait", &format!("{job}.2")]);
    assert_eq!(bench.tasks(&again), pairs(&[("2", "completed")]));
    let audit = bench.home.ok(&["audit", "job", &again]);
    assert!(audit.contains(&format!("repeats {job}.2\n")), "{audit}");
    assert!(audit.contains("/tasks/TASK/work"), "{audit}");

    // one task is cancelled, then all
    let job = bench.submit(&["--array", "1-3"], "[ $MOORLINE_TASK_ID = 1 ] || exec sleep 600");
    until("two that run", 120, || {
        let tasks = bench.tasks(&job);
        (tasks == pairs(&[("1", "completed"), ("2-3", "running")])).then_some(())
    });
    bench.home.run(&["cancel", &format!("{job}.3")]).exits(0);
    until("one that runs", 120, || {
        let tasks = bench.tasks(&job);
        (tasks == pairs(&[("1", "completed"), ("2", "running"), ("3", "killed")])).then_some(())
    });
    bench.home.run(&["cancel", &job]).exits(0);
    let waited = bench.home.run(&["wait", "--timeout", "120", &job]);
    assert_ne!(waited.code, 0, "{waited}");
    let row = bench.row(&job);
    assert_eq!(row["state"], "killed", "{row}");
    let states: std::collections::BTreeSet<String> = bench.tasks(&job).into_values().collect();
    assert_eq!(states.into_iter().collect::<Vec<_>>(), ["completed", "killed"], "{row}");
    // what never wrote a receipt is not proved
    let audit = bench.home.run(&["--json", "audit", "job", &format!("{job}.1")]).exits(0).json();
    assert_eq!(audit["verdict"], "match", "{audit}");
    bench.home.ok(&["audit", "verify"]);
}

/// At most so many at once, on an engine that can be told so.
pub fn so_many_at_once(bench: &Bench<'_>) {
    let script = "echo >/shared/run.$MOORLINE_TASK_ID; set -- /shared/run.*; echo $#; sleep 1; \
                  rm /shared/run.$MOORLINE_TASK_ID";
    let shared = bench.home.mkdir("shared");
    let mount = format!("{}:/shared:rw", shared.display());
    let job = bench.submit(&["--array", "1-5%2", "--mount", &mount], script);
    let waited = bench.home.run(&["wait", "--timeout", "300", &job]);
    let stderr = bench.home.run(&["logs", "--stderr", &format!("{job}.1")]);
    assert_eq!(waited.code, 0, "{waited}{stderr}");
    for task in 1..=5 {
        let at_once: u32 = bench.logs(&format!("{job}.{task}")).trim().parse().unwrap();
        assert!((1..=2).contains(&at_once), "{at_once} at once");
    }
}

#[test]
fn on_this_machine() {
    let server = Server::with_image();
    let mut users = vec![None];
    users.extend(am_root().then_some(Some(NOBODY)));
    for user in users {
        let home = Home::of(&server, user).log_in(&server);
        let bench = Bench { home, server: &server, backend: "local" };
        suite(&bench);
        so_many_at_once(&bench);
    }
}

pub fn of_engine<'s>(
    real: &Real,
    test: &str,
    server: &'s Server,
    backend: &'static str,
) -> Option<Bench<'s>> {
    let env = real.env(test)?;
    let user = am_root().then(|| {
        let name = &env[&format!("MOORLINE_TEST_{}_USER", backend.to_uppercase())];
        let id = std::process::Command::new("id").args(["-u", name]).output().unwrap().stdout;
        String::from_utf8(id).unwrap().trim().parse().unwrap()
    });
    let mut home = Home::of(server, user).log_in(server);
    for (name, value) in env.iter().filter(|(name, _)| !name.starts_with("MOORLINE_")) {
        home = home.with(name, value);
    }
    Some(Bench { home, server, backend })
}

/// What lies in wait for an array on this machine: its supervisor is killed, or a task's.
#[test]
fn a_supervisor_that_is_killed_takes_no_state_with_it() {
    let server = Server::with_image();
    let home = Home::new(&server).log_in(&server);
    let bench = Bench { home, server: &server, backend: "local" };
    let job = bench.submit(&["--array", "1-3%1"], "sleep 600");
    until("the first one", 60, || {
        (bench.tasks(&job) == pairs(&[("1", "running"), ("2-3", "submitted")])).then_some(())
    });
    // nobody begins it then, and nobody needs to ask for the whole to know
    bench.home.run(&["cancel", &format!("{job}.3")]).exits(0);
    let waited = bench.home.run(&["wait", "--timeout", "60", &format!("{job}.3")]);
    assert!(waited.stderr.contains("killed"), "{waited}");
    let record = |dir: &str| -> Value {
        read_json(&bench.home.job(&job).join(dir).join("control/local.json"))
    };
    let kill = |record: &Value| {
        let pid = record["supervisor"]["pid"].as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    };
    kill(&record(""));
    // the task goes on; the others are never begun
    until("what is known", 60, || {
        let known = [("1", "running"), ("2", "failed"), ("3", "killed")];
        (bench.tasks(&job) == pairs(&known)).then_some(())
    });
    bench.home.run(&["cancel", &job]).exits(0);
    let row = bench.row(&job);
    assert_eq!((&row["state"], &row["tasks"][0]["state"]), (&"failed".into(), &"killed".into()));

    let job = bench.submit(&["--array", "1-2%1"], "[ $MOORLINE_TASK_ID = 2 ] || exec sleep 600");
    let of_first = until("the first one's record", 60, || {
        let path = bench.home.job(&job).join("tasks/1/control/local.json");
        let record: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (record["phase"] == "running").then_some(record)
    });
    kill(&of_first);
    let waited = bench.home.run(&["wait", "--timeout", "60", &job]);
    let tasks = bench.tasks(&job);
    assert_eq!(tasks["2"], "completed", "the next one runs all the same: {waited}");
    assert_ne!(tasks["1"], "completed");
}

#[test]
fn what_makes_no_array_is_refused() {
    let server = Server::with_image();
    let home = Home::new(&server).log_in(&server);
    let image = server.name(":v1");
    for bad in ["", "0x1", "4-1", "1-4%0", "1-2000000", "1,,2"] {
        home.run(&["submit", "--array", bad, &image, "true"]).fails(2, &["--array"]);
    }
    home.write(
        "here/job.toml",
        &format!("image = \"{image}\"\ncommand = [\"true\"]\narray = \"1-\"\n"),
    );
    home.run(&["submit", "-f", "job.toml"]).fails(2, &["job.toml", "array", "1-400"]);
    home.write(
        "here/job.toml",
        &format!("image = \"{image}\"\ncommand = [\"true\"]\narray = \"1-2\"\n"),
    );
    let dry = home.run(&["submit", "-f", "job.toml", "--dry-run"]).exits(0);
    assert!(dry.stdout.contains("task=${MOORLINE_LOCAL_TASK:-}"), "{dry}");
    let job = home.ok(&["submit", "-f", "job.toml", "--array", "7"]);
    home.run(&["wait", "--timeout", "60", &job]).exits(0);
    assert_eq!(home.run(&["--json", "status", "last.7"]).exits(0).json()[0]["state"], "completed");
    let plain = home.ok(&["submit", &image, "true"]);
    home.run(&["status", &format!("{plain}.1")]).fails(3, &["is not an array"]);
}
