//! Another user of the machine, with real uids: plants files, looks into the store, publishes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;
use crate::support::{am_root, finish, have, until, walk};

const ANNA: u32 = 64_201;
pub const BERT: u32 = 64_202;

pub fn place_of(uid: u32) -> Place {
    let mut place = Place::new(3 << 20);
    let store = place.path("of-user");
    fs::create_dir(&store).unwrap();
    chown(&store, Some(uid), Some(uid)).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    chown(place.path("home"), Some(uid), Some(uid)).unwrap();
    place.env.insert("MOORLINE_CACHE".into(), store.join("cache").display().to_string());
    place
}

fn found(dir: &Path, ends: &str) -> PathBuf {
    let mut paths = Vec::new();
    walk(dir, &mut |path, meta| {
        if meta.is_file() && path.to_str().unwrap().ends_with(ends) {
            paths.push(path.to_owned());
        }
    });
    paths.pop().unwrap_or_else(|| panic!("no {ends} in {}", dir.display()))
}

/// Puts something of Anna's in the place of a file.
fn plant(path: &Path, how: &str) {
    let bytes = fs::read(path).unwrap();
    let kept = path.with_extension("kept");
    fs::remove_file(path).unwrap();
    match how {
        "file" => fs::write(path, bytes).unwrap(),
        "symlink" => {
            fs::write(&kept, bytes).unwrap();
            symlink(&kept, path).unwrap();
        }
        "hard link" => {
            fs::write(&kept, bytes).unwrap();
            fs::hard_link(&kept, path).unwrap();
            // of Bert's own file, even
            chown(&kept, Some(BERT), Some(BERT)).unwrap();
            return;
        }
        other => panic!("{other}"),
    }
    std::os::unix::fs::lchown(path, Some(ANNA), Some(ANNA)).unwrap();
}

#[test]
fn what_another_user_planted_is_refused_by_name() {
    if !have("root", "what_another_user_planted_is_refused_by_name", am_root()) {
        return;
    }
    for (ends, how) in [
        (".json", "file"),
        (".json", "symlink"),
        (".sif", "file"),
        (".sif", "symlink"),
        (".sif", "hard link"),
    ] {
        let place = place_of(BERT);
        let image = place.image();
        place.run_as(BERT, &["convert", &image]).exits(0);
        let planted = found(&place.cache(), ends);
        plant(&planted, how);
        let name = planted.file_name().unwrap().to_str().unwrap();
        place.run_as(BERT, &["convert", &image]).fails(6, &[name]);
    }
    // an index, by which blocks and layers would be taken as known: it counts as none
    for (indexes, how) in ["packs", "layers"]
        .into_iter()
        .flat_map(|dir| ["file", "symlink", "hard link"].map(|how| (dir, how)))
    {
        let place = place_of(BERT);
        let image = place.image();
        let convert = || {
            let made = place.run_as(BERT, &["--json", "convert", &image]).exits(0).json();
            let bytes = fs::read(made["path"].as_str().unwrap()).unwrap();
            (made["counters"].clone(), bytes)
        };
        let (cold, bytes) = convert();
        assert!(cold["layers_inflated"].as_u64().unwrap() > 0, "{cold}");
        fs::remove_dir_all(place.cache().join("pins")).unwrap();
        let (warm, again) = convert();
        assert_eq!((warm["layers_inflated"].as_u64(), again == bytes), (Some(0), true), "{warm}");
        assert!(warm["bytes_copied"].as_u64().unwrap() > 0, "{warm}");
        let mut all = Vec::new();
        walk(&place.cache().join(indexes), &mut |path, meta| {
            all.extend(meta.is_file().then(|| path.to_owned()));
        });
        assert!(!all.is_empty());
        for index in &all {
            plant(index, how);
        }
        fs::remove_dir_all(place.cache().join("pins")).unwrap();
        let (planted, again) = convert();
        assert_eq!(
            planted["layers_inflated"], cold["layers_inflated"],
            "{indexes} {how}: {planted}"
        );
        if indexes == "packs" {
            assert_eq!(planted["bytes_copied"].as_u64(), Some(0), "{how}: {planted}");
        }
        assert!(again == bytes, "{indexes} {how}");
    }
    // a layer's block
    for how in ["file", "symlink", "hard link"] {
        let place = place_of(BERT);
        let image = place.image();
        place.run_as(BERT, &["convert", &image]).exits(0);
        let mut blobs = Vec::new();
        walk(&place.cache().join("blobs"), &mut |path, meta| {
            blobs.extend(meta.is_file().then(|| path.to_owned()));
        });
        for blob in &blobs {
            plant(blob, how);
        }
        fs::remove_dir_all(place.cache().join("pins")).unwrap();
        let answer = place.run_as(BERT, &["convert", &image]).fails(6, &["refuses"]);
        let named = |blob: &PathBuf| answer.stderr.contains(blob.to_str().unwrap());
        assert!(blobs.iter().any(named), "{answer}");
    }
    // the way to the store
    let place = place_of(BERT);
    fs::set_permissions(place.path("of-user"), fs::Permissions::from_mode(0o777)).unwrap();
    let image = place.image();
    place.run_as(BERT, &["convert", &image]).fails(12, &["of-user is not safe"]);
    fs::set_permissions(place.path("of-user"), fs::Permissions::from_mode(0o755)).unwrap();
    chown(place.path("of-user"), Some(ANNA), Some(ANNA)).unwrap();
    place.run_as(BERT, &["convert", &image]).fails(12, &["of-user is not safe"]);
}

