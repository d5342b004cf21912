//! Trees that layers make, as three readers find them.

use std::collections::BTreeMap;

use moorline::pin::Codec;
use moorline::stage::convert::recipe;
use tar::EntryType;

use crate::archive::{Image, Layer, META, Meta, TIME, squashfs, standard};
use crate::oracle::{self, Entry, Tree, assert_same, hash};

/// 2024-02-03T04:05:06Z, the images' `created`: the time of what no layer describes.
pub const CREATED: i64 = 1_706_933_106;

fn time() -> i64 {
    TIME.try_into().unwrap()
}

pub fn file(data: &[u8]) -> Entry {
    Entry {
        kind: '-',
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: time(),
        links: 1,
        content: hash(data),
        xattrs: BTreeMap::new(),
    }
}

pub fn dir(links: u64) -> Entry {
    Entry { kind: 'd', mode: 0o755, links, content: String::new(), ..file(b"") }
}

fn symlink(target: &str) -> Entry {
    Entry { kind: 'l', mode: 0o777, content: target.into(), ..file(b"") }
}

/// Takes away what is added to every image; other tests look at that.
pub fn without_additions(mut tree: Tree) -> Tree {
    let added = [
        "",
        ".singularity.d",
        ".run",
        ".exec",
        ".shell",
        ".test",
        "singularity",
        "environment",
        "dev",
        "proc",
        "sys",
        "tmp",
        "var",
        "home",
        "root",
        "etc",
    ];
    tree.retain(|path, _| {
        let first = path.split(|b| *b == b'/').next().unwrap();
        !added.iter().any(|a| a.as_bytes() == first)
    });
    tree
}

/// Converts and compares with what each reader finds.
pub fn check(test: &str, image: &Image, expected: &[(&[u8], Entry)]) {
    let expected: Tree = expected.iter().map(|(p, e)| (p.to_vec(), e.clone())).collect();
    for recipe in [
        standard(),
        recipe(Codec::Gzip, 6, 4096),
        recipe(Codec::Lz4, 1, 64 << 10),
        recipe(Codec::Zstd, 1, 1 << 20),
    ] {
        let (sif, report) = image.convert_with(&recipe).unwrap();
        let (again, _) = image.convert_with(&recipe).unwrap();
        assert!(sif == again, "{test}: two conversions differ");
        assert_eq!(report.size, sif.len() as u64);
        let squashfs = squashfs(&sif);
        let what = format!("{test} {}", recipe.key());
        if let Some(tree) = oracle::unsquashfs(test, &squashfs) {
            assert_same(&format!("{what} unsquashfs"), &without_additions(tree), &expected);
        }
        if let Some(tree) = oracle::kernel(test, &squashfs) {
            assert_same(&format!("{what} kernel"), &without_additions(tree), &expected);
        }
        let found = without_additions(oracle::own(&squashfs));
        assert_same(&format!("{what} own reader"), &found, &expected);
        let plain = |tree: &Tree| -> Tree {
            let mut tree = tree.clone();
            for entry in tree.values_mut() {
                entry.links = 0;
                entry.xattrs.clear();
                if "cbp".contains(entry.kind) {
                    entry.content.clear();
                }
            }
            tree
        };
        let found = without_additions(oracle::backhand(&squashfs));
        assert_same(&format!("{what} backhand"), &plain(&found), &plain(&expected));
    }
}

/// Bytes that do not compress.
pub fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut x = seed;
    std::iter::repeat_with(|| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        x.to_be_bytes()[0]
    })
    .take(count)
    .collect()
}

