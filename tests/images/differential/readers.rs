//! The four readers of an archive: ours, GNU tar, bsdtar and umoci; each gives a [`Tree`].

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use moorline::layer::{LayerError, Limits, Merger, TarReader};
use moorline::oci::{ConfigDigest, DiffId, Digest, Sha256Digest};
use moorline::tree::{Content, Contents, InodeId, Kind, Scan};

/// Contents are compared by the hashes of pieces of this size.
const PIECE: usize = 4096;

/// The time of directories that no entry describes; no archive has it.
pub const IMPLIED: i64 = -77_777;

/// A file as every reader can tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: char,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: i64,
    /// Link target, device numbers, or size and hash of the content.
    pub content: String,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first of the names that are one file.
    pub first: Vec<u8>,
}

pub type Tree = BTreeMap<Vec<u8>, Node>;

/// The programs that are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    Gnu,
    Bsd,
    Umoci,
}

impl Tool {
    pub const ALL: [Self; 3] = [Self::Gnu, Self::Bsd, Self::Umoci];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gnu => "GNU tar",
            Self::Bsd => "bsdtar",
            Self::Umoci => "umoci",
        }
    }

    pub fn command(self) -> &'static str {
        match self {
            Self::Gnu => "tar",
            Self::Bsd => "bsdtar",
            Self::Umoci => "umoci",
        }
    }

    /// Unpacks `archive` below `dir`, which is empty: the tree, and what it said if it failed.
    pub fn unpack(self, archive: &[u8], dir: &Path) -> (Tree, Option<String>) {
        let root = dir.join("root");
        let file = dir.join("archive");
        let mut command = Command::new(self.command());
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        match self {
            Self::Gnu => {
                fs::create_dir(&root).unwrap();
                fs::write(&file, archive).unwrap();
                command.args([
                    "--extract",
                    "--numeric-owner",
                    "--same-owner",
                    "--preserve-permissions",
                ]);
                command.args(["--delay-directory-restore", "--xattrs", "--xattrs-include=*"]);
                command.arg("--file").arg(&file).arg("--directory").arg(&root);
            }
            Self::Bsd => {
                fs::create_dir(&root).unwrap();
                fs::write(&file, archive).unwrap();
                // With chroot, -P is as harmless as in an image: links lead to its root.
                command.args(["-x", "-p", "-P", "--numeric-owner", "--chroot", "--no-fflags"]);
                command.arg("-C").arg(&root).arg("-f").arg("-");
                command.stdin(fs::File::open(&file).unwrap());
            }
            Self::Umoci => {
                layout(archive, &dir.join("oci"));
                command.args(["raw", "unpack", "--image"]);
                command.arg(format!("{}:t", dir.join("oci").display())).arg(&root);
            }
        }
        let out = command.output().unwrap();
        let failed =
            (!out.status.success()).then(|| String::from_utf8_lossy(&out.stderr).into_owned());
        let tree = if root.exists() { walk(&root) } else { Tree::new() };
        (tree, failed)
    }
}

