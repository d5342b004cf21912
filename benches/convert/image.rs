//! An image like those of an analysis: many small texts, libraries, arrays of numbers; layers that
//! replace, delete and repeat files of lower ones. The same size and count give the same bytes.
//!
//! ```text
//! DIR/oci/       OCI layout: index.json, oci-layout, blobs/sha256/...
//! DIR/unpacked   bytes of all layers' tars
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use moorline::oci::{
    ConfigDigest, Descriptor, DiffId, Digest, Hasher, ImageConfig, Sha256Digest, media_type,
};
use moorline::stage::convert::Source;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// Below the top one.
const LAYERS: u64 = 6;
/// Files of the top layer, and their bytes.
const TOP_FILES: u64 = 40;
pub const TOP_BYTES: u64 = 10_000_000;
/// Bytes of the huge file.
const HUGE: u64 = 10_000_000_000;

/// What is made: bytes of all layers' files together, and how many files.
#[derive(Clone, Copy)]
pub struct Shape {
    pub bytes: u64,
    pub files: u64,
    pub variant: Variant,
}

/// Images that have much in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The image.
    Base,
    /// Its lower layers, and a top layer of 10 MB that is another one.
    Top,
    /// Built again: all layers have other digests, one file of twenty has other contents.
    Rebuilt,
    /// The image, and in its lowest layer a file of 10 GB that is nearly all zeros.
    Huge,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Top => "top",
            Self::Rebuilt => "rebuilt",
            Self::Huge => "huge",
        }
    }
}

/// An image on disk.
pub struct Image {
    pub dir: PathBuf,
    pub source: Source,
    pub blobs: Vec<PathBuf>,
    /// Bytes of the layers' tars.
    pub unpacked: u64,
    /// Bytes of the layers' blobs.
    pub packed: u64,
}

/// A small generator of pseudo-random numbers: xorshift64*, good enough for file contents.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// Small numbers much more often than large ones.
    fn skewed(&mut self, end: u64) -> u64 {
        let fraction = self.next() % 4096;
        (fraction * fraction * end) >> 24
    }
}

/// Reads a cached image, or makes it.
pub fn open(dir: &Path, shape: Shape) -> io::Result<Image> {
    let dir = dir.join(format!("image-{}-{}-{}", shape.bytes, shape.files, shape.variant.name()));
    if !dir.join("done").exists() {
        make(&dir, shape)?;
        File::create(dir.join("done"))?;
    }
    read(dir)
}