#[test]
fn every_type_and_attribute() {
    let capability = b"\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\n";
    let capability = &capability[..20];
    let long_name = "n".repeat(255);
    let deep = format!("{}/{}/{}/end", "a".repeat(200), "b".repeat(200), "c".repeat(100));
    let odd = Meta { mode: 0o6755, uid: 100_000, gid: 4_000_000_000, mtime: 0 };
    let layer = Layer::new()
        .add(b"setuid", EntryType::Regular, odd, b"x")
        .dir("d/")
        .file("d/f", b"text")
        .symlink("s", "../anywhere")
        .hard("h", "d/f")
        .device("null", EntryType::Char, 1, 3)
        .device("disk", EntryType::Block, 259, 0x12345)
        .add(b"pipe", EntryType::Fifo, META, b"")
        .add(b"\xff\xfe name", EntryType::Regular, META, b"not utf-8")
        .add(long_name.as_bytes(), EntryType::Regular, META, b"gnu long")
        .pax(&[("path", deep.as_bytes())])
        .add(b"short", EntryType::Regular, META, b"pax long")
        .pax(&[("SCHILY.xattr.security.capability", capability), ("SCHILY.xattr.user.a", b"")])
        .add(b"cap", EntryType::Regular, META, b"c")
        .pax(&[("SCHILY.xattr.user.a", b"1\n2=3"), ("SCHILY.xattr.trusted.t", b"t")])
        .add(b"xdir", EntryType::Directory, Meta { mode: 0o1777, ..META }, b"")
        .specials_with_attributes("../anywhere")
        .pax(&[("mtime", b"-5.5"), ("uid", b"4294967294"), ("gid", b"70000")])
        .add(b"old", EntryType::Regular, META, b"o");
    let xattrs = |list: &[(&str, &[u8])]| -> BTreeMap<String, Vec<u8>> {
        list.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect()
    };
    let marked = || xattrs(&[("trusted.t", b"\0t"), ("security.note", b"n")]);
    let (a, b) = deep.split_at(200);
    let (b, c) = b.split_at(201);
    let c = &c[..101];
    let made = || Entry { mtime: CREATED, ..dir(3) };
    let expected: Vec<(&[u8], Entry)> = vec![
        (
            b"setuid",
            Entry { mode: 0o6755, uid: 100_000, gid: 4_000_000_000, mtime: 0, ..file(b"x") },
        ),
        (b"d", dir(2)),
        (b"d/f", Entry { links: 2, ..file(b"text") }),
        (b"h", Entry { links: 2, ..file(b"text") }),
        (b"s", symlink("../anywhere")),
        (b"null", Entry { kind: 'c', content: "1,3".into(), ..file(b"") }),
        (b"disk", Entry { kind: 'b', content: "259,74565".into(), ..file(b"") }),
        (b"pipe", Entry { kind: 'p', content: String::new(), ..file(b"") }),
        (b"\xff\xfe name", file(b"not utf-8")),
        (long_name.as_bytes(), file(b"gnu long")),
        (a.as_bytes(), made()),
        (&deep.as_bytes()[..a.len() + b.len()], made()),
        (&deep.as_bytes()[..a.len() + b.len() + c.len()], Entry { links: 2, ..made() }),
        (deep.as_bytes(), file(b"pax long")),
        (
            b"cap",
            Entry {
                xattrs: xattrs(&[("security.capability", capability), ("user.a", b"")]),
                ..file(b"c")
            },
        ),
        (
            b"xdir",
            Entry {
                mode: 0o1777,
                xattrs: xattrs(&[("user.a", b"1\n2=3"), ("trusted.t", b"t")]),
                ..dir(2)
            },
        ),
        (b"xlink", Entry { xattrs: marked(), ..symlink("../anywhere") }),
        (b"xnull", Entry { kind: 'c', content: "1,3".into(), xattrs: marked(), ..file(b"") }),
        (b"xdisk", Entry { kind: 'b', content: "8,1".into(), xattrs: marked(), ..file(b"") }),
        (b"xpipe", Entry { kind: 'p', content: String::new(), xattrs: marked(), ..file(b"") }),
        (b"old", Entry { mtime: 0, uid: u32::MAX - 1, gid: 70_000, ..file(b"o") }),
    ];
    check("every_type_and_attribute", &Image::of(vec![layer]), &expected);
}

#[test]
fn sizes_around_blocks_and_duplicates() {
    let block = 128 << 10;
    let zeros = vec![0; 3 * block + 77];
    let mut holes = noise(block, 1);
    holes.extend(vec![0; 2 * block]);
    holes.extend(noise(block + 10, 2));
    let files: Vec<(String, Vec<u8>)> = [
        ("empty", Vec::new()),
        ("one", b"1".to_vec()),
        ("less", noise(block - 1, 3)),
        ("exact", noise(block, 4)),
        ("more", noise(block + 1, 5)),
        ("twice", noise(2 * block, 6)),
        ("big", noise(5 * block + 4321, 7)),
        ("again", noise(5 * block + 4321, 7)),
        ("text", b"line\n".repeat(100_000)),
        ("zeros", zeros),
        ("zero-block", vec![0; block]),
        ("holes", holes),
        ("mib", noise(1 << 20, 8)),
    ]
    .map(|(name, data)| (name.to_owned(), data))
    .to_vec();
    let mut layer = Layer::new();
    for (name, data) in &files {
        layer = layer.file(name, data);
    }
    let expected: Vec<(&[u8], Entry)> =
        files.iter().map(|(name, data)| (name.as_bytes(), file(data))).collect();
    let image = Image::of(vec![layer]);
    let (sif, _) = image.convert().unwrap();
    // "again" costs nothing, zeros neither
    assert!(sif.len() < 128 * 1024 * 29, "{}", sif.len());
    check("sizes_around_blocks_and_duplicates", &image, &expected);
}

