//! Images that nobody should write: our writer's, with bytes changed by hand. The incidents are
//! named after their CVEs; what they do not do to a disk is tests/execute/image.rs.

use std::io::Read;

use moorline::squashfs::read::{Decoder, Image, Kind, Limits, ReadError};

use crate::squashfs_reader::made::{Flat, Made};

/// Reads everything, or says why not.
fn read_with(bytes: &[u8], limits: Limits) -> Result<u64, String> {
    let image = Image::open(bytes, 0, bytes.len() as u64, limits).map_err(|e| e.to_string())?;
    let mut decoder = Decoder::new(&image).map_err(|e| e.to_string())?;
    let mut sum = 0;
    for entry in image.walk() {
        let entry = entry.map_err(|e| e.to_string())?;
        image.xattrs(&entry.inode).map_err(|e| e.to_string())?;
        if let Kind::File(file) = &entry.inode.kind {
            let mut content = image.content(file, &mut decoder);
            let mut buffer = vec![0; 8192];
            loop {
                match content.read(&mut buffer).map_err(|e| e.to_string())? {
                    0 => break,
                    n => sum += n as u64,
                }
            }
        }
    }
    Ok(sum)
}

fn read(bytes: &[u8]) -> Result<u64, String> {
    read_with(bytes, Limits::default())
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    match read(bytes) {
        Ok(_) => panic!("it was read, but should be refused: {why}"),
        Err(error) => assert!(error.contains(why), "{error:?} does not say {why:?}"),
    }
}

/// Root 1, aaaa 2, bbbb 3, cccc 4, dddd 5, aaaa/in 6.
fn small() -> Flat {
    Made::new()
        .file("aaaa/in", b"inner text")
        .symlink("bbbb", "../outside")
        .file("cccc", &b"some text ".repeat(1000))
        .dir("dddd")
        .flat()
}

#[test]
fn the_small_image_is_good() {
    assert_eq!(read(&small().bytes), Ok(10_010));
}

#[test]
fn cve_2021_40153_a_name_that_leads_elsewhere() {
    let flat = small();
    for (name, why) in [
        (&b"a/aa"[..], "\"a/aa\" is refused: it holds a slash"),
        (b"../a", "it holds a slash"),
        (b"/aaa", "it holds a slash"),
        (b"aaa/", "it holds a slash"),
        (b"aa\0a", "it holds a NUL byte"),
    ] {
        refused(&flat.renamed("aaaa", name), why);
    }
    for (from, to) in [("a", "."), ("bb", "..")] {
        let flat = Made::new().file(from, b"x").flat();
        refused(&flat.renamed(from, to.as_bytes()), "it leads out of its directory");
    }
}

#[test]
fn cve_2021_41072_a_symlink_and_a_file_of_one_name() {
    let flat = small();
    refused(&flat.renamed("cccc", b"bbbb"), "\"bbbb\" is refused: it is there twice");
    refused(&flat.renamed("aaaa", b"bbbb"), "\"bbbb\" is refused: it is there twice");
    // nor with a name between them, which no comparison of neighbours would find
    refused(&flat.renamed("dddd", b"bbbb"), "the directory is not sorted");
}

#[test]
fn cve_2020_15229_a_symlink_that_is_written_through() {
    // the link "bbbb" becomes a directory for what comes behind it
    let flat = small();
    refused(&flat.renamed("dddd", b"b/xx"), "it holds a slash");
    // a directory's name leads to the link's inode
    let at = flat.name("aaaa") - 8;
    let link = u16::try_from(flat.inode(3) - flat.inodes).unwrap();
    refused(&flat.with(at, &link.to_le_bytes()), "it has type 1 and number 2, the inode 3 and 3");
}

#[test]
fn directories_in_a_circle() {
    let flat = small();
    let offset = |number| u16::try_from(flat.inode(number) - flat.inodes).unwrap().to_le_bytes();
    // aaaa is the root
    let at = flat.name("aaaa") - 8;
    let mut bytes = flat.with(at, &offset(1));
    bytes[at + 2..at + 4].copy_from_slice(&(-1_i16).to_le_bytes());
    let delta_to_root = read(&bytes).unwrap_err();
    // the run counts from another number, whatever it is: both answers name the circle
    assert!(
        delta_to_root.contains("a directory has two names") || delta_to_root.contains("number"),
        "{delta_to_root}"
    );
    // dddd is aaaa once more
    let at = flat.name("dddd") - 8;
    let mut bytes = flat.with(at, &offset(2));
    let first = flat.name("aaaa") - 8;
    bytes.copy_within(first + 2..first + 4, at + 2);
    refused(&bytes, "a directory has two names");
    // dddd's listing is the root's: as deep as one likes, were there not the inodes' numbers
    let mut bytes = flat.bytes.clone();
    let (root, inner) = (flat.inode(1), flat.inode(5));
    bytes.copy_within(root + 16..root + 28, inner + 16);
    refused(&bytes, "a directory has two names");
}

