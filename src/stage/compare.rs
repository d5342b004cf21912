//! Compares two SIFs that two recipes made of one image: first what stands in front of the file systems (front.rs),
//! then the file systems, entry by entry.
//!
//! Compared are path, type, mode, owner, time, length and content, link target, device number, extended attributes,
//! link count and which names are one file. `labels.json` holds the recipe, so there the given SIF's own recipe is
//! expected. Both are walked in one order, so nothing is held in memory but the numbers of inodes. The SIF that was
//! given may be hostile: no more of it is read than the [`Limits`] of its conversion allow, and no more of a file than
//! ours has.

mod front;

use std::fs::File;
use std::io::{self, Read};

use crate::layer::Limits;
use crate::pin::Recipe;
use crate::sif::SifReader;
use crate::squashfs::read::{self, Decoder, Image, Kind, NamedInode};

/// The file that says the recipe.
const LABELS: &[u8] = b".singularity.d/labels.json";
/// Bytes of a recipe's name; one that is longer is none that was made.
const MAX_KEY: u64 = 1000;

/// The first difference between a SIF that was given and one of our own, had `recipe` made it;
/// `None` when there is none. `limits` are those of the conversion.
///
/// # Errors
/// When our own cannot be read.
pub(super) fn sifs(
    given: &File,
    own: &File,
    recipe: &Recipe,
    limits: Limits,
) -> io::Result<Option<String>> {
    match front::difference(given, own, recipe)? {
        None => trees(given, own, recipe, limits),
        difference => Ok(difference),
    }
}

fn trees(given: &File, own: &File, recipe: &Recipe, limits: Limits) -> io::Result<Option<String>> {
    let own = open(own, unlimited()).map_err(io::Error::other)?;
    let given = match open(given, readable(limits)) {
        Ok(given) => given,
        Err(why) => return Ok(Some(format!("its file system cannot be read: {why}"))),
    };
    let mut contents = Contents {
        recipe,
        given: (&given, Decoder::new(&given).map_err(io::Error::other)?),
        own: (&own, Decoder::new(&own).map_err(io::Error::other)?),
    };
    let (mut theirs, mut ours) = (given.walk(), own.walk());
    loop {
        let (entry, expected) = match (theirs.next(), ours.next().transpose()) {
            (_, Err(why)) => return Err(io::Error::other(why)),
            (Some(Err(why)), _) => {
                return Ok(Some(format!("its file system cannot be read: {why}")));
            }
            (None, Ok(None)) => return Ok(None),
            (None, Ok(Some(expected))) => return Ok(Some(missing(&expected))),
            (Some(Ok(entry)), Ok(None)) => return Ok(Some(unexpected(&entry))),
            (Some(Ok(entry)), Ok(Some(expected))) => (entry, expected),
        };
        // both go through a directory by the bytes of its names
        let parts =
            |entry: &NamedInode| entry.path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect();
        let (here, there): (Vec<_>, Vec<_>) = (parts(&entry), parts(&expected));
        if here != there {
            let more = here < there;
            return Ok(Some(if more { unexpected(&entry) } else { missing(&expected) }));
        }
        let Some(difference) = contents.difference(&entry, &expected)? else { continue };
        return Ok(Some(format!("/{} {difference}", crate::tree::show(&entry.path))));
    }
}

fn missing(entry: &NamedInode) -> String {
    format!("/{} is missing", crate::tree::show(&entry.path))
}

fn unexpected(entry: &NamedInode) -> String {
    format!("/{} should not be there", crate::tree::show(&entry.path))
}

fn open(sif: &File, limits: read::Limits) -> Result<Image<&File>, String> {
    let partition =
        SifReader::open(sif).and_then(|sif| sif.partition()).map_err(|e| e.to_string())?;
    Image::open(sif, partition.offset, partition.size, limits).map_err(|e| e.to_string())
}

/// What was made here a moment ago need not be bounded again.
fn unlimited() -> read::Limits {
    read::Limits {
        entries: u64::MAX,
        path_depth: usize::MAX,
        path_bytes: u64::MAX,
        content_bytes: u64::MAX,
        xattr_bytes: u64::MAX,
    }
}

/// What a conversion within `limits` can make.
fn readable(limits: Limits) -> read::Limits {
    let mut readable = read::Limits::default();
    for (name, value) in limits.all() {
        readable.set(name, value);
    }
    readable
}

/// Both images, to look into their files.
struct Contents<'a> {
    /// What the given one says of its making.
    recipe: &'a Recipe,
    given: (&'a Image<&'a File>, Decoder<'a, &'a File>),
    own: (&'a Image<&'a File>, Decoder<'a, &'a File>),
}

