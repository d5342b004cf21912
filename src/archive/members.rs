//! The members of a tar by name, each with its place in the file.
//!
//! The tar is read once from front to back, by the reader that also reads layers: bounded, and
//! refusing what could be read in two ways. A name that stands twice is refused when it is asked for.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{ArchiveError, Piece, regular};
use crate::layer::{Compression, Limits, MemberKind, TarReader};

/// Members of an archive at most: each layer has a few.
const MAX_MEMBERS: u64 = 100_000;
/// Links that are followed from one name.
const MAX_LINKS: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    Link(String),
    /// A file with holes: its bytes are not in one piece.
    Sparse,
    Other,
    Twice,
}

/// An indexed tar.
#[derive(Debug)]
pub(super) struct Members {
    path: PathBuf,
    members: HashMap<String, Member>,
}

impl Members {
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let io = |source| ArchiveError::Io {
            path: path.to_owned(),
            source: crate::files::explained(path, source),
        };
        let mut file = regular(path).map_err(io)?;
        let with = match Compression::of(&Compression::start(&mut file).map_err(io)?) {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
            Compression::Xz => Some("xz"),
            Compression::Bzip2 => Some("bzip2"),
        };
        if let Some(with) = with {
            return Err(ArchiveError::Compressed { path: path.to_owned(), with });
        }
        file.rewind().map_err(io)?;
        let members = index(BufReader::with_capacity(256 << 10, file))
            .map_err(|why| ArchiveError::malformed(path, why))?;
        Ok(Self { path: path.to_owned(), members })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A member's bytes.
    pub(super) fn file(&self, name: &str) -> Result<Box<dyn Read>, ArchiveError> {
        let io = |source| ArchiveError::Io { path: self.path.clone(), source };
        Ok(Box::new(self.piece(name)?.read().map_err(io)?))
    }

    /// Where a member's bytes are.
    pub(super) fn piece(&self, name: &str) -> Result<Piece, ArchiveError> {
        let shown = crate::tree::show(name.as_bytes());
        let malformed = |why: String| ArchiveError::malformed(&self.path, why);
        let mut at = name.strip_prefix("./").unwrap_or(name).to_owned();
        for _ in 0..MAX_LINKS {
            match self.members.get(&at) {
                Some(Member::File { offset, size }) => {
                    let io = |source| ArchiveError::Io { path: self.path.clone(), source };
                    let file = regular(&self.path).map_err(io)?;
                    return Ok(Piece { file, at: *offset, size: *size });
                }
                Some(Member::Link(target)) => {
                    at = beside(&at, target)
                        .ok_or_else(|| malformed(format!("{shown} leads out of the archive")))?;
                }
                Some(Member::Sparse) => {
                    return Err(malformed(format!(
                        "{shown} is a sparse file; pack it without tar's --sparse"
                    )));
                }
                Some(Member::Other) => return Err(malformed(format!("{shown} is not a file"))),
                Some(Member::Twice) => return Err(malformed(format!("{shown} is in it twice"))),
                None => return Err(malformed(format!("it has no {shown}"))),
            }
        }
        Err(malformed(format!("{shown} is a link through more than {MAX_LINKS} links")))
    }
}

/// The name that a link's target has in the archive.
fn beside(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Counts what was read, so that an entry's place is known.
struct Counted<R> {
    source: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

/// Where the members are; the error is a sentence's end.
fn index(source: impl Read) -> Result<HashMap<String, Member>, String> {
    let count = Rc::new(Cell::new(0));
    let limits = Limits { entries: MAX_MEMBERS, ..Limits::default() };
    let mut tar = TarReader::new(Counted { source, count: Rc::clone(&count) }, limits);
    let mut members = HashMap::new();
    while let Some(entry) = tar.next_entry().map_err(|e| e.to_string())? {
        if members.len() as u64 >= MAX_MEMBERS {
            return Err(format!("it has more than {MAX_MEMBERS} members"));
        }
        let offset = count.get();
        // what is no UTF-8 is nothing that these formats name
        let Ok(name) = String::from_utf8(entry.path) else { continue };
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let member = match entry.kind {
            MemberKind::File if tar.is_whole() => Member::File { offset, size: entry.size },
            MemberKind::File => Member::Sparse,
            MemberKind::Symlink(target) => {
                String::from_utf8(target).map_or(Member::Other, Member::Link)
            }
            _ => Member::Other,
        };
        members
            .entry(name)
            .and_modify(|old| {
                // directories may well be listed again
                if *old != Member::Other || member != Member::Other {
                    *old = Member::Twice;
                }
            })
            .or_insert(member);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_stay_inside() {
        assert_eq!(beside("a/layer.tar", "../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(beside("a", "./b").as_deref(), Some("b"));
        assert_eq!(beside("a", "../b"), None);
        assert_eq!(beside("a/b", "/etc/passwd"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_indexed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let _ = index(bytes.as_slice());
        }

        #[test]
        fn a_damaged_tar_points_nowhere(at in 0_usize..2048, byte in any::<u8>()) {
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(5);
            header.set_mode(0o644);
            tar.append_data(&mut header, "a", &b"12345"[..]).unwrap();
            let mut bytes = tar.into_inner().unwrap();
            bytes[at] = byte;
            if let Ok(found) = index(bytes.as_slice()) {
                for member in found.values() {
                    if let Member::File { offset, size } = member {
                        prop_assert!(offset + size <= bytes.len() as u64);
                    }
                }
            }
        }
    }
}
