//! Bad input and faults on the worker, one test each: what the machine lacks, and what goes wrong while a job runs.

use std::fs;
use std::io::Read;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use moorline::job::{Delivery, Grade};
use moorline::oci::{SifDigest, TreeRoot};
use moorline::worker::Receipt;

use crate::support::*;

/// The receipts of a job whose files the engine brings.
fn returned(job: &Job) -> Vec<Receipt> {
    let names = fs::read_dir(job.path("returned")).unwrap();
    let bytes = names.map(|entry| fs::read(entry.unwrap().path()).unwrap());
    bytes.map(|bytes| Receipt::parse(&bytes).unwrap()).collect()
}

/// A job whose image the engine should have brought beside it: `left` bytes of it came, or nothing.
fn brought(left: Option<u64>, sealed: Option<(&Path, SifDigest, TreeRoot)>) -> Job {
    let mut job = Job::sh(User::Me, "echo ran");
    let (place, digest) = match sealed {
        Some((place, digest, root)) => {
            job.set_sealed((digest, root), place.to_owned());
            (place.to_owned(), digest)
        }
        None => image().clone(),
    };
    if sealed.is_none() {
        job.set_image(digest, place.clone());
    }
    let there = job.path(&place.file_name().unwrap().to_string_lossy());
    if let Some(left) = left {
        // a file of our own: the image is read-only
        let mut file = fs::File::create(there).unwrap();
        let image = fs::File::open(&place).unwrap();
        std::io::copy(&mut image.take(left), &mut file).unwrap();
    }
    job.plan.job.delivery = Delivery::Transfer { place };
    job
}

#[test]
fn an_image_that_was_cut_in_transfer() {
    if !squashfs_tools("an_image_that_was_cut_in_transfer") {
        return;
    }
    let config = r#"{"Env":["PATH=/usr/bin:/bin"]}"#;
    let path = world().dir.path().join("cut-sealed.sif");
    let (digest, root) = make_sealed_sif(tree(), config, &path);
    for sealed in [None, Some((&*path, digest, root))] {
        let whole = fs::metadata(sealed.map_or(&*image().0, |sealed| sealed.0)).unwrap().len();
        let done = brought(Some(whole), sealed).run();
        assert_eq!((done.code, done.stdout.as_str()), (0, "ran\n"), "{}", done.stderr);
        for left in [whole - 1, whole / 2, 4096, 1, 0] {
            let job = brought(Some(left), sealed);
            let done = job.run();
            assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{left}: {}", done.stderr);
            assert!(done.stderr.contains("the transfer was cut short"), "{left}: {}", done.stderr);
            let receipt = returned(&job).pop().unwrap();
            assert!(receipt.start.at().is_none() && receipt.conditions.mounts.is_empty());
        }
        // nothing came at all
        let done = brought(None, sealed).run();
        assert_eq!((done.code, done.stdout.as_str()), (210, ""), "{}", done.stderr);
        assert!(done.stderr.contains("the engine should have brought it"), "{}", done.stderr);
        assert!(!done.stderr.contains("the store"), "{}", done.stderr);
    }
}

#[test]
fn a_home_that_cannot_be_written() {
    if !squashfs_tools("a_home_that_cannot_be_written") {
        return;
    }
    for user in users() {
        let mut job = Job::sh(user, "echo x >file && echo \"$HOME\"");
        // read-only for root as well
        job.env.push(("HOME".into(), "/proc".into()));
        let done = job.run();
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (0, "/work_dir\n"),
            "{user:?} {}",
            done.stderr
        );
    }
}

