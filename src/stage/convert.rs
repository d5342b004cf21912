//! From an image's layers to a SIF, in this process: no root, no unpacked file system, no program.
//!
//! ```text
//! first pass    .singularity.d, then the layers from top to bottom, each in the order of its tar:
//!               contents that the forecast (layer/forecast.rs) says to be visible are written
//! merge         the entries, from bottom to top -> Tree: what is visible in truth
//! second pass   only when the forecast was wrong: everything again, as the tree says
//! then          the tables
//! last          the file is read once: its hash tree, which is put behind it, and its digest
//! ```
//!
//! Each layer's digest is checked whenever it is read. What is written follows from the layers and
//! the tree alone (`squashfs/groups.rs`): a right forecast, a wrong one and any number of threads
//! give the same bytes.

mod digest;
mod error;
mod memory;
mod pass;
mod replay;
mod source;

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};

use serde_json::json;

pub use self::error::ConvertError;
pub use self::memory::{Forgetful, Memory};
pub use self::source::{Source, Work};

use self::memory::Anew;
use self::pass::{First, Layers};
use self::source::AddedContent;
use crate::layer::Merger;
use crate::oci::{ConfigDigest, Digest, Sha256Digest, SifDigest, TreeRoot};
use crate::pin::{Codec, Recipe};
use crate::sif::{self, Added, Addition, Arch, DataType, Identity, SifWriter, TEMPLATE, Texts};
use crate::squashfs::{
    DataWriter, Finished, LAYOUT, Memo, Options, Pack, PackIndex, SortedPack, SquashfsError,
    Target, codec_version,
};
use crate::tree::{ContentId, Contents, Inode, Kind, Meta, Scan, Tree, TreePath};

/// The version of the recipe and provenance documents.
const SCHEMA: u32 = 1;

/// What a SIF is written to.
pub trait Output: Read + Target {
    /// Makes it empty again.
    ///
    /// # Errors
    /// When it cannot be changed.
    fn cut(&mut self) -> io::Result<()>;
}

impl Output for File {
    fn cut(&mut self) -> io::Result<()> {
        self.set_len(0)
    }
}

impl Output for Cursor<Vec<u8>> {
    fn cut(&mut self) -> io::Result<()> {
        self.get_mut().clear();
        Ok(())
    }
}

/// What a conversion made.
#[derive(Clone, Debug)]
pub struct Report {
    /// The digest of the whole file.
    pub sif: SifDigest,
    /// The root of its hash tree.
    pub tree: TreeRoot,
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
    /// What was done for it.
    pub counters: Counters,
    /// What the index of the SIF is made of, by which later conversions use it.
    pub pack: SortedPack,
}

/// What a conversion did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// How often a layer was inflated: 0 for each that was known.
    pub layers_inflated: u64,
    /// How often everything was written: 2 after a wrong forecast.
    pub passes: u64,
    /// Of all passes.
    #[serde(flatten)]
    pub data: crate::squashfs::Counters,
}

