//! A layer's index: everything of it but the files' bytes, so that it needs not be read again.
//!
//! ```text
//! 0    8   "moorlyr" and the version, 1
//! 8    32  diff_id: SHA-256 of the layer's tar
//! 40   4   bytes of a block
//! 44   8   number of entries
//! 52   8   bytes of the entries
//! 60       entries (entries.rs), then for each regular file in their order:
//!            varint n > 0    the same content as the layer's n-th distinct one
//!            varint 0        a new one: u8 class, then 32 bytes for the hash of each full block
//!                            and of the tail, if there is one
//! end  32  its seal (sealed.rs)
//! ```
//!
//! Fixed numbers are little endian. An index repeats what [`TarReader`](super::TarReader) gave when the layer was read
//! and had the right digest. So whoever changes what that reader accepts, or how it reads it, must raise the version. A
//! user's own store makes its indexes and uses no others.

use std::io::{self, Write};

use super::entries::Entries;
use super::merge::FileEntry;
use super::reader::MemberKind;
use super::varint::{Reader, put};
use crate::oci::{DiffId, Sha256Digest};
use crate::sealed::{self, Sealing};
use crate::tree::{Class, ContentId, Contents, PieceHash};

const MAGIC: &[u8; 8] = b"moorlyr\x01";
const HEADER: usize = 60;

/// A layer's index that was read and is whole.
#[derive(Clone, Debug)]
pub struct LayerIndex {
    entries: Entries,
    files: Vec<u8>,
    block_size: u32,
}

/// Reads the contents of the files, in their order.
#[derive(Debug)]
pub struct Files<'a> {
    from: Reader<'a>,
    block_size: u32,
    /// The sizes of the layer's distinct contents so far, and what they were interned as.
    sizes: Vec<u64>,
    known: Vec<ContentId>,
    pieces: Vec<PieceHash>,
}

/// What stands for a file.
enum File<'a> {
    /// The n-th distinct content again, from 0.
    Known(usize),
    /// A new one: class, and its pieces' hashes.
    New(Class, &'a [u8]),
}

impl LayerIndex {
    /// Reads an index; `None` when it is damaged, of another version, or not that of this layer and
    /// block size.
    #[must_use]
    pub fn read(bytes: Vec<u8>, diff_id: &DiffId, block_size: u32) -> Option<Self> {
        let mut bytes = sealed::open(bytes)?;
        let mut header = Reader(bytes.get(..HEADER)?);
        let fits = header.take(8)? == MAGIC
            && header.take(32)? == diff_id.bytes()
            && header.take(4)? == block_size.to_le_bytes();
        let count = u64::from_le_bytes(header.take(8)?.try_into().ok()?);
        let length = u64::from_le_bytes(header.take(8)?.try_into().ok()?);
        let files_at = HEADER.checked_add(usize::try_from(length).ok()?)?;
        if !fits || files_at > bytes.len() {
            return None;
        }
        let files = bytes.split_off(files_at);
        bytes.drain(..HEADER);
        bytes.shrink_to_fit();
        let index = Self { entries: Entries::from_encoded(bytes, count), files, block_size };
        index.check().then_some(index)
    }

    /// Whether all of it can be read.
    fn check(&self) -> bool {
        let mut count = 0;
        let mut files = self.files();
        for entry in &self.entries {
            let Some(entry) = entry else { return false };
            if entry.kind == MemberKind::File && files.parse(entry.size).is_none() {
                return false;
            }
            count += 1;
        }
        count == self.entries.count() && files.from.0.is_empty()
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Only the entries.
    #[must_use]
    pub fn into_entries(self) -> Entries {
        self.entries
    }

    /// The contents of the files.
    #[must_use]
    pub fn files(&self) -> Files<'_> {
        let (from, block_size) = (Reader(&self.files), self.block_size);
        Files { from, block_size, sizes: Vec::new(), known: Vec::new(), pieces: Vec::new() }
    }

    /// Writes the index of a layer that was read and whose digest was right.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        diff_id: &DiffId,
        block_size: u32,
        entries: &Entries,
        files: &[FileEntry],
        contents: &Contents,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut out = Sealing::new(out);
        out.write_all(MAGIC)?;
        out.write_all(diff_id.bytes())?;
        out.write_all(&block_size.to_le_bytes())?;
        out.write_all(&entries.count().to_le_bytes())?;
        out.write_all(&entries.encoded_len().to_le_bytes())?;
        for chunk in entries.encoded() {
            out.write_all(chunk)?;
        }
        // by content: its number among the layer's, from 1; smaller than a map where a layer has most of
        // the image's
        let mut numbers = vec![0_u32; contents.len()];
        let mut distinct = 0;
        let mut buffer = Vec::new();
        for file in files {
            buffer.clear();
            let number = &mut numbers[file.content.index()];
            if *number == 0 {
                distinct += 1;
                *number = distinct;
                put(&mut buffer, 0);
                buffer.push(contents.get(file.content).class as u8);
                for piece in contents.pieces(file.content) {
                    buffer.extend(piece.0);
                }
            } else {
                put(&mut buffer, u64::from(*number));
            }
            out.write_all(&buffer)?;
        }
        out.finish()
    }
}

