//! The passes over an image's layers.
//!
//! ```text
//! first    layers from the top down. One that is not known is read: each file's content is hashed,
//!          and written if the forecast says that it is visible and no layer above has the same.
//!          A known one is not read (replay.rs). Entries are kept
//! merge    layers from the bottom up, from the kept entries: the tree, and which files are live
//! second   only where the forecast was wrong: all layers again, written as the tree says
//! ```

use std::collections::HashSet;
use std::io::{self, Read};

use super::source::AddedContent;
use super::{ConvertError, Memory, Source, Work};
use crate::layer::{
    Entries, FileEntry, Forecast, LayerError, LayerIndex, LayerStream, Limits, MemberKind, Merger,
    TarReader,
};
use crate::oci::DiffId;
use crate::squashfs::{Bytes, DataWriter, Place, SquashfsError, Target};
use crate::tree::{ContentId, Contents, InodeId, PieceHash, Scan, Tree};

/// Contents up to this size are held until their hash tells whether they were written before.
pub(super) const HELD: u64 = 8 << 20;

/// Files of a layer from which on the tree's memory is worth a look.
const MANY: usize = 50_000;

/// The layers of an image, opened as often as they are needed.
pub(super) struct Layers<'a> {
    pub(super) source: &'a Source,
    pub(super) limits: Limits,
    pub(super) block_size: usize,
    pub(super) open: &'a mut dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
    pub(super) memory: &'a mut dyn Memory,
    /// How often a layer was inflated.
    pub(super) inflated: u64,
    /// Indexes that could not be kept.
    pub(super) warnings: Vec<String>,
}

/// What was written, by content and by file.
#[derive(Default)]
pub(super) struct Written {
    /// By content.
    pub(super) places: Vec<Option<Place>>,
    /// For each layer and each file in the order of its tar: whether its content was written there.
    pub(super) live: Vec<Vec<bool>>,
}

impl Written {
    pub(super) fn put(&mut self, content: ContentId, place: Place) {
        if self.places.len() <= content.index() {
            self.places.resize(content.index() + 1, None);
        }
        self.places[content.index()] = Some(place);
    }

    pub(super) fn has(&self, content: ContentId) -> bool {
        self.places.get(content.index()).is_some_and(Option::is_some)
    }
}

/// What the first pass leaves.
pub(super) struct First {
    pub(super) merger: Merger,
    pub(super) written: Written,
    /// For each layer, lowest first.
    pub(super) entries: Vec<Entries>,
    pub(super) files: Vec<Vec<FileEntry>>,
    pub(super) forecast: Forecast,
    pub(super) trusted: bool,
    /// Size and hash of the first block of written contents that are too large to hold.
    pub(super) large: HashSet<(u64, PieceHash)>,
    scan: Scan,
}

impl First {
    /// Starts with what is added on top; its contents are written in a section of their own.
    pub(super) fn begin<W: Target>(
        merger: Merger,
        work: Work,
        added: &[AddedContent],
        data: &mut DataWriter<W>,
    ) -> Result<Self, ConvertError> {
        let mut first = Self {
            merger,
            written: Written::default(),
            entries: Vec::new(),
            files: Vec::new(),
            forecast: Forecast::default(),
            trusted: work.forecast,
            large: HashSet::new(),
            scan: Scan::default(),
        };
        first.written = write_added(added, data)?;
        for added in added {
            first.forecast.hide_file(added.path);
        }
        first.forecast.next_layer();
        Ok(first)
    }

