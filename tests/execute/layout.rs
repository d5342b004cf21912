//! How the container's root is laid out around images that are odd, and mounts that lie in Moorline's own
//! directories.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use moorline::job::RuntimeChoice;
use moorline::oci::{Digest, Sha256Digest};

use crate::support::*;

/// A change to the test image's tree: a directory `x/`, a file `x`, a link `x>y`, and nothing at `-x`;
/// what was there goes first.
fn changed(changes: &str, to: &Path) {
    let copied = Command::new("cp").args(["-al"]).arg(tree()).arg(to).status().unwrap();
    assert!(copied.success());
    for change in changes.split_whitespace() {
        let (name, what) = match change.split_once('>') {
            Some((name, target)) => (name, Some(target)),
            None => (change, None),
        };
        let path = to.join(name.trim_matches(['-', '/']));
        if fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
            fs::remove_dir_all(&path).unwrap();
        } else if fs::symlink_metadata(&path).is_ok() {
            fs::remove_file(&path).unwrap();
        }
        if name.starts_with('-') {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match what {
            Some(target) => symlink(target, &path).unwrap(),
            None if name.ends_with('/') => fs::create_dir(&path).unwrap(),
            None => fs::write(&path, "the image's\n").unwrap(),
        }
    }
}

/// A job in an image of a tree. Where this user can serve it, its root is the served image; elsewhere it is a
/// skeleton, as for the ordinary user on a machine that keeps `/dev/fuse` for root.
fn in_image(job: Job, tree: &Path) -> Job {
    let mut job = job;
    let place = job.path("odd.sif");
    let config = r#"{"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh"]}"#;
    let sealed = make_sealed_sif(tree, config, &place);
    job.set_sealed(sealed, place);
    job
}

/// Reports of images that did not start because of what Moorline mounts by itself: openwrt's root file system
/// (`/var -> tmp`, `/etc/resolv.conf -> /tmp/resolv.conf`), NixOS and distroless ones.
#[test]
fn every_image_starts_although_our_mounts_do_not_fit() {
    let test = "every_image_starts_although_our_mounts_do_not_fit";
    if !squashfs_tools(test) {
        return;
    }
    // what the program sees: whether /proc, /dev and the working directory are the real ones
    // the image has no grep
    let script = "set -e; has() { while read -r l; do case $l in *$2*) return 0;; esac; done <$1; return 1; }; \
                  [ -e /proc/self/stat ]; echo >/dev/null; [ -c /dev/zero ]; [ -e /work_dir/mine ]; \
                  touch /work_dir/x; echo ran";
    let dir = tempfile::Builder::new().prefix("odd-").tempdir_in(world().dir.path()).unwrap();
    for (at, (changes, notes, more)) in [
        // openwrt
        (
            "var>tmp tmp/ etc/resolv.conf>/tmp/resolv.conf etc/passwd>/tmp/passwd etc/group>../tmp/group",
            0,
            "touch /tmp/a /var/tmp/b; [ -e /tmp/tmp/b ]; has /etc/passwd; cat /etc/resolv.conf >/dev/null",
        ),
        ("etc/hosts>/dev/null", 0, "has /etc/hosts; echo x >/dev/null; [ -c /dev/null ]"),
        ("etc/hosts/ etc/hosts/in", 1, "[ -e /etc/hosts/in ]"),
        ("etc/resolv.conf>resolv.conf etc/hosts>/nowhere/at/all", 0, "has /etc/hosts"),
        ("etc/hosts>loop etc/loop>hosts", 0, "has /etc/hosts"),
        ("-etc", 0, "has /etc/hosts; id -u >/dev/null"),
        ("etc", 4, "has /etc image"),
        ("etc>usr/etc usr/etc/ usr/etc/hosts", 0, "has /usr/etc/hosts; ! has /etc/hosts image"),
        ("etc>etc", 4, "true"),
        ("etc>nowhere/etc", 0, "has /etc/hosts"),
        ("proc", 1, "true"),
        ("proc>usr", 1, "[ ! -e /usr/self ]"),
        ("proc>proc", 1, "true"),
        ("-proc -tmp", 0, "touch /tmp/x"),
        ("dev", 1, "true"),
        ("dev>/usr", 1, "[ ! -e /usr/null ]"),
        ("sys", 1, "[ -d /sys ]"),
        ("sys>/usr", 1, "[ -d /sys/kernel ]"),
        ("tmp", 1, "has /tmp image"),
        ("tmp>/tmp", 1, "true"),
        ("tmp>/var/tmp var/tmp/", 0, "touch /tmp/x; [ -e /var/tmp/x ]"),
        ("tmp>/nowhere/tmp", 0, "touch /tmp/x; [ -e /nowhere/tmp/x ]"),
        ("tmp>/dev/shm", 1, "true"),
        ("var", 1, "has /var image"),
        ("work_dir", 1, "true"),
        ("work_dir>/usr", 1, "[ ! -e /usr/x ]"),
        ("work_dir>/nowhere", 1, "true"),
        ("work_dir>work_dir", 1, "true"),
        (".moorline-outside/ .moorline-outside/x", 0, "[ ! -e /.moorline-outside ]"),
    ]
    .into_iter()
    .enumerate()
    {
        let tree = dir.path().join(at.to_string());
        changed(changes, &tree);
        for user in users() {
            let job = in_image(Job::sh(user, &format!("{script}; {more}")), &tree);
            fs::write(job.path("work/mine"), "").unwrap();
            job.give_away();
            let done = job.run();
            assert_eq!(
                (done.code, done.stdout.as_str()),
                (0, "ran\n"),
                "{changes} as {user:?}: {}",
                done.stderr
            );
            let receipt = done.receipt.unwrap();
            let ours = |note: &&String| note.contains("the image");
            let found = receipt.notes.iter().filter(ours).count();
            assert_eq!(found, notes, "{changes}: {:?}", receipt.notes);
            assert_eq!(receipt.conditions.covers, [], "{changes}");
            if user == User::Me && can_serve() {
                assert_eq!(receipt.rootfs.as_deref(), Some("served"), "{:?}", receipt.notes);
            }
        }
        fs::remove_dir_all(&tree).unwrap();
    }
}