#[test]
fn layers_on_layers() {
    let bottom = Layer::new()
        .dir("keep/")
        .file("keep/a", b"a")
        .file("keep/gone", b"secret-gone")
        .dir("opaque/")
        .file("opaque/old", b"old")
        .dir("whole/")
        .file("whole/x", b"x")
        .file("becomes-dir", b"file")
        .dir("becomes-file/")
        .file("becomes-file/in", b"in")
        .file("linked", b"linked content")
        .file("shadowed-target", b"target content")
        .dir("usr/")
        .dir("usr/lib/")
        .symlink("lib", "usr/lib")
        .file("usr/lib/one", b"one")
        .file("round", b"round 1")
        .dir("meta/")
        .file("meta/in", b"m");
    let middle = Layer::new()
        .file("keep/.wh.gone", b"")
        .dir("opaque/")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"new")
        .file(".wh.whole", b"")
        .file(".wh.becomes-dir", b"")
        .dir("becomes-dir/")
        .file("becomes-dir/in", b"inner")
        .file("becomes-file", b"now a file")
        .hard("alias", "linked")
        .hard("kept-by-link", "shadowed-target")
        .file("shadowed-target", b"another")
        .file("lib/two", b"two")
        .dir("round/")
        .file("round/in", b"r")
        .add(b"meta", EntryType::Directory, Meta { mode: 0o700, uid: 5, ..META }, b"");
    let top = Layer::new()
        .file("round", b"round 3")
        .hard("alias2", "./alias")
        .file(".wh.linked", b"")
        .file("twice", b"first")
        .file("twice", b"second")
        // a whiteout behind what its own layer made acts on lower layers only
        .file("meta/own", b"own")
        .file("meta/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"");
    let expected: Vec<(&[u8], Entry)> = vec![
        (b"keep", dir(2)),
        (b"keep/a", file(b"a")),
        (b"opaque", dir(2)),
        (b"opaque/new", file(b"new")),
        (b"becomes-dir", dir(2)),
        (b"becomes-dir/in", file(b"inner")),
        (b"becomes-file", file(b"now a file")),
        (b"alias", Entry { links: 2, ..file(b"linked content") }),
        (b"alias2", Entry { links: 2, ..file(b"linked content") }),
        (b"kept-by-link", file(b"target content")),
        (b"shadowed-target", file(b"another")),
        (b"usr", dir(3)),
        (b"usr/lib", dir(2)),
        (b"lib", symlink("usr/lib")),
        (b"usr/lib/one", file(b"one")),
        (b"usr/lib/two", file(b"two")),
        (b"round", file(b"round 3")),
        (b"twice", file(b"second")),
        (b"meta", Entry { mode: 0o700, uid: 5, ..dir(2) }),
        (b"meta/own", file(b"own")),
    ];
    let image = Image::of(vec![bottom, middle, top]);
    check("layers_on_layers", &image, &expected);
}

/// What was deleted or replaced is not in the SIF, not even compressed or as part of a group.
#[test]
fn nothing_deleted_is_left() {
    let secret = noise(3000, 99);
    let large = noise(300_000, 98);
    let bottom = Layer::new()
        .file("a", &noise(2000, 97))
        .file("secret", &secret)
        .file("large", &large)
        .file("replaced", &noise(2500, 96));
    let top = Layer::new()
        .file(".wh.secret", b"")
        .file(".wh.large", b"")
        .file("replaced", b"new")
        .file("twice", &noise(2600, 95))
        .file("twice", b"second");
    let (sif, _) = Image::of(vec![bottom, top]).convert().unwrap();
    let holds = |data: &[u8]| sif.windows(64).any(|w| w == &data[..64]);
    // noise is stored as it is, so this finds what is there
    assert!(holds(&noise(2000, 97)));
    for gone in [&secret, &large, &noise(2500, 96), &noise(2600, 95)] {
        assert!(!holds(gone) && !sif.windows(64).any(|w| w == &gone[gone.len() - 64..]));
    }
}