impl Contents<'_> {
    /// What is not the same of an entry that both have.
    fn difference(&mut self, given: &NamedInode, own: &NamedInode) -> io::Result<Option<String>> {
        let labels = own.path == LABELS;
        if facts(given, labels) != facts(own, labels) {
            return Ok(Some("has another type, mode, owner, time, length or target".into()));
        }
        if given.first != own.first || given.inode.links != own.inode.links {
            return Ok(Some("has other hard links".into()));
        }
        if given.first != given.name {
            return Ok(None);
        }
        let expected = self.own.0.xattrs(&own.inode).map_err(io::Error::other)?;
        match self.given.0.xattrs(&given.inode) {
            Ok(found) if found == expected => {}
            Ok(_) => return Ok(Some("has other extended attributes".into())),
            Err(why) => return Ok(Some(format!("has unreadable attributes: {why}"))),
        }
        let (Kind::File(file), Kind::File(expected)) = (&given.inode.kind, &own.inode.kind) else {
            return Ok(None);
        };
        let theirs = self.given.0.content(file, &mut self.given.1);
        let mut ours = self.own.0.content(expected, &mut self.own.1);
        let same = if labels {
            let (mut own, mut found) = (Vec::new(), Vec::new());
            ours.read_to_end(&mut own)?;
            // another recipe has a name of another length
            let most = own.len() as u64 + MAX_KEY;
            match theirs.take(most).read_to_end(&mut found) {
                Ok(_) => Ok(front::are_labels(&found, &own, self.recipe)?),
                Err(why) => Err(why),
            }
        } else {
            same(theirs, ours)?
        };
        Ok(match same {
            Ok(true) => None,
            Ok(false) => Some("has other content".into()),
            Err(why) => Some(format!("cannot be read: {why}")),
        })
    }
}

/// What an entry says of itself, but for its links; another recipe has a name of another length in
/// the labels.
fn facts(entry: &NamedInode, labels: bool) -> impl PartialEq + use<> {
    let read::Inode { mode, uid, gid, mtime, kind, .. } = &entry.inode;
    let (kind, number, target) = match kind {
        Kind::File(_) if labels => ('-', (0, 0), Vec::new()),
        Kind::File(file) => ('-', (file.size, 0), Vec::new()),
        Kind::Symlink(target) => ('l', (0, 0), target.clone()),
        Kind::Directory(_) => ('d', (0, 0), Vec::new()),
        Kind::Character(major, minor) => ('c', ((*major).into(), *minor), Vec::new()),
        Kind::Block(major, minor) => ('b', ((*major).into(), *minor), Vec::new()),
        Kind::Fifo => ('p', (0, 0), Vec::new()),
        Kind::Socket => ('s', (0, 0), Vec::new()),
    };
    (kind, *mode, *uid, *gid, *mtime, number, target)
}