/// What the user asked for is there, or the job does not start.
#[test]
fn what_was_asked_for_is_refused_by_name_where_the_image_is_odd() {
    let test = "what_was_asked_for_is_refused_by_name_where_the_image_is_odd";
    if !squashfs_tools(test) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("odd-").tempdir_in(world().dir.path()).unwrap();
    let tree = dir.path().join("tree");
    changed("etc/hosts>/dev/null a/f c>c d>/dev/full two/ also>two", &tree);
    for (mounts, expected) in [
        (&["H:/a/f/x"][..], Err("/a/f is a file in the image, not a directory")),
        (&["D:/c/x"], Err("too many symbolic links in the image")),
        (&["D:/a/f"], Err("it is a file in the image and a directory on this machine")),
        (&["H:/two", "D:/d"], Err("it is a directory in the image and a file on this machine")),
        // two names of one place
        (&["D:/two/in", "E:/also/in"], Err("two mounts have one target")),
        (&["D:/.moorline-outside"], Err("Moorline's own")),
        // the names that were asked for, not one place that a link leads them to, nor the device that its link leads to
        (&["H:/etc/hosts"], Ok("cat /etc/hosts; echo gone >/dev/null; [ -c /dev/null ]")),
        (&["D:/two", "H:/also"], Ok("[ -d /two ]; cat /also")),
    ] {
        let script = format!("set -e; {}", expected.unwrap_or("true"));
        let mut job = in_image(Job::sh(User::Me, &script), &tree);
        fs::write(job.path("H"), "mine\n").unwrap();
        for name in ["D", "E"] {
            fs::create_dir(job.path(name)).unwrap();
        }
        for mount in mounts {
            let source = job.path(&mount[..1]).display().to_string();
            job = job.mount(&format!("{source}{}", &mount[1..]));
        }
        let done = job.run();
        match expected {
            Ok(_) => {
                assert_eq!((done.code, done.stdout.as_str()), (0, "mine\n"), "{}", done.stderr);
                let covers = done.receipt.unwrap().conditions.covers;
                let asked = mounts.last().and_then(|m| m.split_once(':')).unwrap().1;
                assert_eq!((covers.len(), covers[0].target.as_str()), (1, asked));
            }
            Err(why) => {
                assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{mounts:?}");
                assert!(done.stderr.contains(why), "{mounts:?}: {}", done.stderr);
            }
        }
    }
}

