//! Layers as the field has them: what public reports say that real writers left.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use moorline::failure::{Failure, Kind};
use moorline::oci::media_type;
use tar::EntryType;

use crate::archive::{Image, Layer, META, Meta, gzip, squashfs};
use crate::convert::trees::{CREATED, check, dir, file, without_additions};
use crate::oracle::{self, Entry, Tree, assert_same, hash};

/// What a program makes of bytes; `None` when it is not installed.
fn through(test: &str, program: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let there = child.is_ok();
    let why = format!("{} is not installed", program[0]);
    if !oracle::part(test, "differential", (!there).then_some(why.as_str())) {
        return None;
    }
    let mut child = child.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(out.status.success(), "{program:?}");
    Some(out.stdout)
}

/// The tree of an image, or why there is none.
fn tree(image: &Image) -> Result<Tree, String> {
    match image.convert() {
        Ok((sif, _)) => Ok(without_additions(oracle::own(&squashfs(&sif)))),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Conversion, "{error}");
            Err(error.to_string())
        }
    }
}

/// umoci#436, go-containerregistry#364: writers that were never closed leave out the last padding and
/// the marks at the end. Short padding is the end, short data is an error.
#[test]
fn archives_whose_writer_was_never_closed() {
    let whole = Layer::new().dir("d/").file("d/f", b"text").file("last", &[7; 1000]).bytes();
    // the last file's data ends here, then come 24 bytes of padding and two blocks
    let end = whole.len() - 1024 - 24;
    let expected: Tree = [
        (b"d".to_vec(), dir(2)),
        (b"d/f".to_vec(), file(b"text")),
        (b"last".to_vec(), file(&[7; 1000])),
    ]
    .into();
    let test = "archives_whose_writer_was_never_closed";
    for length in [0, 1, 23, 24, 25, 100, 24 + 511, 24 + 512, 24 + 513, 24 + 1023, 24 + 1024] {
        let tar = &whole[..end + length];
        let mut blobs = vec![tar.to_vec(), gzip(tar), zstd::encode_all(tar, 1).unwrap()];
        blobs.extend(through(test, &["xz", "-c"], tar));
        for blob in blobs {
            let image = Image::stored(tar, blob, media_type::OCI_LAYER_GZIP);
            let found = tree(&image).unwrap_or_else(|e| panic!("{length}: {e}"));
            assert_same(&format!("{test} {length}"), &found, &expected);
        }
    }
    for (length, words) in [
        (end - 1, "\"last\" is malformed: the archive ends in the middle of it"),
        (end - 999, "\"last\" is malformed: the archive ends in the middle of it"),
        // in the header of the last one
        (
            end - 1001,
            "\"d/f\" is malformed: the archive ends in the middle of what stands behind it",
        ),
        (
            end - 1511,
            "\"d/f\" is malformed: the archive ends in the middle of what stands behind it",
        ),
    ] {
        let tar = &whole[..length];
        for blob in [tar.to_vec(), gzip(tar), zstd::encode_all(tar, 1).unwrap()] {
            let error = tree(&Image::stored(tar, blob, media_type::OCI_LAYER)).unwrap_err();
            assert!(error.contains(words), "{length}: {error}");
        }
    }
    // the compressed bytes have an end of their own
    let blob = gzip(&whole);
    for cut in [1, 8, 9, 30] {
        let image = Image::stored(&whole, blob[..blob.len() - cut].to_vec(), media_type::OCI_LAYER);
        assert!(image.convert().is_err(), "{cut}");
    }
    // what only stands in front of an entry is none
    let long = Layer::new().file("f", b"").pax(&[("path", b"x")]).bytes();
    let cut = &long[..long.len() - 1024 - 500];
    let error = tree(&Image::stored(cut, cut.to_vec(), media_type::OCI_LAYER)).unwrap_err();
    assert!(error.contains("describes no entry"), "{error}");
}

