//! Two SIFs' file systems, entry by entry: for SIFs of one image that two recipes made.
//!
//! Compared are path, type, mode, owner, time, length and content, link target, device number,
//! extended attributes, link count and which names are one file. `labels.json` says the recipe
//! itself, so that one label is left out. Both are walked in one order, so nothing is held in
//! memory but the numbers of inodes. The SIF that was given may be hostile: no more of it is read than
//! [`Limits`] allow, and no more of a file than ours has.

use std::fs::File;
use std::io::{self, Read};

use crate::sif::SifReader;
use crate::squashfs::read::{self, Decoder, Entry, Image, Kind, Limits};

/// The file that says the recipe, and the label with which it does.
const LABELS: &[u8] = b".singularity.d/labels.json";
const RECIPE: &str = "io.moorline.recipe";
/// Bytes of labels that are read as such.
const MAX_LABELS: u64 = 1 << 20;

/// The first difference between a SIF that was given and one of our own; `None` when there is none.
///
/// # Errors
/// When our own cannot be read.
pub(super) fn trees(given: &File, own: &File) -> io::Result<Option<String>> {
    let own = open(own).map_err(io::Error::other)?;
    let given = match open(given) {
        Ok(given) => given,
        Err(why) => return Ok(Some(format!("its file system cannot be read: {why}"))),
    };
    let mut contents = Contents {
        given: (&given, Decoder::new(&given).map_err(io::Error::other)?),
        own: (&own, Decoder::new(&own).map_err(io::Error::other)?),
    };
    let (mut theirs, mut ours) = (given.walk(), own.walk());
    loop {
        let (entry, expected) = match (theirs.next(), ours.next().transpose()) {
            (_, Err(why)) => return Err(io::Error::other(why)),
            (Some(Err(why)), _) => {
                return Ok(Some(format!("its file system cannot be read: {why}")));
            }
            (None, Ok(None)) => return Ok(None),
            (None, Ok(Some(expected))) => return Ok(Some(missing(&expected))),
            (Some(Ok(entry)), Ok(None)) => return Ok(Some(unexpected(&entry))),
            (Some(Ok(entry)), Ok(Some(expected))) => (entry, expected),
        };
        // both go through a directory by the bytes of its names
        let parts = |entry: &Entry| entry.path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect();
        let (here, there): (Vec<_>, Vec<_>) = (parts(&entry), parts(&expected));
        if here != there {
            let more = here < there;
            return Ok(Some(if more { unexpected(&entry) } else { missing(&expected) }));
        }
        let difference = match contents.difference(&entry, &expected)? {
            Some(difference) => difference,
            None => continue,
        };
        return Ok(Some(format!("/{} {difference}", crate::tree::show(&entry.path))));
    }
}

fn missing(entry: &Entry) -> String {
    format!("/{} is missing", crate::tree::show(&entry.path))
}

fn unexpected(entry: &Entry) -> String {
    format!("/{} should not be there", crate::tree::show(&entry.path))
}

fn open(sif: &File) -> Result<Image<&File>, String> {
    let partition =
        SifReader::open(sif).and_then(|sif| sif.partition()).map_err(|e| e.to_string())?;
    Image::open(sif, partition.offset, partition.size, Limits::default()).map_err(|e| e.to_string())
}

/// Both images, to look into their files.
struct Contents<'a> {
    given: (&'a Image<&'a File>, Decoder<'a, &'a File>),
    own: (&'a Image<&'a File>, Decoder<'a, &'a File>),
}

impl Contents<'_> {
    /// What is not the same of an entry that both have.
    fn difference(&mut self, given: &Entry, own: &Entry) -> io::Result<Option<String>> {
        let labels = own.path == LABELS;
        if facts(given, labels) != facts(own, labels) {
            return Ok(Some("has another type, mode, owner, time or length".into()));
        }
        if given.first != own.first || given.inode.links != own.inode.links {
            return Ok(Some("has other hard links".into()));
        }
        if given.first != given.name {
            return Ok(None);
        }
        let expected = self.own.0.xattrs(&own.inode).map_err(io::Error::other)?;
        match self.given.0.xattrs(&given.inode) {
            Ok(found) if found == expected => {}
            Ok(_) => return Ok(Some("has other extended attributes".into())),
            Err(why) => return Ok(Some(format!("has unreadable attributes: {why}"))),
        }
        let (Kind::File(file), Kind::File(expected)) = (&given.inode.kind, &own.inode.kind) else {
            return Ok(None);
        };
        let theirs = self.given.0.content(file, &mut self.given.1);
        let ours = self.own.0.content(expected, &mut self.own.1);
        let same = if labels && file.size.max(expected.size) <= MAX_LABELS {
            let ours = without_recipe(ours)?;
            without_recipe(theirs).map(|theirs| theirs == ours)
        } else {
            same(theirs, ours)?
        };
        Ok(match same {
            Ok(true) => None,
            Ok(false) => Some("has other content".into()),
            Err(why) => Some(format!("cannot be read: {why}")),
        })
    }
}

/// What an entry says of itself, but for its links; another recipe has a name of another length in
/// the labels.
fn facts(entry: &Entry, labels: bool) -> impl PartialEq + use<> {
    let read::Inode { mode, uid, gid, mtime, kind, .. } = &entry.inode;
    let (kind, number, target) = match kind {
        Kind::File(_) if labels => ('-', (0, 0), Vec::new()),
        Kind::File(file) => ('-', (file.size, 0), Vec::new()),
        Kind::Symlink(target) => ('l', (0, 0), target.clone()),
        Kind::Directory(_) => ('d', (0, 0), Vec::new()),
        Kind::Character(major, minor) => ('c', ((*major).into(), *minor), Vec::new()),
        Kind::Block(major, minor) => ('b', ((*major).into(), *minor), Vec::new()),
        Kind::Fifo => ('p', (0, 0), Vec::new()),
        Kind::Socket => ('s', (0, 0), Vec::new()),
    };
    (kind, *mode, *uid, *gid, *mtime, number, target)
}

/// Whether two files of one length hold the same; the outer error is ours.
fn same(mut theirs: impl Read, mut ours: impl Read) -> io::Result<io::Result<bool>> {
    let mut buffers = [vec![0; 256 << 10], vec![0; 256 << 10]];
    loop {
        let [expected, found] = &mut buffers;
        let length = ours.read(expected)?;
        if length == 0 {
            return Ok(Ok(true));
        }
        match theirs.read_exact(&mut found[..length]) {
            Err(why) => return Ok(Err(why)),
            Ok(()) if found[..length] != expected[..length] => return Ok(Ok(false)),
            Ok(()) => {}
        }
    }
}

/// Labels but for the one that says the recipe; what is no JSON object stays as it is.
fn without_recipe(mut file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if let Ok(serde_json::Value::Object(mut labels)) = serde_json::from_slice(&bytes) {
        labels.shift_remove(RECIPE);
        bytes = serde_json::to_vec(&labels)?;
    }
    Ok(bytes)
}