    fn file<W: Target>(
        &mut self,
        tar: &mut TarReader<LayerStream>,
        size: u64,
        (mut keep, directory): (bool, u32),
        block_size: usize,
        data: &mut DataWriter<W>,
    ) -> Result<(ContentId, bool), Failed> {
        let mut held = Vec::new();
        let mut place = None;
        let mut left = size;
        self.scan.clear();
        while left >= block_size as u64 {
            let mut block = data.buffer();
            tar.take(block_size, &mut block)?;
            let hash = self.scan.piece(&block);
            if left == size && keep && size > HELD {
                // what starts alike is taken for the same: if it is not, the merge will tell
                keep = self.large.insert((size, hash));
                place = keep.then(|| data.begin_file());
            }
            match place {
                _ if !keep => data.give_back(block),
                None => held.push((hash, block)),
                Some(place) => data.block(place, hash, block)?,
            }
            left -= block_size as u64;
        }
        let mut tail = data.buffer();
        tar.take(usize::try_from(left).unwrap_or(block_size), &mut tail)?;
        let hash = self.scan.piece(&tail);
        let kind = (self.scan.class(), directory);
        let content = self.merger.contents().intern(size, kind.0, self.scan.pieces());
        let live = keep && size > 0 && !self.written.has(content);
        if live {
            let place = place.unwrap_or_else(|| data.begin_file());
            for (hash, block) in held {
                data.block(place, hash, block)?;
            }
            data.tail(place, kind, hash, Bytes::Here(&tail))?;
            self.written.put(content, place);
        } else {
            for (_, block) in held {
                data.give_back(block);
            }
            data.dead_tail(kind, tail.len())?;
        }
        data.give_back(tail);
        Ok((content, live))
    }
}

/// A layer or the output: the former gets its number when it is known.
pub(super) enum Failed {
    Layer(LayerError),
    Other(ConvertError),
}

impl From<LayerError> for Failed {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

impl From<SquashfsError> for Failed {
    fn from(error: SquashfsError) -> Self {
        Self::Other(error.into())
    }
}

impl Layers<'_> {
    pub(super) fn reader(&mut self, at: usize) -> Result<TarReader<LayerStream>, ConvertError> {
        self.inflated += 1;
        let layer = &self.source.layers[at];
        let (number, digest) = (at + 1, layer.digest);
        let blob =
            (self.open)(at).map_err(|source| ConvertError::Open { number, digest, source })?;
        let stream = LayerStream::open(&layer.media_type, blob, layer.size, &self.limits);
        let stream = stream.map_err(|e| self.failed(at, e))?;
        Ok(TarReader::new(stream, self.limits).of_blob(layer.size))
    }

    pub(super) fn failed(&self, at: usize, source: LayerError) -> ConvertError {
        ConvertError::Layer { number: at + 1, digest: self.source.layers[at].digest, source }
    }

    pub(super) fn told(&self, at: usize, failed: Failed) -> ConvertError {
        match failed {
            Failed::Layer(error) => self.failed(at, error),
            Failed::Other(error) => error,
        }
    }

    pub(super) fn diff_id(&self, at: usize) -> DiffId {
        self.source.config.rootfs.diff_ids[at]
    }

    /// The first pass.
    pub(super) fn first<W: Target>(
        &mut self,
        first: &mut First,
        data: &mut DataWriter<W>,
    ) -> Result<(), ConvertError> {
        for at in (0..self.source.layers.len()).rev() {
            data.begin_section()?;
            let diff_id = self.diff_id(at);
            if let Some(index) = self.memory.layer(&diff_id) {
                self.known_layer(at, index, first, data)?;
            } else {
                let mut tar = self.reader(at)?;
                let read = self.first_layer(first, &mut tar, data);
                read.map_err(|failed| self.told(at, failed))?;
                data.end_section()?;
                tar.into_inner().finish(&diff_id).map_err(|e| self.failed(at, e))?;
                self.keep(at, first);
            }
            first.forecast.next_layer();
        }
        first.entries.reverse();
        first.files.reverse();
        first.written.live.reverse();
        Ok(())
    }

    /// Keeps the index of the layer that was read last.
    fn keep(&mut self, at: usize, first: &mut First) {
        let diff_id = self.diff_id(at);
        let block_size = u32::try_from(self.block_size).unwrap_or(u32::MAX);
        let (Some(entries), Some(files)) = (first.entries.last(), first.files.last()) else {
            return;
        };
        let contents = first.merger.contents();
        let kept = self.memory.keep_layer(&diff_id, &mut |out| {
            LayerIndex::write(&diff_id, block_size, entries, files, contents, out)
        });
        if let Err(error) = kept {
            self.warnings.push(format!("the index of layer {} could not be kept: {error}", at + 1));
        }
    }