impl<'a> Files<'a> {
    /// The content of the next file, whose entry says that it has `size` bytes. `None` where the
    /// bytes are none that were written.
    pub fn next(&mut self, size: u64, contents: &mut Contents) -> Option<ContentId> {
        match self.parse(size)? {
            File::Known(number) => self.known.get(number).copied(),
            File::New(class, hashes) => {
                self.pieces.clear();
                for piece in hashes.chunks_exact(32) {
                    self.pieces.push(PieceHash(piece.try_into().ok()?));
                }
                let id = contents.intern(size, class, &self.pieces);
                self.known.push(id);
                Some(id)
            }
        }
    }

    fn parse(&mut self, size: u64) -> Option<File<'a>> {
        let number = self.from.number()?;
        if let Some(known) = number.checked_sub(1) {
            let known = usize::try_from(known).ok()?;
            return (*self.sizes.get(known)? == size).then_some(File::Known(known));
        }
        let class = match self.from.byte()? {
            0 => Class::Text,
            1 => Class::Binary,
            2 => Class::Elf,
            _ => return None,
        };
        let count = usize::try_from(size.div_ceil(self.block_size.into())).ok()?;
        self.sizes.push(size);
        Some(File::New(class, self.from.take(count.checked_mul(32)?)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entries::tests::entry;
    use super::*;

    const BLOCK: u32 = 4096;

    /// Entries with contents of as many pieces as their sizes need.
    fn written(all: &[super::super::Member]) -> (Vec<u8>, Vec<FileEntry>, Contents) {
        let (mut entries, mut contents, mut files) =
            (Entries::default(), Contents::default(), Vec::new());
        for entry in all {
            entries.push(entry);
            if entry.kind == MemberKind::File {
                let pieces: Vec<_> = (0..entry.size.div_ceil(BLOCK.into()))
                    .map(|n| PieceHash::of(&[entry.size.to_le_bytes(), n.to_le_bytes()].concat()))
                    .collect();
                let content = contents.intern(entry.size, Class::Binary, &pieces);
                files.push(FileEntry { content, directory: 0 });
            }
        }
        let mut out = Vec::new();
        LayerIndex::write(&DiffId::of(b"layer"), BLOCK, &entries, &files, &contents, &mut out)
            .unwrap();
        (out, files, contents)
    }

    fn small() -> impl Strategy<Value = Vec<super::super::Member>> {
        prop::collection::vec(
            entry().prop_map(|e| super::super::Member { size: e.size % 20_000, ..e }),
            0..20,
        )
    }

    proptest! {
        #[test]
        fn an_index_comes_back(all in small()) {
            let (bytes, files, contents) = written(&all);
            let index = LayerIndex::read(bytes, &DiffId::of(b"layer"), BLOCK).unwrap();
            prop_assert!(index.entries().iter().map(Option::unwrap).eq(all.iter().cloned()));
            let mut again = Contents::default();
            let mut from = index.files();
            let sizes = all.iter().filter(|e| e.kind == MemberKind::File).map(|e| e.size);
            for (size, file) in sizes.zip(&files) {
                let id = from.next(size, &mut again).unwrap();
                prop_assert_eq!(id, file.content);
                prop_assert_eq!(again.pieces(id), contents.pieces(id));
            }
        }

        /// A changed byte, and a changed byte under a right sum.
        #[test]
        fn a_changed_index_is_none_or_whole(
            all in small(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let (mut bytes, ..) = written(&all);
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            prop_assert!(LayerIndex::read(bytes.clone(), &DiffId::of(b"layer"), BLOCK).is_none());
            sealed::seal_again(&mut bytes);
            let _ = LayerIndex::read(bytes, &DiffId::of(b"layer"), BLOCK);
        }

        #[test]
        fn any_bytes_are_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(LayerIndex::read(bytes, &DiffId::of(b"layer"), BLOCK).is_none());
        }
    }

    #[test]
    fn another_layer_block_size_or_version_is_none() {
        let (bytes, ..) = written(&[]);
        let right = DiffId::of(b"layer");
        assert!(LayerIndex::read(bytes.clone(), &right, BLOCK).is_some());
        assert!(LayerIndex::read(bytes.clone(), &DiffId::of(b"other"), BLOCK).is_none());
        assert!(LayerIndex::read(bytes.clone(), &right, 8192).is_none());
        let mut newer = bytes;
        newer[7] = 2;
        sealed::seal_again(&mut newer);
        assert!(LayerIndex::read(newer, &right, BLOCK).is_none());
    }
}
