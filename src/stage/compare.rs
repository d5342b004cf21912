//! Two SIFs' file systems, entry by entry: for SIFs of one image that two recipes made.
//!
//! Compared are path, type, mode, owner, time, length and content, link target and device number.
//! `labels.json` says the recipe itself, so that one label is left out. Not compared, because
//! `backhand` does not read them: extended attributes and which names are one file. The SIF that
//! was given may be hostile: no more of a file is read than ours has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::ffi::OsStrExt;

use backhand::{FilesystemReader, InnerNode, Node, SquashfsFileReader};

use crate::oci::{Digest, Hasher, Sha256Digest};
use crate::sif::SifReader;

/// The file that says the recipe, and the label with which it does.
const LABELS: &[u8] = b".singularity.d/labels.json";
const RECIPE: &str = "io.moorline.recipe";
/// Bytes of labels that are read as such.
const MAX_LABELS: usize = 1 << 20;

/// Everything of an entry but its bytes.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: char,
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: u32,
    /// A file's length, a device's number.
    number: u64,
    target: Vec<u8>,
}

/// The first difference between a SIF that was given and one of our own; `None` when there is none.
///
/// # Errors
/// When our own cannot be read.
pub(super) fn trees(given: File, own: File) -> io::Result<Option<String>> {
    let own = open(own).map_err(io::Error::other)?;
    let mut expected = BTreeMap::new();
    for node in own.files() {
        expected.insert(path(node), (entry(&path(node), node), node));
    }
    let given = match open(given) {
        Ok(given) => given,
        Err(why) => return Ok(Some(format!("its file system cannot be read: {why}"))),
    };
    for node in given.files() {
        let path = path(node);
        let shown = crate::tree::show(&path);
        let Some((entry_of_own, node_of_own)) = expected.remove(&path) else {
            return Ok(Some(format!("/{shown} should not be there")));
        };
        if entry(&path, node) != entry_of_own {
            return Ok(Some(format!("/{shown} has another type, mode, owner, time or length")));
        }
        if let (InnerNode::File(file), InnerNode::File(own_file)) =
            (&node.inner, &node_of_own.inner)
        {
            let ours = content(&path, own.file(own_file).reader(), own_file.file_len())?;
            let length = file.file_len();
            let theirs = given
                .file(file)
                .reader_checked()
                .map_err(|e| e.to_string())
                .and_then(|r| content(&path, r, length).map_err(|e| e.to_string()));
            match theirs {
                Ok(theirs) if theirs == ours => {}
                Ok(_) => return Ok(Some(format!("/{shown} has other content"))),
                Err(why) => return Ok(Some(format!("/{shown} cannot be read: {why}"))),
            }
        }
    }
    Ok(expected.keys().next().map(|path| format!("/{} is missing", crate::tree::show(path))))
}

fn open(mut sif: File) -> Result<FilesystemReader<'static>, String> {
    sif.rewind().map_err(|e| e.to_string())?;
    let handle = sif.try_clone().map_err(|e| e.to_string())?;
    let partition =
        SifReader::open(handle).and_then(|sif| sif.partition()).map_err(|e| e.to_string())?;
    sif.rewind().map_err(|e| e.to_string())?;
    FilesystemReader::from_reader_with_offset(BufReader::new(sif), partition.offset)
        .map_err(|e| e.to_string())
}

fn path(node: &Node<SquashfsFileReader>) -> Vec<u8> {
    let path = node.fullpath.as_os_str().as_bytes();
    path.strip_prefix(b"/").unwrap_or(path).to_vec()
}

fn entry(path: &[u8], node: &Node<SquashfsFileReader>) -> Entry {
    let (kind, number, target) = match &node.inner {
        // another recipe has a name of another length
        InnerNode::File(_) if path == LABELS => ('-', 0, Vec::new()),
        InnerNode::File(file) => ('-', file.file_len() as u64, Vec::new()),
        InnerNode::Symlink(link) => ('l', 0, link.link.as_os_str().as_bytes().to_vec()),
        InnerNode::Dir(_) => ('d', 0, Vec::new()),
        InnerNode::CharacterDevice(device) => ('c', device.device_number.into(), Vec::new()),
        InnerNode::BlockDevice(device) => ('b', device.device_number.into(), Vec::new()),
        InnerNode::NamedPipe => ('p', 0, Vec::new()),
        InnerNode::Socket => ('s', 0, Vec::new()),
    };
    let header = &node.header;
    let (mode, uid, gid, mtime) = (header.permissions, header.uid, header.gid, header.mtime);
    Entry { kind, mode, uid, gid, mtime, number, target }
}

fn content(path: &[u8], mut file: impl Read, length: usize) -> io::Result<Digest> {
    if path == LABELS && length <= MAX_LABELS {
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes)?;
        if let Ok(serde_json::Value::Object(mut labels)) = serde_json::from_slice(&bytes) {
            labels.shift_remove(RECIPE);
            bytes = serde_json::to_vec(&labels)?;
        }
        return Ok(Digest::of(&bytes));
    }
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
