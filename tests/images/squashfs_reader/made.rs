//! Squashfs images that our own writer makes, small enough to be changed by hand afterwards.

use std::io::Cursor;
use std::num::NonZeroUsize;

use moorline::pin::Codec;
use moorline::squashfs::{DataWriter, Memo, Options};
use moorline::tree::{
    Class, ContentId, Contents, Inode, InodeId, Kind, Meta, PieceHash, Tree, TreePath,
};

/// A tree with its files' bytes.
pub struct Made {
    pub tree: Tree,
    contents: Contents,
    data: Vec<Vec<u8>>,
}

impl Made {
    pub fn new() -> Self {
        let tree = Tree::new(Meta::directory(1_600_000_000), 512);
        Self { tree, contents: Contents::default(), data: Vec::new() }
    }

    /// Adds an inode; directories above it are made.
    pub fn add(&mut self, path: &[u8], meta: Meta, kind: Kind) -> InodeId {
        let path = TreePath::parse(path).unwrap();
        let implied = Meta::directory(1_600_000_000);
        let (at, name) = self.tree.parent_of(&path, 0, &implied).unwrap();
        self.tree.insert(at, &name, Inode { meta, kind, layer: 0 })
    }

    pub fn content(&mut self, data: &[u8]) -> ContentId {
        let known = self.data.iter().position(|other| other == data);
        let number = known.unwrap_or(self.data.len());
        if known.is_none() {
            self.data.push(data.to_vec());
        }
        // as good as a hash: equal for equal bytes only
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        let class = Class::Text;
        self.contents.intern(data.len() as u64, class, &[PieceHash(hash)])
    }

    pub fn file(mut self, path: &str, data: &[u8]) -> Self {
        let content = self.content(data);
        let meta = Meta { mode: 0o644, mtime: 1_600_000_000, ..Meta::default() };
        self.add(path.as_bytes(), meta, Kind::File(content));
        self
    }

    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        let meta = Meta { mode: 0o777, ..Meta::default() };
        self.add(path.as_bytes(), meta, Kind::Symlink(target.as_bytes().into()));
        self
    }

    pub fn dir(mut self, path: &str) -> Self {
        self.add(path.as_bytes(), Meta::directory(1), Kind::Directory(Box::default()));
        self
    }

    pub fn fifo(mut self, path: &str) -> Self {
        self.add(path.as_bytes(), Meta::default(), Kind::Fifo);
        self
    }

    pub fn link(mut self, path: &str, to: &str) -> Self {
        let to = TreePath::parse(to.as_bytes()).unwrap();
        let to = self.tree.find(&to).unwrap().unwrap();
        let path = TreePath::parse(path.as_bytes()).unwrap();
        let (at, name) = self.tree.parent_of(&path, 0, &Meta::directory(1)).unwrap();
        self.tree.link(at, &name, to, 0);
        self
    }

    pub fn xattr(mut self, path: &str, name: &str, value: &[u8]) -> Self {
        let path = TreePath::parse(path.as_bytes()).unwrap();
        let inode = self.tree.find(&path).unwrap().unwrap();
        let meta = &mut self.tree.get_mut(inode).meta;
        let mut xattrs = (*meta.xattrs).clone();
        xattrs.insert(name.into(), value.to_vec());
        meta.xattrs = xattrs.into();
        self
    }

    /// The bytes of a content.
    pub fn data(&self, content: ContentId) -> &[u8] {
        &self.data[content.index()]
    }

    pub fn write(&self, codec: Codec, block_size: u32) -> Vec<u8> {
        let level = if codec == Codec::Lz4 { 1 } else { 3 };
        let options = Options { codec, level, block_size, time: 1 };
        let mut out = Cursor::new(Vec::new());
        let threads = NonZeroUsize::new(2).unwrap();
        let memo = Memo::default();
        let mut writer = DataWriter::begin(&mut out, 0, options, threads, memo).unwrap();
        writer.begin_section().unwrap();
        let places: Vec<_> = self.data.iter().map(|data| Some(writer.add(data).unwrap())).collect();
        writer.end_section().unwrap();
        writer.finish(self.tree.clone(), &self.contents, &places).unwrap();
        out.into_inner()
    }

    /// Written with tables that can be changed in place.
    pub fn flat(&self) -> Flat {
        Flat::of(&self.write(Codec::Zstd, 4096))
    }
}

