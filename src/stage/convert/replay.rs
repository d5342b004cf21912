//! A layer whose entries and contents are known is written again, if possible without its blob.
//!
//! ```text
//! plan            which files are live: from the index and the forecast, or from the tree
//! all in packs?   blocks and groups are copied, groups of which some tails died are put together anew
//! else            the blob is opened, and read to the end for its digest; what packs have is still
//!                 not compressed
//! ```

use foldhash::HashSet;

use super::ConvertError;
use super::pass::{First, HELD, Layers, Written};
use crate::layer::{FileEntry, LayerIndex, MemberKind};
use crate::squashfs::{Bytes, DataWriter, SquashfsError, Target};
use crate::tree::{Content, Contents, PieceHash};

/// The files of a layer, and which of them are written.
type Plan<'a> = (&'a [FileEntry], &'a [bool]);

impl Layers<'_> {
    /// Takes a layer from its index in the first pass.
    pub(super) fn known_layer<W: Target>(
        &mut self,
        at: usize,
        index: LayerIndex,
        first: &mut First,
        data: &mut DataWriter<W>,
    ) -> Result<(), ConvertError> {
        let (mut files, mut live) = (Vec::new(), Vec::new());
        let mut directory = FileEntry::numbering();
        let mut contents = index.files();
        let mut planned = HashSet::default();
        for entry in index.entries() {
            let entry = entry.ok_or_else(|| self.misread(at))?;
            first.merger.admit(&entry).map_err(|e| self.failed(at, e))?;
            let visible = first.forecast.see(&entry) && first.trusted;
            if entry.kind != MemberKind::File {
                continue;
            }
            let size = entry.size;
            let content = contents.next(size, first.merger.contents());
            let content = content.ok_or_else(|| self.misread(at))?;
            files.push(FileEntry { content, directory: directory(&entry.path) });
            let written = visible && size > 0 && !first.written.has(content);
            live.push(written && planned.insert(content));
            if written && size > HELD {
                let start = first.merger.contents().pieces(content)[0];
                first.large.insert((size, start));
            }
        }
        drop(contents);
        let plan = (&files[..], &live[..]);
        self.replay(at, plan, first.merger.contents(), &mut first.written, data)?;
        first.entries.push(index.into_entries());
        first.files.push(files);
        first.written.live.push(live);
        Ok(())
    }

    /// Writes a layer's section, which was begun, as it was planned.
    pub(super) fn replay<W: Target>(
        &mut self,
        at: usize,
        plan: Plan<'_>,
        contents: &Contents,
        written: &mut Written,
        data: &mut DataWriter<W>,
    ) -> Result<(), ConvertError> {
        let mut live = plan.0.iter().zip(plan.1).filter(|(_, live)| **live).map(|(file, _)| file);
        if live.clone().next().is_none() {
            return Ok(());
        }
        let packed = live.all(|file| {
            data.can_copy(contents.pieces(file.content), contents.get(file.content).size)
        });
        if packed {
            self.copy(plan, contents, written, data)?;
            return Ok(data.end_section()?);
        }
        let mut tar = self.reader(at)?;
        let mut files = plan.0.iter().zip(plan.1);
        loop {
            let next = tar.next_entry().map_err(|e| self.failed(at, e))?;
            let Some(entry) = next else { break };
            if entry.kind != MemberKind::File {
                continue;
            }
            let planned = files.next().filter(|(f, _)| contents.get(f.content).size == entry.size);
            let (file, live) = planned.ok_or_else(|| self.misread(at))?;
            let Content { size, class, .. } = *contents.get(file.content);
            let kind = (class, file.directory);
            let tail = usize::try_from(size % self.block_size as u64).unwrap_or(0);
            if !live {
                data.dead_tail(kind, tail)?;
                continue;
            }
            let place = data.begin_file();
            for (n, hash) in contents.pieces(file.content).iter().enumerate() {
                let whole = (n as u64) < size / self.block_size as u64;
                let mut piece = data.buffer();
                let count = if whole { self.block_size } else { tail };
                tar.take(count, &mut piece).map_err(|e| self.failed(at, e))?;
                if PieceHash::of(&piece) != *hash {
                    return Err(self.misread(at));
                }
                if whole {
                    data.block(place, *hash, piece)?;
                } else {
                    data.tail(place, kind, *hash, Bytes::Here(&piece))?;
                    data.give_back(piece);
                }
            }
            written.put(file.content, place);
        }
        data.end_section()?;
        let diff_id = self.diff_id(at);
        tar.into_inner().finish(&diff_id).map_err(|e| self.failed(at, e))?;
        Ok(())
    }

    /// Writes a section of which packs have everything.
    fn copy<W: Target>(
        &self,
        plan: Plan<'_>,
        contents: &Contents,
        written: &mut Written,
        data: &mut DataWriter<W>,
    ) -> Result<(), SquashfsError> {
        for (file, live) in plan.0.iter().zip(plan.1) {
            let Content { size, class, .. } = *contents.get(file.content);
            let kind = (class, file.directory);
            let tail = usize::try_from(size % self.block_size as u64).unwrap_or(0);
            if !live {
                data.dead_tail(kind, tail)?;
                continue;
            }
            let place = data.begin_file();
            let pieces = contents.pieces(file.content);
            let (blocks, rest) = pieces.split_at(pieces.len() - usize::from(tail > 0));
            for hash in blocks {
                if !data.known_block(place, *hash)? {
                    return Err(SquashfsError::Missing);
                }
            }
            for hash in rest {
                data.tail(place, kind, *hash, Bytes::Packed(tail))?;
            }
            written.put(file.content, place);
        }
        Ok(())
    }

    /// What was kept of a layer is not what is in it.
    pub(super) fn misread(&self, at: usize) -> ConvertError {
        ConvertError::Index { number: at + 1, digest: self.source.layers[at].digest }
    }
}