    fn first_layer<W: Target>(
        &self,
        first: &mut First,
        tar: &mut TarReader<LayerStream>,
        data: &mut DataWriter<W>,
    ) -> Result<(), Failed> {
        let (mut entries, mut files, mut live) = (Entries::default(), Vec::new(), Vec::new());
        let mut directory = FileEntry::numbering();
        while let Some(entry) = tar.next_entry()? {
            first.merger.admit(&entry)?;
            let visible = first.forecast.see(&entry) && first.trusted;
            if entry.kind == MemberKind::File {
                let directory = directory(&entry.path);
                let how = (visible, directory);
                let (content, written) = first.file(tar, entry.size, how, self.block_size, data)?;
                files.push(FileEntry { content, directory });
                live.push(written);
            }
            entries.push(&entry);
        }
        files.shrink_to_fit();
        first.entries.push(entries);
        first.files.push(files);
        first.written.live.push(live);
        Ok(())
    }

    /// The second pass: `live` says what is written, `places` has what is added on top.
    pub(super) fn second<W: Target>(
        &mut self,
        files: &[Vec<FileEntry>],
        contents: &Contents,
        written: &mut Written,
        data: &mut DataWriter<W>,
    ) -> Result<(), ConvertError> {
        for at in (0..files.len()).rev() {
            data.begin_section()?;
            let live = std::mem::take(&mut written.live[at]);
            self.replay(at, (&files[at], &live), contents, written, data)?;
        }
        Ok(())
    }

    /// Puts the kept entries into the tree; the inode of each file.
    pub(super) fn merge(
        &self,
        merger: &mut Merger,
        entries: Vec<Entries>,
        files: &[Vec<FileEntry>],
    ) -> Result<Vec<Vec<Option<InodeId>>>, ConvertError> {
        let mut inodes = Vec::new();
        for (at, (entries, files)) in entries.into_iter().zip(files).enumerate() {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            let mut contents = files.iter().map(|file| file.content);
            let mut made = Vec::with_capacity(files.len());
            // by value: attributes are not held here and in the tree
            for entry in entries {
                let entry = entry.ok_or_else(|| self.misread(at))?;
                let content = if entry.kind == MemberKind::File { contents.next() } else { None };
                let inode = merger.apply(number, entry, content).map_err(|e| self.failed(at, e))?;
                if content.is_some() {
                    made.push(inode);
                }
            }
            if made.len() > MANY {
                merger.compact();
            }
            inodes.push(made);
        }
        Ok(inodes)
    }
}

/// Which files are to be written: for each content the first one, layers from the top down, whose
/// inode is in the tree. What is `added` is written already.
pub(super) fn live(
    tree: &Tree,
    contents: &Contents,
    files: &[Vec<FileEntry>],
    inodes: &[Vec<Option<InodeId>>],
    added: &HashSet<ContentId>,
) -> Vec<Vec<bool>> {
    let numbering = tree.number();
    let mut written: Vec<bool> = vec![false; contents.len()];
    for content in added {
        written[content.index()] = true;
    }
    let mut live: Vec<Vec<bool>> = files.iter().map(|f| vec![false; f.len()]).collect();
    for (at, layer) in files.iter().enumerate().rev() {
        for (n, file) in layer.iter().enumerate() {
            let there = inodes[at][n].is_some_and(|inode| numbering.number(inode) > 0);
            if there && contents.get(file.content).size > 0 {
                live[at][n] = !std::mem::replace(&mut written[file.content.index()], true);
            }
        }
    }
    live
}

/// Writes what is added on top.
pub(super) fn write_added<W: Target>(
    added: &[AddedContent],
    data: &mut DataWriter<W>,
) -> Result<Written, ConvertError> {
    let mut written = Written::default();
    data.begin_section()?;
    for AddedContent { bytes, content, .. } in added {
        if bytes.is_empty() || written.has(*content) {
            continue;
        }
        let place = data.add(bytes)?;
        written.put(*content, place);
    }
    data.end_section()?;
    Ok(written)
}
