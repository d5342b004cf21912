//! Layers that are refused, by name, and bytes that must do no harm.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;

use moorline::failure::{Failure, Kind};
use moorline::layer::{LayerError, Limits, Member, MemberKind, Merger, TarReader};
use moorline::oci::{DiffId, Sha256Digest};
use moorline::stage::convert::{ConvertError, Work};
use moorline::tree::Class;
use proptest::prelude::*;
use tar::EntryType;

use crate::archive::{Image, Layer, META, Meta, standard};

/// Converts and returns the error.
fn refused(layers: Vec<Layer>) -> ConvertError {
    match Image::of(layers).convert() {
        Ok(_) => panic!("it was converted"),
        Err(error) => error,
    }
}

#[test]
fn hostile_archives_are_refused_by_name() {
    let cases: Vec<(&str, Vec<Layer>)> = vec![
        ("leads upwards with ..", vec![Layer::new().file("../x", b"")]),
        ("leads upwards with ..", vec![Layer::new().file("a/../../x", b"")]),
        ("has a path that is refused", vec![Layer::new().file("a", b"").file("a/b", b"")]),
        (
            "lead in a circle",
            vec![Layer::new().symlink("a", "b").symlink("b", "a").file("a/x", b"")],
        ),
        ("which does not exist", vec![Layer::new().hard("h", "nothing")]),
        ("which does not exist", vec![Layer::new().hard("h", "h")]),
        ("which is itself", vec![Layer::new().file("h", b"").hard("h", "./h")]),
        ("which is a directory", vec![Layer::new().dir("d/").hard("h", "d")]),
        ("which is not a path", vec![Layer::new().file("x", b"").hard("h", "../x")]),
        ("whiteout of no file", vec![Layer::new().file(".wh.", b"")]),
        ("whiteout of no file", vec![Layer::new().file("d/.wh...", b"")]),
        ("below a whiteout", vec![Layer::new().file(".wh.d/x", b"")]),
        (
            "replaces the root directory",
            vec![Layer::new().add(b".", EntryType::Regular, META, b"")],
        ),
        ("more than 4095 bytes", vec![Layer::new().symlink("s", &"t".repeat(4096))]),
        ("link to nothing", vec![Layer::new().symlink("s", "")]),
        ("names has 256 bytes", vec![Layer::new().file(&"n".repeat(256), b"")]),
        ("limit path depth of 512", vec![Layer::new().file(&("d/".repeat(600) + "x"), b"")]),
        ("a file by its type and a directory by its name", vec![Layer::new().file("d/", b"")]),
        (
            "limit xattr bytes of 65536",
            vec![Layer::new().pax(&[("SCHILY.xattr.user.a", &[b'x'; 65_531])]).file("f", b"")],
        ),
        (
            "it is not a file but has 3 bytes",
            vec![Layer::new().add(b"d", EntryType::Directory, META, b"abc")],
        ),
        (
            "its extended header says 4 bytes, its header 3",
            vec![Layer::new().pax(&[("size", b"4")]).file("f", b"abc")],
        ),
        ("owner is not a number", vec![Layer::new().pax(&[("uid", b"4294967296")]).file("f", b"")]),
        ("owner is not a number", vec![Layer::new().pax(&[("uid", b"4294967295")]).file("f", b"")]),
        ("owner is not a number", vec![Layer::new().pax(&[("gid", b"4294967295")]).file("f", b"")]),
        ("type 'V' is not read", vec![Layer::new().add(b"v", EntryType::new(b'V'), META, b"")]),
        (
            "two extended headers",
            vec![Layer::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("c", b"")],
        ),
        ("wrong checksum", vec![Layer::new().file("a", b"").raw(&[7; 512])]),
        (
            "lone zero block",
            vec![Layer::new().raw(&[0; 512]).raw(&Layer::new().file("f", b"").bytes())],
        ),
        (
            "limit xattr bytes of 65536",
            vec![Layer::new().pax(&[("SCHILY.xattr.user.a", &[b'x'; 300_000])]).file("f", b"")],
        ),
    ];
    for (message, layers) in cases {
        let error = refused(layers);
        let text = error.to_string();
        assert!(text.contains(message), "{message:?} is not in {text:?}");
        assert!(text.starts_with("layer 1 (sha256:"), "{text}");
        assert_eq!(error.kind(), Kind::Conversion, "{text}");
    }
}

