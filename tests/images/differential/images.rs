//! Whole images: the tree of our SIF is that of `umoci unpack`, entry by entry, with mode, owner,
//! time, attributes and link counts; through a kernel mount and through `unsquashfs`.

use std::path::Path;
use std::process::Command;

use tar::EntryType;

use crate::archive::{Image, Layer, META, Meta, squashfs};
use crate::oracle::{Tree, assert_same};

/// What a conversion adds where the image lacks it (`src/sif/singularity_d.rs`).
const ADDED: [&str; 17] = [
    ".exec",
    ".run",
    ".shell",
    ".singularity.d",
    ".test",
    "dev",
    "environment",
    "etc",
    "home",
    "proc",
    "root",
    "singularity",
    "sys",
    "tmp",
    "var",
    "var/tmp",
    "etc/*",
];

fn can_run(test: &str) -> bool {
    let missing = if !crate::oracle::is_root() {
        Some("only root can unpack owners and devices")
    } else if Command::new("umoci").arg("--version").output().is_err() {
        Some("umoci is not installed")
    } else {
        None
    };
    crate::oracle::part(test, "differential", missing)
}

/// What umoci makes of an image of a layout.
fn umoci(layout: &Path, tag: &str) -> Tree {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let out = Command::new("umoci")
        .args(["raw", "unpack", "--image", &format!("{}:{tag}", layout.display())])
        .arg(&root)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    crate::oracle::walk(&root, true)
}

/// Compares a SIF's tree with umoci's. What is added must be what we say that we add; it also
/// counts as a subdirectory of what it is in.
fn compare(what: &str, mut ours: Tree, theirs: &Tree) {
    let added: Vec<Vec<u8>> = ours.keys().filter(|p| !theirs.contains_key(*p)).cloned().collect();
    for path in &added {
        let shown = String::from_utf8_lossy(path).into_owned();
        let known = ADDED.iter().any(|known| match known.strip_suffix('*') {
            Some(below) => shown.starts_with(below),
            None => shown == *known,
        });
        assert!(known || shown.starts_with(".singularity.d/"), "{what}: {shown} is only in ours");
        let entry = ours.remove(path).unwrap();
        let parent = &path[..path.iter().rposition(|b| *b == b'/').unwrap_or(0)];
        if entry.kind == 'd'
            && let Some(parent) = ours.get_mut(parent)
        {
            parent.links -= 1;
        }
    }
    assert!(theirs.len() > 20, "{what}: {} entries", theirs.len());
    assert_same(what, &ours, theirs);
}

fn check(test: &str, layout: &Path, tag: &str, sif: &[u8]) {
    let theirs = umoci(layout, tag);
    let squashfs = squashfs(sif);
    if let Some(tree) = crate::oracle::unsquashfs(test, &squashfs) {
        compare(&format!("{test}: unsquashfs"), tree, &theirs);
    }
    if let Some(tree) = crate::oracle::kernel(test, &squashfs) {
        compare(&format!("{test}: kernel"), tree, &theirs);
    }
}

fn directory(layer: Layer, path: &str) -> Layer {
    layer.add(path.as_bytes(), EntryType::Directory, Meta { mode: 0o750, uid: 7, ..META }, b"")
}

/// Three layers with everything that layers can do to each other.
fn everything() -> Vec<Layer> {
    let capability = b"\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let long = "n".repeat(200);
    let deep = format!("deep/{}/{}", "a".repeat(150), "b".repeat(255));
    let mut bottom = Layer::new().dir("./");
    for path in ["keep", "opaque", "whole", "whole/in", "turns-to-file", "usr", "usr/lib", "deep"] {
        bottom = directory(bottom, path);
    }
    let odd = Meta { mode: 0o6755, uid: 100_000, gid: 4_000_000_000, mtime: 1 };
    let bottom = bottom
        .file("keep/a", b"a")
        .file("keep/gone", b"gone")
        .file("opaque/old", b"old")
        .file("whole/in/x", b"x")
        .file("turns-to-directory", b"file")
        .file("turns-to-file/in", b"in")
        .file("linked", b"linked content")
        .hard("linked-2", "linked")
        .file("target", b"target content")
        .symlink("lib", "usr/lib")
        .file("usr/lib/one", b"one")
        .add(b"setuid", EntryType::Regular, odd, b"x")
        .device("null", EntryType::Char, 1, 3)
        .device("disk", EntryType::Block, 259, 0x12345)
        .add(b"pipe", EntryType::Fifo, META, b"")
        .pax(&[("SCHILY.xattr.security.capability", capability)])
        .file("capable", b"c")
        .pax(&[("SCHILY.xattr.user.note", b"line\n=\0\xff"), ("SCHILY.xattr.trusted.t", b"t")])
        .file("noted", b"n")
        .specials_with_attributes("target")
        .add(b"\xff\xfe", EntryType::Regular, META, b"no utf-8")
        .add(long.as_bytes(), EntryType::Regular, META, b"gnu")
        .add(&deep.as_bytes()[..155], EntryType::Directory, META, b"")
        .pax(&[("path", deep.as_bytes())])
        .file("short", b"pax")
        .file("large", &vec![b'L'; 300_000])
        .file("zeros", &vec![0; 500_000]);
    let middle = directory(directory(Layer::new(), "opaque"), "turns-to-directory")
        .file("keep/.wh.gone", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"new")
        .file(".wh.whole", b"")
        .file("turns-to-directory/in", b"in")
        .file("turns-to-file", b"now a file")
        .hard("alias", "linked")
        .hard("kept-by-link", "target")
        .file("target", b"another")
        .file("lib/two", b"two")
        .file("noted", b"without attributes");
    let top = Layer::new()
        .hard("alias-2", "./alias")
        .file(".wh.linked", b"")
        .file("twice", b"first")
        .file("twice", b"second")
        .symlink("capable", "null")
        .add(b"keep", EntryType::Directory, Meta { mode: 0o1700, ..META }, b"");
    vec![bottom, middle, top]
}

#[test]
fn an_image_with_everything_is_what_umoci_unpacks() {
    let test = "an_image_with_everything_is_what_umoci_unpacks";
    if !can_run(test) {
        return;
    }
    // umoci 0.4.7 reads no zstd
    let image = Image::plain(everything(), &serde_json::json!({}));
    let dir = tempfile::tempdir().unwrap();
    crate::layout::write(dir.path(), "t", &image);
    let (sif, _) = image.convert().unwrap();
    check(test, dir.path(), "t", &sif);
}

/// The image that `tests/env/debian-image.sh` makes.
#[test]
fn a_debian_image_is_what_umoci_unpacks() {
    let test = "a_debian_image_is_what_umoci_unpacks";
    if !can_run(test) {
        return;
    }
    let layout = crate::layout::debian();
    let missing = layout.as_ref().err().map(String::as_str);
    if !crate::oracle::part(test, "differential", missing) {
        return;
    }
    let layout = layout.unwrap();
    let (sif, _) = crate::layout::read(&layout, "v1").convert().unwrap();
    check(test, &layout, "v1", &sif);
}
