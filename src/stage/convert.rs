//! From an image's layers to a SIF, in this process: no root, no unpacked file system, no program.
//!
//! ```text
//! first pass    layers, bottom to top -> Tree (what is visible), Contents (what is in it)
//! in between    .singularity.d is put on top; each content gets its supplier: the topmost
//!               layer with a visible inode of it
//! second pass   layers, top to bottom, tar order -> data of live contents; then the tables
//! ```
//!
//! Each layer is inflated twice, and its digest is checked both times, so what was compressed is
//! what was indexed. What the first pass leaves of a layer follows from the layer alone, and the
//! layout (`squashfs/groups.rs`) from these indexes and the tree: a kept index, kept blocks or
//! several threads change no byte of the result.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;

use serde_json::json;

use crate::failure::{Failure, Kind as FailureKind, io_kind};
use crate::layer::{EntryKind, LayerError, LayerIndex, LayerStream, Limits, Merger, TarReader};
use crate::oci::{
    ConfigDigest, Descriptor, DiffId, Digest, Hasher, ImageConfig, Sha256Digest, SifDigest,
};
use crate::pin::{Codec, Recipe};
use crate::sif::{
    self, Added, Addition, Arch, DataType, Identity, SifError, SifWriter, TEMPLATE, Texts,
};
use crate::squashfs::{DataWriter, LAYOUT, Options, Slot, SquashfsError, codec_version};
use crate::tree::{
    Class, Content, ContentId, Contents, Inode, Kind, Meta, Names, PathError, Tree, TreePath,
};

/// The version of the recipe and provenance documents.
const SCHEMA: u32 = 1;

/// An image whose documents and blobs the caller has verified.
#[derive(Clone, Debug)]
pub struct Source {
    /// What the SIF says that it was made from. It is part of the bytes: without a registry's name in
    /// it the same manifest gives the same SIF wherever it lies.
    pub reference: String,
    /// The platform's manifest.
    pub manifest: Digest,
    /// Its bytes, kept in the SIF.
    pub manifest_bytes: Vec<u8>,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// The same, read.
    pub config: ImageConfig,
    /// The layers' blobs, lowest first.
    pub layers: Vec<Descriptor>,
}

/// What a conversion made.
#[derive(Clone, Debug)]
pub struct Report {
    /// The digest of the whole file.
    pub sif: SifDigest,
    /// Its length in bytes.
    pub size: u64,
    /// Entries in all layers.
    pub entries: u64,
    /// Files of any type in the SIF's file system, several names of one counted once.
    pub files: u64,
    /// What the image's author may want to know, one sentence each.
    pub warnings: Vec<String>,
    /// How it was made.
    pub recipe: Recipe,
}

/// An image could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The image's documents do not fit together.
    #[error("the image cannot be converted: {0}")]
    Image(String),
    /// The manifest's bytes are not those of its digest.
    #[error("the manifest's bytes have the digest {found}, expected {expected}")]
    Manifest {
        /// What was asked for.
        expected: Digest,
        /// What was given.
        found: Digest,
    },
    /// A layer's blob cannot be opened.
    #[error("layer {number} ({digest}) cannot be opened: {source}")]
    Open {
        /// From 1, the lowest.
        number: usize,
        /// Its blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// A layer is malformed, hostile or not the one that the configuration names.
    #[error("layer {number} ({digest}): {source}")]
    Layer {
        /// From 1, the lowest.
        number: usize,
        /// Its blob.
        digest: Digest,
        /// What is wrong.
        source: LayerError,
    },
    /// A name that is added stands in the image's way.
    #[error("{path} cannot be added to the image: {source}")]
    Addition {
        /// Which.
        path: &'static str,
        /// Why.
        source: PathError,
    },
    /// The file system could not be written.
    #[error(transparent)]
    Squashfs(#[from] SquashfsError),
    /// The SIF could not be written.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// The finished SIF could not be read again for its digest.
    #[error("the finished SIF cannot be read: {0}")]
    Digest(#[source] io::Error),
}

impl Failure for ConvertError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Image(_) | Self::Addition { .. } => FailureKind::Conversion,
            Self::Manifest { .. } => FailureKind::Integrity,
            Self::Open { source, .. } | Self::Digest(source) => {
                io_kind(source, FailureKind::Conversion)
            }
            Self::Layer { source, .. } => source.kind(),
            Self::Squashfs(source) => source.kind(),
            Self::Sif(SifError::Io { source, .. }) => io_kind(source, FailureKind::Conversion),
            Self::Sif(source) => source.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Layer { source, .. } => source.hint(),
            Self::Squashfs(source) => source.hint(),
            Self::Sif(source) => source.hint(),
            _ => None,
        }
    }
}

