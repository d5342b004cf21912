//! What our writer writes is read back: any tree, any codec, any block size.

use std::collections::BTreeMap;

use moorline::pin::Codec;
use moorline::tree::{InodeId, Kind, Meta, Names};
use proptest::prelude::*;

use crate::oracle::{Entry, Tree, assert_same, hash, own};
use crate::squashfs_reader::made::Made;

/// What our reader should find.
pub fn expected(made: &Made) -> Tree {
    let numbering = made.tree.number();
    let mut tree = Tree::new();
    let mut todo: Vec<(Vec<u8>, InodeId)> = vec![(Vec::new(), made.tree.root())];
    while let Some((path, id)) = todo.pop() {
        for (name, entry) in made.tree.names(id).into_iter().flat_map(Names::iter) {
            let path = if path.is_empty() { name.to_vec() } else { [&path, &**name].join(&b'/') };
            todo.push((path, entry.inode));
        }
        let inode = made.tree.get(id);
        let (kind, content) = match &inode.kind {
            Kind::Directory(_) => ('d', String::new()),
            Kind::File(content) => ('-', hash(made.data(*content))),
            Kind::Symlink(target) => ('l', String::from_utf8_lossy(target).into_owned()),
            Kind::Character(major, minor) => ('c', format!("{major},{minor}")),
            Kind::Block(major, minor) => ('b', format!("{major},{minor}")),
            Kind::Fifo => ('p', String::new()),
        };
        let xattrs: BTreeMap<_, _> = inode
            .meta
            .xattrs
            .iter()
            .map(|(k, v)| (String::from_utf8_lossy(k).into_owned(), v.clone()))
            .collect();
        let entry = Entry {
            kind,
            mode: inode.meta.mode.into(),
            uid: inode.meta.uid,
            gid: inode.meta.gid,
            mtime: inode.meta.mtime.clamp(0, u32::MAX.into()),
            links: numbering.links(id).into(),
            content,
            xattrs,
        };
        tree.insert(path, entry);
    }
    tree
}

/// A file's bytes from few numbers: noise, text and holes around the sizes of blocks.
fn data(seed: u32, size: usize) -> Vec<u8> {
    let mut x = seed | 1;
    let mut out: Vec<u8> = (0..size)
        .map(|n| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match seed % 3 {
                0 => x.to_be_bytes()[0],
                1 => b"some text to compress "[n % 22],
                _ => 0,
            }
        })
        .collect();
    if seed.is_multiple_of(5) && size > 9000 {
        out[4096..8192].fill(0);
    }
    out
}

prop_compose! {
    fn meta()(
        mode in 0_u16..0o10000,
        uid in prop_oneof![0_u32..3, any::<u32>()],
        gid in prop_oneof![0_u32..3, any::<u32>()],
        mtime in prop_oneof![0_i64..=i64::from(u32::MAX), any::<i64>()],
        xattrs in prop::collection::btree_map(
            "(user|trusted|security)\\.[a-c]{1,3}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..40),
            0..3,
        ),
    ) -> Meta {
        Meta { mode, uid, gid, mtime, xattrs: xattrs.into() }
    }
}

#[derive(Clone, Debug)]
enum What {
    Directory,
    File(u32, usize),
    Symlink(Vec<u8>),
    Character(u32, u32),
    Block(u32, u32),
    Fifo,
    /// One more name for an earlier entry.
    Link(prop::sample::Index),
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        2 => Just(What::Directory),
        5 => (any::<u32>(), prop_oneof![0_usize..50, 4090_usize..4100, 0_usize..40_000])
            .prop_map(|(seed, size)| What::File(seed, size)),
        1 => prop::collection::vec(1_u8.., 1..300).prop_map(What::Symlink),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(a, b)| What::Character(a, b)),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(a, b)| What::Block(a, b)),
        1 => Just(What::Fifo),
        2 => any::<prop::sample::Index>().prop_map(What::Link),
    ]
}

fn build(entries: Vec<(Vec<u8>, Meta, What)>) -> Made {
    let mut made = Made::new();
    let mut known: Vec<InodeId> = Vec::new();
    for (path, meta, what) in entries {
        let Ok(parsed) = moorline::tree::TreePath::parse(&path) else { continue };
        let Ok((at, name)) = made.tree.parent_of(&parsed, 0, &Meta::directory(7)) else { continue };
        if made.tree.lookup(at, &name).is_some() {
            continue;
        }
        let kind = match what {
            What::Directory => Kind::Directory(Box::default()),
            What::File(seed, size) => Kind::File(made.content(&data(seed, size))),
            What::Symlink(target) => Kind::Symlink(target.into()),
            What::Character(major, minor) => Kind::Character(major, minor),
            What::Block(major, minor) => Kind::Block(major, minor),
            What::Fifo => Kind::Fifo,
            What::Link(index) => {
                if !known.is_empty() {
                    made.tree.link(at, &name, *index.get(&known), 0);
                }
                continue;
            }
        };
        let directory = matches!(kind, Kind::Directory(_));
        let inode = made.add(&path, meta, kind);
        if !directory {
            known.push(inode);
        }
    }
    made
}

