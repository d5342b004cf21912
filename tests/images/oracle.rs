//! What other programs find in a squashfs that we wrote.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use moorline::oci::{Digest, Sha256Digest};

/// An entry as every reader can tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: char,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub links: u64,
    /// Link target, device numbers, or size and hash of the content.
    pub content: String,
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

pub type Tree = BTreeMap<Vec<u8>, Entry>;

pub fn hash(data: &[u8]) -> String {
    format!("{} {}", data.len(), Digest::of(data))
}

/// Whether a test's part can run; loud when it cannot, a failure when it must.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn part(test: &str, part: &str, missing: Option<&str>) -> bool {
    let Some(why) = missing else { return true };
    let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|r| r == part), "{test}: {part} is required: {why}");
    eprintln!("SKIPPED: {test}: {why}");
    false
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Walks a directory of this machine.
pub fn walk(root: &Path, attributes: bool) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = root.join(&path);
        let meta = fs::symlink_metadata(&full).unwrap();
        let kind = meta.file_type();
        let device = || {
            let device = meta.rdev();
            format!("{},{}", rustix::fs::major(device), rustix::fs::minor(device))
        };
        let (kind, content) = match kind {
            k if k.is_dir() => ('d', String::new()),
            k if k.is_symlink() => {
                let target = fs::read_link(&full).unwrap();
                ('l', String::from_utf8_lossy(target.as_os_str().as_bytes()).into_owned())
            }
            k if k.is_char_device() => ('c', device()),
            k if k.is_block_device() => ('b', device()),
            k if k.is_fifo() => ('p', String::new()),
            _ => ('-', hash(&fs::read(&full).unwrap())),
        };
        let mut xattrs = BTreeMap::new();
        if attributes {
            // of a link itself, which has none of the user's own. The kernel's squashfs says so of an inode without any
            let names = match xattr::list(&full) {
                Err(e) if e.kind() == std::io::ErrorKind::Unsupported => Vec::new(),
                names => names.unwrap().collect(),
            };
            for name in names {
                // what the machine itself puts on files is not the image's
                if name != "security.selinux" {
                    let value = xattr::get(&full, &name).unwrap().unwrap();
                    xattrs.insert(name.to_string_lossy().into_owned(), value);
                }
            }
        }
        if kind == 'd' {
            todo.extend(fs::read_dir(&full).unwrap().map(|e| path.join(e.unwrap().file_name())));
        }
        tree.insert(
            path.into_os_string().into_vec(),
            Entry {
                kind,
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
                gid: meta.gid(),
                mtime: meta.mtime(),
                links: meta.nlink(),
                content,
                xattrs,
            },
        );
    }
    tree
}

/// Unpacks with `unsquashfs` as root, so that owners and devices are there, and walks.
pub fn unsquashfs(test: &str, squashfs: &[u8]) -> Option<Tree> {
    let there = Command::new("unsquashfs").arg("-version").output().is_ok();
    if !part(test, "squashfs-tools", (!there).then_some("unsquashfs is not installed")) {
        return None;
    }
    if !part(test, "root", (!is_root()).then_some("only root can unpack owners")) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, squashfs).unwrap();
    let root = dir.path().join("root");
    let out =
        Command::new("unsquashfs").args(["-q", "-n", "-d"]).args([&root, &image]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let tree = walk(&root, true);
    // the times of directories are set last, so this also shows that nothing was left out
    Some(tree)
}

