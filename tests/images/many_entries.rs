//! A million entries in one directory: how much memory that takes, in a process of its own.

use std::fs;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::process::Command;

use moorline::oci::Hasher;
use moorline::stage::convert::{Work, convert};
use tar::EntryType;

use crate::archive::{Image, Layer, META, standard};

fn empty_file(path: &str) -> Vec<u8> {
    let mut header = Layer::header(EntryType::Regular, 0, META);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_bytes().to_vec()
}

/// A tar of a million empty files in one directory, made while it is read.
struct Million {
    header: Vec<u8>,
    sum: u32,
    at: usize,
    next: u32,
}

impl Million {
    const COUNT: u32 = 1_000_000;

    fn new() -> Self {
        let mut header = empty_file("many/file-0000000");
        header[148..156].fill(b' ');
        let sum = header.iter().map(|b| u32::from(*b)).sum();
        Self { header, sum, at: 512, next: 0 }
    }
}

impl Read for Million {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.header.len() {
            if self.next < Self::COUNT {
                // only the digits of the name change, and with them the checksum
                let digits = format!("{:07}", self.next).into_bytes();
                let more: u32 = digits.iter().map(|digit| u32::from(digit - b'0')).sum();
                self.header[10..17].copy_from_slice(&digits);
                let sum = format!("{:06o}\0 ", self.sum + more);
                self.header[148..156].copy_from_slice(sum.as_bytes());
            } else if self.next < Self::COUNT + 2 {
                self.header.fill(0);
            } else {
                return Ok(0);
            }
            (self.at, self.next) = (0, self.next + 1);
        }
        let count = buffer.len().min(self.header.len() - self.at);
        buffer[..count].copy_from_slice(&self.header[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// The memory for 10^6 entries in one directory is bounded, measured in a process of its own.
#[test]
#[expect(clippy::print_stdout, reason = "the child's answer")]
fn a_million_entries_in_one_directory() {
    const CHILD: &str = "MOORLINE_TEST_MILLION";
    if let Some(path) = std::env::var_os(CHILD) {
        let mut hasher = Hasher::default();
        io::copy(&mut Million::new(), &mut HashWriter(&mut hasher)).unwrap();
        let mut image = Image::plain(vec![Layer::new()], &serde_json::json!({}));
        image.source.config.rootfs.diff_ids[0] = hasher.finish();
        image.source.layers[0].size = u64::from(Million::COUNT) * 512 + 1024;
        let mut open =
            |_: usize| -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(Million::new())) };
        let mut out = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .unwrap();
        let work = Work::new(NonZeroUsize::new(2).unwrap());
        let report = convert(&image.source, &standard(), work, &mut open, &mut out).unwrap();
        println!("\nentries {} peak {}", report.entries, peak());
        return;
    }
    let out = tempfile::NamedTempFile::new().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "many_entries::a_million_entries_in_one_directory", "--nocapture"])
        .env(CHILD, out.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let line = said.lines().find(|line| line.starts_with("entries ")).unwrap();
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], u64::from(Million::COUNT));
    assert!(numbers[1] < 286, "{} MiB", numbers[1]);
}

/// A tar of empty files, each with an attribute of 60 KB, made while it is read.
struct Attributes {
    left: u32,
    /// Whether each value is another.
    distinct: bool,
    entry: io::Cursor<Vec<u8>>,
}

impl Attributes {
    fn new(left: u32, distinct: bool) -> Self {
        Self { left, distinct, entry: io::Cursor::default() }
    }

    fn next(&self) -> Vec<u8> {
        let mut value = vec![b'v'; 60_000];
        if self.distinct {
            value[..10].copy_from_slice(format!("{:010}", self.left).as_bytes());
        }
        let layer = Layer::new().pax(&[("SCHILY.xattr.user.a", &value)]);
        let mut bytes = layer.file(&format!("f{}", self.left), b"").bytes();
        // the builder ends an archive that is not at its end
        bytes.truncate(bytes.len() - 1024);
        bytes
    }
}

impl Read for Attributes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.entry.read(buffer)?;
        if count > 0 || self.left == 0 {
            return Ok(count);
        }
        self.entry = io::Cursor::new(self.next());
        self.left -= 1;
        self.entry.read(buffer)
    }
}

/// Attributes compress so well that 400 KB of gzip once took 600 MB of memory. Of many files with the
/// same ones they are held once; different ones are bounded by a limit that is named.
#[test]
#[expect(clippy::print_stdout, reason = "the child's answer")]
fn attributes_take_bounded_memory() {
    const CHILD: &str = "MOORLINE_TEST_ATTRIBUTES";
    if let Some(which) = std::env::var_os(CHILD) {
        let tar = || {
            match which.to_str() {
                Some("same") => Attributes::new(1200, false),
                // as many as the limit lets through
                Some("most") => Attributes::new(4400, true),
                _ => Attributes::new(9000, true),
            }
        };
        let mut hasher = Hasher::default();
        let length = io::copy(&mut tar(), &mut HashWriter(&mut hasher)).unwrap();
        let mut image = Image::plain(vec![Layer::new()], &serde_json::json!({}));
        image.source.config.rootfs.diff_ids[0] = hasher.finish();
        image.source.layers[0].size = length;
        let mut open = |_: usize| -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(tar())) };
        let mut out = tempfile::tempfile().unwrap();
        let work = Work::new(NonZeroUsize::new(2).unwrap());
        let done = convert(&image.source, &standard(), work, &mut open, &mut out);
        let said =
            done.map_or_else(|e| e.to_string(), |report| format!("entries {}", report.entries));
        println!("\npeak {} of {said}", peak());
        return;
    }
    for (which, most, words) in [
        ("same", 200, "of entries 1200"),
        // 252 MiB of them: once, and what the converter takes in any case
        ("most", 400, "of entries 4400"),
        ("distinct", 400, "limit metadata bytes of 268435456"),
    ] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "many_entries::attributes_take_bounded_memory", "--nocapture"])
            .env(CHILD, which)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
        let line = said.lines().find(|line| line.starts_with("peak ")).unwrap();
        assert!(line.contains(words), "{line}");
        let peak: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(peak < most, "{peak} MiB: {line}");
    }
}

struct HashWriter<'a>(&'a mut Hasher);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