/// Grid proxies lie at `/tmp/x509up_uUID` (ganga#1668).
#[test]
fn mount_points_are_made_in_moorlines_own_directories() {
    let test = "mount_points_are_made_in_moorlines_own_directories";
    if !squashfs_tools(test) {
        return;
    }
    for user in users() {
        let script = "cat /tmp/x509up_u7 /var/tmp/a/b/f /dev/shm/own/f /work_dir/data/f /dev/f; \
                      touch /tmp/mine /dev/shm/mine; ls /tmp /work_dir";
        let mut job = Job::sh(user, script);
        let host = job.path("host");
        fs::create_dir(&host).unwrap();
        fs::write(host.join("f"), "x").unwrap();
        job.give_away();
        let (d, f) = (host.display().to_string(), host.join("f").display().to_string());
        for mount in [
            format!("{f}:/tmp/x509up_u7:ro"),
            format!("{d}://var/tmp/./a/b/"),
            format!("{d}:/dev/shm/own"),
            format!("{d}:/work_dir/data:ro"),
            format!("type=bind,source={f},target=/dev/f,readonly"),
        ] {
            job = job.mount(&mount);
        }
        let done = job.run();
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (0, "xxxxx/tmp:\nmine\nx509up_u7\n\n/work_dir:\ndata\n"),
            "{user:?}: {}",
            done.stderr
        );
        let receipt = done.receipt.unwrap();
        assert!(receipt.notes.iter().any(|n| n.contains("/dev/shm is the container's own")));
        // nothing of the image is hidden, and nothing is left behind
        assert_eq!(receipt.conditions.covers, []);
        for name in ["own", "mine"] {
            assert!(!Path::new("/dev/shm").join(name).exists());
        }
        let left: Vec<_> = fs::read_dir(&host).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["f"]);
    }
}

#[test]
fn nothing_is_made_in_the_users_directories() {
    let test = "nothing_is_made_in_the_users_directories";
    if !squashfs_tools(test) {
        return;
    }
    for user in users() {
        for (target, missing) in
            [("/work_dir/data", "work/data"), ("/h/none/deep", "host/none/deep")]
        {
            let mut job = Job::sh(user, "echo ran");
            let (host, work) = (job.path("host"), job.path("work"));
            fs::create_dir(&host).unwrap();
            job.give_away();
            // the directory of somebody who said so, as `run` and `--workdir` have it
            job.plan.job.workdir = Some(work.clone());
            let missing = job.path(missing).display().to_string();
            let above = format!("{}:/h", host.display());
            let within = format!("{}:{target}", host.display());
            job = job.mount(&within).mount(&above);
            let done = job.run();
            assert_eq!((done.code, done.stdout.as_str()), (214, ""));
            for part in [target, &format!("(mkdir -p {missing})")] {
                assert!(done.stderr.contains(part), "{user:?}: {}", done.stderr);
            }
            assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
            assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
        }
    }
}

