//! What is in the files, without the bytes: one [`ContentId`] for each distinct content.
//!
//! ```text
//! file      | block | block | block | tail |      full blocks of the recipe's size, what is left
//! pieces      hash    hash    hash    hash        BLAKE3 of each
//! content   the tail's hash, or the hash of the list where there are blocks
//! ```
//!
//! A 256-bit hash is enough to call two contents equal: the image's own digests trust no more. It is
//! made from the pieces' hashes, so that every byte is hashed once and each piece can be found again
//! where it was stored before. None of these hashes is in a SIF.

use foldhash::HashMap;

/// BLAKE3 of a piece of a file, of stored bytes, or of a list of such hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceHash(pub [u8; 32]);

impl PieceHash {
    /// Of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Of a list; `meaning` keeps it apart from lists of another kind and from any bytes.
    #[must_use]
    pub fn of_list<'a>(meaning: &str, list: impl IntoIterator<Item = (&'a Self, u32)>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(meaning);
        for (hash, number) in list {
            hasher.update(&hash.0);
            hasher.update(&number.to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// The meaning of a content's list of pieces.
const CONTENT: &str = "moorline 1: pieces of a file";

/// A content's number, in the order in which contents were first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u32);

impl ContentId {
    /// As an index into per-content tables.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the bytes look like; like is compressed best with like. Changing the rule changes the
/// layout, so it is part of the recipe's `layout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No NUL byte in it.
    Text,
    /// Some NUL byte in it.
    Binary,
    /// Starts as an ELF file.
    Elf,
}

/// What identifies a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Length in bytes.
    pub size: u64,
    /// Of its pieces.
    pub hash: PieceHash,
    /// What it looks like.
    pub class: Class,
    /// Where its pieces end among those of all contents that have more than one.
    pieces_end: u32,
}

/// All contents of an image.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    all: Vec<Content>,
    /// By the first 8 bytes of the hash; at the next free number when these are taken.
    ids: HashMap<u64, ContentId>,
    pieces: Vec<PieceHash>,
}

impl Contents {
    /// The number of this content, new or known.
    pub fn intern(&mut self, size: u64, class: Class, pieces: &[PieceHash]) -> ContentId {
        let hash = match pieces {
            [one] => *one,
            list => PieceHash::of_list(CONTENT, list.iter().map(|piece| (piece, 0))),
        };
        let mut short = u64::from_le_bytes(hash.0[..8].try_into().unwrap_or_default());
        while let Some(id) = self.ids.get(&short) {
            let known = self.get(*id);
            if (known.size, known.hash) == (size, hash) {
                return *id;
            }
            short = short.wrapping_add(1);
        }
        let id = ContentId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        if pieces.len() > 1 {
            self.pieces.extend(pieces);
        }
        let pieces_end = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
        self.all.push(Content { size, hash, class, pieces_end });
        self.ids.insert(short, id);
        id
    }

    /// Forgets what only [`Contents::intern`] needs, which must not be called any more: a known
    /// content would get another number. Room that they do not need is given back.
    pub fn seal(&mut self) {
        self.ids = HashMap::default();
        self.all.shrink_to_fit();
        self.pieces.shrink_to_fit();
    }

    /// A content.
    pub fn get(&self, id: ContentId) -> &Content {
        &self.all[id.index()]
    }

    /// The hashes of a content's full blocks and, behind them, of its tail if there is one.
    pub fn pieces(&self, id: ContentId) -> &[PieceHash] {
        let content = self.get(id);
        let start = id.index().checked_sub(1).map_or(0, |before| self.all[before].pieces_end);
        match &self.pieces[start as usize..content.pieces_end as usize] {
            [] if content.size > 0 => std::slice::from_ref(&content.hash),
            pieces => pieces,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Takes a file's bytes piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pieces: Vec<PieceHash>,
    /// How long the last piece of nothing but zeros was, and its hash: a hole is one such piece after the
    /// other, and may be as large as a disk.
    zeros: Option<(usize, PieceHash)>,
    elf: Option<bool>,
    nul: bool,
}

impl Scan {
    /// Starts another file.
    pub fn clear(&mut self) {
        self.pieces.clear();
        (self.elf, self.nul) = (None, false);
    }

    /// The next full block, or the tail; its hash. No bytes are no piece.
    pub fn piece(&mut self, bytes: &[u8]) -> PieceHash {
        let hash = self.hash(bytes);
        if !bytes.is_empty() {
            self.pieces.push(hash);
            self.elf.get_or_insert(bytes.starts_with(b"\x7fELF"));
            self.nul = self.nul || memchr::memchr(0, bytes).is_some();
        }
        hash
    }

    fn hash(&mut self, bytes: &[u8]) -> PieceHash {
        // all are as the first, which is zero
        let zeros = bytes.first() == Some(&0) && bytes[1..] == bytes[..bytes.len() - 1];
        match self.zeros {
            Some((length, hash)) if zeros && length == bytes.len() => hash,
            _ => {
                let hash = PieceHash::of(bytes);
                self.zeros = if zeros { Some((bytes.len(), hash)) } else { self.zeros };
                hash
            }
        }
    }

    /// What the bytes look like.
    #[must_use]
    pub fn class(&self) -> Class {
        match (self.elf, self.nul) {
            (Some(true), _) => Class::Elf,
            (_, true) => Class::Binary,
            (_, false) => Class::Text,
        }
    }

    /// The hashes of the pieces.
    #[must_use]
    pub fn pieces(&self) -> &[PieceHash] {
        &self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_hashed_once() {
        let mut scan = Scan::default();
        let hole = PieceHash::of(&[0; 4096]);
        assert_eq!(scan.piece(&[0; 4096]), hole);
        assert_eq!(scan.zeros, Some((4096, hole)));
        // what is known is taken, as a mark in its place shows
        let mark = PieceHash::of(b"mark");
        scan.zeros = Some((4096, mark));
        assert_eq!(scan.piece(&[0; 4096]), mark);
        for other in [&[0; 100][..], &[0; 1], &[], &[1; 4096], b"\0\0x"] {
            scan.zeros = Some((4096, mark));
            assert_eq!(scan.piece(other), PieceHash::of(other));
        }
        let mut last = [0; 4096];
        last[4095] = 1;
        scan.zeros = Some((4096, mark));
        assert_eq!(scan.piece(&last), PieceHash::of(&last));
    }

    #[test]
    fn equal_pieces_of_equal_length_are_one_content() {
        let mut contents = Contents::default();
        let hash = |n: u8| PieceHash::of(&[n]);
        let mut add = |size, pieces: &[PieceHash]| contents.intern(size, Class::Text, pieces);
        let [empty, small, large, longer] = [
            add(0, &[]),
            add(1, &[hash(1)]),
            add(20, &[hash(1), hash(2)]),
            add(21, &[hash(1), hash(2)]),
        ];
        assert_eq!(add(1, &[hash(1)]), small);
        assert_eq!(add(20, &[hash(1), hash(2)]), large);
        // a whole block is not the tail with the same hash
        let block = add(4096, &[hash(1)]);
        assert!(block != small && longer != large && contents.len() == 5);
        assert_eq!(contents.pieces(empty), []);
        assert_eq!(contents.pieces(small), [hash(1)]);
        assert_eq!(contents.pieces(longer), [hash(1), hash(2)]);
        assert_eq!(contents.pieces(block), [hash(1)]);
    }
}
