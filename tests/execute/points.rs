//! A served image shows the mount points that it lacks: what a container costs does not depend on how many names there are.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use moorline::job::Grade;

use crate::served::{can, run};
use crate::support::*;

const CONFIG: &str = r#"{"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh"]}"#;

/// A copy of the test image's tree.
fn copy(to: &Path) {
    let copied = Command::new("cp").args(["-al"]).arg(tree()).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The mounts of the container of a job in this image, and what its script said.
fn mounts(user: User, tree: &Path, script: &str) -> (usize, String) {
    let script = format!("cat /proc/self/mountinfo >mounts; {script}");
    let mut job = Job::sh(user, &script);
    let place = job.path("points.sif");
    job.set_sealed(make_sealed_sif(tree, CONFIG, &place), place);
    job.plan.job.terms.require = Some(Grade::VerifiedOnRead);
    let done = run(&job);
    assert_eq!(done.code, 0, "{user:?}: {}", done.stderr);
    let table = fs::read(job.path("work/mounts")).unwrap();
    (table.split(|b| *b == b'\n').count(), done.stdout)
}

#[test]
fn names_of_the_root_cost_no_mounts() {
    if !can("names_of_the_root_cost_no_mounts") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("points-").tempdir_in(world().dir.path()).unwrap();
    let (few, many) = (dir.path().join("few"), dir.path().join("many"));
    copy(&few);
    copy(&many);
    for number in 0..10_000 {
        let name = many.join(format!("n{number}"));
        match number % 3 {
            0 => fs::create_dir(name).unwrap(),
            1 => fs::write(name, "one\n").unwrap(),
            _ => std::os::unix::fs::symlink("n1", name).unwrap(),
        }
    }
    fs::write(many.join(OsStr::from_bytes(b"q\xff\xfe")), "bytes\n").unwrap();
    fs::create_dir(many.join(OsStr::from_bytes(b"r\xe9"))).unwrap();
    for user in users() {
        let (expected, _) = mounts(user, &few, "true");
        let script = "set -e; cat /q* /n1 /n2; [ -d /r* ]; ls / >names; [ ! -e /.moorline-outside ]; \
            touch /work_dir/x /tmp/x; ! touch /x 2>&-; ! mkdir /n0/x 2>&-; for n in /*; do echo; done >lines; \
            while read -r l; do c=x$c; done <lines; [ ${#c} -gt 10010 ]; echo done";
        let (found, said) = mounts(user, &many, script);
        assert_eq!(said, "bytes\none\none\ndone\n", "{user:?}");
        assert_eq!(found, expected, "{user:?}");
    }
}

#[test]
fn a_large_directory_is_listed_and_found() {
    if !can("a_large_directory_is_listed_and_found") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("large-").tempdir_in(world().dir.path()).unwrap();
    let tree = dir.path().join("tree");
    copy(&tree);
    fs::create_dir(tree.join("many")).unwrap();
    for number in 0..66_000 {
        fs::write(tree.join(format!("many/{number:05}")), "").unwrap();
    }
    fs::write(tree.join("many/zz"), "last\n").unwrap();
    let script = "set -e; set -- /many/*; echo $#; [ -e /many/65999 ]; [ ! -e /many/66000 ]; cat /many/zz; ls /many >names";
    for user in users() {
        let (_, said) = mounts(user, &tree, script);
        assert_eq!(said, "66001\nlast\n", "{user:?}");
    }
}

/// What the image has at a mount point is used, or replaced where it is another type; directories on the way show both.
#[test]
fn made_names_and_the_images_own_are_one_directory() {
    if !can("made_names_and_the_images_own_are_one_directory") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("made-").tempdir_in(world().dir.path()).unwrap();
    let tree = dir.path().join("tree");
    copy(&tree);
    fs::create_dir(tree.join("work_dir")).unwrap();
    fs::create_dir(tree.join(".moorline-outside")).unwrap();
    fs::write(tree.join(".moorline-outside/mine"), "").unwrap();
    for user in users() {
        let script = "ls -a /opt /opt/new /opt/new/deep; cat /opt/new/deep/f /opt/tools/hello; ls -d /.moor*; \
            rmdir /.moorline-outside /opt/new /opt/new/deep; stat -c %F /opt/new /opt";
        let mut job = Job::sh(user, script);
        let place = job.path("made.sif");
        job.set_sealed(make_sealed_sif(&tree, CONFIG, &place), place);
        fs::write(job.path("host"), "host\n").unwrap();
        job.give_away();
        let mount = format!("{}:/opt/new/deep/f:ro", job.path("host").display());
        let job = job.mount(&mount);
        let done = run(&job);
        let expected = "/opt:\n.\n..\nnew\ntools\n\n/opt/new:\n.\n..\ndeep\n\n/opt/new/deep:\n.\n..\nf\n\
            host\n#!/bin/sh\necho \"hello $*\"\ndirectory\ndirectory\n";
        assert_eq!(done.stdout, expected, "{user:?}: {}", done.stderr);
        assert_eq!(done.receipt.unwrap().conditions.covers, []);
    }
}
