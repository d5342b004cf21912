//! `convert --to squashfs`: the file system of the SIF alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use moorline::oci::{Digest, Sha256Digest};
use moorline::sif::SifReader;

use crate::place::{Place, append, layers};
use crate::support::have;

#[test]
fn a_bare_squashfs_is_the_file_system_of_the_sif() {
    let place = Place::new(200_000);
    let image = place.image();
    let convert =
        |more: &[&str]| place.run(&[&["convert", &image, "--to", "squashfs"], more].concat());
    convert(&[]).fails(2, &["--output FILE is missing", "-o FILE.squashfs"]);
    assert_eq!(convert(&["-o", "bare.squashfs"]).exits(0).stdout, "bare.squashfs\n");
    let bare = fs::read(place.path("bare.squashfs")).unwrap();
    let mode = fs::metadata(place.path("bare.squashfs")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    let path = place.convert().ok();
    let sif = fs::read(&path).unwrap();
    let partition = SifReader::open(std::io::Cursor::new(&sif)).unwrap().partition().unwrap();
    let from = usize::try_from(partition.offset).unwrap();
    assert!(sif[from..from + usize::try_from(partition.size).unwrap()] == bare);

    // the same once more, also from an empty store; another file stays
    let said = convert(&["-o", "bare.squashfs"]).exits(0);
    assert!(said.stderr.contains("is this squashfs already"), "{said}");
    let other = Place::new(200_000);
    let json = other.run(&["--json", "convert", &image, "--to", "squashfs", "-o", "again"]).json();
    assert!(fs::read(other.path("again")).unwrap() == bare);
    assert_eq!(json["squashfs"]["sha256"], Digest::of(&bare).to_string(), "{json}");
    assert_eq!(json["squashfs"]["size"], bare.len(), "{json}");
    fs::write(place.path("mine"), "mine").unwrap();
    convert(&["-o", "mine"]).fails(2, &["mine exists already", "--force replaces it"]);
    assert_eq!(fs::read(place.path("mine")).unwrap(), b"mine");
    convert(&["-o", "mine", "--force"]).exits(0);
    assert!(fs::read(place.path("mine")).unwrap() == bare);

    // a store's file that was damaged gives nothing: the image is made once more
    let mut damaged = sif.clone();
    damaged[from + 100] ^= 1;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, damaged).unwrap();
    convert(&["-o", "whole"]).exits(0);
    assert!(fs::read(place.path("whole")).unwrap() == bare);
    place.is_clean();
}

/// Others' programs read it.
#[test]
fn other_programs_read_a_bare_squashfs() {
    let test = "other_programs_read_a_bare_squashfs";
    let there = |program: &str| moorline::execute::find_program(program).is_some();
    if !have("squashfs-tools", test, there("unsquashfs")) {
        return;
    }
    let place = Place::empty();
    fs::create_dir(place.path("home")).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    append(
        &mut tar,
        &[("etc/os-release", b"ID=bare\n"), ("bin/it", b"#!/bin/busybox sh\necho it ran\n")],
    );
    let busybox = fs::read("/bin/busybox").ok();
    if let Some(busybox) = &busybox {
        append(&mut tar, &[("bin/busybox", busybox)]);
    }
    layers(&place.path("image"), &[tar.into_inner().unwrap()]);
    let (image, bare) = (place.image(), place.path("bare.squashfs"));
    place.run(&["convert", &image, "--to", "squashfs", "-o", "bare.squashfs"]).exits(0);
    let tree = place.path("tree");
    let unpacked = Command::new("unsquashfs")
        .args(["-no-progress", "-d"])
        .args([&tree, &bare])
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    assert_eq!(fs::read(tree.join("etc/os-release")).unwrap(), b"ID=bare\n");
    assert!(tree.join(".singularity.d").is_dir());
    // Debian's ch-run takes a directory, not every build of it a squashfs
    if have("charliecloud", test, there("ch-run") && busybox.is_some()) {
        let mut run = Command::new("ch-run");
        run.arg(&tree).args(["--", "/bin/it"]);
        // it will not start without one
        let ran = run.env("USER", "somebody").output().unwrap();
        assert_eq!(ran.stdout, b"it ran\n", "{}", String::from_utf8_lossy(&ran.stderr));
    }
}