/// CVE-2020-25039, CVE-2020-25040, CVE-2019-19724: with umask 000, stopped at every file that it makes,
/// nothing of a conversion can be opened by another user.
#[test]
fn incident_8_nothing_is_open_to_others_during_a_conversion() {
    if !have("root", "incident_8", am_root()) {
        return;
    }
    let place = place_of(BERT);
    let image = place.image();
    let (uid, seen) = (BERT.to_string(), place.path("seen"));
    fs::write(&seen, "").unwrap();
    fs::set_permissions(&seen, fs::Permissions::from_mode(0o666)).unwrap();
    // Anna looks all the time
    let look = format!(
        "while [ ! -e '{done}' ]; do find '{root}' -mindepth 2 2>/dev/null; \
         find '{root}' -type f -readable 2>/dev/null; done >> '{seen}'; exit 0",
        done = place.path("done").display(),
        root = place.path("of-user").display(),
        seen = seen.display()
    );
    let anna = ANNA.to_string();
    let mut looking = Command::new("setpriv")
        .args(["--reuid", &anna, "--regid", &anna, "--clear-groups", "--", "sh", "-c", &look])
        .spawn()
        .unwrap();
    let before = [
        "setpriv",
        "--reuid",
        &uid,
        "--regid",
        &uid,
        "--clear-groups",
        "--",
        "sh",
        "-c",
        "umask 000; exec \"$@\"",
        "sh",
    ];
    for _ in 0..3 {
        let _ = fs::remove_dir_all(place.cache());
        let args = ["convert", image.as_str(), "-q"];
        finish(place.command_behind(&before, &args), &args, "").exits(0);
        // whatever it made is closed, also to those who know its name
        let mut open = Vec::new();
        walk(&place.path("of-user"), &mut |path, meta| {
            let mode = meta.permissions().mode();
            let root = path == place.cache();
            if meta.is_dir() && mode & 0o077 != 0 || root && mode & 0o7777 != 0o700 {
                open.push((path.to_owned(), mode));
            }
        });
        assert!(open.is_empty(), "{open:?}");
    }
    let saw = fs::read_to_string(&seen).unwrap();
    // she does look
    fs::set_permissions(place.cache(), fs::Permissions::from_mode(0o755)).unwrap();
    until("Anna sees an open store", 30, || (fs::metadata(&seen).unwrap().len() > 0).then_some(()));
    fs::write(place.path("done"), "").unwrap();
    assert!(looking.wait().unwrap().success());
    assert_eq!(saw, "", "Anna saw something");
}

/// singularity#3634, #5020: of parallel first pulls one is stopped in mid-file; nobody takes the part
/// for the whole.
#[test]
fn incident_9_a_partial_file_is_never_taken_for_the_whole() {
    let mut place = Place::new(24 << 20);
    place.env.insert("MOORLINE_TEST_LEASE_MS".into(), "2000".into());
    let image = place.image();
    let mut first = place.command(&["convert", &image]).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&first);
    let partial = || {
        let tmp = fs::read_dir(place.cache().join("tmp")).ok()?;
        let mut sizes = tmp.flatten().filter_map(|entry| Some(entry.metadata().ok()?.len()));
        sizes.find(|size| (1 << 16..20 << 20).contains(size))
    };
    let mut paused = None;
    until("a partial file", 60, || {
        // stop first, then look: it is still partial
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        paused = partial();
        if paused.is_none() {
            rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
            assert!(first.try_wait().unwrap().is_none(), "it ended before it could be stopped");
        }
        paused
    });
    assert!(place.names("sifs/sha256").is_empty());
    // the second waits, takes over when the first gives no sign of life, and has the whole
    let sif = place.convert().ok();
    let bytes = fs::read(&sif).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let output = first.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), sif);
    assert_eq!(fs::read(&sif).unwrap(), bytes, "two winners are harmless");
    place.is_clean();
}
