use std::io::{Cursor, Seek, SeekFrom, Write};
use std::sync::Mutex;

use proptest::prelude::*;

use super::shape::{FAN, Shape};
use super::*;
use crate::files::ReadAt;
use crate::oci::{Sha256Digest, SifDigest, TreeRoot};
use crate::sif::{Arch, DataType, Identity, PROVENANCE, SifWriter};

/// A SIF of a file system of so many bytes, each block another, and its root.
fn sif(size: usize) -> (Vec<u8>, TreeRoot) {
    let arch = Arch::of(&"linux/amd64".parse().unwrap()).unwrap();
    let mut out = Cursor::new(Vec::new());
    let mut sif = SifWriter::begin(&mut out, Identity { uuid: [7; 16], time: 5, arch }).unwrap();
    sif.object(DataType::Json, PROVENANCE, b"{\"a\":1}").unwrap();
    sif.partition().unwrap();
    let system: Vec<u8> = (0..size).map(|at| (at / 97 + at).to_le_bytes()[0]).collect();
    sif.inner().write_all(&system).unwrap();
    let ended = sif.finish_with_tree(size as u64).unwrap();
    let mut builder = Builder::new(ended.partition);
    let bytes = &out.get_ref()[..usize::try_from(ended.end).unwrap()];
    // in pieces that fit no block
    bytes.chunks(1000).for_each(|piece| builder.update(piece));
    let built = builder.finish();
    out.seek(SeekFrom::Start(ended.tree)).unwrap();
    out.write_all(&built.bytes).unwrap();
    let bytes = out.into_inner();
    assert_eq!(bytes.len() as u64, ended.length);
    (bytes, built.root)
}

fn open(bytes: &[u8], root: TreeRoot) -> Result<Sealed, HashTreeError> {
    Sealed::open(&bytes, bytes.len() as u64, root)
}

fn place(sealed: &Sealed) -> std::ops::Range<usize> {
    let of = |n: u64| usize::try_from(n).unwrap();
    let partition = sealed.partition();
    of(partition.offset)..of(partition.offset + partition.size)
}

const SIZES: [usize; 6] = [1, 5000, 16 << 10, (16 << 10) + 1, 100_000, (16 << 10) * 130];

#[test]
fn one_reading_gives_digest_and_root() {
    for size in SIZES {
        let (mut bytes, root) = sif(size);
        let read = |bytes: &Vec<u8>| once(bytes, bytes.len() as u64).unwrap();
        let of = |bytes: &[u8], root| Once { digest: SifDigest::of(bytes), root };
        assert_eq!(read(&bytes), of(&bytes, Some(root)));
        let (place, end) = (place(&open(&bytes, root).unwrap()), bytes.len());
        // the digest is that of the bytes; a root only where the tree is theirs
        for at in [60, place.start - 1, place.start, place.end - 1, end - 33, end - 1] {
            bytes[at] ^= 1;
            assert_eq!(read(&bytes), of(&bytes, None), "{at} of {size}");
            bytes[at] ^= 1;
        }
        // behind the tree lies nothing that it stands for
        bytes.push(0);
        assert_eq!(read(&bytes), of(&bytes, Some(root)));
        let cut = bytes.len() as u64 + 1;
        assert!(once(&bytes, cut).is_err(), "a file that is shorter than it was");
    }
}

/// Gives one file to who looks where the parts lie, and another one to who reads them.
struct Exchanged(Mutex<usize>, Vec<u8>, Vec<u8>);

impl ReadAt for Exchanged {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        let whole = at == 0 && buffer.len() > 4096;
        let mut reads = self.0.lock().unwrap();
        *reads += usize::from(whole);
        if *reads == 0 {
            self.1.read_exact_at(buffer, at)
        } else {
            self.2.read_exact_at(buffer, at)
        }
    }
}

#[test]
fn a_file_that_was_exchanged_in_between_has_no_root_of_the_other() {
    let ((one, _), (other, root)) = (sif(5000), sif(100_000));
    let length = other.len() as u64;
    let found = once(&Exchanged(Mutex::new(0), one, other.clone()), length).unwrap();
    assert_eq!(found, Once { digest: SifDigest::of(&other), root: None });
    let same = Exchanged(Mutex::new(0), other.clone(), other.clone());
    assert_eq!(once(&same, length).unwrap().root, Some(root));
}

