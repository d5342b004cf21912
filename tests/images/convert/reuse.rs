//! An incremental conversion gives the bytes of a cold one, and does not do what was done before.

use std::cell::RefCell;
use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use moorline::pin::{Codec, Recipe};
use moorline::stage::Remembered;
use moorline::stage::convert::{Counters, Report, Work, convert_with, recipe};
use moorline::store::{Store, StoredSif};
use proptest::prelude::*;

use crate::archive::{Image, Layer, standard};
use crate::convert::trees::noise;

/// A store that conversions fill, as `stage` does it.
struct Pool {
    store: Store,
    recipe: Recipe,
    _dir: tempfile::TempDir,
}

/// What a conversion made, did and read.
struct Made {
    bytes: Vec<u8>,
    counters: Counters,
    warnings: Vec<String>,
    opened: Vec<usize>,
    sif: StoredSif,
}

impl Pool {
    fn new(recipe: Recipe) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Self { store, recipe, _dir: dir }
    }

    fn convert(&self, image: &Image) -> Made {
        let mut incoming = self.store.incoming().unwrap();
        let mut memory = Remembered::new(&self.store, &self.recipe);
        let opened = RefCell::new(Vec::new());
        let mut open = |n: usize| -> std::io::Result<Box<dyn Read + Send>> {
            opened.borrow_mut().push(n);
            Ok(Box::new(Cursor::new(image.blobs[n].clone())))
        };
        let work = Work::new(NonZeroUsize::new(2).unwrap());
        let out = incoming.file_mut();
        let report: Report =
            convert_with(&image.source, &self.recipe, work, &mut memory, &mut open, out).unwrap();
        let (manifest, size) = (image.source.manifest, report.size);
        let sif = self.store.publish_sif(
            incoming,
            &manifest,
            &self.recipe,
            (report.sif, size),
            Some(report.tree),
        );
        let sif = sif.unwrap();
        memory.keep_pack(&report.pack, &sif).unwrap();
        let (counters, warnings) = (report.counters, report.warnings);
        let bytes = fs::read(&sif.path).unwrap();
        Made { bytes, counters, warnings, opened: opened.into_inner(), sif }
    }

    fn files(&self, what: &str) -> Vec<PathBuf> {
        let dir = self.store.root().join(what).join(self.recipe.key());
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn cold(image: &Image, recipe: &Recipe) -> Vec<u8> {
    image.convert_with(recipe).unwrap().0
}

/// Two lower layers with files of all sizes, duplicates, links and zeros.
fn lower() -> Vec<Layer> {
    let mut base = Layer::new().dir("usr/").file("usr/zeros", &vec![0; 300_000]);
    for n in 0..200_u32 {
        let size = usize::try_from(n * 997 % 30_000).unwrap();
        let data = if n % 3 == 0 { b"a line\n".repeat(size / 7) } else { noise(size, n % 150) };
        base = base.file(&format!("usr/d{}/{n}", n / 20), &data);
    }
    let second = Layer::new()
        .file("opt/large", &noise(900_000, 500))
        .file("opt/again", &noise(900_000, 500))
        .hard("opt/link", "usr/d0/1")
        .file("usr/d1/.wh.21", b"");
    vec![base, second]
}

fn change(bytes: &[u8], path: &std::path::Path, at: u64) {
    let mode = fs::metadata(path).unwrap().permissions();
    let mut writable = mode.clone();
    std::os::unix::fs::PermissionsExt::set_mode(&mut writable, 0o644);
    fs::set_permissions(path, writable).unwrap();
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

#[test]
fn a_changed_top_layer_costs_only_itself() {
    let with = |seed: u32| {
        let top = Layer::new().file("app/new", &noise(70_000, seed)).file("usr/d3/65", b"hides");
        Image::of(lower().into_iter().chain([top]).collect())
    };
    for recipe in [standard(), recipe(Codec::Gzip, 6, 4096), recipe(Codec::Lz4, 1, 8192)] {
        let pool = Pool::new(recipe.clone());
        let first = pool.convert(&with(1000));
        assert_eq!(first.opened, [2, 1, 0]);
        assert_eq!((first.counters.layers_inflated, first.counters.passes), (3, 1));

        let image = with(1001);
        let second = pool.convert(&image);
        let key = recipe.key();
        assert!(second.bytes == cold(&image, &recipe), "{key}");
        assert_eq!(second.opened, [2], "{key}");
        let counters = second.counters;
        assert_eq!(counters.layers_inflated, 1, "{key}");
        let mixed = counters.data.groups_mixed * u64::from(recipe.block_size);
        // the new file, the one that hides, what is added to every image
        let new = 70_000 + 5 + 64_000;
        assert!(counters.data.bytes_compressed <= new + mixed, "{key}: {counters:?}");
        assert!(counters.data.bytes_copied > 900_000, "{key}: {counters:?}");
        assert!(second.warnings.is_empty(), "{:?}", second.warnings);
    }
}

/// The top layer deletes more or less than before: groups lose members, or need them back.
#[test]
fn other_lower_files_are_visible() {
    let pool = Pool::new(standard());
    let with = |hidden: &[&str]| {
        let mut top = Layer::new().file("app", b"app");
        for path in hidden {
            top = top.file(path, b"");
        }
        Image::of(lower().into_iter().chain([top]).collect())
    };
    pool.convert(&with(&["usr/d2/.wh.41", "opt/.wh.large"]));
    // fewer: no pack has the one that is visible now, so its layer is read
    let image = with(&["opt/.wh.large"]);
    let made = pool.convert(&image);
    assert!(made.bytes == cold(&image, &standard()));
    assert_eq!(made.opened, [2, 0]);
    // more: tails are taken out of their groups
    let image = with(&["usr/d4/.wh.85", "usr/d5/.wh..wh..opq"]);
    let made = pool.convert(&image);
    assert!(made.bytes == cold(&image, &standard()));
    assert_eq!((made.opened, made.counters.data.groups_mixed > 0), (vec![2], true));
}

#[test]
fn a_rebuilt_base_is_read_but_not_compressed() {
    let pool = Pool::new(standard());
    let with = |extra: &str| {
        let mut base = Layer::new().file("build-id", extra.as_bytes());
        for n in 0..100_u32 {
            base = base.file(&format!("d{}/{n}", n / 10), &noise(40_000, n));
        }
        Image::of(vec![base, Layer::new().file("top", b"t")])
    };
    pool.convert(&with("one"));
    let image = with("another");
    let made = pool.convert(&image);
    assert!(made.bytes == cold(&image, &standard()));
    assert_eq!(made.opened, [0]);
    assert!(made.counters.data.bytes_copied > 3_000_000, "{:?}", made.counters);
    assert!(made.counters.data.bytes_compressed < 400_000, "{:?}", made.counters);
}

#[test]
fn a_deleted_pack_changes_nothing() {
    let (pool, image) = (Pool::new(standard()), Image::of(lower()));
    let other = Image::of(lower().into_iter().chain([Layer::new().file("x", b"x")]).collect());
    let first = pool.convert(&image);
    fs::remove_file(&first.sif.path).unwrap();
    let made = pool.convert(&other);
    assert!(made.bytes == cold(&other, &standard()));
    // the indexes of the layers are there, the blocks are not
    assert_eq!(made.opened, [2, 1, 0]);
    assert!(made.warnings.is_empty(), "{:?}", made.warnings);
}

/// Whatever changed in the old SIF's data: the same bytes, and a warning that names it.
#[test]
fn a_damaged_pack_changes_nothing() {
    let image = Image::of(lower());
    let with = |seed| {
        let top = Layer::new().file("x", &noise(5000, seed)).file("usr/d5/.wh.110", b"");
        Image::of(lower().into_iter().chain([top]).collect())
    };
    let expected = cold(&with(1), &standard());
    for place in 1..12 {
        let pool = Pool::new(standard());
        let first = pool.convert(&image);
        let at = 40_000 + (first.sif.size - 80_000) * place / 12;
        let old = first.bytes[usize::try_from(at).unwrap()..][..3].to_vec();
        change(&old.iter().map(|b| !b).collect::<Vec<_>>(), &first.sif.path, at);
        let made = pool.convert(&with(1));
        assert!(made.bytes == expected, "{place}");
        let name = first.sif.path.display().to_string();
        assert!(made.warnings.iter().any(|w| w.contains(&name)), "{place}: {:?}", made.warnings);
        // it is not asked again
        let next = pool.convert(&with(2));
        assert!(next.warnings.is_empty() && next.opened == [2], "{place}: {:?}", next.warnings);
    }
}

#[test]
fn a_cut_pack_changes_nothing() {
    let (pool, image) = (Pool::new(standard()), Image::of(lower()));
    let first = pool.convert(&image);
    change(b"", &first.sif.path, 0);
    let mode = fs::metadata(&first.sif.path).unwrap().permissions();
    let mut writable = mode.clone();
    std::os::unix::fs::PermissionsExt::set_mode(&mut writable, 0o644);
    fs::set_permissions(&first.sif.path, writable).unwrap();
    fs::File::options().write(true).open(&first.sif.path).unwrap().set_len(100_000).unwrap();
    let other = Image::of(lower().into_iter().chain([Layer::new().file("x", b"x")]).collect());
    let made = pool.convert(&other);
    assert!(made.bytes == cold(&other, &standard()));
}

/// A damaged index, of a layer or a SIF, is as good as none.
#[test]
fn a_damaged_index_changes_nothing() {
    let other = Image::of(lower().into_iter().chain([Layer::new().file("x", b"x")]).collect());
    let expected = cold(&other, &standard());
    for (what, opened) in [("packs", vec![2, 1, 0]), ("layers", vec![2, 1, 0])] {
        for place in [3, 7, 50, 300] {
            let pool = Pool::new(standard());
            pool.convert(&Image::of(lower()));
            for path in pool.files(what) {
                let old = fs::read(&path).unwrap()[place];
                change(&[!old], &path, place as u64);
            }
            let made = pool.convert(&other);
            assert!(made.bytes == expected, "{what} {place}");
            assert_eq!(made.opened, opened, "{what} {place}");
        }
    }
}

/// The first pass was in vain, its blocks are not.
#[test]
fn a_wrong_forecast_compresses_nothing_twice() {
    let image = Image::of(vec![
        Layer::new().file("large", &noise(2_000_000, 1)).file("a", b"old").hard("b", "a"),
        Layer::new().file("a", b"new").file("twice", &noise(9000, 3)).file("twice", b"second"),
    ]);
    let pool = Pool::new(standard());
    let made = pool.convert(&image);
    assert!(made.bytes == cold(&image, &standard()));
    assert_eq!(made.counters.passes, 2);
    assert!(made.counters.data.bytes_compressed < 2_500_000, "{:?}", made.counters);
}

/// A file of a random layer: path, content, or another thing.
fn step() -> impl Strategy<Value = (u8, u8, u8, u16)> {
    (0..8_u8, 0..12_u8, 0..6_u8, any::<u16>())
}

fn layer(steps: &[(u8, u8, u8, u16)]) -> Layer {
    let mut layer = Layer::new();
    for (kind, path, content, size) in steps {
        let name = format!("{}{path}", ["", "d/", "e/"][usize::from(*path % 3)]);
        let size = usize::from(*size) % 20_000;
        layer =
            match kind {
                0..=3 => layer
                    .file(&name, &noise(size / 4096 * 4096 + size % 7 * 100, (*content).into())),
                4 => layer
                    .file(&name, &[vec![0; 8192], noise(size % 5000, (*content).into())].concat()),
                5 => layer
                    .file(&format!("{}.wh.{path}", ["", "d/", "e/"][usize::from(*path % 3)]), b""),
                6 => layer.file("d/.wh..wh..opq", b""),
                _ => layer.hard(&format!("h{path}"), &name),
            };
    }
    layer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Images that share layers, converted one after the other into one store, some SIFs and indexes
    /// of which vanish: each is what a cold conversion makes.
    #[test]
    fn any_images_in_any_order_give_cold_bytes(
        pieces in prop::collection::vec(prop::collection::vec(step(), 0..14), 1..5),
        images in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..5), 2..5),
        lost in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..3),
    ) {
        let small = recipe(Codec::Zstd, 1, 4096);
        let pool = Pool::new(small.clone());
        for (n, choice) in images.iter().enumerate() {
            let layers = choice.iter().map(|at| layer(&pieces[at.index(pieces.len())])).collect();
            let image = Image::of(layers);
            // a hard link to nothing, for example
            let Ok((expected, _)) = image.convert_with(&small) else { continue };
            let made = pool.convert(&image);
            prop_assert!(made.bytes == expected, "{:?}", made.counters);
            prop_assert!(made.warnings.is_empty(), "{:?}", made.warnings);
            if let Some((sif, which)) = lost.get(n) {
                let files = pool.files(if *sif { "packs" } else { "layers" });
                fs::remove_file(&files[which.index(files.len())]).unwrap();
            }
        }
    }
}
