//! What it sees of the machine.

use std::fs::{self};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use moorline::job::Grade;

use crate::support::*;

#[test]
fn mounts_bind_what_was_asked_for() {
    if !squashfs_tools("mounts_bind_what_was_asked_for") {
        return;
    }
    for user in users() {
        let host = tempfile::Builder::new().prefix("host-").tempdir_in(world().dir.path()).unwrap();
        fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| host.path().join(name).display().to_string();
        for dir in ["scratch/in", "scratch2"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        fs::write(at("scratch/f"), "one").unwrap();
        fs::write(at("scratch2/f"), "two").unwrap();
        if user == User::Nobody {
            for dir in ["scratch", "scratch/in", "scratch2"] {
                chown(at(dir), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let script = "cat /scratch/f /scratch2/f /opt/new/deep/f /opt/tools/file; \
            (touch /scratch/x) 2>/dev/null && echo 'wrote ro'; touch /scratch2/x && echo 'wrote rw'; \
            ls /opt /opt/tools";
        let job = Job::sh(user, script)
            .mount(&format!("{}:/scratch:ro", at("scratch")))
            .mount(&format!("{}:/scratch2", at("scratch2")))
            // places that the image lacks, below directories that it has
            .mount(&format!("{}:/opt/new/deep", at("scratch")))
            .mount(&format!("{}:/opt/tools/file:ro", at("scratch2/f")));
        let done = job.run();
        assert_eq!(
            done.stdout, "onetwoonetwowrote rw\n/opt:\nnew\ntools\n\n/opt/tools:\nfile\nhello\n",
            "{user:?} {}",
            done.stderr
        );
        assert!(host.path().join("scratch2/x").exists());

        // a file over a directory is refused, and said why
        let job = Job::sh(user, "true").mount(&format!("{}:/opt/tools", at("scratch/f")));
        let done = job.run();
        assert_eq!(done.code, 214);
        assert!(
            done.stderr.contains("cannot mount at /opt/tools: it is a directory"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn submounts_come_along_and_read_only_means_all_of_them() {
    let test = "submounts_come_along_and_read_only_means_all_of_them";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // in a mount namespace of the test's own: a tmpfs below the directory that is bound, and one
    // that is mounted while the job runs, as automounts are
    let mut job = Job::sh(
        User::Me,
        "cat /d/sub/f; (touch /d/sub/x) 2>/dev/null && echo 'wrote ro'; touch /work_dir/ready; \
         while ! [ -e /d/late/f ]; do sleep 0.01; done; cat /d/late/f",
    );
    let d = job.path("d");
    fs::create_dir_all(d.join("sub")).unwrap();
    fs::create_dir_all(d.join("late")).unwrap();
    job = job.mount(&format!("{}:/d:ro", d.display()));
    let worker = job.worker();
    let script = r#"set -e; mount --make-rprivate /; mount -t tmpfs t "$1"; mount --make-shared "$1"
        mkdir "$1/sub" "$1/late"; mount -t tmpfs s "$1/sub"; echo sub >"$1/sub/f"
        d=$1; w=$2; shift 2
        "$@" & pid=$!
        i=0; while ! [ -e "$w/ready" ]; do sleep 0.01; i=$((i+1)); [ $i -lt 3000 ]; done
        mount -t tmpfs l "$d/late"; echo late >"$d/late/f"; wait $pid"#;
    let mut outer = Command::new("timeout");
    outer
        .args(["60", "unshare", "--mount", "sh", "-c", script, "sh"])
        .args([&d, &job.path("work")])
        .arg(worker.get_program())
        .args(worker.get_args())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TMPDIR", job.path("tmp"));
    let done = job.done(&outer.output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (0, "sub\nlate\n"), "{}", done.stderr);
}

#[test]
fn a_link_in_the_way_of_a_mount_is_refused_by_name() {
    if !squashfs_tools("a_link_in_the_way_of_a_mount_is_refused_by_name") {
        return;
    }
    for user in users() {
        for (mount, link, to) in [
            ("data", "data", "/dev/shm"),
            ("data", "data", "inside"),
            ("a/b/data", "a/b", "/tmp"),
            ("a/data", "a", "../../../../tmp"),
        ] {
            let job = Job::sh(user, "echo ran");
            let data = job.path("data").display().to_string();
            fs::create_dir_all(&data).unwrap();
            fs::create_dir_all(job.path("work/inside/data")).unwrap();
            let at = job.path("work").join(link);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(to, &at).unwrap();
            let done = job.mount(&format!("{data}:/work_dir/{mount}:ro:required")).run();
            assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{link} -> {to}");
            let said = format!("/work_dir/{link} is a symbolic link");
            assert!(done.stderr.contains(&said), "{}", done.stderr);
        }
    }
}

#[test]
fn missing_mounts_are_silent_warned_or_fatal() {
    if !squashfs_tools("missing_mounts_are_silent_warned_or_fatal") {
        return;
    }
    let done = Job::sh(User::Me, "echo ran").mount("/nowhere/opt:/opt2").run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "ran\n"));
    assert!(
        done.stderr.contains("warning: /nowhere/opt is not mounted at /opt2"),
        "{}",
        done.stderr
    );
    // the silent default mount is in neither
    assert!(!done.stderr.contains("cvmfs"));
    let skipped = done.receipt.unwrap().skipped_mounts;
    assert_eq!((skipped.len(), skipped[0].source.as_str()), (1, "/nowhere/opt"));

    let done = Job::sh(User::Me, "echo ran").mount("/nowhere/req:/r:required").run();
    assert_eq!((done.code, done.stdout.as_str()), (212, ""));
    let receipt = done.receipt.unwrap();
    assert!(why(&receipt).contains("/nowhere/req"));
    assert_eq!((receipt.exit_code, receipt.evidence.grade), (212, Grade::None));
}

#[test]
fn control_is_never_seen_inside() {
    if !squashfs_tools("control_is_never_seen_inside") {
        return;
    }
    for user in users() {
        let script = |dir: &str| {
            format!(
                "ls {dir} | cat; ls -a {dir}/control; (echo x >{dir}/control/x) 2>/dev/null && echo wrote; ls {dir}/tmp; true"
            )
        };
        let job = Job::sh(user, &script("/above"));
        let above = job.dir.path().display().to_string();
        let done = job.mount(&format!("{above}:/above")).run();
        assert_eq!(
            done.stdout,
            "control\ntmp\nwork\n.\n..\nmoorline-6\n"
                .replace("moorline-6\n", &listed(&done.stdout)),
            "{}",
            done.stderr
        );
        // a working directory above it
        let mut job = Job::sh(user, &script("/work_dir"));
        job.plan.workdir = job.dir.path().to_owned();
        let done = job.run();
        assert!(
            done.stdout.starts_with("control\ntmp\nwork\n.\n..\n"),
            "{}{}",
            done.stdout,
            done.stderr
        );
        assert!(!done.stdout.contains("wrote"));
        // asked for by name
        let job = Job::sh(user, "true");
        let control = job.path("control").display().to_string();
        let done = job.mount(&format!("{control}/plan.json:/plan")).run();
        assert_eq!(done.code, 214);
        assert!(done.stderr.contains("belongs to moorline"), "{}", done.stderr);
    }
}

/// What a listing says after the control directory's two entries.
fn listed(stdout: &str) -> String {
    stdout.split_once(".\n..\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// A graphics card, a fast network: what is mounted by name from the machine's `/dev` is a device in the container, and
/// nothing else that is mounted is.
#[test]
fn devices_that_were_asked_for_by_name_can_be_opened() {
    let test = "devices_that_were_asked_for_by_name_can_be_opened";
    if !squashfs_tools(test) {
        return;
    }
    for user in users() {
        let script = "read -r n </opt/zero; [ -c /opt/zero ] && echo x >/opt/full || echo full; \
                      for m in /opt/zero /data; do while read -r i p d r at o rest; do \
                      [ $at = $m ] && echo $m $o; done </proc/self/mountinfo; done";
        let mut job = Job::sh(user, script);
        fs::create_dir(job.path("data")).unwrap();
        job.give_away();
        let data = job.path("data").display().to_string();
        job = job
            .mount("/dev/null:/opt/zero")
            .mount("/dev/full:/opt/full")
            .mount(&format!("{data}:/data"));
        let done = job.run();
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert_eq!(lines[0], "full", "{user:?} {}{}", done.stdout, done.stderr);
        assert!(lines[1].starts_with("/opt/zero ") && lines[1].contains("nosuid"), "{lines:?}");
        assert!(!lines[1].contains("nodev"), "{lines:?}");
        assert!(lines[2].starts_with("/data ") && lines[2].contains("nosuid,nodev"), "{lines:?}");
    }
}