#[test]
fn the_bytes_are_read_as_they_are() {
    for size in SIZES {
        let (bytes, root) = sif(size);
        let sealed = open(&bytes, root).unwrap();
        assert_eq!(sealed.sif().unwrap().object(PROVENANCE).unwrap(), b"{\"a\":1}");
        let system = &bytes[place(&sealed)];
        assert_eq!(system.len(), size);
        let checked = sealed.checked(&bytes);
        for (at, length) in [(0, size), (0, 1), (size - 1, 1), (size / 3, size / 2), (size / 2, 0)]
        {
            let mut read = vec![0; length];
            checked.read_exact_at(&mut read, at as u64).unwrap();
            assert!(read == system[at..at + length], "{length} at {at} of {size}");
        }
        assert!(checked.read_exact_at(&mut [0; 2], size as u64 - 1).is_err());
        assert!(checked.read_exact_at(&mut [0; 2], u64::MAX).is_err());
        let counted = checked.counted();
        assert!(counted.read > 0 && (counted.refused, counted.failed) == (0, 0), "{counted:?}");
        assert_eq!(check(&bytes, bytes.len() as u64).unwrap(), Some(root));
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    for size in [5000, 100_000] {
        let (good, root) = sif(size);
        let range = place(&open(&good, root).unwrap());
        for at in (0..good.len()).step_by(509).chain([range.start, range.end - 1, good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let Ok(sealed) = open(&bad, root) else {
                assert!(!range.contains(&at), "the file system is looked at when it is read");
                continue;
            };
            let checked = sealed.checked(&bad);
            let mut read = vec![0; size];
            let all = checked.read_exact_at(&mut read, 0);
            if range.contains(&at) {
                assert!(all.is_err() && checked.counted().refused == 1, "{at}");
                assert!(check(&bad, bad.len() as u64).is_err());
            } else if all.is_ok() {
                // only what nobody uses may differ: the zeros between the parts
                assert!(at >= range.end && read == good[range.clone()], "{at}");
            }
        }
    }
}

/// A file that somebody else writes to.
struct Shared(Mutex<Vec<u8>>);

impl ReadAt for Shared {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        self.0.lock().unwrap().read_exact_at(buffer, at)
    }
}

#[test]
fn what_changes_after_the_start_is_refused_then() {
    let (bytes, root) = sif(300_000);
    let sealed = open(&bytes, root).unwrap();
    let range = place(&sealed);
    let file = Shared(Mutex::new(bytes.clone()));
    let checked = sealed.checked(&file);
    let read = |at: usize| {
        let mut one = [0; 1];
        checked.read_exact_at(&mut one, at as u64).map(|()| one[0])
    };
    assert_eq!(read(100_000).unwrap(), bytes[range.start + 100_000]);
    file.0.lock().unwrap()[range.clone()].fill(0xEE);
    // the block that was checked is in memory of ours; no other one is believed
    assert_eq!(read(100_000).unwrap(), bytes[range.start + 100_000]);
    let refused = read(200_000).unwrap_err();
    let why = refused.get_ref().and_then(|why| why.downcast_ref::<Refused>());
    assert_eq!(why, Some(&Refused { block: 12 }));
    // cut in the middle of what is wanted
    file.0.lock().unwrap().truncate(range.start + 250_000);
    assert!(read(260_000).is_err());
    assert_eq!(checked.counted().refused, 2);
    // growth changes nothing that was pinned
    *file.0.lock().unwrap() = [&bytes[..], &[1; 5000]].concat();
    assert_eq!(read(260_000).unwrap(), bytes[range.start + 260_000]);
}

#[test]
fn a_rewritten_tree_has_another_root() {
    let (good, root) = sif(100_000);
    let mut other = good.clone();
    let range = place(&open(&good, root).unwrap());
    other[range.start + 5] ^= 1;
    // somebody who can write the file makes a tree that fits
    let mut builder = Builder::new(range.start as u64);
    builder.update(&other[..range.end]);
    let built = builder.finish();
    let tree = other.len() - built.bytes.len();
    other[tree..].copy_from_slice(&built.bytes);
    assert_eq!(check(&other, other.len() as u64).unwrap(), Some(built.root));
    assert!(open(&other, built.root).is_ok());
    let error = open(&other, root).unwrap_err();
    assert!(matches!(error, HashTreeError::Root { expected, .. } if expected == root), "{error}");
    // or moves the parts: the front says where they lie
    let without = {
        let arch = Arch::of(&"linux/amd64".parse().unwrap()).unwrap();
        let mut out = Cursor::new(Vec::new());
        let mut sif =
            SifWriter::begin(&mut out, Identity { uuid: [7; 16], time: 5, arch }).unwrap();
        sif.partition().unwrap();
        sif.inner().write_all(&[1; 5000]).unwrap();
        sif.finish(5000).unwrap();
        out.into_inner()
    };
    assert!(matches!(open(&without, root), Err(HashTreeError::Absent)));
    assert_eq!(check(&without, without.len() as u64).unwrap(), None);
}

#[test]
fn shapes() {
    assert_eq!(Shape::of(0).levels.len(), 1);
    assert_eq!(length(1), 104 + 32);
    assert_eq!(length(BLOCK * FAN), 104 + 4096);
    assert_eq!(length(BLOCK * FAN + 1), 104 + 129 * 32 + 64);
    // the largest file that there can be has a tree, and nothing overflows
    let most = Shape::of(u64::MAX);
    assert_eq!(most.levels.last().map(|(_, count)| *count <= FAN), Some(true));
    assert_eq!(most.node(0, u64::MAX), None);
    assert_eq!(most.node(99, 0), None);
}

proptest! {
    /// Whoever chose the root may have written anything: it is read or refused, and never panics.
    #[test]
    fn hostile_trees_are_read_or_refused(
        patches in prop::collection::vec((0_usize..400, any::<u8>()), 0..6),
        far in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        size in 1_usize..70_000,
        whole in any::<bool>(),
    ) {
        let (mut bytes, _) = sif(size);
        let tree = bytes.len() - usize::try_from(length(size as u64)).unwrap();
        for (at, byte) in patches {
            // descriptors, and the tree's own first bytes
            let at = if at % 2 == 0 { 4096 + at * 4 } else { tree + at % 104 };
            bytes[at] = byte;
        }
        for (at, byte) in far {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // the root fits to what stands there now
        let root = TreeRoot::of(&bytes[tree..tree + 104]);
        if !whole {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        if let Ok(sealed) = open(&bytes, root) {
            let checked = sealed.checked(&bytes);
            let size = sealed.partition().size;
            let mut read = vec![0; usize::try_from(size.min(1 << 20)).unwrap()];
            let _ = checked.read_exact_at(&mut read, 0);
            let _ = checked.read_exact_at(&mut read[..1], size.saturating_sub(1));
        }
        let _ = check(&bytes, bytes.len() as u64);
    }
}