#[test]
fn a_global_header_that_changes_entries_is_refused() {
    let record = b"10 path=x\n";
    let header = Layer::header(EntryType::XGlobalHeader, 10, META);
    let mut global = header.as_bytes().to_vec();
    global.extend(record);
    global.resize(1024, 0);
    let error = refused(vec![Layer::new().raw(&global).file("f", b"")]);
    assert!(error.to_string().contains("global extended header"), "{error}");
    // git's only says which commit it was
    let mut harmless = header.as_bytes().to_vec();
    harmless.extend(b"10 note=x\n");
    harmless.resize(1024, 0);
    Image::of(vec![Layer::new().raw(&harmless).file("f", b"")]).convert().unwrap();
}

#[test]
fn absolute_paths_stay_inside_and_parents_follow_links_inside() {
    let layers = vec![
        Layer::new().file("/abs", b"1").symlink("out", "/../../etc").symlink("dot", "."),
        Layer::new().file("out/passwd", b"x").file("dot/y", b"y"),
    ];
    let (sif, _) = Image::of(layers).convert().unwrap();
    let tree = crate::oracle::backhand(&crate::archive::squashfs(&sif));
    for path in ["abs", "etc/passwd", "y"] {
        assert!(tree.contains_key(path.as_bytes()), "{path}");
    }
    assert_eq!(tree[&b"out"[..]].kind, 'l');
    assert_eq!(tree[&b"etc/passwd"[..]].content, crate::oracle::hash(b"x"));
}

