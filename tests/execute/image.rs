//! Measuring, and the ways to the root file system.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use moorline::job::Grade;
use moorline::oci::{Sha256Digest, SifDigest};

use crate::support::*;

#[test]
fn an_image_with_other_bytes_does_not_run() {
    if !squashfs_tools("an_image_with_other_bytes_does_not_run") {
        return;
    }
    let mut job = Job::sh(User::Me, "echo ran");
    let path = job.path("bad.sif");
    let mut bytes = fs::read(&image().0).unwrap();
    let last = bytes.len() - 5000;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    job.set_image(image().1, path.clone());
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (211, ""));
    let receipt = done.receipt.unwrap();
    // what was found is evidence, too
    assert_eq!(receipt.evidence.sif(), Some(SifDigest::of(&bytes)));
    assert_eq!(receipt.expected, Some(image().1));

    fs::remove_file(path).unwrap();
    let done = job.run();
    assert_eq!(done.code, 210, "{}", done.stderr);

    // a plan that is not the script's
    let job = Job::sh(User::Me, "echo ran");
    let mut worker = job.worker();
    fs::write(job.path("control/plan.json"), job.plan.to_bytes().unwrap().to_ascii_lowercase())
        .unwrap();
    let done = job.done(&worker.output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (211, ""));
    assert!(done.receipt.is_none());
}

#[test]
fn an_image_that_is_exchanged_while_it_runs_changes_nothing() {
    if !squashfs_tools("an_image_that_is_exchanged_while_it_runs_changes_nothing") {
        return;
    }
    for user in users() {
        let mut job = Job::sh(
            user,
            "touch ready; while ! [ -e go ]; do sleep 0.01; done; cat /opt/tools/hello; ls /opt/tools",
        );
        let path = job.path("mine.sif");
        fs::copy(&image().0, &path).unwrap();
        job.set_image(image().1, path.clone());
        let child = job.worker().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(|| job.path("work/ready").exists());
        fs::rename(&path, job.path("gone")).unwrap();
        fs::write(&path, "another image").unwrap();
        fs::write(job.path("work/go"), "").unwrap();
        let done = job.done(&child.wait_with_output().unwrap());
        assert_eq!((done.code, done.stdout.lines().last()), (0, Some("hello")), "{}", done.stderr);
        let evidence = done.receipt.unwrap().evidence;
        // the rename changed the file's ctime, nothing else: squashfuse reads on from the handle
        assert!(evidence.sif().is_none_or(|d| d == image().1), "{evidence:?}");
    }
}