/// What Debian's own `umoci insert` writes.
#[test]
fn layers_of_umoci_insert() {
    let test = "layers_of_umoci_insert";
    let there = Command::new("umoci").arg("--version").output().is_ok();
    if !oracle::part(test, "differential", (!there).then_some("umoci is not installed")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let umoci = |args: &[&str]| {
        let out = Command::new("umoci").args(args).current_dir(dir.path()).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    fs::create_dir_all(dir.path().join("in/d")).unwrap();
    fs::write(dir.path().join("in/d/f"), "text").unwrap();
    umoci(&["init", "--layout", "l"]);
    umoci(&["new", "--image", "l:t"]);
    umoci(&["insert", "--image", "l:t", "in", "/opt/in"]);
    umoci(&["insert", "--image", "l:t", "in/d/f", "/one"]);
    let image = crate::layout::read(&dir.path().join("l"), "t");
    let found = tree(&image).unwrap();
    assert_eq!(found[&b"opt/in/d/f"[..]].content, hash(b"text"));
    assert_eq!(found[&b"one"[..]].content, hash(b"text"));
}

/// A header as docker wrote it that was built with Go up to 1.7, once a number had needed base-256.
fn go(prefix: &[u8], path: &str, kind: EntryType, data: &[u8]) -> Vec<u8> {
    let mut header = Layer::header(kind, data.len() as u64, Meta { mode: 0o755, ..META });
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_mut_bytes()[345..345 + prefix.len()].copy_from_slice(prefix);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// golang/go#21005, #12594: GNU's magic with a POSIX prefix. Docker read the prefix, and so does every
/// program with today's `archive/tar`; `tests/images/differential` compares with umoci.
#[test]
fn long_paths_of_old_docker() {
    let prefix = b"usr/share/a/long/way/to/go";
    let layer = Layer::new()
        .raw(&go(prefix, "sub", EntryType::Directory, b""))
        .raw(&go(prefix, "sub/file", EntryType::Regular, b"text"))
        // times as GNU tar writes them are times
        .raw(&go(b"14000000001\x0014000000002\0", "timed", EntryType::Regular, b"t"))
        // a long name counts whatever else stands there
        .pax(&[("path", b"by-pax")])
        .raw(&go(b"755", "short", EntryType::Regular, b"p"));
    let found = tree(&Image::of(vec![layer])).unwrap();
    let paths: Vec<&[u8]> = found.keys().map(Vec::as_slice).collect();
    let way = ["usr", "share", "a", "long", "way", "to", "go", "sub", "file"];
    let mut expected: Vec<String> = (1..=way.len()).map(|n| way[..n].join("/")).collect();
    expected.extend(["timed".to_owned(), "by-pax".to_owned()]);
    expected.sort();
    assert_eq!(paths, expected.iter().map(String::as_bytes).collect::<Vec<_>>());
    for doubtful in [&b"755"[..], b"20170101", b"7\x007", b"\xfc/x"] {
        let layer = Layer::new().raw(&go(doubtful, "f", EntryType::Regular, b""));
        let error = tree(&Image::of(vec![layer])).unwrap_err();
        assert!(error.contains("something between times and a prefix"), "{error}");
    }
}

/// Compression believed from a label: builders call gzip tar, zstd gzip; docker archives hold xz and
/// bzip2. The bytes decide, and the `diff_id` protects the result.
#[test]
fn compression_is_seen_and_not_believed() {
    let test = "compression_is_seen_and_not_believed";
    let tar = Layer::new().file("f", &vec![b'x'; 100_000]).bytes();
    let mut blobs = vec![
        ("tar", tar.clone()),
        ("gzip", gzip(&tar)),
        ("zstd", zstd::encode_all(&tar[..], 3).unwrap()),
        // pzstd begins with a frame that is skipped (RFC 8878, 3.1.2)
        (
            "skipped",
            [&b"\x50\x2A\x4D\x18\x04\0\0\0size"[..], &zstd::encode_all(&tar[..], 1).unwrap()]
                .concat(),
        ),
    ];
    let (one, two) = tar.split_at(5000);
    for (name, program) in [("xz", ["xz", "-c"]), ("bzip2", ["bzip2", "-c"])] {
        if let Some(blob) = through(test, &program, &tar) {
            blobs.push((name, blob));
            // several streams, as pixz and pbzip2 write them
            let parts = [one, two].map(|part| through(test, &program, part).unwrap());
            blobs.push((name, parts.concat()));
        }
    }
    let (plain, _) = Image::stored(&tar, tar.clone(), media_type::OCI_LAYER).convert().unwrap();
    let expected = oracle::own(&squashfs(&plain));
    for media_type in [
        media_type::OCI_LAYER,
        media_type::OCI_LAYER_GZIP,
        media_type::OCI_LAYER_ZSTD,
        media_type::DOCKER_LAYER_GZIP,
        "application/vnd.docker.image.rootfs.diff.tar.xz",
        "application/octet-stream",
        "text/html",
        "",
    ] {
        for (name, blob) in &blobs {
            let image = Image::stored(&tar, blob.clone(), media_type);
            let (sif, _) = image.convert().unwrap_or_else(|e| panic!("{name} {media_type}: {e}"));
            assert_same(&format!("{name} {media_type}"), &oracle::own(&squashfs(&sif)), &expected);
        }
    }
    // other bytes than the configuration says, whatever they are called
    let other = Layer::new().file("f", b"other").bytes();
    for (name, program) in [("xz", ["xz", "-c"]), ("bzip2", ["bzip2", "-c"])] {
        let Some(blob) = through(test, &program, &other) else { continue };
        let error = Image::stored(&tar, blob.clone(), "").convert().unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{name}: {error}");
        let cut = Image::stored(&other, blob[..blob.len() - 5].to_vec(), "").convert().unwrap_err();
        assert_eq!(cut.kind(), Kind::Conversion, "{name}: {cut}");
    }
    for (media_type, words) in [
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "decrypt the image first"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "foreign layers"),
        ("application/vnd.in-toto+json", "artifact of another kind"),
    ] {
        let error = Image::stored(&tar, tar.clone(), media_type).convert().unwrap_err();
        assert!(error.to_string().contains(media_type), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains(words)), "{error}");
    }
}

/// moby's `pkg/archive/diff.go`: AUFS keeps files with several names below `.wh..wh.plnk`, and layers
/// that were made with it link there.
#[test]
fn bookkeeping_of_aufs() {
    let layer = Layer::new()
        .file(".wh..wh.aufs", b"")
        .dir(".wh..wh.orph/")
        .file(".wh..wh.orph/lost", b"x")
        .dir(".wh..wh.plnk/")
        .file(".wh..wh.plnk/12.34", b"linked")
        .file(".wh..wh.plnk/56.78", b"nobody's")
        .dir("bin/")
        .hard("bin/a", ".wh..wh.plnk/12.34")
        .hard("bin/b", "./.wh..wh.plnk/12.34")
        .file("own", b"own")
        // its archive met the name first
        .hard(".wh..wh.plnk/90.12", "own")
        .hard("other", "/.wh..wh.plnk/90.12");
    let above = Layer::new().file("bin/b", b"new").file("more", b"");
    let linked = Entry { links: 2, ..file(b"linked") };
    let own = Entry { links: 2, ..file(b"own") };
    let expected: &[(&[u8], Entry)] = &[
        (b"bin", dir(2)),
        (b"bin/a", linked.clone()),
        (b"bin/b", linked),
        (b"other", own.clone()),
        (b"own", own.clone()),
    ];
    check("bookkeeping_of_aufs", &Image::of(vec![layer]), expected);

    let layer = Layer::new()
        .file(".wh..wh.plnk/12.34", b"linked")
        .hard("bin/a", ".wh..wh.plnk/12.34")
        .hard("bin/b", ".wh..wh.plnk/12.34");
    let found = tree(&Image::of(vec![layer, above])).unwrap();
    assert_eq!(found[&b"bin/a"[..]].content, hash(b"linked"));
    assert_eq!((found[&b"bin/a"[..]].links, &found[&b"bin/b"[..]].content), (1, &hash(b"new")));
    // what one layer keeps is no other's
    for layers in [
        vec![Layer::new().hard("a", ".wh..wh.plnk/1")],
        vec![Layer::new().file(".wh..wh.plnk/1", b"x"), Layer::new().hard("a", ".wh..wh.plnk/1")],
        vec![Layer::new().hard("a", ".wh..wh.plnk")],
        vec![Layer::new().dir(".wh..wh.plnk/1").hard("a", ".wh..wh.plnk/1")],
    ] {
        let error = tree(&Image::of(layers)).unwrap_err();
        assert!(error.contains("which does not exist"), "{error}");
    }
}

/// Nothing that nobody links to is in the SIF.
#[test]
fn what_aufs_kept_for_nobody_is_left_out() {
    let secret = crate::convert::trees::noise(3000, 77);
    let layer = Layer::new().file(".wh..wh.plnk/1", &secret).file("f", b"f");
    let (sif, _) = Image::of(vec![layer]).convert().unwrap();
    assert!(!sif.windows(64).any(|w| w == &secret[..64]));
}

/// A directory of an upper layer where a lower one has a file: as overlayfs shows it.
#[test]
fn a_directory_over_a_file() {
    let lower =
        || Layer::new().file("a", b"file").file("b", b"file").file("c", b"file").file("k", b"kept");
    let upper = || {
        Layer::new()
            .dir("a/")
            .file("a/in", b"1")
            // no entry says that it is a directory
            .file("b/deep/in", b"2")
            .file("c/.wh..wh.opq", b"")
    };
    let implied = |links| Entry { mtime: CREATED, ..dir(links) };
    let expected: &[(&[u8], Entry)] = &[
        (b"a", dir(2)),
        (b"a/in", file(b"1")),
        (b"b", implied(3)),
        (b"b/deep", implied(2)),
        (b"b/deep/in", file(b"2")),
        (b"c", implied(2)),
        (b"k", file(b"kept")),
    ];
    let image = Image::of(vec![lower(), upper()]);
    check("a_directory_over_a_file", &image, expected);

    // in one layer, or behind a link, it stays an error: programs differ
    for layers in [
        vec![Layer::new().file("a", b"").file("a/b", b"")],
        vec![Layer::new().file("a", b"").symlink("l", "a"), Layer::new().file("l/b", b"")],
        vec![lower(), Layer::new().file("a", b"").file("a/b", b"")],
    ] {
        let error = tree(&Image::of(layers)).unwrap_err();
        assert!(error.contains("is not a directory"), "{error}");
    }

    let test = "a_directory_over_a_file";
    if !oracle::part(test, "root", (!oracle::is_root()).then_some("only root can mount")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, files) in [
        ("lower", &[("a", "file"), ("b", "file"), ("c", "file"), ("k", "kept")][..]),
        ("upper", &[("a/in", "1"), ("b/deep/in", "2")]),
    ] {
        for (path, text) in files {
            fs::create_dir_all(at(name).join(path).parent().unwrap()).unwrap();
            fs::write(at(name).join(path), text).unwrap();
        }
    }
    fs::create_dir(at("upper/c")).unwrap();
    fs::create_dir(at("seen")).unwrap();
    let options = format!("lowerdir={}:{}", at("upper").display(), at("lower").display());
    let mount = ["-t", "overlay", "-o", &options, "overlay"];
    let out = Command::new("mount").args(mount).arg(at("seen")).output().unwrap();
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    if !oracle::part(test, "kernel-mount", (!out.status.success()).then_some(why.as_str())) {
        return;
    }
    let seen = oracle::walk(&at("seen"), false);
    assert!(Command::new("umount").arg(at("seen")).status().unwrap().success());
    let shape = |tree: &Tree| -> Vec<(Vec<u8>, char, String)> {
        let all = tree.iter().filter(|(path, _)| !path.is_empty());
        all.map(|(path, e)| (path.clone(), e.kind, e.content.clone())).collect()
    };
    assert_eq!(shape(&tree(&image).unwrap()), shape(&seen));
}
