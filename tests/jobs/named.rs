//! A SIF file that the user names: read once, remembered, and checked on read.

use std::fs::{self, File};

use crate::support::{Home, Server, have, until};

/// What a file gave is noted, taken for the next start, and never believed for what runs.
#[test]
fn a_named_file_is_read_once_and_never_believed() {
    let test = "a_named_file_is_read_once_and_never_believed";
    let fuse = File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !have("fuse", test, fuse) {
        return;
    }
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    home.ok(&["convert", &server.name(":v1"), "-o", "own.sif"]);
    let run =
        || home.run(&["run", "--runtime", "builtin", "./own.sif", "--", "sh", "-c", "echo ran"]);
    let attempt = || {
        let answer = home.run(&["--json", "audit", "job", "last"]).json();
        answer["submissions"][0].clone()
    };
    // a file that was just written is not noted: it could change within one step of the clock
    let note = home.path("ledger/readings.idx");
    until("the note", 60, || {
        assert_eq!(run().exits(0).stdout, "ran\n");
        note.exists().then_some(())
    });
    let noted = fs::read_to_string(&note).unwrap();
    assert_eq!(noted.lines().count(), 1, "{noted}");
    let first = attempt();
    assert_eq!(first["attempts"][0]["grade"], "verified-on-read", "{first}");
    assert_eq!(first["attempts"][0]["measured"], first["image"]["tree"], "{first}");
    assert_eq!(run().exits(0).stdout, "ran\n");
    assert_eq!(attempt()["image"], first["image"]);
    assert_eq!(fs::read_to_string(&note).unwrap(), noted, "it was read again");

    // another root under the same file: nothing of it runs
    let root = noted.trim_end().rsplit(' ').next().unwrap();
    fs::write(&note, noted.replace(root, &format!("sha256:{}", "7".repeat(64)))).unwrap();
    let refused = run();
    assert_eq!((refused.code, refused.stdout.as_str()), (211, ""), "{refused}");
    // another file under the same name
    fs::copy(home.path("here/own.sif"), home.path("here/copy.sif")).unwrap();
    fs::rename(home.path("here/copy.sif"), home.path("here/own.sif")).unwrap();
    assert_eq!(run().exits(0).stdout, "ran\n");
    assert_eq!(attempt()["image"], first["image"]);
}