#[test]
fn nothing_set_but_what_the_job_says() {
    if !squashfs_tools("nothing_set_but_what_the_job_says") {
        return;
    }
    // HOME, PATH, XDG_RUNTIME_DIR, TMPDIR, USER, LANG: an engine may give none of them
    for user in users() {
        let job = Job::sh(user, "echo \"$HOME ${XDG_RUNTIME_DIR-unset}\"");
        let mut worker = job.worker();
        for name in ["PATH", "TMPDIR"] {
            worker.env_remove(name);
        }
        if user == User::Nobody {
            // setpriv was found by its path
            let setpriv = worker.get_program().to_owned();
            assert!(Path::new(&setpriv).is_absolute());
        }
        let done = job.done(&worker.output().unwrap());
        let expected = "/work_dir unset\n";
        assert_eq!((done.code, done.stdout.as_str()), (0, expected), "{user:?} {}", done.stderr);
    }
}

/// The clock itself cannot be set for one process; the times that a wrong one leaves on files can.
#[test]
fn times_that_are_far_off() {
    let test = "times_that_are_far_off";
    if !squashfs_tools(test) {
        return;
    }
    let year = Duration::from_secs(365 * 24 * 3600);
    let now = SystemTime::now();
    for when in [SystemTime::UNIX_EPOCH, now - year * 20, now + year * 20] {
        let sif = world().dir.path().join("far-off.sif");
        // the copy of the turn before is read-only, as the image is
        let _ = fs::remove_file(&sif);
        fs::copy(&image().0, &sif).unwrap();
        let mut job = Job::sh(User::Me, "echo ran");
        job.set_image(image().1, sif.clone());
        let mut worker = job.worker();
        // what a worker with such a clock left: its scratch, too
        fs::create_dir(job.path("tmp/moorline-job-old")).unwrap();
        for path in [
            &*sif,
            &job.path("control/plan.json"),
            &job.path("work"),
            &job.path("tmp/moorline-job-old"),
        ] {
            fs::File::open(path).unwrap().set_modified(when).unwrap();
        }
        let done = job.done(&worker.output().unwrap());
        assert_eq!((done.code, done.stdout.as_str()), (0, "ran\n"), "{when:?}: {}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.evidence.grade, Grade::Measured, "{:?}", receipt.notes);
        assert!(receipt.start.at().unwrap() <= receipt.ended_at);
    }
}

#[test]
fn a_working_directory_that_goes_while_it_runs() {
    if !squashfs_tools("a_working_directory_that_goes_while_it_runs") {
        return;
    }
    for user in users() {
        let script = "echo ready >/work_dir/ready; until [ -e /go/go ]; do sleep 0.01; done; \
             (echo x >/work_dir/late) 2>/dev/null || echo gone; exit 4";
        let job = Job::sh(user, script);
        fs::create_dir(job.path("go")).unwrap();
        let go = job.path("go");
        let job = job.mount(&format!("{}:/go:ro", go.display()));
        let child = job.worker().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(|| job.path("work/ready").exists());
        fs::remove_dir_all(job.path("work")).unwrap();
        fs::write(go.join("go"), "").unwrap();
        let done = job.done(&child.wait_with_output().unwrap());
        assert_eq!((done.code, done.stdout.as_str()), (4, "gone\n"), "{user:?} {}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!((receipt.exit_code, receipt.conditions.outputs.len()), (4, 0));
    }
}

#[test]
fn an_image_without_a_shell() {
    if !squashfs_tools("an_image_without_a_shell") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("no-shell-").tempdir_in(world().dir.path()).unwrap();
    let root = dir.path().join("tree");
    install(&root, "/bin/cat");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/said"), "said\n").unwrap();
    let sif = dir.path().join("x.sif");
    let digest = make_sif(&root, Some(r#"{"Env":["PATH=/usr/bin:/bin"]}"#), &sif);
    for user in users() {
        let mut job = Job::new(user, &["cat", "/etc/said"]);
        job.set_image(digest, sif.clone());
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (0, "said\n"), "{user:?} {}", done.stderr);
        job.plan.job.command = vec!["sh".into(), "-c".into(), "true".into()];
        let done = job.run();
        assert_eq!(done.code, 214, "{user:?} {}", done.stderr);
        assert!(done.stderr.contains("\"sh\" was not found in the image"), "{}", done.stderr);
    }
}

/// A uid of which neither the machine nor the image knows a name.
#[test]
fn a_uid_without_an_entry() {
    const NOBODY_KNOWS: u32 = 54_321;
    let test = "a_uid_without_an_entry";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    let job = Job::sh(
        User::Me,
        "id -u; id -un; echo \"$HOME\"; grep -c 54321 /etc/passwd || cat /etc/passwd",
    );
    let worker = job.worker();
    let mut todo = vec![job.dir.path().to_owned()];
    while let Some(path) = todo.pop() {
        lchown(&path, Some(NOBODY_KNOWS), Some(NOBODY_KNOWS)).unwrap();
        if path.is_dir() {
            todo.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let setpriv: PathBuf = moorline::execute::find_program("setpriv").unwrap();
    let id = NOBODY_KNOWS.to_string();
    let mut command = Command::new(setpriv);
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"])
        .arg(worker.get_program())
        .args(worker.get_args())
        .env_clear()
        .env("TMPDIR", job.path("tmp"))
        .current_dir("/")
        .stdin(Stdio::null());
    let done = job.done(&command.output().unwrap());
    let said: Vec<&str> = done.stdout.lines().take(3).collect();
    assert_eq!((done.code, said), (0, vec!["54321", "user54321", "/work_dir"]), "{}", done.stderr);
    let user = done.receipt.unwrap().conditions.user.unwrap();
    assert_eq!((user.uid, user.name), (NOBODY_KNOWS, None));
}

/// Whatever it is that a job shows of the machine, and whoever ran it, stands in its receipt.
#[test]
fn the_receipt_says_what_was_shown_and_to_whom() {
    if !squashfs_tools("the_receipt_says_what_was_shown_and_to_whom") {
        return;
    }
    for user in users() {
        let job = Job::sh(user, "test -e /hostetc/passwd")
            .mount("/etc:/hostetc:ro")
            .mount("/tmp:/shared")
            .mount("/nowhere/x:/x");
        let done = job.run();
        assert_eq!(done.code, 0, "{}", done.stderr);
        let receipt = done.receipt.unwrap();
        let conditions = &receipt.conditions;
        let work = fs::canonicalize(job.path("work")).unwrap().display().to_string();
        let mounts: Vec<_> = conditions
            .mounts
            .iter()
            .map(|mount| (mount.source.as_str(), mount.target.as_str(), mount.ro))
            .collect();
        let expected =
            [("/etc", "/hostetc", true), ("/tmp", "/shared", false), (&work, "/work_dir", false)];
        assert_eq!(mounts, expected);
        assert_eq!(receipt.skipped_mounts[0].target, "/x");
        assert_eq!(conditions.argv, ["sh", "-c", "test -e /hostetc/passwd"]);
        let uname = rustix::system::uname();
        assert_eq!(conditions.kernel.as_deref(), uname.release().to_str().ok());
        let uid = if user == User::Nobody { NOBODY } else { rustix::process::getuid().as_raw() };
        assert_eq!(conditions.user.as_ref().unwrap().uid, uid);
        if user == User::Nobody {
            assert_eq!(conditions.user.as_ref().unwrap().name.as_deref(), Some("nobody"));
        }
    }
    // nothing was shown where nothing ran
    let refused = Job::sh(User::Me, "true").mount("/nowhere/x:/x:required").mount("/etc:/e").run();
    let conditions = refused.receipt.unwrap().conditions;
    assert!(conditions.mounts.is_empty() && conditions.argv.is_empty());
    // a long command line does not make a receipt that nobody reads
    let long = Job::new(User::Me, &["sh", "-c", "exit 3", "x", &"a".repeat(100_000), "y"]).run();
    let receipt = long.receipt.unwrap();
    assert_eq!((long.code, receipt.conditions.argv.len()), (3, 4));
    assert!(receipt.notes.iter().any(|note| note.contains("first 4 of the program's 6 words")));
}
