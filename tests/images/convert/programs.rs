//! Archives that other programs made of one directory: the same tree as the directory itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::archive::{Image, squashfs};
use crate::oracle::{self, Tree, assert_same};

/// Bytes of a sparse file; the holes are where nothing is written.
fn sparse(path: &Path) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = fs::File::create(path).unwrap();
    for (at, data) in [(0, "start"), (300_000, "middle"), (1_000_000, "end")] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(data.as_bytes()).unwrap();
    }
    file.set_len(1_500_000).unwrap();
}

fn make(root: &Path) {
    fs::create_dir_all(root.join("d/e")).unwrap();
    fs::write(root.join("d/file"), "text").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("d/e/big"), vec![7; 300_000]).unwrap();
    fs::hard_link(root.join("d/file"), root.join("d/e/hard")).unwrap();
    symlink("../d/file", root.join("d/soft")).unwrap();
    fs::set_permissions(root.join("d/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    sparse(&root.join("sparse"));
    let status = Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
    assert!(status.success());
}

/// What only some formats can hold.
fn make_long(root: &Path) {
    let long = format!("{}/{}", "l".repeat(150), "m".repeat(255));
    fs::create_dir_all(root.join(&long)).unwrap();
    fs::write(root.join(&long).join("end"), "x").unwrap();
    symlink("t".repeat(300), root.join("far")).unwrap();
    xattr::set(root.join("d/file"), "user.note", b"a\nb=c").unwrap();
}

fn expected(root: &Path) -> Tree {
    let mut tree = oracle::walk(root, true);
    tree.remove(&b""[..]);
    tree
}

fn without_additions(mut tree: Tree, expected: &Tree) -> Tree {
    let first = |path: &[u8]| path.split(|b| *b == b'/').next().unwrap().to_vec();
    let ours: Vec<Vec<u8>> = expected.keys().map(|path| first(path)).collect();
    tree.retain(|path, _| ours.contains(&first(path)));
    tree
}

#[test]
fn what_gnu_tar_writes() {
    let test = "what_gnu_tar_writes";
    let gnu = Command::new("tar").arg("--version").output();
    let gnu = gnu.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("GNU tar"));
    if !oracle::part(test, "gnu-tar", (!gnu).then_some("GNU tar is not installed")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let mut formats: Vec<(Vec<&str>, Tree)> = ["--format=ustar", "--format=oldgnu"]
        .map(|format| (vec![format], expected(dir.path())))
        .into();
    make_long(dir.path());
    let mut all = expected(dir.path());
    for more in [&["-S"][..], &["-S", "--sparse-version=0.0"], &["-S", "--sparse-version=0.1"], &[]]
    {
        let mut options = vec!["--format=posix", "--xattrs", "--xattrs-include=*"];
        options.extend(more);
        formats.push((options, all.clone()));
    }
    for entry in all.values_mut() {
        entry.xattrs.clear();
    }
    formats.push((vec!["--format=gnu", "-S"], all));
    for (options, expected) in formats {
        let short = !expected.contains_key(&b"far"[..]);
        let exclude: &[&str] = if short { &["--exclude=./far", "--exclude=./llll*"] } else { &[] };
        let out = Command::new("tar")
            .args(&options)
            .args(["--numeric-owner", "-C"])
            .arg(dir.path())
            .args(exclude)
            .args(["-c", "."])
            .output()
            .unwrap();
        assert!(out.status.success(), "{options:?}: {}", String::from_utf8_lossy(&out.stderr));
        let image = Image::new(vec![out.stdout], &serde_json::json!({}));
        let (sif, _) = image.convert().unwrap_or_else(|e| panic!("{options:?}: {e}"));
        let mut expected = expected;
        if options.iter().all(|o| !o.starts_with("--xattrs")) {
            for entry in expected.values_mut() {
                entry.xattrs.clear();
            }
        }
        if let Some(tree) = oracle::unsquashfs(test, &squashfs(&sif)) {
            let tree = without_additions(tree, &expected);
            assert_same(&format!("{options:?}"), &tree, &expected);
        }
    }
    assert_eq!(fs::metadata(dir.path().join("d/file")).unwrap().nlink(), 2);
}

#[test]
fn what_python_and_bsdtar_write() {
    let test = "what_python_and_bsdtar_write";
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    make_long(dir.path());
    let mut plain = expected(dir.path());
    for entry in plain.values_mut() {
        entry.xattrs.clear();
    }
    let python = "import tarfile,sys\nt=tarfile.open(fileobj=sys.stdout.buffer,mode='w|',format=int(sys.argv[2]))\nt.add(sys.argv[1],'.')\nt.close()";
    let root = dir.path().to_str().unwrap();
    let commands: [(&str, Vec<&str>, &Tree); 4] = [
        ("python3", vec!["-c", python, root, "1"], &plain),
        ("python3", vec!["-c", python, root, "2"], &plain),
        ("bsdtar", vec!["--format=pax", "-C", root, "-cf", "-", "."], &expected(dir.path())),
        ("bsdtar", vec!["--format=gnutar", "-C", root, "-cf", "-", "."], &plain),
    ];
    for (program, arguments, expected) in commands {
        let there = Command::new(program).arg("--version").output().is_ok();
        let missing = format!("{program} is not installed");
        if !oracle::part(test, program, (!there).then_some(&*missing)) {
            continue;
        }
        let out = Command::new(program).args(&arguments).output().unwrap();
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
        let image = Image::new(vec![out.stdout], &serde_json::json!({}));
        let (sif, _) = image.convert().unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
        if let Some(tree) = oracle::unsquashfs(test, &squashfs(&sif)) {
            let tree = without_additions(tree, expected);
            assert_same(&format!("{program} {arguments:?}"), &tree, expected);
        }
    }
}

/// A whole Debian, as `tests/run` keeps it between runs: the same tree as GNU tar unpacks.
#[test]
fn a_debian_root_file_system() {
    let test = "a_debian_root_file_system";
    let cache = std::env::var_os("MOORLINE_TEST_CACHE").unwrap_or_default();
    let archive = Path::new(&cache).join("debian-rootfs-bookworm.tar");
    let missing = (!archive.is_file() || !oracle::is_root())
        .then_some("no debian-rootfs-bookworm.tar in MOORLINE_TEST_CACHE, or not root");
    if !oracle::part(test, "debian-rootfs", missing) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-C"])
        .arg(dir.path())
        .arg("-xpf")
        .arg(&archive)
        .status()
        .unwrap();
    assert!(status.success());
    let image = Image::new(vec![fs::read(&archive).unwrap()], &serde_json::json!({}));
    let (sif, report) = image.convert().unwrap();
    assert!(report.files > 5000 && report.warnings.is_empty());
    let added = [
        &b""[..],
        b".run",
        b".exec",
        b".shell",
        b".test",
        b"singularity",
        b"environment",
        b"etc/resolv.conf",
        b"etc/hosts",
    ];
    let common = |mut tree: Tree| {
        tree.retain(|path, _| !path.starts_with(b".singularity.d") && !added.contains(&&path[..]));
        tree
    };
    let expected = common(expected(dir.path()));
    let squashfs = squashfs(&sif);
    let found = [oracle::unsquashfs(test, &squashfs), oracle::kernel(test, &squashfs)];
    for tree in found.into_iter().flatten() {
        assert_same(test, &common(tree), &expected);
    }
}
