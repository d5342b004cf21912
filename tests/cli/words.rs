//! Words that people bring along from other tools, and mistakes that must not pass in silence.

use crate::support::{Home, Server, program};

fn said(words: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(program()).args(words).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn words_of_other_tools_lead_to_the_right_verb() {
    for (words, hint) in [
        (&["ps"][..], "hint: moorline jobs"),
        (&["squeue", "-u", "me"], "hint: moorline jobs"),
        (&["images"], "hint: moorline cache ls"),
        (&["scancel", "17"], "hint: moorline cancel JOB"),
        (&["build", "x"], "hint: moorline convert"),
        // clap's own guess
        (&["submitt", "x"], "submit"),
        (&["run", "--bind", "/data", "x"], "hint: write --mount SRC:DST"),
        (&["run", "-it", "x"], "hint: leave it out"),
        (&["run", "-e", "A=b", "x"], "hint: write --env NAME=VALUE"),
        (&["submit", "--partition=short", "x"], "hint: write --queue NAME"),
        (&["run", "--nv", "x"], "hint: write --gpu"),
        (&["rmi", "x"], "hint: moorline cache prune"),
        (&["version"], "hint: moorline --version"),
        (&["login", "-u", "x", "-p", "y", "r"], "--password-stdin"),
        (&["jobs", "-n", "5"], "hint: write --last N"),
        (&["run", "-m", "4G", "x"], "hint: leave it out: it runs on this machine"),
        (&["submit", "-t", "2h", "x"], "hint: write --time 2h"),
        (&["pull", "image.sif", "docker://x"], "hint: write the file behind -o"),
        (&["run", "--containall", "x"], "hint: leave it out"),
    ] {
        let (code, text) = said(words);
        assert_eq!(code, 2, "{words:?}: {text}");
        assert!(text.contains(hint), "{words:?}: {text}");
        // a flag is no program's name, and no verb of a job's script is proposed
        assert!(!text.contains("as a value") && !text.contains("supervise"), "{words:?}: {text}");
    }
    let (_, text) = said(&["run", "--nonsense", "x"]);
    assert!(!text.contains("as a value"), "{text}");
    // help that nobody asked for by a flag is as it is with one
    let (_, text) = said(&["audit"]);
    assert!(text.contains("\nCommands:\n"), "{text}");
    for alias in ["pull", "exec"] {
        let (code, text) = said(&[alias, "--help"]);
        assert_eq!(code, 0, "{text}");
    }
}

#[test]
fn a_flag_behind_the_image_is_no_program() {
    let server = Server::with_image();
    let home = Home::new(&server);
    let late = home.run(&["run", "group/project:v1", "--bind", "/x", "true"]);
    late.fails(2, &["--bind stands behind the image", "hint:"]);
    // but not where a program is named already, nor behind `--`
    let flag = ["--entrypoint", "image", "group/project:v1"];
    for args in [
        &[&["run"], &flag[..], &["--", "--n"]].concat()[..],
        &[&["run"], &flag[..], &["--n"]].concat(),
        &["submit", "--exe", "/bin/ls", "group/project:v1", "--", "--all"],
        &["submit", "--exe", "/bin/ls", "group/project:v1", "--all"],
    ] {
        let answer = home.run(args);
        assert!(!answer.stderr.contains("stands behind"), "{answer}");
    }
    // behind `--` everything is the command: no image was named
    home.run(&["run", "--", "-x"]).fails(2, &["no image was named"]);
}

#[test]
fn nonsense_is_an_error() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    home.write("here/job.toml", "image = \"x\"\n");
    home.run(&["submit", "job.toml"]).fails(2, &["job.toml", "hint:", "-f job.toml"]);
    home.run(&["submit", "--cpus", "0", "x"]).fails(2, &["--cpus"]);
    home.run(&["run", "/data:/data", "x"]).fails(2, &["--mount"]);
    home.run(&["jobs", "--last", "0"]).fails(2, &["--last", "from 1"]);
    home.run(&["jobs", "--state", "bogus"]).fails(2, &["known states:", "running"]);
    home.run(&["lock"]).fails(2, &["there is no moorline.toml", "moorline init"]);
    home.run(&["audit", "verify"]).fails(3, &["holds no ledger", "MOORLINE_LEDGER"]);
    let elsewhere = home.path("here").display().to_string();
    let foreign = home.command(&["audit", "verify"]).env("MOORLINE_LEDGER", elsewhere).output();
    assert_eq!(foreign.unwrap().status.code(), Some(3));
    // a SIF file is asked for by its bytes, and one that is not there is an error
    home.run(&["audit", "image", "./gone.sif"]).fails(3, &["gone.sif"]);
    let sif = home.path("here/own.sif");
    let convert = ["convert", &server.name(":v1"), "-o", sif.to_str().unwrap()];
    home.ok(&convert);
    // the same content is there already: that is what was asked for
    let again = home.run(&convert).exits(0);
    assert!(again.stderr.contains("is this SIF already"), "{again}");
    let fast = home.run(&[&convert[..], &["--fast"]].concat());
    fast.fails(2, &["exists already, and is another SIF", "--force"]);
    let asked = home.run(&["audit", "image", "./own.sif"]).exits(0);
    assert!(asked.stdout.contains("no job in this ledger used sha256:"), "{}", asked.stdout);
}