/// The recipe with which this program converts.
#[must_use]
pub fn recipe(codec: Codec, level: i32, block_size: u32) -> Recipe {
    Recipe {
        schema: SCHEMA,
        layout: LAYOUT,
        template: TEMPLATE,
        codec,
        codec_version: codec_version(codec),
        level,
        block_size,
    }
}

/// Writes the SIF of an image to `out`, which must be empty; it is read again for its digest.
///
/// `open_layer` gives a layer's blob by its index in [`Source::layers`], from its first byte, each
/// time that it is asked. `threads` compress, beside those that inflate and hash. The same source and
/// recipe give the same bytes, whatever their number.
///
/// # Errors
/// When the image is malformed or hostile, a digest does not hold, or `out` cannot be written; then
/// what `out` holds is of no use.
pub fn convert(
    source: &Source,
    recipe: &Recipe,
    threads: NonZeroUsize,
    open_layer: &mut dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
    out: &mut (impl Read + Write + Seek),
) -> Result<Report, ConvertError> {
    let time = check(source, recipe)?;
    let arch = Arch::of(&source.config.platform)?;
    let mut layers = Layers { source, limits: Limits::default(), open: open_layer };

    let (mut tree, mut contents, mut warnings, entries, indexes) = layers.index(time)?;
    let texts = texts(source, recipe);
    warnings.extend(texts.warnings.iter().cloned());
    let top = u32::try_from(source.layers.len()).unwrap_or(u32::MAX);
    let added = put_on_top(&texts.additions(), top, time, &mut tree, &mut contents)?;
    let suppliers = suppliers(&tree, contents.len());
    let files = tree.number().len().into();

    let mut sif = SifWriter::begin(&mut *out, Identity { uuid: uuid(source, recipe), time, arch })?;
    objects(&mut sif, source, recipe, &texts)?;
    let (inner, at) = sif.partition()?;
    let options =
        Options { codec: recipe.codec, level: recipe.level, block_size: recipe.block_size, time };
    let mut data = DataWriter::begin(inner, at, options, threads)?;
    write_added(&added, top, &contents, &suppliers, &mut data)?;
    for (number, index) in indexes.iter().enumerate().rev() {
        layers.write(number, index, &contents, &suppliers, &mut data)?;
    }
    let size = data.finish(&tree, &contents)?;
    let size = sif.finish(size)?;

    let sif = digest(out, size).map_err(ConvertError::Digest)?;
    Ok(Report { sif, size, entries, files, warnings, recipe: recipe.clone() })
}

/// Checks what can be told from the documents; returns the image's time.
fn check(source: &Source, recipe: &Recipe) -> Result<i64, ConvertError> {
    let found = Digest::of(&source.manifest_bytes);
    if found != source.manifest {
        return Err(ConvertError::Manifest { expected: source.manifest, found });
    }
    let (layers, diff_ids) = (source.layers.len(), source.config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(ConvertError::Image(format!(
            "its manifest has {layers} layers, its configuration {diff_ids}"
        )));
    }
    if source.config.platform.os != "linux" {
        let os = &source.config.platform.os;
        return Err(ConvertError::Image(format!("it is for {os:?}, only linux can be converted")));
    }
    let own = self::recipe(recipe.codec, recipe.level, recipe.block_size);
    if own != *recipe {
        let (asked, own) = (recipe.key(), own.key());
        return Err(ConvertError::Image(format!("the recipe is {asked}, this program has {own}")));
    }
    let created = source.config.created.as_deref().unwrap_or_default();
    Ok(created.parse::<jiff::Timestamp>().map_or(0, |t| t.as_second().clamp(0, u32::MAX.into())))
}

