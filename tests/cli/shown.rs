//! Tables, colours and silence, as a terminal and a script see them.

use crate::support::{Home, Server};

/// A job that has ended, with a name and a long command.
fn world(server: &Server) -> (Home, String) {
    let home = Home::logged_in(server);
    let words =
        "a command that is rather long, so that no window of eighty columns holds all of it";
    let script = format!("echo {words}");
    let args = ["submit", "--wait", "--name", "fit", &server.name(":v1"), "sh", "-c", &script];
    let job = home.ok(&args);
    (home, job)
}

#[test]
fn tables_fit_80_columns_and_grow_with_the_window() {
    let server = Server::with_image();
    let (home, job) = world(&server);
    let image = server.name(":v1");
    let digest = home.ok(&["resolve", &image]).split_once("sha256:").unwrap().1.to_owned();
    let project = server.name("");
    let narrow = home.with("COLUMNS", "80");
    for args in [
        &["jobs"][..],
        &["tags", &project],
        &["cache", "ls"],
        &["config", "show"],
        &["login", "--list"],
        &["audit", "image", &image],
    ] {
        let shown = narrow.run(args).exits(0).stdout;
        for line in shown.lines().filter(|line| !line.contains(" used ")) {
            assert!(line.chars().count() <= 80, "{args:?}: {line:?}");
        }
    }
    let jobs = narrow.ok(&["jobs"]);
    assert!(jobs.contains(&format!("sha256:{}…", &digest[..8])), "{jobs}");
    assert!(jobs.contains(&job[..12]) && jobs.contains("fit"), "{jobs}");
    // a time has its zone
    assert!(jobs.lines().nth(1).unwrap().contains("Z  "), "{jobs}");
    for args in [&["status", &job][..], &["audit", "job", &job], &["inspect", &image]] {
        let shown = narrow.run(args).exits(0).stdout;
        let long = |line: &&str| {
            line.split("sha256:").skip(1).any(|hex| hex.len() >= 64) && line.len() > 80
        };
        assert_eq!(shown.lines().find(long), None, "{args:?}");
    }
    // what a table shows can be typed
    let short = format!("sha256:{}…", &digest[..8]);
    let audited = narrow.run(&["audit", "image", &short]).exits(0);
    assert!(audited.stdout.contains("1 job used"), "{audited}");
    assert_eq!(
        narrow.ok(&["resolve", &format!("physics/analysis@{short}")]),
        narrow.ok(&["resolve", &image])
    );
    assert!(narrow.ok(&["status", &job[..12]]).contains("sh -c 'echo a command"), "{jobs}");
    narrow.run(&["audit", "image", "sha256:00000000"]).fails(2, &["not a whole digest", "hint:"]);
    // whole with --full, in a wide window, and for scripts
    assert!(narrow.ok(&["jobs", "--full"]).contains(&digest));
    let wide = narrow.with("COLUMNS", "700");
    assert!(wide.ok(&["jobs"]).contains(&digest));
}

#[test]
fn colours_are_for_terminals_only() {
    let server = Server::with_image();
    let (home, _) = world(&server);
    assert!(!home.ok(&["jobs"]).contains('\u{1b}'));
    let forced = home.with("CLICOLOR_FORCE", "1");
    let shown = forced.ok(&["jobs"]);
    assert!(shown.contains("\u{1b}[32mcompleted\u{1b}[0m"), "{shown}");
    let said = forced.run(&["status", "nobody"]).exits(3).stderr;
    assert!(said.starts_with("\u{1b}["), "{said:?}");
    let none = forced.with("NO_COLOR", "1").with("CLICOLOR_FORCE", "0");
    assert!(!none.ok(&["jobs"]).contains('\u{1b}'));
}

#[test]
fn quiet_is_quiet_and_verbose_is_for_people() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    // a mount that is not there warns, and is nobody's error
    let args = ["-q", "submit", "--wait", "--mount", "/gone-moorline", &image, "sh", "-c", "true"];
    let quiet = home.run(&args).exits(0);
    assert_eq!(quiet.stderr, "", "{quiet}");
    let verbose = home.run(&["-v", "resolve", &image]).exits(0);
    let steps: Vec<&str> = verbose.stderr.lines().filter(|line| line.starts_with(". ")).collect();
    assert!(steps.iter().any(|step| step.starts_with(". asking for a token (realm ")), "{verbose}");
    assert!(!verbose.stderr.contains("DEBUG"), "{verbose}");
    let traced = home.with("RUST_LOG", "moorline=debug");
    let traced = traced.run(&["resolve", &image]).exits(0);
    assert!(traced.stderr.contains("DEBUG"), "{traced}");
}