/// Whether two files of one length hold the same; the outer error is ours.
fn same(mut theirs: impl Read, mut ours: impl Read) -> io::Result<io::Result<bool>> {
    let mut buffers = [vec![0; 256 << 10], vec![0; 256 << 10]];
    loop {
        let [expected, found] = &mut buffers;
        let length = ours.read(expected)?;
        if length == 0 {
            return Ok(Ok(true));
        }
        match theirs.read_exact(&mut found[..length]) {
            Err(why) => return Ok(Err(why)),
            Ok(()) if found[..length] != expected[..length] => return Ok(Ok(false)),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};
    use std::num::NonZeroUsize;

    use super::*;
    use crate::pin::Codec;
    use crate::sif::{Arch, Identity, SifWriter};
    use crate::squashfs::{DataWriter, Memo, Options};
    use crate::tree::{
        Class, Contents, Inode, InodeId, Kind as TreeKind, Meta, PieceHash, Tree, TreePath,
    };

    struct Made(Tree, Contents, Vec<Vec<u8>>);

    impl Made {
        fn add(&mut self, path: &str, kind: TreeKind) -> InodeId {
            let path = TreePath::parse(path.as_bytes()).unwrap();
            let (at, name) = self.0.parent_of(&path, 0, &Meta::directory(1)).unwrap();
            let inode = Inode { meta: Meta { mode: 0o644, ..Meta::default() }, kind, layer: 0 };
            self.0.insert(at, &name, inode)
        }

        fn file(&mut self, path: &str, data: &[u8]) -> InodeId {
            let hash = PieceHash::of(data);
            let content = self.1.intern(data.len() as u64, Class::Text, &[hash]);
            if content.index() == self.2.len() {
                self.2.push(data.to_vec());
            }
            self.add(path, TreeKind::File(content))
        }

        fn link(&mut self, name: &[u8], inode: InodeId) {
            self.0.link(self.0.root(), name, inode, 0);
        }

        fn xattr(&mut self, inode: InodeId, value: &[u8]) {
            let all = [(b"user.x".to_vec(), value.to_vec())];
            self.0.get_mut(inode).meta.xattrs = std::sync::Arc::new(all.into());
        }
    }

    fn recipe(codec: Codec) -> Recipe {
        crate::stage::convert::recipe(codec, 3, 131_072)
    }

    /// A SIF of a tree with one more change.
    fn sif(codec: Codec, change: impl FnOnce(&mut Made)) -> File {
        let mut made = Made(Tree::new(Meta::directory(1), 9), Contents::default(), Vec::new());
        made.file("text", &b"text ".repeat(10_000));
        let a = made.file("a", b"same");
        let b = made.file("b", b"same");
        made.xattr(b, b"old");
        made.link(b"c", a);
        let labels = serde_json::json!({ "io.moorline.recipe": recipe(codec).key() });
        made.file(".singularity.d/labels.json", &crate::sif::pretty(&labels));
        made.add("link", TreeKind::Symlink([b't'; 4000].into()));
        change(&mut made);

        let mut file = tempfile::tempfile().unwrap();
        let arch = Arch::of(&"linux/amd64".parse().unwrap()).unwrap();
        let identity = Identity { uuid: [7; 16], time: 1, arch };
        let mut out = SifWriter::begin(&mut file, identity).unwrap();
        let (_, at) = out.partition().unwrap();
        let block_size = if codec == Codec::Zstd { 131_072 } else { 4096 };
        let options = Options { codec, level: 3, block_size, time: 1 };
        let (memo, threads) = (Memo::default(), NonZeroUsize::MIN);
        let mut data = DataWriter::begin(out.inner(), at, options, threads, memo).unwrap();
        let places: Vec<_> = made.2.iter().map(|bytes| Some(data.add(bytes).unwrap())).collect();
        data.end_section().unwrap();
        let length = data.finish(made.0, &made.1, &places).unwrap().size;
        out.finish(length).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    fn difference(change: impl FnOnce(&mut Made)) -> Option<String> {
        let (given, own) = (sif(Codec::Gzip, change), sif(Codec::Zstd, |_| {}));
        trees(&given, &own, &recipe(Codec::Gzip), Limits::default()).unwrap()
    }

    #[test]
    fn each_difference_is_named() {
        let find = |made: &Made, name: &[u8]| made.0.lookup(made.0.root(), name).unwrap().inode;
        assert_eq!(difference(|_| {}), None);
        let named = |change: fn(&mut Made)| difference(change).unwrap();
        assert_eq!(named(|m| _ = m.file("zz", b"")), "/zz should not be there");
        assert_eq!(named(|m| _ = m.file("0", b"")), "/0 should not be there");
        assert_eq!(named(|m| m.0.unlink(m.0.root(), b"text")), "/text is missing");
        assert_eq!(named(|m| m.0.unlink(m.0.root(), b"link")), "/link is missing");
        let other = [&b"text ".repeat(9_999)[..], b"texT "].concat();
        let found = difference(|m| _ = m.file("text", &other)).unwrap();
        assert_eq!(found, "/text has other content");
        let found = difference(|m| m.xattr(find(m, b"b"), b"new")).unwrap();
        assert_eq!(found, "/b has other extended attributes");
        let found = difference(|m| m.xattr(find(m, b"text"), b"new")).unwrap();
        assert_eq!(found, "/text has other extended attributes");
        // c is another file with the same bytes, or one of b's names
        assert_eq!(named(|m| _ = m.file("c", b"same")), "/a has other hard links");
        let found = difference(|m| {
            m.0.unlink(m.0.root(), b"b");
            m.link(b"b", find(m, b"a"));
            m.file("c", b"same");
        });
        assert_eq!(found.unwrap(), "/b has other hard links");
        let target = |m: &mut Made| {
            let mut target = [b't'; 4000];
            target[3999] = b'u';
            m.add("link", TreeKind::Symlink(target.into()));
        };
        assert_eq!(named(target), "/link has another type, mode, owner, time, length or target");
        let found = difference(|m| m.0.get_mut(find(m, b"a")).meta.uid = 1).unwrap();
        assert_eq!(found, "/a has another type, mode, owner, time, length or target");
        // one more label, and one that another reader would take for the only one
        let key = recipe(Codec::Gzip).key();
        for labels in [
            format!("{{\n  \"io.moorline.recipe\": \"{key}\",\n  \"org.label\": \"x\"\n}}\n"),
            format!("{{\"io.moorline.recipe\":\"\",\"io.moorline.recipe\":\"{key}\"}}"),
        ] {
            let path = ".singularity.d/labels.json";
            let found = difference(|m| _ = m.file(path, labels.as_bytes())).unwrap();
            assert_eq!(found, "/.singularity.d/labels.json has other content");
        }
    }
}
