//! What `mksquashfs` and `tar2sqfs` write, read by us, by squashfs-tools, by the kernel and by
//! `backhand`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::oracle::{self, Tree, assert_same, part};

fn installed(test: &str, program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    let missing = format!("{program} is not installed");
    part(test, "squashfs-tools", (!there).then_some(&missing))
}

fn noise(size: usize, seed: u32) -> Vec<u8> {
    let mut x = seed;
    std::iter::repeat_with(|| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        x.to_be_bytes()[0]
    })
    .take(size)
    .collect()
}

/// Everything that an ordinary user can make, and what root can.
fn source(root: &Path) {
    fs::create_dir_all(root.join("many")).unwrap();
    fs::create_dir_all(root.join("empty")).unwrap();
    for n in 0..1500 {
        let name = format!("many/{n:04}-{}", "n".repeat(n % 90));
        fs::write(root.join(name), (n % 50).to_string()).unwrap();
    }
    let sizes = [0, 1, 4095, 4096, 4097, 131_071, 131_072, 131_073, 300_000, 1 << 20, 1_200_000];
    for (i, size) in sizes.into_iter().enumerate() {
        let seed = u32::try_from(i).unwrap() + 5;
        fs::write(root.join(format!("noise{i}")), noise(size, seed)).unwrap();
        fs::write(root.join(format!("text{i}")), b"hello squashfs ".repeat(size / 15)).unwrap();
    }
    let mut holes = noise(200_000, 1);
    holes.extend(vec![0; 1 << 20]);
    holes.extend(noise(100_000, 2));
    fs::write(root.join("holes"), holes).unwrap();
    fs::File::create(root.join("hole")).unwrap().set_len((3 << 20) + 5).unwrap();
    fs::hard_link(root.join("noise8"), root.join("empty/linked")).unwrap();
    fs::hard_link(root.join("noise8"), root.join("again")).unwrap();
    symlink("noise8", root.join("link")).unwrap();
    symlink("t".repeat(200), root.join("long-link")).unwrap();
    fs::write(root.join("n".repeat(255)), "name").unwrap();
    fs::set_permissions(root.join("noise3"), fs::Permissions::from_mode(0o6751)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    if oracle::is_root() {
        for (name, kind) in [
            ("char", rustix::fs::FileType::CharacterDevice),
            ("block", rustix::fs::FileType::BlockDevice),
        ] {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let device = rustix::fs::makedev(259, 0x12345);
            rustix::fs::mknodat(rustix::fs::CWD, root.join(name), kind, mode, device).unwrap();
        }
        std::os::unix::fs::chown(root.join("text3"), Some(70_000), Some(4_000_000_000)).unwrap();
    }
    // not every file system has them; the tar below has them always
    for (name, size) in [("text4", 10), ("text5", 3000), ("text6", 3000), ("many", 3000)] {
        let _ = xattr::set(root.join(name), "user.test", &vec![7; size]);
    }
}

/// Sizes of directories are the file system's business, as are their times' fractions.
fn check(test: &str, what: &str, image: &[u8], expected: Option<&Tree>) {
    let own = oracle::own(image);
    let what = format!("{test} {what}");
    if let Some(expected) = expected {
        assert_same(&format!("{what}: source"), &own, expected);
    }
    // unsquashfs 4.5 takes them for corrupt, the kernel does not
    let refused = what.contains("tar2sqfs") && what.contains("lz4");
    if !refused && let Some(tree) = oracle::unsquashfs(test, image) {
        // the file system below counts a directory's links; tar2sqfs has its own idea of them
        let counted = |tree: &Tree| {
            let mut tree = tree.clone();
            tree.values_mut().filter(|entry| entry.kind == 'd').for_each(|entry| entry.links = 0);
            tree
        };
        assert_same(&format!("{what}: unsquashfs"), &counted(&own), &counted(&tree));
    }
    // a loop device does not show the last part of a page
    if image.len().is_multiple_of(4096)
        && let Some(tree) = oracle::kernel(test, image)
    {
        assert_same(&format!("{what}: kernel"), &own, &tree);
    }
    let plain = |tree: &Tree| -> Tree {
        let mut tree = tree.clone();
        for entry in tree.values_mut() {
            entry.links = 0;
            entry.xattrs.clear();
            if "cbp".contains(entry.kind) {
                entry.content.clear();
            }
        }
        tree
    };
    assert_same(&format!("{what}: backhand"), &plain(&oracle::backhand(image)), &plain(&own));
}

#[test]
fn what_mksquashfs_writes() {
    let test = "what_mksquashfs_writes";
    if !installed(test, "mksquashfs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    source(&root);
    let mut expected = oracle::walk(&root, true);
    let made = |arguments: &[&str]| {
        let image = dir.path().join("image");
        let out = Command::new("mksquashfs")
            .args([&root, &image])
            .args(["-noappend", "-quiet", "-no-progress"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        fs::read(image).unwrap()
    };
    for (path, entry) in &mut expected {
        if entry.kind == 'd' {
            // file systems count them in their own ways; only the root has directories in it
            entry.links = if path.is_empty() { 4 } else { 2 };
        }
    }
    for arguments in [
        "-comp gzip",
        "-comp lz4",
        "-comp lz4 -Xhc -b 4096",
        "-comp zstd -b 1048576",
        "-comp zstd -b 4096 -no-fragments",
        "-comp gzip -always-use-fragments -b 131072",
        "-comp zstd -noI -noD -noF -noX",
        "-comp gzip -no-exports -no-duplicates -no-sparse -b 65536",
        "-comp zstd -all-root -no-xattrs -nopad",
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let same = !arguments.contains("-all-root");
        check(test, arguments, &made(&words), same.then_some(&expected));
    }
    for (codec, name) in [("xz", "xz"), ("lzo", "lzo")] {
        let image = made(&["-comp", codec]);
        let error = moorline::squashfs::read::Image::open(
            &image[..],
            0,
            image.len() as u64,
            moorline::squashfs::read::Limits::default(),
        )
        .err()
        .unwrap()
        .to_string();
        assert!(error.contains(&format!("compressed with {name};")), "{error}");
    }
}

#[test]
fn what_tar2sqfs_writes() {
    let test = "what_tar2sqfs_writes";
    let there = Command::new("tar2sqfs").arg("--version").output().is_ok();
    if !part(test, "squashfs-tools", (!there).then_some("tar2sqfs is not installed")) {
        return;
    }
    let mut tar = tar::Builder::new(Vec::new());
    let header = |kind, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_mtime(1_600_000_000);
        header
    };
    for n in 0..1500_usize {
        // the same values come often: they are stored once and referred to
        let value = vec![b'v'; 100 + n % 3];
        tar.append_pax_extensions([("SCHILY.xattr.user.some", &value[..])]).unwrap();
        let data = noise(n * 2, 3);
        let mut header = header(tar::EntryType::Regular, data.len());
        tar.append_data(&mut header, format!("many/{n}-{}", "x".repeat(n % 60)), &data[..])
            .unwrap();
    }
    let mut link = header(tar::EntryType::Link, 0);
    tar.append_link(&mut link, "linked", "many/7-xxxxxxx").unwrap();
    let mut link = header(tar::EntryType::Symlink, 0);
    tar.append_link(&mut link, "symlink", "many/8").unwrap();
    let mut fifo = header(tar::EntryType::Fifo, 0);
    tar.append_data(&mut fifo, "fifo", &b""[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for arguments in ["-c gzip", "-c lz4 -b 4096", "-c zstd -b 1048576", "-c zstd -e"] {
        let image = dir.path().join("image");
        let mut child = Command::new("tar2sqfs")
            .args(["-q", "-f"])
            .args(arguments.split(' '))
            .arg(&image)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &tar).unwrap();
        assert!(child.wait().unwrap().success());
        let image = fs::read(image).unwrap();
        let own = oracle::own(&image);
        assert_eq!(own[&b"linked"[..]].links, 2, "{arguments}");
        assert_eq!(own[&b"many/1-x"[..]].xattrs["user.some"], [b'v'; 101], "{arguments}");
        check(test, arguments, &image, None);
    }
}
