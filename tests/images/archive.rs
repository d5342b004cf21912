//! Layers made by hand with the `tar` crate, and images made of layers.

use std::io::{self, Cursor, Read, Write};
use std::num::NonZeroUsize;

use moorline::oci::{
    ConfigDigest, Descriptor, DiffId, Digest, ImageConfig, Sha256Digest, media_type,
};
use moorline::pin::{Codec, Recipe};
use moorline::sif::SifReader;
use moorline::stage::convert::{ConvertError, Output, Report, Source, Work, convert, recipe};
use tar::{Builder, EntryType, Header};

pub const TIME: u64 = 1_600_000_000;

/// A tar that grows by one entry per call.
pub struct Layer(Builder<Vec<u8>>);

/// The parts of a header that tests set.
#[derive(Clone, Copy)]
pub struct Meta {
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
}

pub const META: Meta = Meta { mode: 0o644, uid: 0, gid: 0, mtime: TIME };

impl Layer {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub fn header(kind: EntryType, size: u64, meta: Meta) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(meta.mode);
        header.set_uid(meta.uid);
        header.set_gid(meta.gid);
        header.set_mtime(meta.mtime);
        header.set_cksum();
        header
    }

    /// Sets the name as it is, with whatever it holds.
    fn named(mut header: Header, path: &[u8]) -> Header {
        let name = &mut header.as_old_mut().name;
        name.fill(0);
        name[..path.len()].copy_from_slice(path);
        header.set_cksum();
        header
    }

    pub fn add(mut self, path: &[u8], kind: EntryType, meta: Meta, data: &[u8]) -> Self {
        let header = Self::header(kind, data.len() as u64, meta);
        if path.len() > 100 {
            let long = [path, b"\0"].concat();
            let extra = Self::header(EntryType::GNULongName, long.len() as u64, META);
            self.0.append(&Self::named(extra, b"././@LongLink"), &long[..]).unwrap();
        }
        let header = Self::named(header, &path[..path.len().min(100)]);
        self.0.append(&header, data).unwrap();
        self
    }

    pub fn file(self, path: &str, data: &[u8]) -> Self {
        self.add(path.as_bytes(), EntryType::Regular, META, data)
    }

    pub fn dir(self, path: &str) -> Self {
        self.add(path.as_bytes(), EntryType::Directory, Meta { mode: 0o755, ..META }, b"")
    }

    pub fn link(mut self, path: &str, kind: EntryType, target: &[u8]) -> Self {
        if target.len() > 100 {
            let long = [target, b"\0"].concat();
            let extra = Self::header(EntryType::GNULongLink, long.len() as u64, META);
            self.0.append(&Self::named(extra, b"././@LongLink"), &long[..]).unwrap();
        }
        let mut header = Self::header(kind, 0, Meta { mode: 0o777, ..META });
        let name = &mut header.as_old_mut().linkname;
        let cut = target.len().min(100);
        name[..cut].copy_from_slice(&target[..cut]);
        let header = Self::named(header, path.as_bytes());
        self.0.append(&header, io::empty()).unwrap();
        self
    }

    pub fn hard(self, path: &str, target: &str) -> Self {
        self.link(path, EntryType::Link, target.as_bytes())
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.link(path, EntryType::Symlink, target.as_bytes())
    }

    pub fn device(mut self, path: &str, kind: EntryType, major: u32, minor: u32) -> Self {
        let mut header = Self::header(kind, 0, META);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.0.append(&Self::named(header, path.as_bytes()), io::empty()).unwrap();
        self
    }

    /// What is neither file nor directory, with the attributes that Linux lets it have: none of `user.`
    pub fn specials_with_attributes(self, target: &str) -> Self {
        let attributes: &[(&str, &[u8])] =
            &[("SCHILY.xattr.trusted.t", b"\0t"), ("SCHILY.xattr.security.note", b"n")];
        self.pax(attributes)
            .symlink("xlink", target)
            .pax(attributes)
            .device("xnull", EntryType::Char, 1, 3)
            .pax(attributes)
            .device("xdisk", EntryType::Block, 8, 1)
            .pax(attributes)
            .add(b"xpipe", EntryType::Fifo, META, b"")
    }

    /// Extended header records for the entry that follows.
    pub fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    /// Appends a header and bytes that were made elsewhere.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.get_mut().extend(bytes);
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// An image with everything that `convert` asks for.
pub struct Image {
    pub source: Source,
    pub blobs: Vec<Vec<u8>>,
}

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