#[test]
fn one_number_for_two_inodes() {
    let flat = small();
    let two = flat.inode(2);
    let mut bytes = flat.bytes.clone();
    bytes[two + 12..two + 16].copy_from_slice(&4_u32.to_le_bytes());
    refused(&bytes, "number");
    for number in [0, 7, u32::MAX] {
        bytes[two + 12..two + 16].copy_from_slice(&number.to_le_bytes());
        refused(&bytes, "the superblock has 6");
    }
}

#[test]
fn numbers_that_cannot_be() {
    let flat = small();
    let (file, link, directory) = (flat.inode(4), flat.inode(3), flat.inode(2));
    // a type's bits in the mode would be added to the inode's own by a kernel
    refused(&flat.with(file + 2, &0x8180_u16.to_le_bytes()), "has the mode 100600");
    refused(&flat.with(file, &15_u16.to_le_bytes()), "has the type 15");
    refused(&flat.with(file + 4, &9_u16.to_le_bytes()), "id table: number 9 of");
    refused(&flat.with(file + 16, &u32::MAX.to_le_bytes()), "data: a block of");
    refused(&flat.with(file + 20, &77_u32.to_le_bytes()), "fragment table: number 77 of");
    refused(&flat.with(file + 24, &u32::MAX.to_le_bytes()), "data: a tail of");
    refused(&flat.with(file + 28, &u32::MAX.to_le_bytes()), "the squashfs is damaged");
    refused(&flat.with(file + 32, &0x00FF_FFFF_u32.to_le_bytes()), "data: a block of 16777215");
    refused(&flat.with(file + 32, &0x8000_0001_u32.to_le_bytes()), "data: a block of");
    for length in [0_u32, 4096, u32::MAX] {
        refused(&flat.with(link + 20, &length.to_le_bytes()), "target of");
    }
    refused(&flat.with(link + 24, b"\0"), "holds a NUL byte");
    refused(&flat.with(directory + 16, &u32::MAX.to_le_bytes()), "directory table");
    refused(&flat.with(directory + 26, &8191_u16.to_le_bytes()), "directory table");
    refused(&flat.with(directory + 26, &8192_u16.to_le_bytes()), "directory table: a reference");
    // it goes on with the root's names
    refused(&flat.with(directory + 24, &u16::MAX.to_le_bytes()), "the directory is not sorted");
    refused(&flat.with(flat.directories, &256_u32.to_le_bytes()), "a run of 257 names");
    refused(&flat.with(flat.directories, &u32::MAX.to_le_bytes()), "a run of 4294967295 names");
    refused(&flat.with(flat.fragments, &u64::MAX.to_le_bytes()), "data: a block of");
    // a socket in place of a pipe is read
    let flat = Made::new().fifo("f").flat();
    let mut bytes = flat.with(flat.inode(2), &7_u16.to_le_bytes());
    refused(&bytes, "it has type 6 and number 2, the inode 7 and 2");
    bytes[flat.name("f") - 4] = 7;
    assert_eq!(read(&bytes), Ok(0));
}

#[test]
fn a_superblock_that_cannot_be() {
    let flat = small();
    refused(&flat.with(0, b"sqsh"), "not a squashfs");
    refused(&flat.bytes[..95], "not a squashfs");
    refused(&[], "not a squashfs");
    refused(&flat.with(28, &3_u16.to_le_bytes()), "version 3.0");
    refused(&flat.with(12, &0_u32.to_le_bytes()), "a block size of 0");
    refused(&flat.with(12, &8192_u32.to_le_bytes()), "a block size of 8192, whose logarithm is 12");
    refused(&flat.with(12, &(1_u32 << 31).to_le_bytes()), "a block size");
    for (number, name) in [(2, "lzma"), (3, "lzo"), (4, "xz"), (0, "number 0"), (7, "number 7")] {
        refused(&flat.with(20, &[number]), name);
    }
    refused(&flat.with(40, &u64::MAX.to_le_bytes()), "are used of");
    refused(&flat.with(40, &95_u64.to_le_bytes()), "are used of");
    for at in [48, 64, 72, 80] {
        for value in [0, 95, 1 << 40, u64::MAX - 1, u64::MAX] {
            let error = read(&flat.with(at, &value.to_le_bytes())).unwrap_err();
            assert!(error.contains("damaged"), "{at} {value}: {error}");
        }
    }
    for value in [0, 95, u64::MAX - 1] {
        assert!(read(&flat.with(56, &value.to_le_bytes())).is_err(), "{value}");
    }
    for root in [1_u64, 0x2000, u64::MAX, 5 << 16] {
        assert!(read(&flat.with(32, &root.to_le_bytes())).is_err(), "{root:#x}");
    }
    for count in [u32::MAX, 1 << 20] {
        refused(&flat.with(16, &count.to_le_bytes()), "fragment table");
    }
    refused(&flat.with(26, &u16::MAX.to_le_bytes()), "id table");
}