#[test]
fn several_jobs_unpack_at_once() {
    let test = "several_jobs_unpack_at_once";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // nobody cannot open /dev/fuse here; where he can, squashfuse is hidden by PATH below
    let cache = tempfile::Builder::new().prefix("cache-").tempdir_in(world().dir.path()).unwrap();
    chown(cache.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let jobs: Vec<Job> = (0..6)
        .map(|_| {
            let mut job = Job::sh(User::Nobody, "hello; cat /etc/passwd >/dev/null");
            job.plan.node_cache = Some(cache.path().to_owned());
            job.plan.getting.shared_trees = true;
            job.env.push(("PATH".into(), "/nowhere".into()));
            job
        })
        .collect();
    let children: Vec<_> = jobs
        .iter()
        .map(|j| {
            let mut c = j.worker();
            c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut grades = Vec::new();
    for (job, child) in jobs.iter().zip(children) {
        let done = job.done(&child.wait_with_output().unwrap());
        assert_eq!((done.code, done.stdout.as_str()), (0, "hello \n"), "{}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.rootfs.as_deref(), Some("unpacked"));
        grades.push(receipt.evidence.grade);
    }
    // exactly one of them made the tree that all ran
    assert_eq!(grades.iter().filter(|g| **g == Grade::Measured).count(), 1, "{grades:?}");
    let ours = cache.path().join(format!("moorline-{NOBODY}"));
    let entries =
        fs::read_dir(&ours).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let entries: Vec<String> = entries.filter(|name| name != ".lock").collect();
    let hex = image().1.hex();
    assert!(matches!(&entries[..], [one] if one.starts_with(&format!("{hex}-"))), "{entries:?}");
    let mode = |p: &Path| fs::symlink_metadata(p).unwrap().permissions().mode() & 0o7777;
    let entry = ours.join(&entries[0]);
    assert_eq!((mode(&ours), mode(&entry)), (0o700, 0o700));
    // setuid and setgid are gone
    assert_eq!(mode(&entry.join("root/opt/tools/hello")), 0o755);
}

#[test]
fn a_job_that_requires_it_measures_its_own_tree() {
    let test = "a_job_that_requires_it_measures_its_own_tree";
    if !squashfs_tools(test) {
        return;
    }
    let cache = tempfile::Builder::new().prefix("cache-").tempdir_in(world().dir.path()).unwrap();
    let run = |shares, required: Option<Grade>| {
        let mut job = Job::sh(User::Me, "echo ran");
        job.plan.node_cache = Some(cache.path().to_owned());
        job.plan.getting.shared_trees = shares;
        job.plan.job.terms.require = required;
        job.env.push(("PATH".into(), "/nowhere".into()));
        let done = job.run();
        (done.code, done.stdout, done.receipt.unwrap())
    };
    let trees = || {
        let ours = cache.path().join(format!("moorline-{}", rustix::process::getuid().as_raw()));
        let names = fs::read_dir(ours).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != ".lock").count()
    };
    let measured = Some(Grade::Measured);
    for (shares, required, grade, shared) in [
        // nobody allowed it: each job has its own tree
        (false, None, Grade::Measured, 0),
        (false, None, Grade::Measured, 0),
        (true, measured, Grade::Measured, 0),
        (true, None, Grade::Measured, 1),
        (true, None, Grade::MeasuredCached, 1),
        (true, Some(Grade::MeasuredCached), Grade::MeasuredCached, 1),
        (true, measured, Grade::Measured, 1),
        (false, None, Grade::Measured, 1),
    ] {
        let (code, stdout, receipt) = run(shares, required);
        assert_eq!((code, stdout.as_str()), (0, "ran\n"), "{:?}", receipt.notes);
        assert_eq!((receipt.evidence.grade, trees()), (grade, shared), "{required:?}");
    }
    // what this program cannot give is refused before anything starts
    let (code, stdout, receipt) = run(true, Some(Grade::VerifiedOnRead));
    assert_eq!((code, stdout.as_str()), (211, ""));
    assert!(why(&receipt).contains("verified-on-read"), "{}", why(&receipt));
}

/// What stands where the cache should be, and how it came there.
type Plant = (&'static str, fn(&Path));

#[test]
fn a_foreign_or_open_cache_is_never_joined() {
    let test = "a_foreign_or_open_cache_is_never_joined";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    let name = format!("moorline-{NOBODY}");
    let plant: [Plant; 4] = [
        ("another's", |p| fs::create_dir(p).unwrap()),
        ("open", |p| {
            fs::create_dir(p).unwrap();
            fs::set_permissions(p, fs::Permissions::from_mode(0o777)).unwrap();
            chown(p, Some(NOBODY), Some(NOBODY)).unwrap();
        }),
        ("link", |p| symlink("/tmp", p).unwrap()),
        ("file", |p| fs::write(p, "").unwrap()),
    ];
    for (what, plant) in plant {
        let mut job = Job::sh(User::Nobody, "echo ran");
        job.env.push(("PATH".into(), "/nowhere".into()));
        let cache = job.path("cache");
        fs::create_dir(&cache).unwrap();
        job.plan.node_cache = Some(cache.clone());
        job.plan.getting.shared_trees = true;
        let mut worker = job.worker();
        plant(&cache.join(&name));
        let done = job.done(&worker.output().unwrap());
        // another user's directory stops nobody: the image is unpacked for the one job
        assert_eq!((done.code, done.stdout.as_str()), (0, "ran\n"), "{what}: {}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.evidence.grade, Grade::Measured, "{what}");
        let told = receipt.notes.iter().any(|note| note.contains("for this job alone"));
        assert!(told, "{what}: {:?}", receipt.notes);
        if cache.join(&name).is_dir() && what != "link" {
            assert!(fs::read_dir(cache.join(&name)).unwrap().next().is_none(), "{what}");
        }
    }
}

#[test]
fn hostile_names_are_refused_and_nothing_escapes() {
    let test = "hostile_names_are_refused_and_nothing_escapes";
    if !squashfs_tools(test) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("hostile-").tempdir_in(world().dir.path()).unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("aaaa")).unwrap();
    fs::write(source.join("aaaa/evil"), "evil").unwrap();
    symlink(dir.path().join("outside"), source.join("bbbb")).unwrap();
    fs::write(source.join("cccc"), "x").unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    let squashfs = dir.path().join("x.squashfs");
    // uncompressed tables, so that names can be changed in place
    let made = Command::new("mksquashfs")
        .args([&source, &squashfs])
        .args(["-noappend", "-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX", "-all-root"])
        .status()
        .unwrap();
    assert!(made.success());
    let good = fs::read(&squashfs).unwrap();
    let renamed = |from: &str, to: &str| {
        let at = good.windows(from.len()).rposition(|w| w == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    for (what, bytes) in [
        ("a symlink and a directory of one name", renamed("aaaa", "bbbb")),
        ("two files of one name", renamed("cccc", "bbbb")),
        ("up and out", renamed("cccc", "../c")),
        ("a slash", renamed("cccc", "c/cc")),
        ("an absolute name", renamed("cccc", "/ccc")),
    ] {
        let mut job = Job::sh(User::Me, "echo ran");
        let path = job.path("bad.sif");
        let digest = sif_of(&bytes, None, &path);
        job.set_image(digest, path);
        job.env.push(("PATH".into(), "/nowhere".into()));
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{what}: {}", done.stderr);
        assert!(done.stderr.contains("cannot be unpacked"), "{what}: {}", done.stderr);
        assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 0, "{what}");
        // and no half-unpacked tree stays
        let uid = rustix::process::getuid().as_raw();
        let cache = job.path("tmp").join(format!("moorline-{uid}"));
        assert_eq!(fs::read_dir(cache).unwrap().count(), 0, "{what}");
    }
}

/// `[limits]` that were set when the job was submitted hold where its image is unpacked.
#[test]
fn limits_of_the_configuration_hold_for_an_image_that_is_unpacked() {
    use crate::made::Made;

    // eight directories are what conversion adds at most
    let deep = "d/".repeat(12) + "file";
    let bytes = Made::new().file(&deep, b"x").flat().bytes;
    let run = |limits: &[(&str, u64)]| {
        let mut job = Job::sh(User::Me, "true");
        let path = job.path("x.sif");
        let digest = sif_of(&bytes, None, &path);
        job.set_image(digest, path);
        job.plan.limits = limits.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        job.env.push(("PATH".into(), "/nowhere".into()));
        job.run()
    };
    for (limits, expected) in [
        (&[][..], "\"sh\" was not found"),
        (&[("path_depth", 12)], "\"sh\" was not found"),
        (&[("a limit of a newer program", 0)], "\"sh\" was not found"),
        (&[("path_depth", 2)], "more than the limit path depth of 10"),
    ] {
        let done = run(limits);
        assert!(done.stderr.contains(expected), "{limits:?}: {}", done.stderr);
    }
}

/// A symlink and a file, or a directory, of one name: what is written "through" the link would be
/// outside (tar: CVE-2021-29136, CVE-2026-33056).
#[test]
fn cve_2021_29136_cve_2026_33056_a_sentinel_outside_is_not_touched() {
    use crate::made::Made;

    let dir = tempfile::Builder::new().prefix("sentinel-").tempdir_in(world().dir.path()).unwrap();
    let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
    fs::write(&file, "sentinel").unwrap();
    fs::create_dir(&folder).unwrap();
    for (path, mode) in [(&file, 0o640), (&folder, 0o750)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let state = || {
        let of = |path: &Path| {
            let m = fs::symlink_metadata(path).unwrap();
            (m.mode(), m.uid(), m.nlink(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())
        };
        (of(&file), of(&folder), fs::read(&file).unwrap(), fs::read_dir(&folder).unwrap().count())
    };
    let before = state();
    let to = |path: &Path| path.to_str().unwrap().to_owned();
    let made = |target: &Path| {
        Made::new()
            .symlink("link", &to(target))
            .file("linl", b"over the sentinel")
            .file("linm/in", b"in the sentinel")
            .link("also", "link")
    };
    for target in [&file, &folder] {
        let flat = made(target).flat();
        for (what, bytes, good) in [
            ("a link, and a hard link to it", flat.bytes.clone(), true),
            ("a file of the link's name", flat.renamed("linl", b"link"), false),
            ("a directory of the link's name", flat.renamed("linm", b"link"), false),
            ("a file below the link", flat.renamed("linl", b"lin/"), false),
        ] {
            let mut job = Job::sh(User::Me, "true");
            let path = job.path("x.sif");
            let digest = sif_of(&bytes, None, &path);
            job.set_image(digest, path);
            job.env.push(("PATH".into(), "/nowhere".into()));
            let done = job.run();
            let expected = if good { "\"sh\" was not found" } else { "cannot be unpacked" };
            assert!(done.stderr.contains(expected), "{what}: {}", done.stderr);
            assert_eq!(state(), before, "{what}");
        }
    }
}

#[test]
fn every_way_to_the_root_file_system_runs_the_same() {
    let test = "every_way_to_the_root_file_system_runs_the_same";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    let run = |job: &Job, expected: &str| {
        let done = job.run();
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (0, "hello x\n"),
            "{expected}: {}",
            done.stderr
        );
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.rootfs.as_deref(), Some(expected), "{:?}", receipt.notes);
        assert_eq!(receipt.evidence.grade, Grade::Measured);
        receipt.notes.len()
    };
    let mounts = || String::from_utf8_lossy(&fs::read("/proc/mounts").unwrap()).into_owned();
    if have("squashfuse", test, in_path("squashfuse") && File::open("/dev/fuse").is_ok()) {
        assert_eq!(run(&Job::new(User::Me, &["hello", "x"]), "squashfuse"), 1);
    }
    // without squashfuse: unpacked, with both notes
    let mut job = Job::new(User::Me, &["hello", "x"]);
    job.env.push(("PATH".into(), "/nowhere".into()));
    assert_eq!(run(&job, "unpacked"), 2);
    // by the kernel: every component is root's and closed
    let store =
        tempfile::Builder::new().prefix("moorline-test-store-").tempdir_in("/var/lib").unwrap();
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let sif = store.path().join("x.sif");
    fs::copy(&image().0, &sif).unwrap();
    let mut job = Job::new(User::Me, &["hello", "x"]);
    job.set_image(image().1, sif);
    job.plan.site_store = Some(store.path().to_owned());
    if have("loop", test, Path::new("/dev/loop-control").exists()) {
        assert_eq!(run(&job, "kernel"), 0);
    }
    // one component that others may write to: not by the kernel
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o777)).unwrap();
    job.env.push(("PATH".into(), "/nowhere".into()));
    assert_eq!(run(&job, "unpacked"), 2);
    assert!(!mounts().contains(&job.path("tmp").display().to_string()), "{}", mounts());
    assert!(!mounts().contains(&store.path().display().to_string()), "{}", mounts());
}

#[test]
fn an_unpacked_tree_is_what_was_packed() {
    let test = "an_unpacked_tree_is_what_was_packed";
    if !squashfs_tools(test) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("packed-").tempdir_in(world().dir.path()).unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("empty")).unwrap();
    fs::create_dir_all(source.join("locked")).unwrap();
    // sizes around a block, a tail, a hole, a name of many bytes
    for (i, size) in [0, 1, 131_071, 131_072, 131_073, 400_000].into_iter().enumerate() {
        let bytes: Vec<u8> = (0..size).map(|n: usize| (n * (i + 3) / 7).to_le_bytes()[0]).collect();
        fs::write(source.join(format!("f{i}")), bytes).unwrap();
    }
    File::create(source.join("hole")).unwrap().set_len(1 << 20).unwrap();
    fs::write(source.join("n".repeat(255)), "long").unwrap();
    fs::write(source.join("locked/in"), "x").unwrap();
    fs::hard_link(source.join("f5"), source.join("again")).unwrap();
    symlink("f5", source.join("link")).unwrap();
    fs::set_permissions(source.join("locked"), fs::Permissions::from_mode(0o500)).unwrap();
    for codec in ["gzip", "zstd", "lz4"] {
        let squashfs = dir.path().join(format!("{codec}.squashfs"));
        let made = Command::new("mksquashfs")
            .args([&source, &squashfs])
            .args(["-noappend", "-quiet", "-no-progress", "-comp", codec])
            .status();
        assert!(made.unwrap().success(), "{codec}");
        let mut job = Job::sh(User::Me, "true");
        let path = job.path("x.sif");
        let digest = sif_of(&fs::read(&squashfs).unwrap(), None, &path);
        job.set_image(digest, path);
        job.plan.getting.shared_trees = true;
        job.env.push(("PATH".into(), "/nowhere".into()));
        // it has no shell: unpacked, laid out, and then refused
        let done = job.run();
        assert!(done.stderr.contains("\"sh\" was not found"), "{codec}: {}", done.stderr);
        let uid = rustix::process::getuid().as_raw();
        let trees = job.path(&format!("tmp/moorline-{uid}"));
        let mut entries = fs::read_dir(&trees).unwrap().map(|entry| entry.unwrap().path());
        let hex = format!("/{}-", digest.hex());
        let root = entries.find(|path| path.to_string_lossy().contains(&hex)).unwrap().join("root");
        let same =
            Command::new("diff").args(["-r", "--no-dereference"]).args([&source, &root]).output();
        let same = same.unwrap();
        assert!(same.status.success(), "{codec}: {}", String::from_utf8_lossy(&same.stdout));
        let meta = |name: &str| fs::metadata(root.join(name)).unwrap();
        assert_eq!(meta("f5").ino(), meta("again").ino(), "one file stays one");
        assert_eq!(meta("f1").mtime(), fs::metadata(source.join("f1")).unwrap().mtime());
        assert_eq!((meta("hole").len(), meta("hole").blocks()), (1 << 20, 0));
    }
}

/// Field report 18: the image of an archive has no pin, so the plan says which processors it is for.
#[test]
fn the_variant_of_an_archives_image_is_checked() {
    if !squashfs_tools("the_variant_of_an_archives_image_is_checked") {
        return;
    }
    // the variants are amd64's; another processor's refuse nothing
    if std::env::consts::ARCH != "x86_64" {
        return;
    }
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap();
    for (variant, flag) in [("v1", "sse2"), ("v3", "avx2"), ("v4", "avx512f")] {
        let has = flags.split_whitespace().any(|word| word == flag);
        let mut job = Job::sh(User::Me, "echo ran");
        job.plan.job.terms.platform = Some(format!("linux/amd64/{variant}").parse().unwrap());
        let done = job.run();
        if has {
            assert_eq!(
                (done.code, done.stdout.as_str()),
                (0, "ran\n"),
                "{variant}: {}",
                done.stderr
            );
        } else {
            assert_ne!(done.code, 0, "{variant}");
            assert!(done.stderr.contains("a younger processor"), "{}", done.stderr);
        }
    }
}
