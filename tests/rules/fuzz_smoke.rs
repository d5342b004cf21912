//! The fuzz targets for a short while, with any toolchain: the seeds, then as many inputs made from
//! them by a fixed sequence of numbers, in bounded memory. `just fuzz` runs them with libFuzzer.

#[path = "../../fuzz/seeds.rs"]
mod seeds;
#[path = "../../fuzz/targets.rs"]
mod targets;

use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Address space of the test's process in bytes: memory without bound ends it.
const MEMORY: u64 = 4 << 30;
/// What no input may take; far above what any takes.
const HANGS: Duration = Duration::from_secs(60);

/// Numbers that look random and are the same each time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

/// One change as a fuzzer makes them.
fn mutate(data: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    if data.is_empty() {
        data.extend(other);
        return;
    }
    let at = numbers.below(data.len());
    let length = (1 + numbers.below(64)).min(data.len() - at);
    match numbers.below(9) {
        0 => data[at] ^= 1 << numbers.below(8),
        1 => data[at] = numbers.next().to_le_bytes()[0],
        2 | 3 => {
            // numbers at the ends of their ranges, in all widths
            let all = [0, 1, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 24, u64::MAX >> 1, u64::MAX];
            let value = all[numbers.below(all.len())].to_le_bytes();
            let width = (1 << numbers.below(4)).min(data.len() - at);
            data[at..at + width].copy_from_slice(&value[..width]);
        }
        4 => drop(data.drain(at..at + length)),
        5 => {
            let piece = data[at..at + length].to_vec();
            let to = numbers.below(data.len());
            data.splice(to..to, piece);
        }
        6 => {
            let from = numbers.below(other.len());
            let piece = &other[from..(from + length).min(other.len())];
            let end = (at + piece.len()).min(data.len());
            data.splice(at..end, piece.iter().copied());
        }
        7 => {
            let to = numbers.below(data.len() - length + 1);
            data.copy_within(at..at + length, to);
        }
        _ => data.truncate(at),
    }
}

fn run(name: &str) {
    static BOUNDED: Once = Once::new();
    BOUNDED.call_once(|| {
        let maximum = getrlimit(Resource::As).maximum;
        setrlimit(Resource::As, Rlimit { current: Some(MEMORY), maximum }).unwrap();
    });
    let (_, target) = targets::ALL.iter().find(|(other, _)| *other == name).unwrap();
    let soak = std::env::var_os("MOORLINE_SOAK").is_some_and(|on| on == "1");
    let count = if soak { 500_000 } else { 3000 };
    let seeds = seeds::of(name);
    let mut numbers = Numbers(1);
    for number in 0..count {
        let mut data = seeds[number % seeds.len()].clone();
        // the first ones as they are
        if number >= seeds.len() {
            for _ in 0..=numbers.below(6) {
                let other = numbers.below(seeds.len());
                mutate(&mut data, &seeds[other], &mut numbers);
            }
        }
        let began = Instant::now();
        if std::panic::catch_unwind(|| target(&data)).is_err() {
            let file = std::env::temp_dir().join(format!("moorline-fuzz-{name}-{number}"));
            std::fs::write(&file, &data).unwrap();
            panic!("input {number} of {name} panics; it is kept as {}", file.display());
        }
        assert!(began.elapsed() < HANGS, "input {number} of {name} takes too long");
    }
}

/// For libFuzzer (`fuzz/run`), as `$MOORLINE_FUZZ_CORPUS/TARGET/seed-N`; else only made.
#[test]
fn seeds_are_written() {
    let corpus = std::env::var_os("MOORLINE_FUZZ_CORPUS").map(std::path::PathBuf::from);
    for (target, _) in targets::ALL {
        let seeds = seeds::of(target);
        assert!(!seeds.is_empty(), "{target}");
        let Some(folder) = corpus.as_ref().map(|corpus| corpus.join(target)) else { continue };
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

/// Seeds that are refused at once would test nothing.
#[test]
fn seeds_are_read() {
    use moorline::archive::{Archive, Form, Location};
    use moorline::layer::{Limits, Merger, TarReader};
    use moorline::squashfs::read::{Image, Limits as ReadLimits};
    for seed in seeds::of("tar_layer") {
        let mut tar = TarReader::new(&seed[..], Limits::default());
        Merger::new(Limits::default(), 0).layer(0, &mut tar, 4096).unwrap();
    }
    for seed in seeds::of("squashfs") {
        let image = Image::open(&seed, 0, seed.len() as u64, ReadLimits::default()).unwrap();
        assert!(image.walk().map(Result::unwrap).count() > 5);
    }
    for seed in seeds::of("sif") {
        let mut sif = moorline::sif::SifReader::open(std::io::Cursor::new(seed)).unwrap();
        sif.partition().unwrap();
        sif.object("moorline.json").unwrap();
    }
    for seed in seeds::of("manifest") {
        moorline::oci::Document::parse(&seed, None).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    for seed in seeds::of("archive") {
        std::fs::write(&file, seed).unwrap();
        let (form, path) = (Form::DockerArchive, file.path().to_owned());
        let location = Location { form, path, tag: None };
        Archive::open(&location, &"linux/amd64".parse().unwrap()).unwrap();
    }
    let text = |seed: &Vec<u8>| String::from_utf8(seed.clone()).unwrap();
    let references: Vec<String> = seeds::of("reference").iter().map(text).collect();
    let parsed = |text: &&String| moorline::oci::Reference::parse(text, "a.example").is_ok();
    assert!(references.iter().filter(parsed).count() >= 3);
    let (file, configs) = (std::path::Path::new("x"), seeds::of("config"));
    serde_json::from_slice::<moorline::oci::ImageConfig>(&configs[0]).unwrap();
    let level = moorline::config::Level::User;
    moorline::config::Config::parse(&text(&configs[1]), level, file).unwrap();
    moorline::config::JobFile::parse(&text(&configs[2]), file).unwrap();
    moorline::lock::Lock::parse(&text(&configs[3]), file).unwrap();
}

macro_rules! targets {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name));
        }
    )*

        #[test]
        fn no_target_is_left_out() {
            let names: Vec<_> = targets::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            let manifest = include_str!("../../fuzz/Cargo.toml");
            assert!(names.iter().all(|name| manifest.contains(&format!("name = \"{name}\""))));
        }
    };
}
targets!(tar_layer manifest config sif squashfs archive reference);
