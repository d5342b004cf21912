//! The passes over an image's layers.
//!
//! ```text
//! first    layers from the top down: each file's content is hashed, and written if the forecast
//!          says that it is visible and no layer above has the same; entries are kept
//! merge    layers from the bottom up, from the kept entries: the tree, and which files are live
//! second   only where the forecast was wrong: the layers again, written as the tree says
//! ```

use std::collections::HashSet;
use std::io::{self, Read, Seek, Write};

use super::{AddedContent, ConvertError, Source, Work};
use crate::layer::{
    Entry, EntryKind, FileEntry, Forecast, LayerError, LayerStream, Limits, Merger, TarReader,
};
use crate::oci::{DiffId, Hasher, Sha256Digest};
use crate::squashfs::{DataWriter, Place, SquashfsError};
use crate::tree::{Class, Content, ContentId, Contents, InodeId, Tree};

/// Contents up to this size are held until their hash tells whether they were written before.
const HELD: u64 = 8 << 20;

/// The layers of an image, opened as often as they are needed.
pub(super) struct Layers<'a> {
    pub(super) source: &'a Source,
    pub(super) limits: Limits,
    pub(super) block_size: usize,
    pub(super) open: &'a mut dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
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
    fn put(&mut self, content: ContentId, place: Place) {
        if self.places.len() <= content.index() {
            self.places.resize(content.index() + 1, None);
        }
        self.places[content.index()] = Some(place);
    }

    fn has(&self, content: ContentId) -> bool {
        self.places.get(content.index()).is_some_and(Option::is_some)
    }
}

/// What the first pass leaves.
pub(super) struct First {
    pub(super) merger: Merger,
    pub(super) written: Written,
    /// For each layer, lowest first.
    pub(super) entries: Vec<Vec<(Entry, Option<ContentId>)>>,
    pub(super) files: Vec<Vec<FileEntry>>,
    forecast: Forecast,
    trusted: bool,
    /// Size and hash of the first block of written contents that were too large to hold.
    large: HashSet<(u64, [u8; 32])>,
}

impl First {
    /// Starts with what is added on top; its contents are written in a section of their own.
    pub(super) fn begin<W: Write + Seek>(
        merger: Merger,
        work: Work,
        added: &[AddedContent],
        block_size: usize,
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
        };
        let contents: Vec<ContentId> =
            added.iter().map(|a| first.merger.intern(a.content())).collect();
        first.written = write_added(added, &contents, block_size, data)?;
        for added in added {
            first.forecast.hide_file(added.path);
        }
        first.forecast.next_layer();
        Ok(first)
    }

    fn file<W: Write + Seek>(
        &mut self,
        tar: &mut TarReader<LayerStream>,
        size: u64,
        (mut keep, directory): (bool, u32),
        block_size: usize,
        data: &mut DataWriter<W>,
    ) -> Result<(ContentId, bool), Failed> {
        let mut scan = Scan::default();
        let mut held = Vec::new();
        let mut place = None;
        let mut left = size;
        while left >= block_size as u64 {
            let mut block = data.buffer();
            tar.take(block_size, &mut block)?;
            scan.update(&block);
            if left == size && keep && size > HELD {
                // what starts alike is taken for the same: if it is not, the merge will tell
                keep = self.large.insert((size, scan.hash()));
                place = keep.then(|| data.begin_file());
            }
            match place {
                _ if !keep => data.give_back(block),
                None => held.push(block),
                Some(place) => data.block(place, block)?,
            }
            left -= block_size as u64;
        }
        let mut tail = data.buffer();
        tar.take(usize::try_from(left).unwrap_or(block_size), &mut tail)?;
        scan.update(&tail);
        let (hash, class) = (scan.hash(), scan.class());
        let content = self.merger.intern(Content { size, hash, class });
        let live = keep && size > 0 && !self.written.has(content);
        if live {
            let place = place.unwrap_or_else(|| data.begin_file());
            for block in held {
                data.block(place, block)?;
            }
            data.tail(place, class, directory, &tail)?;
            self.written.put(content, place);
        } else {
            for block in held {
                data.give_back(block);
            }
            data.dead_tail(class, directory, tail.len())?;
        }
        data.give_back(tail);
        Ok((content, live))
    }
}

/// A layer or the output: the former gets its number when it is known.
enum Failed {
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

/// Hash and class of a content.
#[derive(Default)]
struct Scan {
    hasher: Hasher,
    elf: Option<bool>,
    nul: bool,
}

impl Scan {
    fn update(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.hasher.update(bytes);
        self.elf.get_or_insert(bytes.starts_with(b"\x7fELF"));
        self.nul = self.nul || bytes.contains(&0);
    }

    fn hash(&self) -> [u8; 32] {
        let hash: DiffId = self.hasher.clone().finish();
        *hash.bytes()
    }

    fn class(&self) -> Class {
        match (self.elf, self.nul) {
            (Some(true), _) => Class::Elf,
            (_, true) => Class::Binary,
            (_, false) => Class::Text,
        }
    }
}

impl Layers<'_> {
    fn reader(&mut self, at: usize) -> Result<TarReader<LayerStream>, ConvertError> {
        let layer = &self.source.layers[at];
        let (number, digest) = (at + 1, layer.digest);
        let blob =
            (self.open)(at).map_err(|source| ConvertError::Open { number, digest, source })?;
        let stream = LayerStream::open(&layer.media_type, blob, layer.size, &self.limits);
        let stream = stream.map_err(|e| self.failed(at, e))?;
        Ok(TarReader::new(stream, self.limits))
    }

    pub(super) fn failed(&self, at: usize, source: LayerError) -> ConvertError {
        ConvertError::Layer { number: at + 1, digest: self.source.layers[at].digest, source }
    }