/// The SIF's id: random in form, derived in truth.
fn uuid(source: &Source, recipe: &Recipe) -> [u8; 16] {
    let hash = Digest::of(format!("{} {}", source.manifest, recipe.key()).as_bytes());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.bytes()[..16]);
    // RFC 9562, 5.8: version 8, the kind that applications define
    uuid[6] = uuid[6] & 0x0F | 0x80;
    uuid[8] = uuid[8] & 0x3F | 0x80;
    uuid
}

fn texts(source: &Source, recipe: &Recipe) -> Texts {
    let config = ConfigDigest::of(&source.config_bytes);
    let provenance = [
        ("io.moorline.manifest", source.manifest.to_string()),
        ("io.moorline.config", config.to_string()),
        ("io.moorline.recipe", recipe.key()),
    ];
    Texts::new(&source.reference, &source.config, &provenance)
}

/// The objects in front of the partition.
fn objects<W: Write + Seek>(
    sif: &mut SifWriter<W>,
    source: &Source,
    recipe: &Recipe,
    texts: &Texts,
) -> Result<(), ConvertError> {
    let whole: serde_json::Value = serde_json::from_slice(&source.config_bytes)
        .map_err(|e| ConvertError::Image(format!("its configuration is malformed: {e}")))?;
    let config = whole.get("config").filter(|c| !c.is_null()).cloned().unwrap_or(json!({}));
    let provenance = json!({
        "schema": SCHEMA,
        "reference": source.reference,
        "manifest": source.manifest,
        "config": ConfigDigest::of(&source.config_bytes),
        "recipe": recipe,
    });
    sif.object(DataType::Definition, "", texts.definition.as_bytes())?;
    sif.object(DataType::Json, sif::INSPECT, &texts.inspect_json())?;
    sif.object(DataType::Json, sif::OCI_CONFIG, config.to_string().as_bytes())?;
    sif.object(DataType::Json, sif::MANIFEST, &source.manifest_bytes)?;
    sif.object(DataType::Json, sif::PROVENANCE, provenance.to_string().as_bytes())?;
    Ok(())
}

/// A content that is not in a layer but in memory.
struct AddedContent {
    content: ContentId,
    bytes: Vec<u8>,
}

/// Puts the additions into the tree as a layer above the image's.
fn put_on_top(
    additions: &[Addition],
    layer: u32,
    time: i64,
    tree: &mut Tree,
    contents: &mut Contents,
) -> Result<Vec<AddedContent>, ConvertError> {
    let implied = Meta::directory(time);
    let mut added = Vec::new();
    for addition in additions {
        let path = addition.path;
        let failed = |source| ConvertError::Addition { path, source };
        let parsed = TreePath::parse(path.as_bytes()).map_err(failed)?;
        // an image may have a file where a directory is expected: then nothing is bound there
        let (at, name) = match tree.parent_of(&parsed, layer, &implied) {
            Err(_) if addition.yields => continue,
            place => place.map_err(failed)?,
        };
        let old = tree.lookup(at, &name).map(|entry| entry.inode);
        if old.is_some() && addition.yields {
            continue;
        }
        let kind = match &addition.kind {
            Added::Directory if old.is_some_and(|old| tree.names(old).is_some()) => continue,
            Added::Directory => Kind::Directory(Names::new()),
            Added::Symlink(target) => Kind::Symlink(target.as_bytes().into()),
            Added::File(bytes) => {
                let (size, hash) = (bytes.len() as u64, *Digest::of(bytes).bytes());
                let content = contents.intern(Content { size, hash, class: Class::Text });
                added.push(AddedContent { content, bytes: bytes.clone() });
                Kind::File(content)
            }
        };
        let meta = Meta { mode: addition.mode, ..implied.clone() };
        tree.insert(at, &name, Inode { meta, kind, layer });
    }
    Ok(added)
}

/// For each content the topmost layer with a visible inode of it; `None` when nothing shows it.
fn suppliers(tree: &Tree, contents: usize) -> Vec<Option<u32>> {
    let mut suppliers = vec![None; contents];
    for id in tree.number().order() {
        let inode = tree.get(*id);
        if let Kind::File(content) = inode.kind {
            let supplier = &mut suppliers[content.index()];
            *supplier = (*supplier).max(Some(inode.layer));
        }
    }
    suppliers
}