/// `audit image` reads a name as every verb does.
#[test]
fn an_audit_means_the_image_that_the_name_means() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let place = image.strip_suffix(":v1").unwrap();
    home.write(
        "here/moorline.toml",
        &format!("[images]\nsim = {image:?}\nsif = \"oras://{place}/sif:v1\"\nnightly = {{ project = \"group/project\", ref = \"main\" }}\n"),
    );
    let (job, _) = home.job_of(&[], "sim", "true");
    for name in ["sim", &image] {
        let used = home.run(&["--json", "audit", "image", name]).exits(0).json();
        assert_eq!(
            (&used["asked"], &used["jobs"][0]["job"]),
            (&image.as_str().into(), &job.as_str().into())
        );
    }
    for name in ["sif", &format!("oras://{place}/sif:v1")] {
        let used = home.run(&["audit", "image", name]).exits(0);
        assert!(
            used.stdout.contains(&format!("no job in this ledger used {place}/sif:v1")),
            "{used}"
        );
    }
    // a file that is not there is no image of a registry
    home.run(&["audit", "image", "nosuch.sif"]).fails(3, &["nosuch.sif"]);
    // and what the ledger does not keep is not answered with "no job"
    for name in ["nightly", "shub://group/name"] {
        home.run(&["audit", "image", name])
            .fails(2, &[name, "the ledger does not keep", "hint:", "sha256:"]);
    }
    home.run(&["audit", "image", "library://a/b"]).fails(2, &["library://a/b"]);
}

#[test]
fn hints_help_in_that_very_state() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    home.write("here/data.txt", "x");
    let image = server.name(":v1");
    let digest = home.ok(&["resolve", &image]).split_once('@').unwrap().1.to_owned();
    let (address, place) = (server.address(), server.name(""));
    for (args, code, words) in [
        (&["run", "./data.txt"][..], 2, &["is a path", "--mount SRC:DST"][..]),
        (&["run", "nosuch.sif"], 3, &["nosuch.sif", "No such file"]),
        (&["inspect", "./a.sif"], 2, &["this is a SIF", "run and submit take it"]),
        (&["resolve", &format!("{place}:gone")], 3, &[&format!("moorline tags {place}")]),
        (&["run", "--project", "g/p", "--ref", "main", "./fit"], 2, &["named twice", "-- COMMAND"]),
        (&["convert", &image, "-o", "."], 2, &["is a directory", "IMAGE.sif"]),
        (&["--config", "nosuch", "jobs"], 12, &["nosuch", "--config names a file"]),
        (&["run", &digest, "true"], 2, &["a digest alone", "@sha256:"]),
        (
            &["--registry", &address, "login", "physics/analysis", "--username", "x"],
            2,
            &["physics is no registry", &format!("moorline login {address}/physics/analysis")],
        ),
    ] {
        let answer = home.run(args);
        answer.fails(code, words);
    }
    // where a job had it from, a digest alone leads to its whole name
    home.ok(&["submit", "--wait", &image, "true"]);
    let hint = format!("write {place}@{digest}");
    home.run(&["run", &digest[..15], "true"]).fails(2, &[&hint]);
}

#[test]
fn a_job_that_failed_says_where_to_look() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let submitted = home.run(&["submit", &server.name(":v1"), "./fit"]).exits(0);
    assert!(submitted.stderr.contains("warning: there is no ./fit here"), "{submitted}");
    let job = submitted.stdout.trim().to_owned();
    let look = format!("moorline logs --stderr {job}");
    let waited = home.run(&["wait", &job]);
    assert!(waited.code != 0 && waited.stderr.contains(&look), "{waited}");
    assert!(home.run(&["status", &job]).stderr.contains(&look));
    assert!(home.run(&["audit", "job", &job]).stdout.contains(&look));
    assert!(home.run(&["logs", &job]).exits(0).stderr.contains(&look));
    let why = home.run(&["logs", "--stderr", &job]).exits(0).stdout;
    assert!(why.contains("working directory"), "{why}");
    // nobody keeps what moorline run prints
    home.run(&["run", &server.name(":v1"), "sh", "-c", "exit 3"]).exits(3);
    home.run(&["logs", "last"]).fails(3, &["moorline run printed it", "hint:"]);
}

#[test]
fn a_ledger_that_cannot_be_written_is_met_before_an_image_is_made() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let file = home.write("here/file", "").display().to_string();
    let home = home.with("MOORLINE_LEDGER", &format!("{file}/ledger"));
    let refused = home.run(&["submit", &server.name(":v1"), "true"]);
    let refused = refused.fails(12, &["hint:", "MOORLINE_LEDGER"]);
    assert!(!refused.stderr.contains("pinned"), "{refused}");
}

#[test]
fn completions_and_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, text) = said(&["completions", shell]);
        assert!(code == 0 && text.contains("submit") && text.contains("audit"), "{shell}");
        assert!(!text.contains("supervise") && !text.contains("worker-pull"), "{shell}");
        assert!(text.contains("slurm"), "{shell}");
    }
    let (code, text) = said(&["man"]);
    assert!(code == 0 && text.contains(".TH moorline 1") && !text.contains("supervise"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("man1");
    assert_eq!(said(&["man", "--output", to.to_str().unwrap()]).0, 0);
    for page in ["moorline", "moorline-run", "moorline-audit-job"] {
        let text = std::fs::read_to_string(to.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {page} 1")), "{page}");
    }
    // what -h leaves out has its text here
    for (page, said) in
        [("moorline", "only errors and data"), ("moorline-run", "What was built from this commit")]
    {
        let text = std::fs::read_to_string(to.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(said), "{page}: {text}");
    }
}