fn make(dir: &Path, shape: Shape) -> io::Result<()> {
    let blobs = dir.join("oci/blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let made: Vec<io::Result<(Descriptor, DiffId, u64)>> = std::thread::scope(|scope| {
        let blobs = &blobs;
        let threads: Vec<_> =
            (0..=LAYERS).map(|n| scope.spawn(move || layer(blobs, n, shape))).collect();
        threads.into_iter().map(|t| t.join().expect("a layer is made")).collect()
    });
    let made: Vec<_> = made.into_iter().collect::<io::Result<_>>()?;
    let diff_ids: Vec<&DiffId> = made.iter().map(|m| &m.1).collect();
    let config = serde_json::to_vec(&json!({
        "created": "2026-01-02T03:04:05Z", "architecture": "amd64", "os": "linux",
        "config": { "Cmd": ["/bin/sh"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))?;
    let config_digest = Digest::from(ConfigDigest::of(&config));
    fs::write(blobs.join(config_digest.hex()), &config)?;
    let layers: Vec<&Descriptor> = made.iter().map(|m| &m.0).collect();
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": config_digest, "size": config.len() },
        "layers": layers,
    }))?;
    let digest = Digest::of(&manifest);
    fs::write(blobs.join(digest.hex()), &manifest)?;
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": manifest.len(),
        "annotations": { "org.opencontainers.image.ref.name": "bench" },
    }]});
    fs::write(dir.join("oci/index.json"), index.to_string())?;
    fs::write(dir.join("oci/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(dir.join("unpacked"), made.iter().map(|m| m.2).sum::<u64>().to_string())?;
    Ok(())
}

fn read(dir: PathBuf) -> io::Result<Image> {
    let blobs = dir.join("oci/blobs/sha256");
    let index: Value = serde_json::from_slice(&fs::read(dir.join("oci/index.json"))?)?;
    let digest = |v: &Value| -> Digest { serde_json::from_value(v.clone()).expect("a digest") };
    let manifest = digest(&index["manifests"][0]["digest"]);
    let manifest_bytes = fs::read(blobs.join(manifest.hex()))?;
    let parsed: Value = serde_json::from_slice(&manifest_bytes)?;
    let config_bytes = fs::read(blobs.join(digest(&parsed["config"]["digest"]).hex()))?;
    let config: ImageConfig = serde_json::from_slice(&config_bytes)?;
    let layers: Vec<Descriptor> = serde_json::from_value(parsed["layers"].clone())?;
    let unpacked = fs::read_to_string(dir.join("unpacked"))?.parse().unwrap_or(0);
    Ok(Image {
        blobs: layers.iter().map(|l| blobs.join(l.digest.hex())).collect(),
        packed: layers.iter().map(|l| l.size).sum(),
        unpacked,
        source: Source {
            reference: manifest.to_string(),
            manifest,
            manifest_bytes,
            config_bytes,
            config,
            layers,
        },
        dir,
    })
}

fn header(size: u64, seed: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(1_700_000_000 + seed % 100_000);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Hashes and counts what passes.
struct Counted<W> {
    out: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W: Write> Counted<W> {
    fn new(out: W) -> Self {
        Self { out, hasher: Hasher::default(), bytes: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.out.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn layer(blobs: &Path, number: u64, shape: Shape) -> io::Result<(Descriptor, DiffId, u64)> {
    let temporary = blobs.join(format!("layer-{number}"));
    let blob = Counted::new(BufWriter::with_capacity(1 << 20, File::create(&temporary)?));
    let level = flate2::Compression::new(6);
    let gzip = flate2::GzBuilder::new().write(blob, level);
    let mut tar = Builder::new(Counted::new(gzip));
    entries(&mut tar, number, shape)?;
    let tar = tar.into_inner()?;
    let (unpacked, diff_id) = (tar.bytes, tar.hasher.finish());
    let mut blob = tar.out.finish()?;
    blob.flush()?;
    let digest: Digest = blob.hasher.finish();
    fs::rename(temporary, blobs.join(digest.hex()))?;
    let descriptor = Descriptor {
        media_type: media_type::OCI_LAYER_GZIP.into(),
        digest,
        size: blob.bytes,
        annotations: std::collections::BTreeMap::new(),
    };
    Ok((descriptor, diff_id, unpacked))
}

/// The top layer: 10 MB in 40 files.
fn top<W: Write>(tar: &mut Builder<W>, variant: Variant) -> io::Result<()> {
    let size = TOP_BYTES / TOP_FILES;
    for n in 0..TOP_FILES {
        let seed = if variant == Variant::Top { 1 << 40 } else { 2 << 40 } + n;
        let content = Content::new(Random::new(seed), n % 6);
        tar.append_data(&mut header(size, 0), format!("opt/own/{n}"), content.take(size))?;
    }
    Ok(())
}

/// The files of one layer: its share of the image, then 1 % of the files below it anew, some of
/// them deleted, and copies of others.
fn entries<W: Write>(tar: &mut Builder<W>, layer: u64, shape: Shape) -> io::Result<()> {
    let count = shape.files / LAYERS;
    let mean = shape.bytes / shape.files;
    if layer == LAYERS {
        return top(tar, shape.variant);
    }
    if shape.variant == Variant::Huge && layer == 0 {
        let zeros = io::repeat(0).take(HUGE);
        tar.append_data(&mut header(HUGE, 0), "opt/huge", zeros)?;
    }
    let again = shape.variant == Variant::Rebuilt;
    let mut directory = String::new();
    for n in 0..count {
        let id = layer * count + n;
        let mut random = Random::new(id);
        let parent = path(id).rsplit_once('/').map_or(String::new(), |(p, _)| format!("{p}/"));
        if parent != directory {
            let mut header = header(0, id);
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            tar.append_data(&mut header, &parent, io::empty())?;
            directory = parent;
        }
        match random.next() % 200 {
            // something of a lower layer is gone, or new
            0 if id > count => {
                let (parent, name) = path(id - count).rsplit_once('/').map_or_else(
                    || (String::new(), path(id - count)),
                    |(p, n)| (p.to_owned(), n.to_owned()),
                );
                tar.append_data(&mut header(0, id), format!("{parent}/.wh.{name}"), io::empty())?;
            }
            1 | 2 if id > count => file(tar, &path(id - count), id, mean, again)?,
            // the content of another file, of this layer or a lower one
            3..=5 => file(tar, &path(id), id - id.min(700), mean, again)?,
            6..=9 => file(tar, &path(id), id.saturating_sub(count), mean, again)?,
            _ => file(tar, &path(id), id, mean, again)?,
        }
    }
    Ok(())
}

fn path(id: u64) -> String {
    let ending = ["py", "h", "so", "txt", "npy", "pyc"][id as usize % 6];
    format!("opt/stack/lib/package{}/part{}/file{id:07}.{ending}", id / 400, id / 25 % 16)
}

/// Sizes: most far below the mean, a few very large, as file systems have them.
fn size(random: &mut Random, mean: u64) -> u64 {
    match random.next() % 1000 {
        0..=1 => mean * 100 + random.next() % (mean * 200),
        2..=21 => mean * 5 + random.next() % (mean * 20),
        22..=200 => random.next() % (mean * 2),
        _ => 1 + random.skewed(mean / 3),
    }
}

/// A file that `seed` decides; built `again` it has another time, and one of twenty other bytes.
fn file<W: Write>(
    tar: &mut Builder<W>,
    path: &str,
    seed: u64,
    mean: u64,
    again: bool,
) -> io::Result<()> {
    let mut random = Random::new(seed ^ 0xA5A5_0000);
    let size = size(&mut random, mean);
    let mut header = header(size, seed + u64::from(again));
    if again && seed % 20 == 7 {
        random = Random::new(seed ^ 0x5A5A_0000_0000);
    }
    tar.append_data(&mut header, path, Content::new(random, seed % 6).take(size))
}

/// Endless content of a kind: texts, machine code, arrays.
struct Content {
    random: Random,
    kind: u64,
    pending: Vec<u8>,
    at: usize,
    first: bool,
}

const WORDS: [&str; 32] = [
    "self",
    "return",
    "import",
    "const",
    "histogram",
    "event",
    "particle",
    "momentum",
    "for",
    "in",
    "if",
    "not",
    "None",
    "double",
    "std::vector",
    "template",
    "energy",
    "range",
    "data",
    "value",
    "the",
    "of",
    "and",
    "to",
    "is",
    "charge",
    "track",
    "vertex",
    "detector",
    "calibration",
    "fit",
    "parameter",
];

impl Content {
    fn new(random: Random, kind: u64) -> Self {
        Self { random, kind, pending: Vec::new(), at: 0, first: true }
    }

    fn more(&mut self) {
        let random = &mut self.random;
        let out = &mut self.pending;
        out.clear();
        self.at = 0;
        if std::mem::take(&mut self.first) && matches!(self.kind, 2) {
            out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        }
        while out.len() < 4096 {
            match self.kind {
                // words, with names made of three of them and numbers between
                0 | 1 | 3 => {
                    for _ in 0..random.next() % 12 {
                        out.extend(WORDS[random.skewed(32) as usize].as_bytes());
                        match random.next() % 8 {
                            0 => {
                                out.push(b'_');
                                out.extend(random.skewed(100_000).to_string().as_bytes());
                                out.push(b' ');
                            }
                            1 => out.extend(b"("),
                            2 => out.extend(b", "),
                            _ => out.push(b' '),
                        }
                    }
                    out.extend(b"\n        ");
                }
                // operations: few codes, registers, addresses of which the low bytes differ
                2 | 5 => {
                    let code = random.skewed(400);
                    let mut fixed = Random::new(code + 1);
                    let length = 3 + fixed.next() % 7;
                    out.extend(&fixed.next().to_le_bytes()[..length.min(6) as usize]);
                    if random.next().is_multiple_of(3) {
                        let address = random.skewed(1 << 20);
                        out.extend(&(address as u32).to_le_bytes());
                    }
                }
                // numbers whose high bytes are alike
                _ => {
                    let value = 1000.0 + (random.next() % 65_536) as f64 / 64.0;
                    out.extend(value.to_le_bytes());
                }
            }
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.pending.len() {
            self.more();
        }
        let count = buffer.len().min(self.pending.len() - self.at);
        buffer[..count].copy_from_slice(&self.pending[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