#[test]
fn attributes_that_cannot_be() {
    let flat = Made::new()
        .file("f", b"x")
        .xattr("f", "user.aa", &[7; 1000])
        .xattr("f", "user.bb", b"second")
        .flat();
    assert_eq!(read(&flat.bytes), Ok(1));
    let at = flat.attributes;
    refused(&flat.with(at, &3_u16.to_le_bytes()), "namespace 3");
    refused(&flat.with(at + 2, &u16::MAX.to_le_bytes()), "attribute table");
    refused(&flat.with(at + 2, &0_u16.to_le_bytes()), "the name");
    let second = at + 4 + 2 + 4 + 1000;
    refused(&flat.with(second + 4, b"aa"), "\"user.aa\" comes twice");
    refused(&flat.with(at + 6, &u32::MAX.to_le_bytes()), "limit xattr bytes of 262144");
    // a value elsewhere: only its eight bytes can be there
    refused(&flat.with(at, &0x100_u16.to_le_bytes()), "a reference of 1000 bytes");
    refused(&flat.with(flat.sets + 8, &u32::MAX.to_le_bytes()), "attribute table");
    refused(&flat.with(flat.sets, &u64::MAX.to_le_bytes()), "attribute table");
    // a set that is not there
    refused(&flat.with(flat.inode(2) + 52, &9_u32.to_le_bytes()), "attribute table: number 9 of 1");
}

#[test]
fn limits_are_named() {
    let made = Made::new().file("a/b/c/d", &[1; 5000]).xattr("a", "user.x", &[1; 100]);
    let bytes = made.flat().bytes;
    let good = Limits::default();
    for (limits, name) in [
        (Limits { entries: 4, ..good.clone() }, "entries of 4"),
        (Limits { path_depth: 2, ..good.clone() }, "path depth of 2"),
        (Limits { path_bytes: 6, ..good.clone() }, "path bytes of 6"),
        (Limits { content_bytes: 4999, ..good.clone() }, "content bytes of 4999"),
        (Limits { xattr_bytes: 100, ..good.clone() }, "xattr bytes of 100"),
    ] {
        let error = read_with(&bytes, limits).unwrap_err();
        assert!(error.contains(&format!("more than the limit {name} allows")), "{error}");
    }
    let enough =
        Limits { entries: 5, path_depth: 3, path_bytes: 7, content_bytes: 5000, xattr_bytes: 106 };
    assert_eq!(read_with(&bytes, enough), Ok(5000));
}

/// Every byte of tables and superblock, changed in several ways, and the file cut at every place:
/// read or refused, and errors are such by name.
#[test]
fn every_byte_changed() {
    let flat = Made::new()
        .file("aaaa/in", b"inner text")
        .symlink("bbbb", "../outside")
        .file("cccc", &b"some text ".repeat(1000))
        .xattr("cccc", "user.aa", b"value")
        .link("link", "cccc")
        .flat();
    let limits = Limits { content_bytes: 1 << 24, entries: 1000, ..Limits::default() };
    let mut read_anyway = 0;
    for at in (0..96).chain(flat.inodes - 2..flat.bytes.len()) {
        for change in [0xFF, 0x01, 0x80, 0x04] {
            let byte = flat.bytes[at] ^ change;
            read_anyway += u32::from(read_with(&flat.with(at, &[byte]), limits.clone()).is_ok());
        }
    }
    // times, owners, padding and the export table
    assert!(read_anyway > 100, "{read_anyway}");
    let used = crate::squashfs_reader::made::long(&flat.bytes, 40);
    for end in 0..used {
        read(&flat.bytes[..end]).unwrap_err();
    }
}

#[test]
fn a_stored_block_of_other_length() {
    // the data's only block says one byte less than it has
    let flat = Made::new().file("a", &[7; 4096]).flat();
    let file = flat.inode(2);
    let size = u32::from_le_bytes(flat.bytes[file + 32..file + 36].try_into().unwrap());
    refused(&flat.with(file + 32, &(size - 1).to_le_bytes()), "data");
    let stored = (1 << 24) + 100_u32;
    refused(&flat.with(file + 32, &stored.to_le_bytes()), "a block of 100 bytes instead of 4096");
    let longer = flat.with(file + 28, &4097_u32.to_le_bytes());
    assert!(read(&longer).is_err());
}

#[test]
fn errors_are_failures_with_a_kind() {
    use moorline::failure::{Failure, Kind};
    let flat = small();
    let bytes = flat.with(20, &[4]);
    let error = Image::open(&bytes, 0, bytes.len() as u64, Limits::default()).err().unwrap();
    assert_eq!(error.kind(), Kind::Conversion);
    assert!(error.hint().is_some());
    let bytes = flat.renamed("aaaa", b"a/aa");
    let image = Image::open(&bytes, 0, bytes.len() as u64, Limits::default()).unwrap();
    let error = image.walk().find_map(Result::err).unwrap();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(matches!(error, ReadError::In { .. }));
}