/// The recipe of images that nobody asked to be special: zstd, level 3, blocks of 128 KiB.
#[must_use]
pub fn default_recipe() -> Recipe {
    recipe(Codec::Zstd, 3, 128 * 1024)
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
/// time that it is asked. The same source and recipe give the same bytes, whatever `work` says.
///
/// # Errors
/// When the image is malformed or hostile, a digest does not hold, or `out` cannot be written; then
/// what `out` holds is of no use.
pub fn convert(
    source: &Source,
    recipe: &Recipe,
    work: Work,
    open_layer: &mut dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
    out: &mut impl Output,
) -> Result<Report, ConvertError> {
    convert_with(source, recipe, work, &mut Forgetful, open_layer, out)
}

/// As [`convert`], with what is known of earlier conversions with this recipe; the bytes are the same.
///
/// A layer is opened only when what is known of it does not suffice. When what is known turns out to
/// be damaged everything is done again without it, and a warning says so.
///
/// # Errors
/// As [`convert`].
pub fn convert_with(
    source: &Source,
    recipe: &Recipe,
    work: Work,
    memory: &mut dyn Memory,
    open_layer: &mut dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
    out: &mut impl Output,
) -> Result<Report, ConvertError> {
    let damage = match attempt(source, recipe, work, memory, open_layer, out) {
        Err(ConvertError::Squashfs(SquashfsError::Pack { name, why })) => {
            memory.damaged(&name);
            format!("{name} is damaged ({why}): converted again without it")
        }
        Err(error @ ConvertError::Index { .. }) => format!("{error}: converted again without it"),
        done => return done,
    };
    out.cut().map_err(ConvertError::Again)?;
    let mut report = attempt(source, recipe, work, &mut Anew(memory), open_layer, out)?;
    report.warnings.push(damage);
    Ok(report)
}

fn attempt(
    source: &Source,
    recipe: &Recipe,
    work: Work,
    memory: &mut dyn Memory,
    open: &mut dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
    out: &mut impl Output,
) -> Result<Report, ConvertError> {
    let time = check(source, recipe)?;
    let arch = Arch::of(&source.config.platform)?;
    let texts = texts(source, recipe);
    let additions = texts.additions();
    let block_size = recipe.block_size as usize;
    let limits = work.limits;
    let memo = Memo::new(memory.packs());
    let warnings = Vec::new();
    let mut layers = Layers { source, limits, block_size, open, memory, inflated: 0, warnings };
    let options =
        Options { codec: recipe.codec, level: recipe.level, block_size: recipe.block_size, time };
    let identity = Identity { uuid: uuid(source, recipe), time, arch };

    let mut sif = SifWriter::begin(&mut *out, identity)?;
    objects(&mut sif, source, recipe, &texts)?;
    let (inner, at) = sif.partition()?;
    let mut data = DataWriter::begin(inner, at, options, work.threads, memo)?;
    let mut merger = Merger::new(limits, time);
    let (added, named) = added_contents(&additions, block_size, merger.contents());
    let mut first = First::begin(merger, work, &added, &mut data)?;
    layers.first(&mut first, &mut data)?;
    // the tree needs the memory that this takes
    data.end_data()?;
    first.merger.contents().seal();

    let First { mut merger, mut written, entries, files, forecast, .. } = first;
    drop(forecast);
    let inodes = layers.merge(&mut merger, entries, &files)?;
    let (mut tree, contents, mut warnings, entries) = merger.finish();
    warnings.extend(texts.warnings.iter().cloned());
    let top = u32::try_from(source.layers.len()).unwrap_or(u32::MAX);
    let on_top = put_on_top(&additions, &named, (top, time), &mut tree)?;
    let set = on_top.iter().copied().collect();
    let live = pass::live(&tree, &contents, &files, &inodes, &set);
    drop(inodes);
    let (mut passes, mut before) = (1, crate::squashfs::Counters::default());
    let finished = if live == written.live {
        drop(files);
        data.finish(tree, &contents, &written.places)?
    } else {
        passes = 2;
        let vain = data.into_pack(&contents, &written.places)?;
        before = vain.counters;
        let memo = set_aside(vain, layers.memory, out)?;
        out.cut().map_err(ConvertError::Again)?;
        sif = SifWriter::begin(&mut *out, identity)?;
        objects(&mut sif, source, recipe, &texts)?;
        let (inner, at) = sif.partition()?;
        let mut data = DataWriter::begin(inner, at, options, work.threads, memo)?;
        written = pass::write_added(&added, &mut data)?;
        written.live = live;
        layers.second(&files, &contents, &mut written, &mut data)?;
        data.finish(tree, &contents, &written.places)?
    };
    let Finished { size, inodes: in_tree, counters, copied, mut copying, pack, memo } = finished;
    let ended = sif.finish_with_tree(size)?;

    let files = in_tree.into();
    drop((contents, written));
    let ((sif, tree), pack) = std::thread::scope(|threads| {
        let sorting = threads.spawn(|| pack.sort());
        let sif = digest::digest(out, ended, &copied, &memo, &mut copying)?;
        let ended = |_| ConvertError::Digest(io::Error::other("a thread ended"));
        Ok::<_, ConvertError>((sif, sorting.join().map_err(ended)?))
    })?;
    let size = ended.length;
    warnings.append(&mut layers.warnings);
    let counters = Counters { layers_inflated: layers.inflated, passes, data: before + counters };
    Ok(Report { sif, tree, size, entries, files, warnings, recipe: recipe.clone(), counters, pack })
}

/// Keeps what the first pass compressed, so that the second need not do it again.
fn set_aside(
    Finished { mut memo, pack, .. }: Finished,
    memory: &mut dyn Memory,
    out: &mut (impl Read + Seek),
) -> Result<Memo, ConvertError> {
    let Some(mut file) = memory.spare() else { return Ok(memo) };
    out.rewind().and_then(|()| io::copy(out, &mut file)).map_err(ConvertError::Again)?;
    // it has no name and ends with this conversion, so any digest will do
    let (digest, mut index) = (SifDigest::of(b""), Vec::new());
    pack.sort().write(&digest, 0, &mut index).map_err(ConvertError::Again)?;
    if let Some(index) = PackIndex::read(index, &digest, 0) {
        memo.add(Pack { name: "the first pass".into(), file, index });
    }
    Ok(memo)
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

fn intern(bytes: &[u8], block_size: usize, contents: &mut Contents) -> ContentId {
    let mut scan = Scan::default();
    for piece in bytes.chunks(block_size) {
        scan.piece(piece);
    }
    contents.intern(bytes.len() as u64, scan.class(), scan.pieces())
}

/// The contents that are added whatever the image holds (files that yield are empty), and for each
/// addition its content, if it is a file.
fn added_contents(
    additions: &[Addition],
    block_size: usize,
    contents: &mut Contents,
) -> (Vec<AddedContent>, Vec<Option<ContentId>>) {
    let (mut added, mut named) = (Vec::new(), Vec::new());
    for Addition { path, kind, yields, .. } in additions {
        let Added::File(bytes) = kind else {
            named.push(None);
            continue;
        };
        let content = intern(bytes, block_size, contents);
        named.push(Some(content));
        if !yields {
            added.push(AddedContent { path, bytes: bytes.clone(), content });
        }
    }
    (added, named)
}

/// Puts the additions into the tree as a layer above the image's.
fn put_on_top(
    additions: &[Addition],
    named: &[Option<ContentId>],
    (layer, time): (u32, i64),
    tree: &mut Tree,
) -> Result<Vec<ContentId>, ConvertError> {
    let implied = Meta::directory(time);
    let mut added = Vec::new();
    for (addition, content) in additions.iter().zip(named) {
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
        let kind = match (&addition.kind, content) {
            (Added::Symlink(target), _) => Kind::Symlink(target.as_bytes().into()),
            (Added::File(_), Some(content)) => {
                added.push(*content);
                Kind::File(*content)
            }
            _ if old.is_some_and(|old| tree.names(old).is_some()) => continue,
            _ => Kind::Directory(Box::default()),
        };
        let meta = Meta { mode: addition.mode, ..implied.clone() };
        tree.insert(at, &name, Inode { meta, kind, layer });
    }
    Ok(added)
}