    fn told(&self, at: usize, failed: Failed) -> ConvertError {
        match failed {
            Failed::Layer(error) => self.failed(at, error),
            Failed::Other(error) => error,
        }
    }

    fn diff_id(&self, at: usize) -> &DiffId {
        &self.source.config.rootfs.diff_ids[at]
    }

    /// The first pass.
    pub(super) fn first<W: Write + Seek>(
        &mut self,
        first: &mut First,
        data: &mut DataWriter<W>,
    ) -> Result<(), ConvertError> {
        for at in (0..self.source.layers.len()).rev() {
            data.begin_section()?;
            let mut tar = self.reader(at)?;
            let read = self.first_layer(first, &mut tar, data);
            read.map_err(|failed| self.told(at, failed))?;
            data.end_section()?;
            tar.into_inner().finish(self.diff_id(at)).map_err(|e| self.failed(at, e))?;
        }
        first.entries.reverse();
        first.files.reverse();
        first.written.live.reverse();
        Ok(())
    }

    fn first_layer<W: Write + Seek>(
        &self,
        first: &mut First,
        tar: &mut TarReader<LayerStream>,
        data: &mut DataWriter<W>,
    ) -> Result<(), Failed> {
        let (mut entries, mut files, mut live) = (Vec::new(), Vec::new(), Vec::new());
        let mut directory = (0, Vec::new());
        while let Some(entry) = tar.next_entry()? {
            first.merger.admit(tar, &entry)?;
            let visible = first.forecast.see(&entry) && first.trusted;
            let mut content = None;
            if entry.kind == EntryKind::File {
                let end = entry.path.iter().rposition(|b| *b == b'/').unwrap_or(0);
                if directory.1 != entry.path[..end] {
                    directory = (directory.0 + 1, entry.path[..end].to_vec());
                }
                let how = (visible, directory.0);
                let (id, written) = first.file(tar, entry.size, how, self.block_size, data)?;
                files.push(FileEntry { content: id, directory: directory.0 });
                live.push(written);
                content = Some(id);
            }
            entries.push((entry, content));
        }
        first.entries.push(entries);
        first.files.push(files);
        first.written.live.push(live);
        first.forecast.next_layer();
        Ok(())
    }

    /// The second pass: `live` says what is written, `places` has what is added on top.
    pub(super) fn second<W: Write + Seek>(
        &mut self,
        files: &[Vec<FileEntry>],
        contents: &Contents,
        written: &mut Written,
        data: &mut DataWriter<W>,
    ) -> Result<(), ConvertError> {
        for at in (0..files.len()).rev() {
            data.begin_section()?;
            let live = std::mem::take(&mut written.live[at]);
            if !live.contains(&true) {
                continue;
            }
            let mut tar = self.reader(at)?;
            let mut plan = files[at].iter().zip(live);
            let mut next = || -> Result<bool, Failed> {
                let Some(entry) = tar.next_entry()? else { return Ok(false) };
                if entry.kind != EntryKind::File {
                    return Ok(true);
                }
                let planned =
                    plan.next().filter(|(f, _)| contents.get(f.content).size == entry.size);
                let Some((file, live)) = planned else {
                    let why = format!("layer {} changed while it was read", at + 1);
                    return Err(Failed::Other(ConvertError::Image(why)));
                };
                let Content { size, class, .. } = *contents.get(file.content);
                let tail = usize::try_from(size % self.block_size as u64).unwrap_or(0);
                if !live {
                    data.dead_tail(class, file.directory, tail)?;
                    return Ok(true);
                }
                let place = data.begin_file();
                for _ in 0..size / self.block_size as u64 {
                    let mut block = data.buffer();
                    tar.take(self.block_size, &mut block)?;
                    data.block(place, block)?;
                }
                let mut block = data.buffer();
                tar.take(tail, &mut block)?;
                data.tail(place, class, file.directory, &block)?;
                data.give_back(block);
                written.put(file.content, place);
                Ok(true)
            };
            loop {
                match next() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(failed) => return Err(self.told(at, failed)),
                }
            }
            data.end_section()?;
            tar.into_inner().finish(self.diff_id(at)).map_err(|e| self.failed(at, e))?;
        }
        Ok(())
    }

    /// Puts the kept entries into the tree; the inode of each file.
    pub(super) fn merge(
        &self,
        merger: &mut Merger,
        entries: Vec<Vec<(Entry, Option<ContentId>)>>,
    ) -> Result<Vec<Vec<Option<InodeId>>>, ConvertError> {
        let mut inodes = Vec::new();
        for (at, layer) in entries.into_iter().enumerate() {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            let mut files = Vec::new();
            for (entry, content) in layer {
                let inode = merger.apply(number, entry, content).map_err(|e| self.failed(at, e))?;
                if content.is_some() {
                    files.push(inode);
                }
            }
            inodes.push(files);
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
pub(super) fn write_added<W: Write + Seek>(
    added: &[AddedContent],
    contents: &[ContentId],
    block_size: usize,
    data: &mut DataWriter<W>,
) -> Result<Written, ConvertError> {
    let mut written = Written::default();
    data.begin_section()?;
    for (added, content) in added.iter().zip(contents) {
        if added.bytes.is_empty() || written.has(*content) {
            continue;
        }
        let place = data.begin_file();
        let blocks = added.bytes.chunks_exact(block_size);
        let tail = blocks.remainder();
        for block in blocks {
            data.block(place, block.to_vec())?;
        }
        data.tail(place, Class::Text, 0, tail)?;
        written.put(*content, place);
    }
    data.end_section()?;
    Ok(written)
}