/// Mounts with the kernel's own squashfs and walks.
pub fn kernel(test: &str, squashfs: &[u8]) -> Option<Tree> {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, squashfs).unwrap();
    let at = dir.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let missing = if is_root() {
        let out = Command::new("mount")
            .args(["-t", "squashfs", "-o", "loop,ro"])
            .args([&image, &at])
            .output()
            .unwrap();
        let known = fs::read_to_string("/proc/filesystems").unwrap().contains("squashfs");
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        // a kernel that knows squashfs and refuses this one is what the test is for
        let refused = known && Path::new("/dev/loop-control").exists();
        assert!(out.status.success() || !refused, "the kernel refuses it: {why}");
        (!out.status.success()).then_some(why)
    } else {
        Some("only root can mount".into())
    };
    if !part(test, "kernel-mount", missing.as_deref()) {
        return None;
    }
    let tree = std::panic::catch_unwind(|| walk(&at, true));
    // lazily: a process that another test starts just now may still hold a handle
    let out = Command::new("umount").arg("--lazy").arg(&at).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(tree.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Reads with our own reader.
pub fn own(squashfs: &[u8]) -> Tree {
    use moorline::squashfs::read::{Decoder, Image, Kind, Limits};
    use std::io::Read;
    let image = Image::open(squashfs, 0, squashfs.len() as u64, Limits::default()).unwrap();
    let mut decoder = Decoder::new(&image).unwrap();
    let mut tree = Tree::new();
    for entry in image.walk() {
        let entry = entry.unwrap();
        let inode = &entry.inode;
        let (kind, content) = match &inode.kind {
            Kind::Directory(_) => ('d', String::new()),
            Kind::File(file) => {
                let mut data = Vec::new();
                image.content(file, &mut decoder).read_to_end(&mut data).unwrap();
                assert_eq!(data.len() as u64, file.size);
                ('-', hash(&data))
            }
            Kind::Symlink(target) => ('l', String::from_utf8_lossy(target).into_owned()),
            Kind::Character(major, minor) => ('c', format!("{major},{minor}")),
            Kind::Block(major, minor) => ('b', format!("{major},{minor}")),
            Kind::Fifo => ('p', String::new()),
            Kind::Socket => ('s', String::new()),
        };
        let xattrs = image.xattrs(inode).unwrap();
        tree.insert(
            entry.path,
            Entry {
                kind,
                mode: inode.mode.into(),
                uid: inode.uid,
                gid: inode.gid,
                mtime: inode.mtime.into(),
                links: inode.links.into(),
                content,
                xattrs: xattrs
                    .iter()
                    .map(|(k, v)| (String::from_utf8_lossy(k).into_owned(), v.clone()))
                    .collect(),
            },
        );
    }
    tree
}

/// Reads with `backhand`, which knows neither attributes nor link counts.
pub fn backhand(squashfs: &[u8]) -> Tree {
    use backhand::{FilesystemReader, InnerNode};
    use std::io::Read;
    let reader = std::io::BufReader::new(std::io::Cursor::new(squashfs.to_vec()));
    let image = FilesystemReader::from_reader(reader).unwrap();
    let mut tree = Tree::new();
    for node in image.files() {
        let (kind, content) = match &node.inner {
            InnerNode::File(file) => {
                let mut data = Vec::new();
                image.file(file).reader().read_to_end(&mut data).unwrap();
                ('-', hash(&data))
            }
            InnerNode::Symlink(link) => {
                ('l', String::from_utf8_lossy(link.link.as_os_str().as_bytes()).into_owned())
            }
            InnerNode::Dir(_) => ('d', String::new()),
            InnerNode::CharacterDevice(_) => ('c', String::new()),
            InnerNode::BlockDevice(_) => ('b', String::new()),
            _ => ('p', String::new()),
        };
        let path = node.fullpath.strip_prefix("/").unwrap().as_os_str().as_bytes().to_vec();
        tree.insert(
            path,
            Entry {
                kind,
                mode: u32::from(node.header.permissions),
                uid: node.header.uid,
                gid: node.header.gid,
                mtime: node.header.mtime.into(),
                links: 0,
                content,
                xattrs: BTreeMap::new(),
            },
        );
    }
    tree
}

/// Compares two trees and names the first difference, not both trees.
pub fn assert_same(what: &str, found: &Tree, expected: &Tree) {
    for (path, entry) in expected {
        let shown = String::from_utf8_lossy(path);
        assert_eq!(found.get(path), Some(entry), "{what}: {shown:?}");
    }
    for path in found.keys() {
        let shown = String::from_utf8_lossy(path);
        assert!(expected.contains_key(path), "{what}: {shown:?} should not be there");
    }
}
