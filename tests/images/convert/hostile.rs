//! Hostile layers by name, and the incidents of other programs that they come from. What is refused
//! with one sentence stands in `refused.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Cursor, Read};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use moorline::failure::{Failure, Kind};
use moorline::layer::Limits;
use moorline::oci::{DiffId, Digest, Sha256Digest, media_type};
use moorline::stage::convert::{ConvertError, Work};
use tar::EntryType;

use crate::archive::{Image, Layer, META, Meta, gzip, squashfs, standard};
use crate::layout;
use crate::oracle::{self, Tree, hash};

fn tree(image: &Image) -> Tree {
    let (sif, _) = image.convert().unwrap();
    oracle::backhand(&squashfs(&sif))
}

fn refused(image: &Image, limits: Limits) -> ConvertError {
    let work = Work { limits, ..Work::new(NonZeroUsize::MIN) };
    let mut out = Cursor::new(Vec::new());
    image.convert_by(work, &standard(), &mut out).map(|_| ()).unwrap_err()
}

/// A header whose size field is set by hand.
fn sized(path: &str, size: &[u8; 12]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().size.copy_from_slice(size);
    for (field, value) in [(108, 8), (116, 8), (136, 12)].map(|(at, n)| (at, vec![b'0'; n - 1])) {
        header.as_mut_bytes()[field..field + value.len()].copy_from_slice(&value);
    }
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// The size in the extended header against that in the header, with a whole archive in between:
/// whoever believes the wrong one installs `smuggled`.
#[test]
fn cve_2025_62518_cve_2026_33055_two_sizes() {
    let inner = Layer::new().file("smuggled", b"evil").bytes();
    let length = inner.len().to_string();
    let octal: [u8; 12] = format!("{:011o}\0", inner.len()).into_bytes().try_into().unwrap();
    for (said, in_header) in [
        (length.as_str(), b"00000000000\0"), // tar-rs before 0.4.45, tokio-tar: steps inside
        ("0", &octal),                       // the other direction
        ("512", &octal),
        (length.as_str(), b"00000001000\0"),
    ] {
        let layer = Layer::new()
            .pax(&[("size", said.as_bytes())])
            .raw(&sized("outer", in_header))
            .raw(&inner);
        let error = refused(&Image::of(vec![layer]), Limits::default());
        assert!(error.to_string().contains("its extended header says"), "{said}: {error}");
    }
    // both say the same: a file that happens to be an archive
    let layer = Layer::new()
        .pax(&[("size", length.as_bytes())])
        .raw(&sized("outer", &octal))
        .raw(&inner)
        .raw(&vec![0; inner.len().next_multiple_of(512) - inner.len()]);
    let found = tree(&Image::of(vec![layer]));
    assert_eq!(found[&b"outer"[..]].content, hash(&inner));
    assert!(!found.contains_key(&b"smuggled"[..]));
}

/// A link to a directory outside, then a directory of the same name and a file in it: whoever keeps
/// the link changes the machine. Conversion never touches the machine, and its tree has no link.
#[test]
fn cve_2026_33056_a_link_and_then_a_directory() {
    let outside = tempfile::tempdir().unwrap();
    let sentinel = outside.path().join("sentinel");
    fs::write(&sentinel, "as it was").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let state = || {
        let of = |path: &std::path::Path| {
            let meta = fs::symlink_metadata(path).unwrap();
            (meta.mode(), meta.uid(), meta.mtime(), meta.mtime_nsec(), meta.ctime_nsec())
        };
        (of(outside.path()), of(&sentinel), fs::read(&sentinel).unwrap())
    };
    let before = state();
    let target = outside.path().to_str().unwrap();
    let odd = Meta { mode: 0o777, uid: 4711, ..META };
    let one = |layer: Layer| {
        layer
            .add(b"x", EntryType::Directory, odd, b"")
            .file("x/sentinel", b"overwritten")
            .file("x/new", b"new")
    };
    for layers in [
        vec![one(Layer::new().symlink("x", target))],
        vec![Layer::new().symlink("x", target), one(Layer::new())],
    ] {
        let found = tree(&Image::of(layers));
        assert_eq!((found[&b"x"[..]].kind, found[&b"x"[..]].mode), ('d', 0o777));
        assert_eq!(found[&b"x/sentinel"[..]].content, hash(b"overwritten"));
        let inside = target.trim_start_matches('/').as_bytes();
        assert!(!found.contains_key(inside), "nothing was written through the link");
    }
    assert_eq!(state(), before);
}

/// `/.` as a link in one layer, a write through it in the next.
#[test]
fn cve_2021_29136_the_root_as_a_link() {
    for root in ["/.", "/", ".", "./", "./."] {
        let link = Layer::new().symlink(root, "/etc");
        let image = Image::of(vec![link, Layer::new().file("passwd", b"evil")]);
        let error = refused(&image, Limits::default());
        assert!(error.to_string().contains("replaces the root directory"), "{root}: {error}");
    }
}

/// A squashfs with `/` or `..` in a name, or a name twice, makes unpackers write elsewhere. Whatever
/// the layers hold, ours has neither.
#[test]
fn cve_2020_15229_cve_2021_40153_cve_2021_41072_names_that_are_written() {
    let names = ["..", "../x", "a/../../x", "/..", "a//..//b", ".", "a/.", "/", "a\\..\\b", "..."];
    for name in names {
        let image = Image::of(vec![Layer::new().dir("a").file("keep", b"").file(name, b"x")]);
        let Ok((sif, _)) = image.convert() else { continue };
        for path in oracle::backhand(&squashfs(&sif)).keys().filter(|path| !path.is_empty()) {
            let good = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
            assert!(path.split(|b| *b == b'/').all(good), "{name}: {}", path.escape_ascii());
        }
    }
    // a link and a file, a file and a link, a link and a directory of one name: one entry is left
    for image in [
        Image::of(vec![Layer::new().symlink("x", "/etc").file("x", b"f")]),
        Image::of(vec![Layer::new().file("x", b"f").symlink("./x", "/etc")]),
        Image::of(vec![Layer::new().symlink("x", "/etc"), Layer::new().dir("x").file("x/y", b"")]),
    ] {
        let (sif, _) = image.convert().unwrap();
        let bytes = squashfs(&sif);
        let reader = backhand::FilesystemReader::from_reader(Cursor::new(bytes)).unwrap();
        let mut seen = BTreeSet::new();
        for node in reader.files() {
            assert!(seen.insert(node.fullpath.clone()), "{} twice", node.fullpath.display());
        }
    }
}

#[test]
fn negative_and_huge_sizes() {
    let base_256 = |value: i128| -> [u8; 12] {
        let mut field: [u8; 12] = value.to_be_bytes()[4..].try_into().unwrap();
        field[0] |= 0x80;
        field
    };
    for (size, message) in [
        (base_256(-1), "size is not a number"),
        (base_256(-512), "size is not a number"),
        (base_256(i128::from(i64::MIN)), "size is not a number"),
        (base_256(1 << 70), "size is not a number"),
        (base_256(i128::from(i64::MAX)), "limit content bytes"),
        (*b"77777777777\0", "ends in the middle"),
        (*b"-0000000001\0", "size is not a number"),
        (*b"0x000000010\0", "size is not a number"),
    ] {
        let image = Image::of(vec![Layer::new().raw(&sized("f", &size)).raw(&[0; 512])]);
        let error = refused(&image, Limits::default());
        assert!(error.to_string().contains(message), "{message}: {error}");
        assert_eq!(error.kind(), Kind::Conversion);
    }
}

/// Zeros that are not there until somebody reads them.
fn bomb(tar_bytes: u64, compress: impl FnOnce(&mut dyn Read) -> Vec<u8>) -> Vec<u8> {
    let size: [u8; 12] = format!("{tar_bytes:011o}\0").into_bytes().try_into().unwrap();
    let head = sized("zeros", &size);
    compress(&mut head.chain(io::repeat(0).take(tar_bytes)))
}

/// Files that are one hole each: no byte of them is in the tar.
fn holes(sizes: &[u64]) -> Image {
    let layer = sizes.iter().enumerate().fold(Layer::new(), |layer, (n, size)| {
        let size = size.to_string();
        layer
            .pax(&[("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", b"0,0")])
            .file(&format!("hole{n}"), b"")
    });
    Image::of(vec![layer])
}

/// Holes count as what a few bytes became; below the free GiB and within the ratio they are fine,
/// and all holes of a layer are added up.
#[test]
fn holes_are_bounded_by_the_ratio() {
    const GIB: u64 = 1 << 30;
    let some = Limits::default();
    for sizes in [&[200 * GIB][..], &[GIB + 1], &[GIB / 2 + 1, GIB / 2], &[1 << 50]] {
        let error = refused(&holes(sizes), some);
        assert_eq!(error.kind(), Kind::Conversion);
        assert!(error.to_string().contains("limit expansion ratio of 1000"), "{error}");
        assert!(error.hint().unwrap().contains("raise expansion_ratio under [limits]"));
    }
    let raised = Limits { expansion_ratio: u64::MAX, ..some };
    for (sizes, limits) in [(&[GIB][..], some), (&[GIB / 2, GIB / 2], some), (&[GIB + 1], raised)] {
        let work = Work { limits, ..Work::new(NonZeroUsize::MIN) };
        let mut out = Cursor::new(Vec::new());
        holes(sizes).convert_by(work, &standard(), &mut out).unwrap();
    }
}

/// Few bytes that become many end with the limit's name, and with the key that raises it.
#[test]
fn bombs_are_stopped_by_name() {
    let zstd = |from: &mut dyn Read| zstd::encode_all(from, 1).unwrap();
    let gz = |from: &mut dyn Read| {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        gzip(&all)
    };
    let some = Limits::default();
    for (kind, blob, limits, name) in [
        (media_type::OCI_LAYER_ZSTD, bomb(5 << 28, zstd), some, "expansion ratio"),
        (
            media_type::OCI_LAYER_GZIP,
            bomb(50 << 20, gz),
            Limits { layer_bytes: 10 << 20, ..some },
            "layer bytes",
        ),
        (
            media_type::OCI_LAYER_ZSTD,
            bomb(50 << 20, zstd),
            Limits { content_bytes: 10 << 20, ..some },
            "content bytes",
        ),
    ] {
        assert!(blob.len() < 1 << 20, "{}", blob.len());
        let mut image = Image::plain(vec![Layer::new()], &serde_json::json!({}));
        image.source.layers[0].media_type = kind.into();
        image.source.layers[0].size = blob.len() as u64;
        image.blobs[0] = blob;
        let error = refused(&image, limits);
        assert!(error.to_string().contains(&format!("limit {name} of")), "{error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains(&format!("raise {} under [limits]", name.replace(' ', "_"))),
            "{hint}"
        );
    }
}

/// A layer's blob that is stored as it is given here, with the right digest.
fn stored(kind: &str, tar: &[u8], blob: Vec<u8>) -> Image {
    let mut image = Image::plain(vec![Layer::new().raw(tar)], &serde_json::json!({}));
    image.source.config.rootfs.diff_ids[0] = DiffId::of(tar);
    let layer = &mut image.source.layers[0];
    (layer.media_type, layer.size, layer.digest) =
        (kind.into(), blob.len() as u64, Digest::of(&blob));
    image.blobs[0] = blob;
    image
}

#[test]
fn garbage_behind_the_end() {
    let tar = Layer::new().file("f", b"x").bytes();
    let whole = [&tar[..], b"garbage that is no block"].concat();
    // behind the end of the archive: part of the layer's digest, not of the tree
    let found = tree(&stored(media_type::OCI_LAYER, &whole, whole.clone()));
    assert_eq!(found[&b"f"[..]].content, hash(b"x"));
    let hidden = [&tar[..], &Layer::new().file("hidden", b"").bytes()].concat();
    assert!(
        !tree(&stored(media_type::OCI_LAYER, &hidden, hidden.clone())).contains_key(&b"hidden"[..])
    );
    // behind the end of the compressed stream: not one of the specified forms
    for (kind, blob) in [
        (media_type::OCI_LAYER_GZIP, gzip(&tar)),
        (media_type::DOCKER_LAYER_GZIP, gzip(&tar)),
        (media_type::OCI_LAYER_ZSTD, zstd::encode_all(&tar[..], 1).unwrap()),
    ] {
        let blob = [&blob[..], b"garbage"].concat();
        let error = refused(&stored(kind, &tar, blob), Limits::default());
        assert_eq!(error.kind(), Kind::Conversion, "{kind}: {error}");
    }
}

#[test]
fn cut_streams_are_never_read_as_whole() {
    let tar = Layer::new().file("f", &[b'x'; 3000]).file("g", b"y").bytes();
    for (kind, blob) in [
        (media_type::OCI_LAYER_GZIP, gzip(&tar)),
        (media_type::OCI_LAYER_ZSTD, zstd::encode_all(&tar[..], 1).unwrap()),
        (media_type::OCI_LAYER, tar.clone()),
    ] {
        tree(&stored(kind, &tar, blob.clone()));
        for length in (0..blob.len()).step_by(blob.len() / 60 + 1).chain([blob.len() - 1]) {
            let error = refused(&stored(kind, &tar, blob[..length].to_vec()), Limits::default());
            let kinds = [Kind::Conversion, Kind::Integrity];
            assert!(kinds.contains(&error.kind()), "{kind} at {length}: {error}");
        }
    }
}

/// Members, frames and empty ones between them are one stream; what it is called does not matter.
#[test]
fn members_and_frames_in_every_media_type() {
    let tar = Layer::new().file("f", &[b'x'; 3000]).bytes();
    let (one, two) = tar.split_at(700);
    let members = [gzip(one), gzip(b""), gzip(two)].concat();
    let zst = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let skip = |n: u32| {
        let mut frame = (0x184D_2A50 + n).to_le_bytes().to_vec();
        frame.extend(5_u32.to_le_bytes());
        frame.extend(b"skip!");
        frame
    };
    let frames = [skip(0), zst(one), skip(15), zst(b""), zst(two), skip(7)].concat();
    for (kind, blob) in [
        (media_type::OCI_LAYER, tar.clone()),
        (media_type::OCI_LAYER_GZIP, members.clone()),
        (media_type::DOCKER_LAYER_GZIP, members),
        (media_type::OCI_LAYER_ZSTD, frames),
    ] {
        let found = tree(&stored(kind, &tar, blob));
        assert_eq!(found[&b"f"[..]].content, hash(&[b'x'; 3000]), "{kind}");
    }
}

#[test]
fn whiteouts_of_the_root_and_circles_of_links() {
    let bottom = || Layer::new().file("old", b"").dir("d/").file("d/x", b"");
    for opaque in [".wh..wh..opq", "/.wh..wh..opq", "./.wh..wh..opq"] {
        let top = Layer::new().file("new", b"").file(opaque, b"");
        let found = tree(&Image::of(vec![bottom(), top]));
        assert!(found.contains_key(&b"new"[..]), "{opaque}");
        assert!(!found.contains_key(&b"old"[..]) && !found.contains_key(&b"d"[..]), "{opaque}");
    }
    for layers in [
        vec![Layer::new().hard("a", "b").hard("b", "a")],
        vec![bottom(), Layer::new().hard("a", "a")],
        vec![bottom(), Layer::new().file(".wh.old", b"").hard("a", "b").hard("b", "old")],
    ] {
        let error = refused(&Image::of(layers), Limits::default());
        assert!(error.to_string().contains("is a hard link to"), "{error}");
    }
}

/// The command, its configuration, and who may say what.
#[test]
fn limits_come_from_the_configuration() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let layer = Layer::new().file("a", b"").file("b", b"").file("c", b"");
    layout::write(&at("layout"), "t", &Image::of(vec![layer]));
    for place in ["config/moorline", "here"] {
        fs::create_dir_all(at(place)).unwrap();
    }
    let run = |user: &str, project: &str| {
        fs::write(at("config/moorline/config.toml"), user).unwrap();
        fs::write(at("here/moorline.toml"), project).unwrap();
        // nothing that an earlier round left
        let _ = fs::remove_dir_all(at("cache"));
        let out = Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(["convert", "--force", &format!("oci:{}", at("layout").display()), "-o"])
            .arg(at("x.sif"))
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", at("config"))
            .env("MOORLINE_CACHE", at("cache"))
            .env("MOORLINE_LEDGER", at("ledger"))
            .current_dir(at("here"))
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (two, three) = ("[limits]\nentries = 2\n", "[limits]\nentries = 3\n");
    for (user, project, code) in [
        ("", "", 0),
        (three, "", 0),
        (two, "", 7),
        ("", two, 7),
        (three, two, 7),
        // a project file raises nothing
        (two, three, 7),
    ] {
        let (found, said) = run(user, project);
        assert_eq!(found, Some(code), "{user:?} {project:?}: {said}");
        if code != 0 {
            assert!(said.contains("limit entries of 2"), "{said}");
            assert!(said.contains("raise entries under [limits]"), "{said}");
        }
    }
}
