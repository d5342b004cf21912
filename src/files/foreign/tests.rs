use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

const MOST: u64 = 64;

/// Each special file is refused by name and at once; the test runs in a thread, so that a reader that waits for
/// a pipe fails it instead of stopping it.
#[test]
fn special_files_are_refused_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    rustix::fs::mkfifoat(CWD, at("pipe"), Mode::RWXU).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    for (path, why) in [
        (at("pipe"), "it is a named pipe, not a regular file"),
        (at("folder"), "it is a directory, not a regular file"),
        (at("socket"), "it is a socket, not a regular file"),
        ("/dev/zero".into(), "it is a device, not a regular file"),
        ("/dev/tty".into(), "it is a device, not a regular file"),
    ] {
        let (tell, told) = mpsc::channel();
        let file = path.clone();
        std::thread::spawn(move || {
            let _ = tell.send(ForeignFile::anyones(MOST).through_links().bytes(&file));
        });
        let answer = told.recv_timeout(Duration::from_secs(20)).expect("it does not wait");
        assert_eq!(answer.unwrap_err().to_string(), why, "{}", path.display());
    }
}

#[test]
fn a_regular_file_is_read_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "x".repeat(64)).unwrap();
    assert_eq!(ForeignFile::own(64).text(&path).unwrap().len(), 64);
    let refused = ForeignFile::own(63).text(&path).unwrap_err();
    assert_eq!(refused.to_string(), "it is larger than 63 bytes");
    // one that grew after it was opened
    let opened = ForeignFile::own(64).open(&path).unwrap();
    fs::write(&path, "x".repeat(65)).unwrap();
    assert!(matches!(opened.bytes(), Err(ForeignError::TooLarge(64))));
    // one that says that it has no bytes
    assert!(fs::metadata("/proc/self/status").unwrap().len() == 0);
    let endless = ForeignFile::anyones(10).bytes(Path::new("/proc/self/status"));
    assert!(matches!(endless, Err(ForeignError::TooLarge(10))));
    // a sparse one of an exabyte takes no memory
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(ForeignFile::own(64).bytes(&path), Err(ForeignError::TooLarge(64))));
    fs::write(&path, b"\xff\xfe").unwrap();
    assert!(matches!(ForeignFile::own(64).text(&path), Err(ForeignError::NotText)));
    let mut text = String::from("before ");
    fs::write(&path, "after").unwrap();
    ForeignFile::own(64).open(&path).unwrap().text_into(&mut text).unwrap();
    assert_eq!(text, "before after");
}

#[test]
fn what_is_missing_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    assert!(ForeignFile::own(MOST).find(&none).unwrap().is_none());
    assert!(ForeignFile::own(MOST).bytes(&none).unwrap_err().is_missing());
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    let dangling = dir.path().join("dangling");
    assert!(matches!(ForeignFile::own(MOST).find(&dangling), Err(ForeignError::Link)));
    assert!(ForeignFile::own(MOST).through_links().find(&dangling).unwrap().is_none());
    let error: io::Error = ForeignFile::own(MOST).bytes(&none).unwrap_err().into();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let error: io::Error = ForeignFile::own(MOST).bytes(dir.path()).unwrap_err().into();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn links_are_followed_only_where_asked() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/file"), "x").unwrap();
    symlink("elsewhere/file", at("relative")).unwrap();
    symlink(at("relative"), at("absolute")).unwrap();
    symlink("../relative", at("elsewhere/back")).unwrap();
    symlink("round", at("round")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    for name in ["relative", "absolute", "elsewhere/back"] {
        assert!(
            matches!(ForeignFile::own(MOST).open(&at(name)), Err(ForeignError::Link)),
            "{name}"
        );
        assert_eq!(ForeignFile::own(MOST).through_links().text(&at(name)).unwrap(), "x", "{name}");
    }
    let round = ForeignFile::own(MOST).through_links().open(&at("round")).unwrap_err();
    assert_eq!(io::Error::from(round).raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    let device = ForeignFile::anyones(MOST).through_links().open(&at("device")).unwrap_err();
    assert!(device.to_string().contains("a device"), "{device}");
}

/// `/` and what is in it belong to root; this process is root, or is not.
#[test]
fn the_owner_is_asked_for() {
    let roots = Path::new("/etc/passwd");
    let me = rustix::process::geteuid().as_raw();
    let mine = ForeignFile::own(1 << 20).bytes(roots);
    assert_eq!(mine.is_ok(), me == 0);
    ForeignFile::own_or_roots(1 << 20).bytes(roots).unwrap();
    let writers = Writers::of_caller();
    ForeignFile::written_by(&writers, 1 << 20).bytes(roots).unwrap();
    if me != 0 {
        let why = mine.unwrap_err().to_string();
        assert_eq!(why, "it belongs to another user (uid 0)");
        return;
    }
    // only root can give files away
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "x").unwrap();
    symlink("file", at("link")).unwrap();
    symlink("file", at("theirs")).unwrap();
    std::os::unix::fs::lchown(at("theirs"), Some(65534), None).unwrap();
    let through = ForeignFile::own(MOST).through_links();
    through.open(&at("link")).unwrap();
    let link = through.open(&at("theirs")).unwrap_err().to_string();
    assert_eq!(link, "it is a symbolic link of another user (uid 65534)");
    std::os::unix::fs::chown(at("file"), Some(65534), None).unwrap();
    for refused in [
        ForeignFile::own(MOST),
        ForeignFile::own_or_roots(MOST),
        ForeignFile::written_by(&writers, MOST),
    ] {
        let why = refused.open(&at("file")).unwrap_err().to_string();
        assert_eq!(why, "it belongs to another user (uid 65534)");
    }
    ForeignFile::anyones(MOST).open(&at("file")).unwrap();
}

#[test]
fn what_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "x").unwrap();
    let writers = Writers::of_caller();
    let strict = ForeignFile::written_by(&writers, MOST);
    strict.open(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let why = strict.open(&path).unwrap_err().to_string();
    assert_eq!(why, "everybody may write it (mode 0666)");
    let open = writers.clone().and_everybody();
    ForeignFile::written_by(&open, MOST).open(&path).unwrap();
}

#[test]
fn a_file_is_opened_in_the_folder_that_was_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (one, moved) = (dir.path().join("one"), dir.path().join("moved"));
    fs::create_dir(&one).unwrap();
    fs::write(one.join("file"), "checked").unwrap();
    let folder = Folder::open(&one).unwrap();
    assert_eq!(folder.outsider(&Writers::of_caller()).unwrap(), None);
    let me = rustix::process::geteuid().as_raw();
    assert_eq!(folder.owner_of(Path::new("file")).unwrap(), Some(me));
    assert_eq!(folder.owner_of(Path::new("none")).unwrap(), None);
    fs::rename(&one, &moved).unwrap();
    fs::create_dir(&one).unwrap();
    fs::write(one.join("file"), "planted").unwrap();
    let opened = ForeignFile::own(MOST).open_in(&folder, Path::new("file")).unwrap();
    assert_eq!(opened.text().unwrap(), "checked");
    fs::set_permissions(&moved, Permissions::from_mode(0o777)).unwrap();
    assert!(folder.outsider(&Writers::of_caller()).unwrap().is_some());
    assert!(Folder::open(&moved.join("file")).is_err());
}
