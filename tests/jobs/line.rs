//! The whole line on the `local` engine with the built-in runtime: as this user and, for root, as an
//! ordinary one too.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::simulated::receipt;
use crate::support::{
    Answer, Home, NOBODY, PROJECT, Server, am_root, difference, images, processes, sleeping, until,
};

/// Every user that can be had here, each with a home in which it is logged in.
fn homes(server: &Server) -> Vec<Home> {
    let mut users = vec![None];
    users.extend(am_root().then_some(Some(NOBODY)));
    users.into_iter().map(|user| Home::of(server, user).log_in(server)).collect()
}

pub fn verdict(home: &Home, job: &str) -> Answer {
    home.run(&["--json", "audit", "job", job])
}

pub fn state(home: &Home, job: &str) -> String {
    let rows = home.run(&["--json", "status", job]).exits(0).json();
    rows[0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn from_login_to_audit() {
    let server = Server::with_image();
    let old = images().0.manifest_digest.to_string();
    for home in homes(&server) {
        server.push(PROJECT, &images().0, &["main"]);
        let image = server.name(":main");
        let pinned = format!("{}@{old}", server.name(""));
        assert_eq!(home.ok(&["resolve", &image]), pinned);

        // the store's SIF, and a copy of it
        let sif = PathBuf::from(home.ok(&["convert", &image]));
        assert_eq!(fs::metadata(&sif).unwrap().mode() & 0o777, 0o444);
        let copy = home.run(&["convert", &image, "-o", "copy.sif"]).exits(0);
        assert_eq!(copy.stdout, "copy.sif\n");
        assert!(fs::read(&sif).unwrap() == fs::read(home.path("here/copy.sif")).unwrap());

        // only the id on stdout
        let script = "echo out; echo err >&2; exit 5";
        let submit = ["submit", "--name", "first", &image, "--", "sh", "-c", script];
        let submitted = home.run(&submit).exits(0);
        let job = submitted.stdout.trim_end().to_owned();
        assert_eq!(submitted.stdout, format!("{job}\n"));
        assert_eq!(job.len(), 26, "{job}");
        let waited = home.run(&["wait", "--timeout", "60", &job]).exits(5);
        assert!(waited.stdout.is_empty() && waited.stderr.contains("exit code 5"), "{waited}");
        assert_eq!(home.ok(&["logs", &job]), "out");
        assert_eq!(home.ok(&["logs", "--stderr", &job]), "err");
        assert!(home.ok(&["status", &job]).contains("failed"));
        let rows = home.run(&["--json", "jobs"]).exits(0).json();
        let row = &rows[0];
        assert_eq!(row["job"], job.as_str());
        assert_eq!((&row["exit_code"], &row["name"]), (&5.into(), &"first".into()), "{row}");
        assert_eq!(row["image"], pinned.as_str());

        // the tag moves; the job does not
        server.push(PROJECT, &images().1, &["main"]);
        let new = images().1.manifest_digest.to_string();
        assert!(home.ok(&["resolve", &image]).ends_with(&new));
        let again = home.ok(&["rerun", &job]);
        assert_ne!(again, job);
        home.run(&["wait", "--timeout", "60", &again]).exits(5);
        let (fresh, code) = home.job_of(&[], &image, "cat /etc/moorline-demo");
        assert_eq!((code, home.ok(&["logs", &fresh]).contains("v2")), (0, true));

        for (job, digest) in [(&job, &old), (&again, &old), (&fresh, &new)] {
            let answer = verdict(&home, job).exits(0).json();
            assert_eq!(answer["verdict"], "match", "{answer}");
            let submission = &answer["submissions"][0];
            assert_eq!(submission["image"]["manifest"], digest.as_str(), "{answer}");
            // a repeated image may have been hashed on this node just before
            let grade = submission["attempts"][0]["grade"].as_str().unwrap();
            let known = match grade {
                "verified-on-read" => &submission["image"]["tree"],
                "measured" | "measured-cached" => &submission["image"]["sif"],
                _ => panic!("{answer}"),
            };
            assert_eq!(submission["attempts"][0]["measured"], *known, "{answer}");
        }
        let answer = verdict(&home, &again).json();
        assert_eq!(answer["rerun_of"], job.as_str());
        assert!(home.ok(&["audit", "job", &job]).contains("verdict: Match"));
        let used = home.run(&["--json", "audit", "image", &old]).exits(0).json();
        let mut used: Vec<&str> = used["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["job"].as_str().unwrap())
            .collect();
        used.sort_unstable();
        assert_eq!(used, [job.as_str(), again.as_str()]);
        assert!(home.ok(&["audit", "verify"]).starts_with("consistent:"));
        // several jobs: the first code that is not 0, in the order given
        home.run(&["wait", &fresh, &again]).exits(5);
        home.run(&["wait", &fresh]).exits(0);
    }
}

#[test]
fn run_is_here_and_now() {
    let server = Server::with_image();
    let image = server.name(":v1");
    for home in homes(&server) {
        home.ok(&["convert", &image]);
        home.write("here/input", "from the host");
        let script = "pwd; cat input; echo made >output; exit 41";
        let ran = home.run(&["run", &image, "--", "sh", "-c", script]).exits(41);
        assert_eq!(ran.stdout, "/work_dir\nfrom the host");
        assert_eq!(fs::read_to_string(home.path("here/output")).unwrap(), "made\n");
        // a program of the host, in the current directory
        let exe = home.write("here/exe", "#!/bin/sh\necho \"exe $*\"; id -u\n");
        fs::set_permissions(&exe, fs::Permissions::from_mode(0o755)).unwrap();
        let uid = fs::metadata(&exe).unwrap().uid();
        let ran = home.run(&["run", &image, "--", "./exe", "a b", "*"]).exits(0);
        assert_eq!(ran.stdout, format!("exe a b *\n{uid}\n"));
        // submitted, it is copied into the job's own directory
        let job = home.ok(&["submit", &image, "--", "./exe", "c"]);
        home.run(&["wait", "--timeout", "60", &job]).exits(0);
        assert_eq!(home.ok(&["logs", &job]), format!("exe c\n{uid}"));
        assert!(home.job(&job).join("work/exe").is_file());
        // what stands on stdin reaches the program; a signal's code is a shell's
        let args = ["run", &image, "--", "cat"];
        assert_eq!(home.run_with(&args, "typed").exits(0).stdout, "typed");
        home.run(&["run", &image, "--", "sh", "-c", "kill -9 $$"]).exits(137);
        // variables: only those that were named
        let home = home.with("WANTED", "yes").with("UNWANTED", "no");
        let args = ["run", "--env", "WANTED", "--env", "OTHER=a b", &image, "--", "env"];
        let shown = home.run(&args).exits(0).stdout;
        assert!(shown.contains("WANTED=yes\n") && shown.contains("OTHER=a b\n"), "{shown}");
        assert!(!shown.contains("UNWANTED"), "{shown}");
        let rows = home.run(&["--json", "jobs"]).exits(0).json();
        assert_eq!(rows.as_array().unwrap().len(), 6, "runs are recorded: {rows}");
        let first = rows[0]["job"].as_str().unwrap();
        assert_eq!(verdict(&home, first).exits(0).json()["verdict"], "match");
        // --quiet leaves the program's own words
        let quiet = home.run(&["-q", "run", &image, "--", "true"]).exits(0);
        assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet}");
    }
}

#[test]
fn cancel_ends_every_process() {
    let server = Server::with_image();
    let image = server.name(":v1");
    for (i, home) in homes(&server).into_iter().enumerate() {
        // a number of seconds that no other process sleeps
        let mark = format!("9{}{i}", std::process::id());
        let script = format!("(sleep {mark} & sleep {mark}) & (sleep {mark} &); sleep {mark}");
        let job = home.ok(&["submit", &image, "--", "sh", "-c", &script]);
        until("the job's processes", 60, || (sleeping(&mark) == 4).then_some(()));
        assert_eq!(state(&home, &job), "running");
        let cancelled = home.run(&["cancel", &job]).exits(0);
        assert!(cancelled.stdout.is_empty(), "{cancelled}");
        let holds = |line: &[u8]| line.windows(mark.len()).any(|text| text == mark.as_bytes());
        until("their end", 30, || (processes(holds) == 0).then_some(()));
        let waited = home.run(&["wait", "--timeout", "60", &job]);
        assert_ne!(waited.code, 0, "{waited}");
        assert_eq!(state(&home, &job), "killed");
        // it has ended already: no error
        home.run(&["cancel", &job]).exits(0);
        assert_eq!(state(&home, &job), "killed");
    }
}

#[test]
fn mounts() {
    let server = Server::with_image();
    let image = server.name(":v1");
    for home in homes(&server) {
        let data = home.mkdir("data");
        home.write("data/file", "data of the host");
        let there = data.display().to_string();
        let gone = home.path("gone").display().to_string();
        let mount = format!("{there}:/data:ro");
        let script = "cat /data/file; touch /data/new";
        let (job, code) = home.job_of(&["--mount", &mount], &image, script);
        assert_ne!(code, 0);
        assert_eq!(home.ok(&["logs", &job]), "data of the host");
        assert!(!data.join("new").exists());
        // what the container was shown stands in the ledger, until it is erased
        let shown = home.run(&["audit", "job", &job]).stdout;
        for fact in ["kernel", "user", &format!("{there} on /data, read-only")] {
            assert!(shown.contains(fact), "{fact}: {shown}");
        }
        let json = verdict(&home, &job).json();
        let conditions = &json["submissions"][0]["attempts"][0]["conditions"];
        assert_eq!(conditions["argv"][0], "sh", "{json}");
        assert!(conditions["user"]["uid"].is_u64(), "{json}");
        let mount = format!("{there}:/data:rw:required");
        let (_, code) = home.job_of(&["--mount", &mount], &image, "touch /data/new");
        assert_eq!((code, data.join("new").exists()), (0, true));

        // missing and optional: the job's stderr and its receipt say so
        let mount = format!("{gone}:/data");
        let (job, code) = home.job_of(&["--mount", &mount], &image, "echo ran");
        assert_eq!((code, home.ok(&["logs", &job])), (0, "ran".into()));
        let said = home.ok(&["logs", "--stderr", &job]);
        assert!(said.contains("warning") && said.contains(&gone), "{said}");
        let receipt = receipt(&home, &job);
        assert_eq!(receipt["skipped_mounts"][0]["source"], gone.as_str(), "{receipt}");
        let shown = home.run(&["audit", "job", &job]).stdout;
        assert!(shown.contains("not mounted") && shown.contains(&gone), "{shown}");

        // missing and required: nothing was run
        let mount = format!("{gone}:/data:required");
        let (job, code) = home.job_of(&["--mount", &mount], &image, "echo ran");
        assert_eq!((code, home.ok(&["logs", &job])), (212, String::new()));
        assert!(home.ok(&["logs", "--stderr", &job]).contains(&gone));
        let answer = home.run(&["status", &job]).exits(0);
        assert!(answer.stderr.contains("a required mount was missing"), "{answer}");

        // the built-in one is silent where the machine has none
        if !Path::new("/cvmfs").exists() {
            let (job, _) = home.job_of(&[], &image, "true");
            assert_eq!(home.ok(&["logs", "--stderr", &job]), "");
        }
    }
}

#[test]
fn control_is_out_of_reach() {
    let server = Server::with_image();
    let image = server.name(":v1");
    for home in homes(&server) {
        // the program looks for it, by the paths that it has on this machine and from /work_dir
        let jobs = home.jobs().display().to_string();
        let script = format!(
            "ls -d {jobs} /control ../control /work_dir/control ../*/control; \
             echo forged > ../control/receipt-forged.json; echo x > {jobs}/x; ls -a .; cat /proc/1/cwd/../control/plan.json"
        );
        let (job, _) = home.job_of(&[], &image, &script);
        assert_eq!(home.ok(&["logs", &job]), ".\n..");
        let control = home.job(&job).join("control");
        assert_eq!(fs::metadata(&control).unwrap().mode() & 0o777, 0o700);
        assert!(!control.join("receipt-forged.json").exists());
        assert!(!home.jobs().join("x").exists());
        assert_eq!(verdict(&home, &job).exits(0).json()["verdict"], "match");
        // and it is refused as a mount's source? the job's owner may ask for it, the record stays
        assert!(home.ok(&["audit", "verify"]).starts_with("consistent:"));
    }
}

#[test]
fn job_file_and_dry_run() {
    let server = Server::with_image();
    let image = server.name(":v1");
    let home = Home::logged_in(&server);
    let data = home.mkdir("data").display().to_string();
    home.write(
        "here/job.toml",
        &format!(
            "image = \"{image}\"\ncommand = [\"sh\", \"-c\", \"echo $A $B; ls -d /d\"]\n\
             mount = [\"{data}:/d:ro\"]\nname = \"from a file\"\ncpus = 2\nmemory = \"1G\"\n\
             time = \"5m\"\n\n[env]\nA = \"file\"\nB = \"file\"\n"
        ),
    );
    let job = home.run(&["submit", "-f", "job.toml", "--env", "B=flag", "--wait"]).exits(0);
    let job = job.stdout.trim().to_owned();
    assert_eq!(home.ok(&["logs", &job]), "file flag\n/d");
    let row = &home.run(&["--json", "status", &job]).json()[0];
    assert_eq!(row["name"], "from a file");

    // a name of moorline.toml, and settings of it
    home.write(
        "here/moorline.toml",
        &format!("[images]\nanalysis = \"{image}\"\n[submit.env]\nA = \"project\"\n"),
    );
    assert_eq!(home.ok(&["run", "analysis", "--", "sh", "-c", "echo $A"]), "project");

    // nothing is written for a dry run: the image was staged before
    let before = home.tree();
    for backend in ["local", "slurm"] {
        let args = ["submit", "--dry-run", "--backend", backend, "analysis", "--", "echo", "it's"];
        let shown = home.run(&args).exits(0);
        assert!(shown.stdout.contains("#!/bin/sh"), "{shown}");
        assert!(!shown.stdout.contains("it's"), "the user's text is no part of a script: {shown}");
    }
    let after = home.tree();
    assert!(before == after, "{}", difference(&before, &after));
}

#[test]
fn a_changed_image_does_not_run() {
    let server = Server::with_image();
    let image = server.name(":v1");
    let change = |sif: &Path| {
        let mut bytes = fs::read(sif).unwrap();
        // in each page: what is checked on read is checked where it is read
        bytes.iter_mut().skip(40_000).step_by(4096).for_each(|byte| *byte ^= 1);
        fs::set_permissions(sif, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(sif, bytes).unwrap();
        fs::set_permissions(sif, fs::Permissions::from_mode(0o444)).unwrap();
    };
    for home in homes(&server) {
        // one of the store is put away and made again
        let sif = PathBuf::from(home.ok(&["convert", &image]));
        change(&sif);
        let (good, code) = home.job_of(&[], &image, "echo ran");
        assert_eq!((code, home.ok(&["logs", &good])), (0, "ran".to_owned()));
        assert_eq!(verdict(&home, &good).exits(0).json()["verdict"], "match");

        // one that the user gave is changed between two runs of a job
        home.ok(&["convert", &image, "-o", "own.sif"]);
        let (first, code) = home.job_of(&[], "./own.sif", "echo ran");
        assert_eq!(code, 0);
        change(&home.path("here/own.sif"));
        let job = home.ok(&["rerun", &first]);
        home.run(&["wait", &job]).exits(211);
        assert_eq!(home.ok(&["logs", &job]), "");
        let answer = verdict(&home, &job).exits(6).json();
        assert_eq!(answer["verdict"], "mismatch", "{answer}");
        let text = home.run(&["audit", "job", &job]).exits(6);
        assert!(text.stdout.contains("verdict: Mismatch"), "{text}");
        // the jobs before it are what they were
        for before in [&good, &first] {
            assert_eq!(verdict(&home, before).exits(0).json()["verdict"], "match");
        }
    }
}

#[test]
fn receipts_are_collected_and_the_ledger_is_checked() {
    let server = Server::with_image();
    let image = server.name(":v1");
    let home = Home::logged_in(&server);
    let job = home.ok(&["submit", &image, "--", "true"]);
    // the engine's own record, without asking through moorline
    let control = home.job(&job).join("control");
    until("the receipt", 60, || {
        let entries = fs::read_dir(&control).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.into_iter().find(|name| name.starts_with("receipt-") && name.contains(".json"))
    });
    let records = || {
        let mut text = String::new();
        for entry in fs::read_dir(home.path("ledger")).unwrap().flatten() {
            if entry.path().extension().is_some_and(|e| e == "jsonl") {
                text += &fs::read_to_string(entry.path()).unwrap();
            }
        }
        text
    };
    assert!(!records().contains("\"receipt\""), "{}", records());
    // the receipt is there somewhat before the engine says that the job ended
    until("the end", 30, || {
        let said = home.run(&["ledger", "collect"]).exits(0);
        said.stderr.contains("1 job, 0 of them").then_some(())
    });
    until("the receipt in the ledger", 30, || {
        home.ok(&["ledger", "collect"]);
        records().contains("receipt").then_some(())
    });
    home.run(&["wait", "--timeout", "60", &job]).exits(0);
    // once recorded, nothing is recorded again
    let before = records();
    home.ok(&["ledger", "collect"]);
    assert_eq!(records(), before);
    // a receipt with another nonce proves nothing
    let name = fs::read_dir(&control)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("receipt-"));
    let text = fs::read_to_string(name.unwrap()).unwrap();
    let mut forged: Value = serde_json::from_str(&text).unwrap();
    forged["nonce"] = "00000000000000000000000000000000".into();
    forged["attempt"] = "forged".into();
    fs::write(control.join("receipt-forged.json"), forged.to_string()).unwrap();
    let said = home.run(&["ledger", "collect"]).exits(0);
    assert!(said.stderr.contains("warning") && said.stderr.contains("receipt-forged"), "{said}");
    // it is kept as what it is, and a job with one is never a match
    let answer = verdict(&home, &job).json();
    assert_eq!(answer["reason"], "foreign-receipt", "{answer}");
    assert_eq!(answer["verdict"], "unproven", "{answer}");

    // one changed byte in the ledger is found
    home.run(&["audit", "verify"]).exits(0);
    let file = fs::read_dir(home.path("ledger"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let at = text.find(&job).unwrap();
    let mut changed = text.into_bytes();
    changed[at + 25] = if changed[at + 25] == b'0' { b'1' } else { b'0' };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, changed).unwrap();
    let answer = home.run(&["audit", "verify"]).exits(6);
    assert!(answer.stdout.contains("CHANGED"), "{answer}");
    let answer = home.run(&["--json", "audit", "verify"]).exits(6).json();
    assert!(!answer["findings"].as_array().unwrap().is_empty(), "{answer}");
}

#[test]
fn a_sif_is_submitted_as_it_is() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    home.ok(&["convert", &server.name(":v1"), "-o", "my.sif"]);
    // no registry is needed from here on
    let asked = server.running.seen().len();
    let (job, code) = home.job_of(&[], "./my.sif", "cat /etc/moorline-demo");
    assert_eq!((code, home.ok(&["logs", &job]).contains("v1")), (0, true));
    let answer = verdict(&home, &job).exits(0).json();
    assert_eq!(answer["verdict"], "match", "{answer}");
    assert_eq!(server.running.seen().len(), asked);
    home.run(&["resolve", "./my.sif"]).fails(2, &["my.sif", "hint:"]);
}