/// What an earlier attempt left in the working directory leads a mount nowhere.
#[test]
fn a_link_where_a_mount_point_should_be_is_not_followed() {
    let test = "a_link_where_a_mount_point_should_be_is_not_followed";
    if !squashfs_tools(test) {
        return;
    }
    for user in users() {
        for (link, target) in [("data", "/work_dir/data/x/y"), ("a", "/work_dir/a/y")] {
            let mut job = Job::sh(user, "echo ran");
            let elsewhere = job.path("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            // the machine's root is in sight while the container's is put together
            let machine = format!("/.moorline-outside{}", elsewhere.display());
            symlink(machine, job.path("work").join(link)).unwrap();
            job.give_away();
            let mount = format!("{}:{target}", elsewhere.display());
            job = job.mount(&mount);
            let done = job.run();
            assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{user:?}: {}", done.stderr);
            assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        }
    }
}

/// Names that are not UTF-8, in the image and on the machine.
#[test]
fn names_are_bytes() {
    let test = "names_are_bytes";
    if !squashfs_tools(test) {
        return;
    }
    let odd = |text: &[u8]| OsStr::from_bytes(text).to_owned();
    let dir = tempfile::Builder::new().prefix("bytes-").tempdir_in(world().dir.path()).unwrap();
    let tree = dir.path().join("tree");
    changed("opt/", &tree);
    fs::create_dir(tree.join(odd(b"q\xff"))).unwrap();
    fs::write(tree.join(odd(b"q\xff/f\xfe")), "in\n").unwrap();
    fs::write(tree.join(odd(b"z\xe9")), "latin\n").unwrap();
    symlink(odd(b"q\xff/f\xfe"), tree.join(odd(b"y\xfd"))).unwrap();
    symlink(odd(b"/opt/t\xff"), tree.join("through")).unwrap();
    fs::write(tree.join("etc/passwd.new"), b"root:x:0:0:J\xf6rg:/root:/bin/sh\n").unwrap();
    fs::rename(tree.join("etc/passwd.new"), tree.join("etc/passwd")).unwrap();
    for user in users() {
        let script = "cat /q*/f* /z* /y* /through/g*; cat /etc/passwd >/work_dir/passwd";
        let mut job = in_image(Job::sh(user, script), &tree);
        // a source that is not UTF-8 behind a link that is
        let source = job.path("s").with_file_name(odd(b"s\xfc"));
        fs::create_dir(&source).unwrap();
        fs::write(source.join(odd(b"g\xfb")), "host\n").unwrap();
        symlink(&source, job.path("link")).unwrap();
        job.give_away();
        let link = job.path("link").display().to_string();
        job = job.mount(&format!("{link}:/through"));
        job.plan.job.runtime = RuntimeChoice::Builtin;
        let done = job.run();
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (0, "in\nlatin\nin\nhost\n"),
            "{user:?}: {}",
            done.stderr
        );
        let passwd = fs::read(job.path("work/passwd")).unwrap();
        assert!(passwd.starts_with(b"root:x:0:0:J\xf6rg:/root:/bin/sh\n"), "{passwd:?}");
    }
}

/// Security: what lies over the image's files is in the receipt.
#[test]
fn mounts_over_the_image_are_listed() {
    let test = "mounts_over_the_image_are_listed";
    if !squashfs_tools(test) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("covers-").tempdir_in(world().dir.path()).unwrap();
    let tree = dir.path().join("tree");
    changed(
        "empty/ full/ full/x/ bin2>/opt/tools tmp/ tmp/old a/dangling>/nowhere cvmfs/ cvmfs/x",
        &tree,
    );
    for user in users() {
        let mut job = in_image(Job::sh(user, "true"), &tree);
        fs::create_dir_all(job.path("D/in")).unwrap();
        fs::write(job.path("F"), "x").unwrap();
        job.give_away();
        for (source, target) in [
            ("F", "/opt/tools/hello"),
            ("D", "/empty"),
            ("D", "/new/place"),
            ("D", "/full"),
            // below another mount, and in our own directory: nothing more of the image is hidden
            ("D", "/full/in"),
            ("D", "/tmp/old"),
            ("D", "/a/dangling"),
            ("F", "/etc/passwd"),
        ] {
            let source = job.path(source).display().to_string();
            job = job.mount(&format!("{source}:{target}"));
        }
        let done = job.run();
        assert_eq!(done.code, 0, "{}", done.stderr);
        let covers = done.receipt.unwrap().conditions.covers;
        let found: Vec<_> = covers.iter().map(|c| c.target.as_str()).collect();
        assert_eq!(found, ["/etc/passwd", "/full", "/opt/tools/hello"]);
        assert_eq!(covers[0].source, job.path("F").display().to_string());
    }
}

