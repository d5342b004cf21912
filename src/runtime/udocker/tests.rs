//! Packages and engines as they are published, and such as nobody should make.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::failure::{Failure, Kind};

const INIT: &[u8] = b"\"\"\"udocker\"\"\"\n__license__ = \"x\"\n__version__ = \"1.3.17\"\n";

/// A member: its name, its type, its bytes or its target.
type Member<'a> = (&'a str, EntryType, &'a [u8]);

fn file<'a>(name: &'a str, bytes: &'a [u8]) -> Member<'a> {
    (name, EntryType::Regular, bytes)
}

/// Names are put into the header as they are: `tar` itself refuses those that matter here.
fn tarball(entries: &[Member<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, bytes) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let content: &[u8] = if *kind == EntryType::Regular { bytes } else { b"" };
        if *kind != EntryType::Regular {
            header.as_old_mut().linkname[..bytes.len()].copy_from_slice(bytes);
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn wheel(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn opened(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn package(bytes: &[u8]) -> Result<Package, UdockerError> {
    let dir = tempfile::tempdir().unwrap();
    let read = Package::read(&mut opened(bytes));
    let unpacked = Package::unpack(&mut opened(bytes), dir.path());
    if let Ok(package) = &read {
        assert_eq!(Some(package), unpacked.as_ref().ok());
        assert!(fs::read(dir.path().join("udocker/__init__.py")).unwrap() == INIT);
        assert!(dir.path().join("udocker/engine/base.py").is_file());
        assert!(!dir.path().join("tests").exists() && !dir.path().join("udocker/udocker").exists());
    }
    // what only unpacking finds out counts as well
    read.and(unpacked)
}

fn engines(bytes: &[u8]) -> Result<Engines, UdockerError> {
    let dir = tempfile::tempdir().unwrap();
    for name in ["bin", "lib"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let read = Engines::read(&mut opened(bytes));
    let unpacked = Engines::unpack(&mut opened(bytes), dir.path());
    if read.is_ok() && unpacked.is_ok() {
        let proot = dir.path().join("bin/proot-x86_64");
        assert_eq!(fs::read(&proot).unwrap(), b"elf");
        assert_eq!(fs::metadata(proot).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!dir.path().join("doc").exists());
    }
    read.and(unpacked)
}

/// A package of the source, as an archive of a release has it.
fn source() -> Vec<Member<'static>> {
    vec![
        file("udocker-1.3.17/README.md", b"x"),
        file("udocker-1.3.17/tests/unit/test_cli.py", b"x"),
        file("udocker-1.3.17/udocker/__init__.py", INIT),
        file("udocker-1.3.17/udocker/maincmd.py", b"x"),
        file("udocker-1.3.17/udocker/engine/base.py", b"x"),
        ("udocker-1.3.17/udocker/udocker", EntryType::Symlink, b"maincmd.py"),
    ]
}

fn englib() -> Vec<Member<'static>> {
    vec![
        file("udocker_dir/bin/proot-x86_64", b"elf"),
        ("udocker_dir/bin/proot-x86_64-4_8_0", EntryType::Symlink, b"proot-x86_64"),
        file("udocker_dir/lib/VERSION", b"1.2.11\n"),
        file("udocker_dir/lib/libfakechroot-Debian-12-x86_64.so", b"elf"),
        (
            "udocker_dir/lib/libfakechroot-x86_64.so",
            EntryType::Symlink,
            b"libfakechroot-Debian-12-x86_64.so",
        ),
        file("udocker_dir/doc/COPYING.proot", b"x"),
    ]
}

#[test]
fn packages_as_they_are_published() {
    let found = Package { version: "1.3.17".into() };
    assert_eq!(package(&tarball(&source())).unwrap(), found);
    let wheel = wheel(&[
        ("udocker/__init__.py", INIT),
        ("udocker/maincmd.py", b"x"),
        ("udocker/engine/base.py", b"x"),
        ("udocker-1.3.17.dist-info/METADATA", b"Name: udocker\n"),
    ]);
    assert_eq!(package(&wheel).unwrap(), found);
}

#[test]
fn engines_as_they_are_published() {
    let found = engines(&tarball(&englib())).unwrap();
    assert_eq!(found.version, "1.2.11");
    assert_eq!(
        found.brings,
        [
            "libfakechroot-Debian-12-x86_64.so",
            "libfakechroot-x86_64.so",
            "proot-x86_64",
            "proot-x86_64-4_8_0"
        ]
    );
}

#[test]
fn what_is_another_thing_is_named() {
    let usage = |error: UdockerError, said: &str| {
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.hint().is_some());
    };
    for bytes in [&b""[..], b"PK", b"#!/usr/bin/python3\n", &[0; 4096]] {
        usage(package(bytes).unwrap_err(), "neither as a .tar.gz nor as a wheel");
    }
    // each is not the other
    usage(package(&tarball(&englib())).unwrap_err(), "no udocker/maincmd.py");
    usage(engines(&tarball(&source())).unwrap_err(), "udocker_dir/lib/VERSION");
    let mut unversioned = source();
    unversioned[2].2 = b"__version__ = version()\n";
    usage(package(&tarball(&unversioned)).unwrap_err(), "a version");
    let only = [file("udocker_dir/lib/VERSION", b"1.2.11\n")];
    usage(engines(&tarball(&only)).unwrap_err(), "udocker_dir/bin");
}

/// Whatever is in it, nothing lands elsewhere, and no name is taken twice.
#[test]
fn what_leads_out_is_refused() {
    let evil: [Member<'_>; 9] = [
        file("../evil", b"x"),
        file("/etc/evil", b"x"),
        file("udocker-1.3.17/udocker/../../evil", b"x"),
        file("udocker_dir/bin/../../../evil", b"x"),
        file("udocker-1.3.17/udocker/maincmd.py", b"again"),
        file("udocker_dir/bin/proot-x86_64", b"again"),
        ("udocker-1.3.17/udocker/fifo", EntryType::Fifo, b""),
        ("udocker_dir/bin/tty", EntryType::Char, b""),
        ("udocker_dir/bin/other", EntryType::Link, b"/etc/passwd"),
    ];
    for entry in evil {
        let both = [source(), englib(), vec![entry]].concat();
        let refused = [
            package(&tarball(&both)).map(drop),
            engines(&tarball(&[englib(), vec![entry]].concat())).map(drop),
        ];
        let bad = refused.iter().filter_map(|one| one.as_ref().err()).collect::<Vec<_>>();
        assert!(!bad.is_empty(), "{entry:?}");
        assert!(bad.iter().all(|error| error.kind() == Kind::Integrity), "{bad:?}");
    }
    for target in ["/etc/passwd", "../lib/VERSION", "..", "sub/file"] {
        let link = ("udocker_dir/bin/link", EntryType::Symlink, target.as_bytes());
        let error = engines(&tarball(&[englib(), vec![link]].concat())).unwrap_err();
        assert!(error.to_string().contains("out of its directory"), "{target}: {error}");
    }
    // a name that is a link already is no way through it
    let through: [Member<'_>; 2] = [
        ("udocker_dir/bin/link", EntryType::Symlink, b"target"),
        file("udocker_dir/bin/link", b"x"),
    ];
    let error = engines(&tarball(&[englib(), through.to_vec()].concat())).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    for name in ["../evil.py", "/evil.py", "udocker/../../evil.py"] {
        let bytes =
            wheel(&[("udocker/__init__.py", INIT), ("udocker/maincmd.py", b"x"), (name, b"x")]);
        assert!(package(&bytes).is_err(), "{name}");
    }
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let (tar, zip) =
        (tarball(&source()), wheel(&[("udocker/__init__.py", INIT), ("udocker/maincmd.py", b"x")]));
    for whole in [tar, zip] {
        for end in 0..whole.len() {
            assert!(Package::read(&mut opened(&whole[..end])).is_err(), "{end} of {}", whole.len());
        }
    }
}

#[test]
fn what_becomes_too_large_is_refused() {
    let zeros = vec![0; 65 << 20];
    let large = [source(), vec![file("udocker-1.3.17/udocker/large", &zeros)]].concat();
    let error = Package::read(&mut opened(&tarball(&large))).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    let error = Package::read(&mut opened(&wheel(&[("udocker/large.py", &zeros)]))).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    // many members that say nothing
    let mut many = source();
    many.extend(std::iter::repeat_n(file("udocker-1.3.17/empty", b""), 10_001));
    let error = Package::read(&mut opened(&tarball(&many))).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2048), at in 0_usize..4000) {
        for start in [&b"PK\x03\x04"[..], b"\x1F\x8B\x08\0"] {
            let all = [start, &bytes].concat();
            let _ = Package::read(&mut opened(&all));
            let _ = Engines::read(&mut opened(&all));
        }
        // one byte of a whole one
        let mut damaged = tarball(&englib());
        let at = at % damaged.len();
        damaged[at] ^= 1 << (bytes.len() % 8);
        let _ = engines(&damaged);
    }
}