/// An OCI layout with the archive as the only layer, tagged `t`.
fn layout(archive: &[u8], dir: &Path) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(&digest.to_string()[7..]), bytes).unwrap();
        digest
    };
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [DiffId::of(archive)] },
    }))
    .unwrap();
    put(&config);
    let layer = put(archive);
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": ConfigDigest::of(&config), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer, "size": archive.len(),
        }],
    }))
    .unwrap();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": put(&manifest), "size": manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": "t" },
        }],
    });
    fs::write(dir.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// What is in a directory of this machine; the root is `""`.
fn walk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes: HashMap<u64, Vec<Vec<u8>>> = HashMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let meta = fs::symlink_metadata(&full).unwrap();
        let device = || (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
        let (kind, content) = match meta.file_type() {
            k if k.is_dir() => ('d', String::new()),
            k if k.is_symlink() => {
                ('l', show(fs::read_link(&full).unwrap().as_os_str().as_bytes()))
            }
            k if k.is_char_device() => ('c', format!("{:?}", device())),
            k if k.is_block_device() => ('b', format!("{:?}", device())),
            k if k.is_fifo() => ('p', String::new()),
            // a wrong size can make it as long as the file system allows
            _ if meta.len() > 1 << 26 => ('-', format!("{} bytes", meta.len())),
            _ => ('-', content(&fs::read(&full).unwrap())),
        };
        let mut xattrs = BTreeMap::new();
        // of a link itself
        for name in xattr::list(&full).unwrap() {
            let value = xattr::get(&full, &name).unwrap().unwrap();
            if name != "security.selinux" {
                xattrs.insert(name.into_vec(), value);
            }
        }
        if kind == 'd' {
            todo.extend(fs::read_dir(&full).unwrap().map(|e| path.join(e.unwrap().file_name())));
        }
        let path = path.into_os_string().into_vec();
        inodes.entry(meta.ino()).or_default().push(path.clone());
        let (mode, owner, mtime) = (meta.mode() & 0o7777, (meta.uid(), meta.gid()), meta.mtime());
        tree.insert(path, Node { kind, mode, owner, mtime, content, xattrs, first: Vec::new() });
    }
    first_names(&mut tree, inodes);
    tree
}

fn first_names<K>(tree: &mut Tree, inodes: HashMap<K, Vec<Vec<u8>>>) {
    for names in inodes.into_values() {
        let first = names.iter().min().unwrap().clone();
        for name in names {
            tree.get_mut(&name).unwrap().first.clone_from(&first);
        }
    }
}

fn content(bytes: &[u8]) -> String {
    let mut scan = Scan::default();
    for piece in bytes.chunks(PIECE) {
        scan.piece(piece);
    }
    let mut contents = Contents::default();
    let id = contents.intern(bytes.len() as u64, scan.class(), scan.pieces());
    shown(contents.get(id))
}

fn shown(content: &Content) -> String {
    format!("{} bytes {}", content.size, DiffId::from_bytes(content.hash.0).hex())
}

pub fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// What our reader and merge make of it as the only layer of an image.
pub fn ours(archive: &[u8]) -> Result<Tree, LayerError> {
    let limits = Limits { content_bytes: 1 << 26, ..Limits::default() };
    let mut merger = Merger::new(limits, IMPLIED);
    let mut reader = TarReader::new(archive, limits);
    merger.layer(0, &mut reader, PIECE)?;
    let (tree, contents, _, _) = merger.finish();
    let mut found = Tree::new();
    let mut inodes: HashMap<InodeId, Vec<Vec<u8>>> = HashMap::new();
    let mut todo = vec![(Vec::new(), tree.root())];
    while let Some((path, id)) = todo.pop() {
        let inode = tree.get(id);
        let (kind, content) = match &inode.kind {
            Kind::Directory(names) => {
                for (name, entry) in names.iter() {
                    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    todo.push(([&path, slash, name].concat(), entry.inode));
                }
                ('d', String::new())
            }
            Kind::File(content) => ('-', shown(contents.get(*content))),
            Kind::Symlink(target) => ('l', show(target)),
            Kind::Character(major, minor) => ('c', format!("{:?}", (major, minor))),
            Kind::Block(major, minor) => ('b', format!("{:?}", (major, minor))),
            Kind::Fifo => ('p', String::new()),
        };
        let meta = &inode.meta;
        inodes.entry(id).or_default().push(path.clone());
        let node = Node {
            kind,
            mode: meta.mode.into(),
            owner: (meta.uid, meta.gid),
            mtime: meta.mtime,
            content,
            xattrs: (*meta.xattrs).clone(),
            first: Vec::new(),
        };
        found.insert(path, node);
    }
    first_names(&mut found, inodes);
    Ok(found)
}