fn write_added<W: Write + Seek>(
    added: &[AddedContent],
    layer: u32,
    contents: &Contents,
    suppliers: &[Option<u32>],
    data: &mut DataWriter<W>,
) -> Result<(), ConvertError> {
    let mut seen = HashSet::new();
    data.begin_section()?;
    for AddedContent { content, bytes } in added {
        let Content { size, class, .. } = *contents.get(*content);
        let first = seen.insert(*content);
        if size > 0 && first && suppliers[content.index()] == Some(layer) {
            let slot = Slot { content: *content, size, class, directory: 0 };
            data.add(slot, Some(&mut &bytes[..]))?;
        }
    }
    Ok(data.end_section()?)
}

/// The layers of an image, opened as often as they are needed.
struct Layers<'a> {
    source: &'a Source,
    limits: Limits,
    open: &'a mut dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
}

type Indexed = (Tree, Contents, Vec<String>, u64, Vec<LayerIndex>);

impl Layers<'_> {
    fn reader(&mut self, at: usize) -> Result<TarReader<LayerStream>, ConvertError> {
        let layer = &self.source.layers[at];
        let (number, digest) = (at + 1, layer.digest);
        let blob =
            (self.open)(at).map_err(|source| ConvertError::Open { number, digest, source })?;
        let stream = LayerStream::open(&layer.media_type, blob, layer.size, &self.limits);
        let stream = stream.map_err(|e| self.failed(at, e))?;
        Ok(TarReader::new(stream, self.limits.clone()))
    }

    fn failed(&self, at: usize, source: LayerError) -> ConvertError {
        ConvertError::Layer { number: at + 1, digest: self.source.layers[at].digest, source }
    }

    fn diff_id(&self, at: usize) -> &DiffId {
        &self.source.config.rootfs.diff_ids[at]
    }

    /// The first pass.
    fn index(&mut self, time: i64) -> Result<Indexed, ConvertError> {
        let mut merger = Merger::new(self.limits.clone(), time);
        let mut indexes = Vec::new();
        for at in 0..self.source.layers.len() {
            let mut tar = self.reader(at)?;
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            let index = merger.layer(number, &mut tar).map_err(|e| self.failed(at, e))?;
            tar.into_inner().finish(self.diff_id(at)).map_err(|e| self.failed(at, e))?;
            indexes.push(index);
        }
        let (tree, contents, warnings, entries) = merger.finish();
        Ok((tree, contents, warnings, entries, indexes))
    }

    /// The second pass over one layer: its section of the data area.
    fn write<W: Write + Seek>(
        &mut self,
        at: usize,
        index: &LayerIndex,
        contents: &Contents,
        suppliers: &[Option<u32>],
        data: &mut DataWriter<W>,
    ) -> Result<(), ConvertError> {
        let layer = u32::try_from(at).ok();
        data.begin_section()?;
        if !index.files.iter().any(|f| suppliers[f.content.index()] == layer) {
            return Ok(());
        }
        let mut seen = vec![false; contents.len()];
        let mut files = index.files.iter();
        let mut tar = self.reader(at)?;
        while let Some(entry) = tar.next_entry().map_err(|e| self.failed(at, e))? {
            if entry.kind != EntryKind::File {
                continue;
            }
            let file = files.next().filter(|f| contents.get(f.content).size == entry.size);
            let Some(file) = file else {
                return Err(ConvertError::Image(format!("layer {} changed while read", at + 1)));
            };
            let content = file.content;
            let Content { size, class, .. } = *contents.get(content);
            if size == 0 || std::mem::replace(&mut seen[content.index()], true) {
                continue;
            }
            let slot = Slot { content, size, class, directory: file.directory };
            let live = suppliers[content.index()] == layer;
            let mut bytes = tar.data();
            data.add(slot, live.then_some(&mut bytes as &mut dyn Read))?;
        }
        data.end_section()?;
        tar.into_inner().finish(self.diff_id(at)).map_err(|e| self.failed(at, e))?;
        Ok(())
    }
}

/// Hashes the finished file.
fn digest(out: &mut (impl Read + Seek), size: u64) -> io::Result<SifDigest> {
    out.seek(SeekFrom::Start(0))?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 256 << 10];
    let mut left = size;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = out.read(&mut buffer[..want])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..count]);
        left -= count as u64;
    }
    Ok(hasher.finish())
}
