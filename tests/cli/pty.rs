//! What a person at a terminal sees: a real one, made for the test.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Home, Server, program};

/// `moorline ARGS` on a terminal of its own, where `typed` is typed: everything that is shown.
fn on_terminal(home: &Home, args: &[&str], typed: &str) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let noctty = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
    let slave =
        || OpenOptions::new().read(true).write(true).custom_flags(noctty).open(&name).unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(program()).args(args);
    command.env_clear().envs(&home.env).env("TERM", "dumb").current_dir(home.path("here"));
    command.stdin(slave()).stdout(slave()).stderr(slave());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut master = std::fs::File::from(master);
    master.write_all(typed.as_bytes()).unwrap();
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    // EIO: nobody has the other end any more
    while let Ok(n @ 1..) = master.read(&mut piece) {
        shown.extend_from_slice(&piece[..n]);
    }
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&shown));
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn whoever_gets_a_prompt_is_told_where_it_is() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let digest = home.ok(&["resolve", &image]).split_once("sha256:").unwrap().1.to_owned();
    for args in [&["shell", &image][..], &["run", &image, "sh"]] {
        let shown = on_terminal(&home, args, "exit\n");
        assert!(shown.contains("this is "), "{args:?}: {shown}");
        assert!(shown.contains("/work_dir is "), "{args:?}: {shown}");
        // a person sees short digests
        assert!(shown.contains(&format!("@sha256:{}…", &digest[..8])), "{args:?}: {shown}");
        assert!(!shown.contains(&digest), "{args:?}: {shown}");
    }
    let shown = on_terminal(&home, &["run", &image, "sh", "-c", "true"], "");
    assert!(!shown.contains("this is "), "{shown}");
}