/// An image whose metadata is stored uncompressed, and where the bytes of each table start. Only of
/// images whose tables have one metadata block each.
pub struct Flat {
    pub bytes: Vec<u8>,
    pub inodes: usize,
    pub directories: usize,
    pub fragments: usize,
    pub ids: usize,
    pub attributes: usize,
    pub sets: usize,
}

pub fn long(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

impl Flat {
    pub fn of(image: &[u8]) -> Self {
        let table = |at: usize| long(image, at);
        let (ids, inodes, directories) = (table(48), table(64), table(72));
        let (fragments, export) = (table(80), table(88));
        let mut flat = Self {
            bytes: image[..inodes].to_vec(),
            inodes: 0,
            directories: 0,
            fragments: 0,
            ids: 0,
            attributes: 0,
            sets: 0,
        };
        flat.set(64, flat.bytes.len() as u64);
        (flat.inodes, _) = flat.block(image, inodes, directories);
        flat.set(72, flat.bytes.len() as u64);
        let end = if fragments > directories && image[16] > 0 {
            long(image, fragments)
        } else {
            fragments
        };
        if end > directories {
            (flat.directories, _) = flat.block(image, directories, end);
        }
        for (field, index) in [(80, fragments), (88, export), (48, ids)] {
            if field == 80 && image[16] == 0 {
                flat.set(80, flat.bytes.len() as u64);
                continue;
            }
            let (content, start) = flat.block(image, long(image, index), index);
            flat.set(field, flat.bytes.len() as u64);
            flat.bytes.extend((start as u64).to_le_bytes());
            match field {
                80 => flat.fragments = content,
                48 => flat.ids = content,
                _ => {}
            }
        }
        let xattrs = u64::from_le_bytes(image[56..64].try_into().unwrap());
        if let Some(xattrs) = usize::try_from(xattrs).ok().filter(|at| *at < image.len()) {
            let set = long(image, xattrs + 16);
            let (attributes, start) = flat.block(image, long(image, xattrs), set);
            let (sets, sets_start) = flat.block(image, set, xattrs);
            (flat.attributes, flat.sets) = (attributes, sets);
            flat.set(56, flat.bytes.len() as u64);
            flat.bytes.extend((start as u64).to_le_bytes());
            flat.bytes.extend(&image[xattrs + 8..xattrs + 16]);
            flat.bytes.extend((sets_start as u64).to_le_bytes());
        }
        flat.set(40, flat.bytes.len() as u64);
        flat.bytes.resize(flat.bytes.len().next_multiple_of(4096), 0);
        flat
    }

    fn set(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// Copies the only block of a table; where its content and where the block itself starts.
    fn block(&mut self, image: &[u8], at: usize, end: usize) -> (usize, usize) {
        let header = u16::from_le_bytes([image[at], image[at + 1]]);
        let length = usize::from(header & 0x7FFF);
        assert_eq!(at + 2 + length, end, "the table has more than one block");
        let packed = &image[at + 2..end];
        let raw = if header & 0x8000 == 0 {
            zstd::bulk::decompress(packed, 8192).unwrap()
        } else {
            packed.to_vec()
        };
        let start = self.bytes.len();
        self.bytes.extend((u16::try_from(raw.len()).unwrap() | 0x8000).to_le_bytes());
        self.bytes.extend(raw);
        (start + 2, start)
    }

    /// The bytes with some of them changed.
    pub fn with(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut changed = self.bytes.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    }

    /// Where a name stands in the directories.
    pub fn name(&self, name: &str) -> usize {
        let found =
            self.bytes[self.directories..].windows(name.len()).position(|w| w == name.as_bytes());
        self.directories + found.expect("the name is there")
    }

    /// The bytes with another name of the same length.
    pub fn renamed(&self, from: &str, to: &[u8]) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        self.with(self.name(from), to)
    }

    /// Where the inode of this number starts. All of them have to be short ones.
    pub fn inode(&self, number: u32) -> usize {
        let mut at = self.inodes;
        loop {
            let word = |at: usize| u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap());
            let kind = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
            if word(at + 12) == number {
                return at;
            }
            at += match kind {
                1 => 32,
                2 => 32 + 4 * (word(at + 28) / 4096) as usize,
                3 => 24 + word(at + 20) as usize,
                6 => 20,
                8 => 40,
                9 => 56 + 4 * (long(&self.bytes, at + 24) / 4096),
                other => panic!("an inode of type {other}"),
            };
        }
    }
}