#[test]
fn a_directory_of_70000_and_300_links() {
    let mut layer = Layer::new().dir("many/").dir("links/").file("links/0", b"linked");
    let mut expected: Vec<(Vec<u8>, Entry)> = vec![
        (b"many".to_vec(), dir(2)),
        (b"links".to_vec(), dir(2)),
        (b"links/0".to_vec(), Entry { links: 300, ..file(b"linked") }),
    ];
    for n in 0..70_000 {
        let name = format!("many/{n:x}-{}", "x".repeat(n % 40));
        let data = (n % 1000).to_string();
        layer = layer.file(&name, data.as_bytes());
        expected.push((name.into_bytes(), file(data.as_bytes())));
    }
    for n in 1..300 {
        let name = format!("links/{n}");
        layer = layer.hard(&name, "links/0");
        expected.push((name.into_bytes(), Entry { links: 300, ..file(b"linked") }));
    }
    let expected: Tree = expected.into_iter().collect();
    let (sif, report) = Image::of(vec![layer]).convert().unwrap();
    assert!(report.entries > 70_000 && report.files > 70_000);
    let squashfs = squashfs(&sif);
    let test = "a_directory_of_70000_and_300_links";
    if let Some(tree) = oracle::unsquashfs(test, &squashfs) {
        assert_same(test, &without_additions(tree), &expected);
    }
    assert_same(test, &without_additions(oracle::own(&squashfs)), &expected);
    // the walk looks every name up, so the directory's index is used
    if let Some(tree) = oracle::kernel(test, &squashfs) {
        assert_same(test, &without_additions(tree), &expected);
    }
}

/// Not with `backhand`, which refuses an image with a target of 256 bytes or more.
#[test]
fn a_symlink_of_4000_bytes() {
    let target = "t".repeat(4000);
    let longest = "u".repeat(4095);
    let layer = Layer::new().symlink("a", &target).symlink("b", &longest).file("c", b"c");
    let expected: Tree = [
        (b"a".to_vec(), symlink(&target)),
        (b"b".to_vec(), symlink(&longest)),
        (b"c".to_vec(), file(b"c")),
    ]
    .into();
    let (sif, _) = Image::of(vec![layer]).convert().unwrap();
    let test = "a_symlink_of_4000_bytes";
    let squashfs = squashfs(&sif);
    let own = Some(oracle::own(&squashfs));
    let found = [oracle::unsquashfs(test, &squashfs), oracle::kernel(test, &squashfs), own];
    for tree in found.into_iter().flatten() {
        assert_same(test, &without_additions(tree), &expected);
    }
}

/// What makes a later, incremental conversion possible: a lower layer's section does not depend on
/// the layers above it, as long as they leave its files alone.
#[test]
fn a_section_follows_from_its_layer() {
    let base = || {
        let mut layer = Layer::new().file("first", &noise(70_000, 1));
        for n in 0..300 {
            let size = usize::try_from(n).unwrap() * 37;
            layer = layer.file(&format!("d{}/{n}", n % 7), &noise(size, n + 10));
        }
        layer
    };
    let section = |top: Layer| {
        let (sif, _) = Image::of(vec![base(), top]).convert().unwrap();
        let squashfs = squashfs(&sif);
        let needle = &noise(70_000, 1)[..64];
        let start = squashfs.windows(64).position(|w| w == needle).unwrap() / 4096 * 4096;
        // the base is the last section: it ends where the inodes start
        let inodes = u64::from_le_bytes(squashfs[64..72].try_into().unwrap());
        squashfs[start..usize::try_from(inodes).unwrap()].to_vec()
    };
    let one = section(Layer::new().file("a", b"1"));
    let two = section(Layer::new().file("b", &noise(500_000, 5)).file("c", b"2"));
    assert!(one.len() > 1_000_000 && one == two, "{} {}", one.len(), two.len());
}

/// Which worker made a block, and when it was ready, is in no byte.
#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let mut layers = Vec::new();
    for layer in 0..3 {
        let mut tar = Layer::new();
        for n in 0..200_u32 {
            let seed = layer * 150 + n;
            let size = usize::try_from(seed * 7919 % 400_000).unwrap();
            let data = match seed % 4 {
                0 => b"a line of text\n".repeat(size / 15),
                1 => vec![0; size],
                _ => noise(size, seed),
            };
            tar = tar.file(&format!("d{}/{n}", n % 9), &data);
        }
        layers.push(tar);
    }
    let image = Image::of(layers);
    for recipe in [standard(), recipe(Codec::Zstd, 1, 4096)] {
        let [one, two, eight] = [1, 2, 8].map(|threads| image.by(threads, true, &recipe));
        assert!(one == two && one == eight, "{}", recipe.key());
        assert!(one == image.by(2, false, &recipe), "{}", recipe.key());
    }
}

