//! `moorline demo`, also where nothing can be isolated.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Answer, Home, NOBODY, Server, am_root, difference, finish, have, program};

/// `moorline ARGS` in a user namespace in which no other can be made, without container software.
fn confined(home: &Home, args: &[&str]) -> Answer {
    let empty = home.mkdir("empty-path");
    let script = "echo 0 >/proc/sys/user/max_user_namespaces || exit 99; PATH=$EMPTY exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "/bin/sh", "-c", script, "sh"])
        .arg(program())
        .args(args)
        .env_clear()
        .envs(&home.env)
        .env("EMPTY", empty)
        .current_dir(home.path("here"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command, args, "")
}

#[test]
fn without_isolation_only_the_demo_goes_on() {
    let test = "without_isolation_only_the_demo_goes_on";
    if !have("root", test, am_root()) {
        return;
    }
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let shown = confined(&home, &["demo", "--dir", "demo"]).exits(0);
    for words in [
        "Moorline cannot isolate here: ",
        "user.max_user_namespaces is 0",
        "to mend it: ",
        "sysctl -w user.max_user_namespaces=",
        "NOT ISOLATED",
        "verdict: Unproven",
        "verdict Unproven.",
    ] {
        assert!(shown.stdout.contains(words), "{words}: {shown}");
    }
    assert!(!shown.stdout.contains("moorline submit 1"), "{shown}");
    let env = fs::read_to_string(home.path("here/demo/env")).unwrap();
    assert!(env.contains("MOORLINE_LEDGER"), "{env}");

    let before = home.tree();
    let words = ["user.max_user_namespaces is 0", "hint:", "sysctl -w"];
    confined(&home, &["demo", "--require-isolation", "--dir", "other"]).fails(9, &words);
    let image = server.name(":v1");
    confined(&home, &["run", &image, "--", "true"]).fails(9, &words);
    confined(&home, &["submit", &image, "--", "true"]).fails(9, &words);
    confined(&home, &["run", "--runtime", "apptainer", &image]).fails(9, &["apptainer", "hint:"]);
    let after = home.tree();
    assert!(before == after, "{}", difference(&before, &after));
}

#[test]
fn the_demo_tells_its_story() {
    let server = Server::with_image();
    for user in if am_root() { vec![None, Some(NOBODY)] } else { vec![None] } {
        let home = Home::of(&server, user);
        let shown = home.run(&["demo", "--require-isolation", "--dir", "demo"]).exits(0);
        for words in [
            "moorline login",
            "moorline resolve",
            "moorline convert",
            "moorline submit",
            "moorline wait",
            "moorline logs",
            "moorline rerun",
            "moorline audit job",
            "moorline audit image",
            "verdict: Match",
            "7. Somebody changes the image on disk",
            "(exit code 211)",
            "verdict: Mismatch",
        ] {
            assert!(shown.stdout.contains(words), "{words}: {shown}");
        }
        assert!(shown.stdout.starts_with("A job is tied to the image"), "{shown}");
        // digests are short, and the file for a shell makes this program `moorline`
        let long = |line: &&str| line.split("sha256:").skip(1).any(|hex| hex.len() > 63);
        assert_eq!(shown.stdout.lines().find(long), None);
        if user.is_none() {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", "(. demo/env; moorline jobs)"]).current_dir(home.path("here"));
            let listed = String::from_utf8(shell.output().unwrap().stdout).unwrap();
            assert_eq!(listed.lines().count(), 5, "a head and four jobs: {listed}");
        }
        assert!(shown.stdout.contains("/demo/env; moorline jobs)"), "{shown}");
        let config =
            fs::read_to_string(home.path("here/demo/config/moorline/config.toml")).unwrap();
        assert!(config.contains("\nregistry = \"127.0.0.1:"), "{config}");
        assert!(shown.stderr.is_empty(), "{shown}");
        // its directory is not taken twice, and with -q only the result is said
        home.run(&["demo", "--dir", "demo"]).fails(12, &["demo", "hint:"]);
        let quiet = home.run(&["-q", "demo", "--dir", "quiet"]).exits(0);
        assert!(!quiet.stdout.contains("$ moorline"), "{quiet}");
    }
}