impl Image {
    /// `config` is the `config` object of the image's configuration.
    pub fn new(layers: Vec<Vec<u8>>, config: &serde_json::Value) -> Self {
        Self::compressed(layers, config, |n| n % 3)
    }

    /// An image whose layers are stored as they are, so that its digest depends on no compressor.
    pub fn plain(layers: Vec<Layer>, config: &serde_json::Value) -> Self {
        Self::compressed(layers.into_iter().map(Layer::bytes).collect(), config, |_| 2)
    }

    fn compressed(
        layers: Vec<Vec<u8>>,
        config: &serde_json::Value,
        how: impl Fn(usize) -> usize,
    ) -> Self {
        let diff_ids: Vec<DiffId> = layers.iter().map(|l| DiffId::of(l)).collect();
        let config_bytes = serde_json::to_vec(&serde_json::json!({
            "created": "2024-02-03T04:05:06Z",
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        }))
        .unwrap();
        let config: ImageConfig = serde_json::from_slice(&config_bytes).unwrap();
        let mut descriptors = Vec::new();
        let mut blobs = Vec::new();
        for (n, layer) in layers.into_iter().enumerate() {
            let (media_type, blob) = match how(n) {
                0 => (media_type::OCI_LAYER_GZIP, gzip(&layer)),
                1 => (media_type::OCI_LAYER_ZSTD, zstd::encode_all(&layer[..], 1).unwrap()),
                _ => (media_type::OCI_LAYER, layer),
            };
            descriptors.push(Descriptor {
                media_type: media_type.into(),
                digest: Digest::of(&blob),
                size: blob.len() as u64,
                annotations: std::collections::BTreeMap::new(),
            });
            blobs.push(blob);
        }
        let manifest_bytes = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": ConfigDigest::of(&config_bytes), "size": config_bytes.len() },
            "layers": descriptors,
        }))
        .unwrap();
        let manifest = Digest::of(&manifest_bytes);
        let source = Source {
            reference: format!("registry.example/group/image@{manifest}"),
            manifest,
            manifest_bytes,
            config_bytes,
            config,
            layers: descriptors,
        };
        Self { source, blobs }
    }

    pub fn of(layers: Vec<Layer>) -> Self {
        Self::new(layers.into_iter().map(Layer::bytes).collect(), &serde_json::json!({}))
    }

    /// An image of one layer that is stored as `blob` and called `media_type`.
    pub fn stored(tar: &[u8], blob: Vec<u8>, media_type: &str) -> Self {
        let mut image = Self::compressed(vec![tar.to_vec()], &serde_json::json!({}), |_| 2);
        let layer = &mut image.source.layers[0];
        layer.media_type = media_type.into();
        (layer.digest, layer.size) = (Digest::of(&blob), blob.len() as u64);
        image.blobs = vec![blob];
        image
    }

    pub fn convert_to(
        &self,
        recipe: &Recipe,
        out: &mut impl Output,
    ) -> Result<Report, ConvertError> {
        let threads = NonZeroUsize::new(2).unwrap();
        self.convert_by(Work::new(threads), recipe, out)
    }

    pub fn convert_by(
        &self,
        work: Work,
        recipe: &Recipe,
        out: &mut impl Output,
    ) -> Result<Report, ConvertError> {
        let mut open = |n: usize| -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(Cursor::new(self.blobs[n].clone())))
        };
        convert(&self.source, recipe, work, &mut open, out)
    }

    pub fn by(&self, threads: usize, forecast: bool, recipe: &Recipe) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let work = Work { forecast, ..Work::new(NonZeroUsize::new(threads).unwrap()) };
        self.convert_by(work, recipe, &mut out).unwrap();
        out.into_inner()
    }

    pub fn convert(&self) -> Result<(Vec<u8>, Report), ConvertError> {
        self.convert_with(&standard())
    }

    pub fn convert_with(&self, recipe: &Recipe) -> Result<(Vec<u8>, Report), ConvertError> {
        let mut out = Cursor::new(Vec::new());
        let report = self.convert_to(recipe, &mut out)?;
        Ok((out.into_inner(), report))
    }
}

pub fn standard() -> Recipe {
    recipe(Codec::Zstd, 3, 128 << 10)
}

/// The partition of a SIF.
pub fn squashfs(sif: &[u8]) -> Vec<u8> {
    let partition = SifReader::open(Cursor::new(sif)).unwrap().partition().unwrap();
    let at = usize::try_from(partition.offset).unwrap();
    sif[at..at + usize::try_from(partition.size).unwrap()].to_vec()
}