/// An option that nothing obeys is refused, not ignored.
#[test]
fn the_built_in_runtime_takes_no_options() {
    let test = "the_built_in_runtime_takes_no_options";
    if !squashfs_tools(test) {
        return;
    }
    let mut job = Job::sh(User::Me, "echo ran");
    job.plan.job.options = vec!["--fakeroot".into()];
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (214, ""));
    assert!(done.stderr.contains("the option --fakeroot"), "{}", done.stderr);
}

/// A program that has apptainer's name: the receipt says which, and what lay over the image.
#[test]
fn a_foreign_runtime_is_identified() {
    let test = "a_foreign_runtime_is_identified";
    if !squashfs_tools(test) {
        return;
    }
    for user in users() {
        let mut job = Job::sh(user, "true");
        let bin = job.path("bin");
        fs::create_dir(&bin).unwrap();
        let fake =
            "#!/bin/sh\n[ \"$1\" = --version ] && echo apptainer version 0.0 && exit\necho fake\n";
        fs::write(bin.join("theirs"), fake).unwrap();
        fs::set_permissions(bin.join("theirs"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("theirs", bin.join("singularity")).unwrap();
        fs::create_dir(job.path("D")).unwrap();
        job.give_away();
        let source = job.path("D").display().to_string();
        job = job.mount(&format!("{source}:/opt/tools")).mount(&format!("{source}:/new"));
        job.plan.job.runtime = RuntimeChoice::Singularity;
        job.plan.job.options = vec!["--nv".into()];
        job.env.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display())));
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (0, "fake\n"), "{}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.runtime.as_str(), "apptainer");
        let conditions = receipt.conditions;
        assert_eq!(conditions.options, ["--nv"]);
        let program = conditions.program.unwrap();
        assert_eq!(program.path, bin.join("theirs").display().to_string());
        assert_eq!(program.version.as_deref(), Some("apptainer version 0.0"));
        assert_eq!(program.sha256, Some(Digest::of(fake.as_bytes())));
        let covers: Vec<_> = conditions.covers.iter().map(|c| c.target.as_str()).collect();
        assert_eq!(covers, ["/opt/tools"]);
    }
}

/// A link that a job left where the next one's mount goes is called a link, wherever on the way it stands, and the
/// hint is not to make something behind it.
#[test]
fn a_link_in_a_mounted_directory_is_called_one() {
    let test = "a_link_in_a_mounted_directory_is_called_one";
    if !squashfs_tools(test) {
        return;
    }
    for (at, target) in
        ["work/data", "work/data/in", "work/data/in/deeper", "work/there/data"].iter().enumerate()
    {
        let users = users();
        let job = Job::sh(users[at % users.len()], "true");
        for dir in ["host", "elsewhere/in", "work/there"] {
            fs::create_dir_all(job.path(dir)).unwrap();
        }
        let link = if target.contains("there") { "work/there/data" } else { "work/data" };
        std::os::unix::fs::symlink(job.path("elsewhere"), job.path(link)).unwrap();
        job.give_away();
        let mut job = job;
        // a directory that the user named: nothing is made in it
        job.plan.job.workdir = Some(job.plan.workdir.clone());
        let source = job.path("host").display().to_string();
        let target = target.replace("work/", "/work_dir/");
        let job = job.mount(&format!("{source}:{target}"));
        let done = job.run();
        assert_eq!(done.code, 214, "{}", done.stderr);
        let expected = format!("{} is a symbolic link", job.path(link).display());
        assert!(done.stderr.contains(&expected), "{target}: {}", done.stderr);
        assert!(!done.stderr.contains("mkdir"), "{}", done.stderr);
    }
}