/// Images whose visible files cannot be told from the top down: what was written is taken back, and
/// the result is that of reading every layer twice.
#[test]
fn a_wrong_forecast_changes_nothing() {
    let data = |seed| noise(200_000, seed);
    let large = |end: u32| [noise(9 << 20, 7), noise(1000, end)].concat();
    let images = [
        ("right", vec![Layer::new().file("a", &data(1)), Layer::new().file("b", &data(2))]),
        (
            "a path twice in a layer",
            vec![Layer::new().file("a", &data(1)).file("a", b"short").file("b", &data(3))],
        ),
        (
            "a link above",
            vec![
                Layer::new().dir("usr/").symlink("lib", "usr"),
                Layer::new().file("lib/a", &data(1)),
                Layer::new().file("usr/a", b"short"),
            ],
        ),
        (
            "a hidden name of a file that has another",
            vec![
                Layer::new().file("a", &data(1)).hard("b", "a").file("c", &data(2)),
                Layer::new().file("a", b"short"),
            ],
        ),
        (
            "a hard link to a lower layer",
            vec![
                Layer::new().file("a", &data(1)).file("c", &data(1)),
                Layer::new().hard("b", "a").file(".wh.a", b""),
            ],
        ),
        (
            "a hard link to a lower layer, hidden",
            vec![
                Layer::new().file("a", &data(1)),
                Layer::new().hard("b", "a"),
                Layer::new().file("a", b"1").file(".wh.b", b""),
            ],
        ),
        (
            "the first of two equal files is hidden",
            vec![
                Layer::new().file("a", &data(1)).file("b", &data(1)).file("c", &noise(50, 4)),
                Layer::new().file(".wh.a", b"").file("d", &noise(50, 4)),
            ],
        ),
        (
            "large files that begin alike",
            vec![Layer::new().file("a", &large(1)).file("b", &large(2)).file("c", &large(1))],
        ),
    ];
    for (what, layers) in images {
        let image = Image::of(layers);
        let (fast, twice) = (image.by(2, true, &standard()), image.by(2, false, &standard()));
        assert!(fast == twice, "{what}: {} and {} bytes", fast.len(), twice.len());
    }
}

/// So many bytes in which compressors find matches of many lengths.
fn prose(length: usize) -> Vec<u8> {
    let word = |b: u8| {
        format!("{}{} ", ["the", "of", "job", "image", "digest"][usize::from(b % 5)], b / 5)
    };
    let mut bytes: Vec<u8> = noise(length / 4, 7).into_iter().map(word).collect::<String>().into();
    bytes.truncate(length);
    bytes
}

/// Golden bytes: whoever changes what is written must give the recipe a new `layout` or `template`,
/// because stored SIFs are found by their recipe and checked by converting again.
#[test]
fn a_recipe_means_these_bytes() {
    // tails of many lengths in several directories: some share a block
    let tails = (0..24).fold(Layer::new(), |layer, n| {
        layer.file(&format!("tails/{}/{n}", n / 5), &prose(1_000 + n * 900))
    });
    let image = Image::plain(
        vec![
            tails,
            Layer::new().dir("d/").file("d/text", &b"line\n".repeat(50_000)).hard("h", "d/text"),
            Layer::new().file("prose", &prose(200_000)).file("d/short", &prose(9_000)),
            Layer::new().file("noise", &noise(300_000, 1)).file("d/.wh.text", b"").file("e", b""),
        ],
        &serde_json::json!({ "Env": ["A=b"], "Cmd": ["sh"], "Labels": { "l": "v" } }),
    );
    let (mut made, mut wanted) = (Vec::new(), Vec::new());
    for (recipe, key, sif) in [
        (
            standard(),
            "l7-t4-zstd1.5.7-3-128k",
            "3b1e59ada94ca9e4c2aaaca0f7c528cce3f546a95185b2fe591473c5a657f79a",
        ),
        (
            recipe(Codec::Gzip, 6, 128 << 10),
            "l7-t4-gziplibdeflate-sys-1.26.1-6-128k",
            "31cbfaddccc9af9cfe19a595e93cb7c05aa4ce3afc208c22f9cd701e42870b77",
        ),
        (
            recipe(Codec::Lz4, 1, 128 << 10),
            "l7-t4-lz4lz4_flex-0.14.0-1-128k",
            "f11db1527c2af77ce3806cbd2948aa002bdb1942cdf2e2b063225875d2518e56",
        ),
    ] {
        let (_, report) = image.convert_with(&recipe).unwrap();
        made.push(format!("{} {}", recipe.key(), report.sif));
        wanted.push(format!("{key} sha256:{sif}"));
    }
    assert_eq!(made, wanted);
}