#[test]
fn a_wrong_diff_id_is_an_integrity_error() {
    let mut image = Image::of(vec![Layer::new().file("f", b"x")]);
    image.source.config.rootfs.diff_ids[0] = DiffId::of(b"something else");
    let error = image.convert().unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    assert!(error.to_string().contains("uncompressed bytes"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn cut_blobs_and_foreign_layers_are_refused() {
    let mut image = Image::of(vec![Layer::new().file("f", &[b'x'; 50_000])]);
    image.blobs[0].truncate(60);
    assert_eq!(image.convert().unwrap_err().kind(), Kind::Conversion);

    let mut image = Image::of(vec![Layer::new().file("f", b"x")]);
    for kind in [
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        image.source.layers[0].media_type = kind.into();
        let error = image.convert().unwrap_err();
        assert!(error.to_string().contains(kind) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn documents_that_do_not_fit_are_refused() {
    let mut image = Image::of(vec![Layer::new().file("f", b"x")]);
    image.source.config.rootfs.diff_ids.clear();
    assert!(image.convert().unwrap_err().to_string().contains("1 layers, its configuration 0"));
    let mut image = Image::of(vec![Layer::new().file("f", b"x")]);
    image.source.manifest_bytes.push(b' ');
    assert_eq!(image.convert().unwrap_err().kind(), Kind::Integrity);
    let mut other = standard();
    other.codec_version = "1.4.0".into();
    let image = Image::of(vec![]);
    assert!(image.convert_with(&other).unwrap_err().to_string().contains("zstd1.4.0"));
    for (level, block_size) in [(99, 128 << 10), (3, 1000), (3, 2 << 20)] {
        let recipe =
            moorline::stage::convert::recipe(moorline::pin::Codec::Zstd, level, block_size);
        assert_eq!(image.convert_with(&recipe).unwrap_err().kind(), Kind::Usage);
    }
}

#[test]
fn posix_acls_are_warned_about_and_listed() {
    let layer = Layer::new()
        .pax(&[
            ("SCHILY.xattr.system.posix_acl_access", b"\x02\0\0\0"),
            ("SCHILY.xattr.user.k", b"v"),
        ])
        .file("with-acl", b"x")
        .pax(&[("SCHILY.acl.access", b"user::rw-")])
        .file("with-text-acl", b"x");
    let (_, report) = Image::of(vec![layer]).convert().unwrap();
    assert_eq!(
        report.warnings,
        [
            "with-acl: POSIX ACL dropped, squashfs cannot hold it",
            "with-text-acl: POSIX ACL dropped, squashfs cannot hold it",
        ]
    );
    // all of them, as a list for programs
    let mut layer = Layer::new();
    for n in 0..1000 {
        layer = layer.pax(&[("SCHILY.acl.access", b"user::rw-")]).file(&n.to_string(), b"");
    }
    let (_, report) = Image::of(vec![layer]).convert().unwrap();
    assert_eq!(report.warnings.len(), 1000);
    assert_eq!(report.warnings[999], "999: POSIX ACL dropped, squashfs cannot hold it");
}

/// Holds so many bytes and then is full.
struct Full(Cursor<Vec<u8>>, u64);

impl Read for Full {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl moorline::squashfs::Target for Full {}

impl moorline::stage::convert::Output for Full {
    fn cut(&mut self) -> io::Result<()> {
        self.0.cut()
    }
}

impl Seek for Full {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.position() + bytes.len() as u64 > self.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_wherever_it_happens() {
    let image = Image::of(vec![Layer::new().file("f", &[b'x'; 300_000]).file("g", b"g")]);
    let (sif, _) = image.convert().unwrap();
    let whole = sif.len() as u64;
    for room in (0..whole).step_by(512).chain([whole - 1]) {
        let mut out = Full(Cursor::new(Vec::new()), room);
        let error = image.convert_to(&standard(), &mut out).unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace, "{room}: {error}");
    }
    image.convert_to(&standard(), &mut Full(Cursor::new(Vec::new()), whole)).unwrap();
}

#[test]
fn sparse_files_of_every_form() {
    // the same file in all of them: 1000 zeros, "data", zeros up to 5000
    let mut expected = vec![0; 5000];
    expected[1000..1004].copy_from_slice(b"data");
    let mut gnu = Layer::header(EntryType::GNUSparse, 4, META);
    {
        let gnu = gnu.as_gnu_mut().unwrap();
        gnu.name[..3].copy_from_slice(b"gnu");
        gnu.sparse[0].offset.copy_from_slice(b"00000001750\0");
        gnu.sparse[0].numbytes.copy_from_slice(b"00000000004\0");
        gnu.realsize.copy_from_slice(b"00000011610\0");
    }
    gnu.set_cksum();
    let mut old = gnu.as_bytes().to_vec();
    old.extend(b"data");
    old.resize(1024, 0);
    let mut map = b"1\n1000\n4\n".to_vec();
    map.resize(512, 0);
    map.extend(b"data");
    let layer = Layer::new()
        .raw(&old)
        .pax(&[
            ("GNU.sparse.size", b"5000"),
            ("GNU.sparse.numblocks", b"1"),
            ("GNU.sparse.offset", b"1000"),
            ("GNU.sparse.numbytes", b"4"),
        ])
        .file("pax00", b"data")
        .pax(&[
            ("GNU.sparse.size", b"5000"),
            ("GNU.sparse.name", b"pax01"),
            ("GNU.sparse.map", b"1000,4"),
        ])
        .file("GNUSparseFile.0/x", b"data")
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"pax10"),
            ("GNU.sparse.realsize", b"5000"),
        ])
        .file("GNUSparseFile.0/y", &map)
        .file("after", b"a");
    let (sif, _) = Image::of(vec![layer]).convert().unwrap();
    let tree = crate::oracle::backhand(&crate::archive::squashfs(&sif));
    for path in ["gnu", "pax00", "pax01", "pax10"] {
        assert_eq!(tree[path.as_bytes()].content, crate::oracle::hash(&expected), "{path}");
    }
    assert!(tree.contains_key(&b"after"[..]));

    for bad in ["1000,5", "1000,4,900,0", "4999,4", "1,2,3", "0,18446744073709551615,5,5"] {
        let layer = Layer::new()
            .pax(&[("GNU.sparse.size", b"5000"), ("GNU.sparse.map", bad.as_bytes())])
            .file("f", b"data");
        assert_eq!(refused(vec![layer]).kind(), Kind::Conversion, "{bad}");
    }
}

#[test]
fn every_limit_is_named() {
    let some = Limits::default();
    let layer = || {
        let deep = "d/".repeat(20) + "f";
        let xattr: &[(&str, &[u8])] = &[("SCHILY.xattr.user.a", b"value")];
        let layer = Layer::new().file("a", &[0; 2000]).file(&deep, b"").symlink("s", "target");
        layer.pax(xattr).file("c", &[1; 2000]).bytes()
    };
    for (limits, name) in [
        (Limits { entries: 2, ..some }, "limit entries of 2"),
        // the directories that no entry describes
        (Limits { entries: 4, ..some }, "\"s\" needs more than the limit entries of 4"),
        (Limits { content_bytes: 3000, ..some }, "limit content bytes of 3000"),
        // "a", the path, the link and its target, "c" and its attribute: 1 + 41 + 7 + 1 + 11
        (Limits { metadata_bytes: 41, ..some }, "limit metadata bytes of 41"),
        (Limits { metadata_bytes: 48, ..some }, "\"s\" needs more than the limit metadata bytes"),
        (Limits { metadata_bytes: 60, ..some }, "\"c\" needs more than the limit metadata bytes"),
        (Limits { path_depth: 10, ..some }, "limit path depth of 10"),
        (Limits { path_bytes: 20, ..some }, "limit path bytes of 20"),
    ] {
        let mut merger = Merger::new(limits, 0);
        let error = merger.layer(0, &mut TarReader::new(&layer()[..], limits), 4096).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

/// An entry that no archive holds.
fn made(path: &str, kind: MemberKind) -> Member {
    let (path, xattrs) = (path.as_bytes().to_vec(), BTreeMap::new());
    Member { path, kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, size: 0, xattrs, acl: false }
}

/// Merges entries, each in its layer; the steps that this took, and how many entries there were.
fn merged(entries: impl Iterator<Item = (u32, Member)>) -> (Result<(), LayerError>, u64, u64) {
    let mut merger = Merger::new(Limits::default(), 0);
    let empty = merger.contents().intern(0, Class::Text, &[]);
    let mut done = Ok(());
    for (layer, entry) in entries {
        let content = (entry.kind == MemberKind::File).then_some(empty);
        done = merger.admit(&entry).and_then(|()| merger.apply(layer, entry, content)).map(drop);
        if done.is_err() {
            break;
        }
    }
    let (tree, _, _, entries) = merger.finish();
    (done, tree.steps(), entries)
}

/// CVE-2020-1702's kind: as many opaque whiteouts of a directory as it has names. Counted is how many
/// names were looked at: each once, however often it is whited out.
#[test]
fn incident_7_repeated_opaque_whiteouts_are_cheap() {
    const MANY: u64 = 200_000;
    let names = |layer| (0..MANY).map(move |n| (layer, made(&format!("d/{n}"), MemberKind::File)));
    let whiteouts = || {
        (0..MANY / 2)
            .flat_map(|_| ["d/.wh..wh..opq", ".wh.d"].map(|path| (1, made(path, MemberKind::File))))
    };
    // of the own layer's names, which stay, and of a lower layer's, which go
    let (done, steps, entries) = merged(names(1).chain(whiteouts()));
    done.unwrap();
    assert_eq!((steps, entries), (MANY, 2 * MANY));
    let (done, steps, _) = merged(names(0).chain(whiteouts()));
    done.unwrap();
    assert_eq!(steps, MANY);
}

/// Each of many files below a chain of links whose targets lead nowhere slowly: 23 KB of gzip took 10 s.
/// Counted is how many names were looked up.
#[test]
fn chains_of_links_are_cheap_or_refused() {
    const LINKS: u64 = 40;
    let chain = |target: &str| {
        let next = move |n: u64| if n + 1 < LINKS { format!("l{}", n + 1) } else { ".".into() };
        let links = (0..LINKS).map(|n| (format!("l{n}"), target.to_owned() + &next(n)));
        let links: Vec<_> = links
            .map(|(path, target)| (0, made(&path, MemberKind::Symlink(target.into_bytes()))))
            .collect();
        let files = (0..20_000).map(|n| (0, made(&format!("l0/{n}"), MemberKind::File)));
        links.into_iter().chain(files)
    };
    // dots are not names, but they take time
    for target in [&"./".repeat(2000), &"/".repeat(4000)] {
        let (done, steps, entries) = merged(chain(target));
        let error = done.unwrap_err();
        assert!(error.to_string().contains("limit link steps of 64"), "{error}");
        assert!(error.hint().unwrap().contains("raise link_steps under [limits]"));
        assert!(steps <= 1_000_000 + 65 * entries + 4096, "{steps} steps for {entries} entries");
    }
    let (done, steps, entries) = merged(
        [(0, made("a", MemberKind::Directory))].into_iter().chain(chain(&"a/../".repeat(600))),
    );
    let error = done.unwrap_err();
    assert!(error.to_string().contains("lead through more than 4096 names"), "{error}");
    assert!(steps <= 2 * 4096, "{steps} steps for {entries} entries");
    // what images have
    let usual = [
        ("usr/lib/x86_64-linux-gnu", MemberKind::Directory),
        ("lib", MemberKind::Symlink(b"usr/lib".to_vec())),
        ("usr/lib64", MemberKind::Symlink(b"/lib/x86_64-linux-gnu".to_vec())),
    ];
    let files = (0..50_000).map(|n| (0, made(&format!("usr/lib64/{n}"), MemberKind::File)));
    let usual = usual.map(|(path, kind)| (0, made(path, kind)));
    let (done, steps, entries) = merged(usual.into_iter().chain(files));
    done.unwrap();
    assert_eq!((steps, entries), (50_000 * 4, 50_003));
}

fn entry() -> impl Strategy<Value = (String, u8, Vec<u8>)> {
    let name =
        prop_oneof!["[ab]", "\\.wh\\.[ab]", Just(".wh..wh..opq".to_owned()), Just("..".into())];
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let kind = prop::sample::select(b"0125".to_vec());
    (path, kind, prop::collection::vec(any::<u8>(), 0..600))
}

/// Any few entries, as archives.
fn archive() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((entry(), "[ab](/[ab])?"), 0..12).prop_map(|entries| {
        let mut layer = Layer::new();
        for ((path, kind, data), target) in entries {
            layer = match kind {
                b'0' => layer.file(&path, &data),
                b'5' => layer.dir(&path),
                b'1' => layer.hard(&path, &target),
                _ => layer.symlink(&path, &target),
            };
        }
        layer.bytes()
    })
}

fn read(bytes: &[u8]) -> Result<usize, String> {
    let limits = Limits { content_bytes: 1 << 20, ..Limits::default() };
    let mut merger = Merger::new(limits, 0);
    let mut tar = TarReader::new(bytes, limits);
    merger.layer(0, &mut tar, 4096).map(|files| files.len()).map_err(|e| e.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = read(&bytes);
    }

    /// The forecast may be wrong about them, the result may not.
    #[test]
    fn any_layers_give_the_same_with_and_without_a_forecast(
        layers in prop::collection::vec(archive(), 1..5)
    ) {
        let image = Image::new(layers, &serde_json::json!({}));
        let [fast, twice] = [true, false].map(|forecast| {
            let mut out = Cursor::new(Vec::new());
            let work = Work { forecast, ..Work::new(NonZeroUsize::MIN) };
            let done = image.convert_by(work, &standard(), &mut out);
            done.map(|_| out.into_inner()).map_err(|e| e.to_string())
        });
        prop_assert!(fast == twice);
    }

    #[test]
    fn changed_archives_are_read_or_refused(
        mut bytes in archive(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        for (at, byte, fix) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // with a right checksum the change gets further
            let block = at / 512 * 512;
            if fix && block + 512 <= bytes.len() {
                let header = &mut bytes[block..block + 512];
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
                header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let _ = read(&bytes);
    }

    /// What is converted at all is converted the same way twice, and can be read.
    #[test]
    fn what_is_taken_can_be_read(layers in prop::collection::vec(archive(), 1..4)) {
        let image = Image::new(layers, &serde_json::json!({}));
        if let Ok((sif, _)) = image.convert() {
            let (again, _) = image.convert().unwrap();
            prop_assert!(sif == again);
            let tree = crate::oracle::backhand(&crate::archive::squashfs(&sif));
            let good = |name: &[u8]| name != b".." && !name.starts_with(b".wh.");
            let all = tree.keys().all(|path| path.split(|b| *b == b'/').all(good));
            prop_assert!(all);
        }
    }
}

#[test]
fn one_uid_more_than_the_format_holds_is_refused() {
    let mut layer = Layer::new();
    for uid in 0..66_000 {
        layer = layer.add(uid.to_string().as_bytes(), EntryType::Fifo, Meta { uid, ..META }, b"");
    }
    let error = refused_squashfs(layer);
    assert!(error.to_string().contains("at most 65535 different user and group ids"), "{error}");
}

fn refused_squashfs(layer: Layer) -> ConvertError {
    Image::of(vec![layer]).convert().map(|_| ()).unwrap_err()
}