proptest! {
    #[test]
    fn any_tree_is_read_back(
        entries in prop::collection::vec(
            ("([a-dA-D\u{e9}]{1,3}/){0,3}[a-z\u{e9}]{1,4}".prop_map(String::into_bytes), meta(), what()),
            0..60,
        ),
        codec in prop::sample::select(vec![Codec::Zstd, Codec::Gzip, Codec::Lz4]),
        block in 12_u32..=17,
    ) {
        let made = build(entries);
        let image = made.write(codec, 1 << block);
        assert_same("own", &own(&image), &expected(&made));
    }
}

#[test]
fn a_large_directory_and_a_deep_one() {
    let mut made = Made::new().file(&("d/".repeat(300) + "end"), b"deep");
    let content = made.content(b"same");
    for n in 0..30_000 {
        let meta = Meta { mode: 0o600, uid: n % 300, ..Meta::default() };
        made.add(format!("many/{n}").as_bytes(), meta, Kind::File(content));
    }
    let made = made.link("many/linked", "many/7").xattr("many", "user.index", b"1");
    let image = made.write(Codec::Zstd, 4096);
    assert_same("own", &own(&image), &expected(&made));
}

#[test]
fn a_flat_image_is_the_same_tree() {
    let made = Made::new()
        .file("a", b"text")
        .file("b", &data(3, 20_000))
        .symlink("c", "a")
        .dir("d/e")
        .fifo("f")
        .link("d/g", "a")
        .xattr("b", "user.x", b"1");
    let flat = made.flat();
    assert_same("flat", &own(&flat.bytes), &expected(&made));
    assert!(flat.bytes.windows(6).any(|w| w == b"\0\0\x01\0x\x01"), "the attribute is legible");
}

/// A place in a large file is found by marks, and the bytes from there on are those that a reader of all gets.
#[test]
fn marks_lead_to_the_same_bytes() {
    use moorline::squashfs::read::{Decoder, Image, Kind, Limits, Marks};
    // 200 blocks with a hole of 30, and a tail; and a file that needs no marks
    let mut large: Vec<u8> =
        (0..4096 * 200 + 123).map(|n: usize| ((n / 7) ^ (n >> 9)).to_le_bytes()[0]).collect();
    large[4096 * 90..4096 * 120].fill(0);
    let made = Made::new().file("large", &large).file("small", b"small");
    let bytes = made.write(Codec::Zstd, 4096);
    let length = bytes.len() as u64;
    let image = Image::open(bytes, 0, length, Limits::default()).unwrap();
    let Kind::Directory(root) = image.inode(image.root()).unwrap().kind else { panic!("no root") };
    let listed = image.list(root).unwrap();
    let names: Vec<_> = listed.iter().map(|named| named.name.as_slice()).collect();
    assert_eq!(names, [b"large", b"small"]);
    let of = |name: &[u8]| {
        let named = listed.iter().find(|named| named.name == name).unwrap();
        match image.inode(named.reference).unwrap().kind {
            Kind::File(file) => file,
            other => panic!("{other:?}"),
        }
    };
    let (file, small) = (of(b"large"), of(b"small"));
    assert!(image.wants_marks(&file) && !image.wants_marks(&small));
    let marks = image.marks(&file).unwrap();
    assert!((48..=200).contains(&marks.bytes()));
    let mut decoder = Decoder::new(&image).unwrap();
    let unmarked = Marks::default();
    for at in (0..large.len()).step_by(4096 * 13 + 5).chain([0, 4096 * 64, large.len() - 1]) {
        for marks in [&marks, &unmarked] {
            let mut found: Vec<u8> = Vec::new();
            for piece in image.pieces_from(&file, marks, at as u64).unwrap() {
                let piece = piece.unwrap();
                let skip = at.saturating_sub(usize::try_from(piece.at).unwrap());
                found.extend(&decoder.read(&piece).unwrap()[skip..]);
            }
            assert!(found == large[at..], "from byte {at}");
        }
    }
    assert_eq!(image.pieces_from(&file, &marks, large.len() as u64 + 4096).unwrap().count(), 0);
}
