//! Reads header, descriptors and small objects of a SIF that anybody may have written.
//!
//! Everything is bounded and checked against the file's real length before it is used. No two parts
//! share bytes: not header, descriptors and objects, nor two objects. Which object is meant is never
//! guessed: two primary partitions, or two objects of one name or number, are an error, because
//! another reader could take the other one.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::descriptor::{self, Raw};
use super::{Arch, DataType, Descriptor, Header, SifError, header};

/// Descriptors that are read at most; apptainer writes 48 places.
pub const MAX_DESCRIPTORS: u64 = 1024;
/// Bytes of an object that are read into memory at most.
pub const MAX_OBJECT: u64 = 16 << 20;

/// Where the root file system lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its first byte, from the start of the SIF.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The processor that it is for.
    pub arch: Arch,
}

/// An opened SIF whose descriptors were read and checked.
pub struct SifReader<R> {
    source: R,
    header: Header,
    descriptors: Vec<Descriptor>,
}

impl<R: Read + Seek> SifReader<R> {
    /// Reads header and descriptors.
    ///
    /// # Errors
    /// When the file is not a SIF, is cut, holds numbers that point outside of it, or objects that
    /// share bytes or a number.
    pub fn open(mut source: R) -> Result<Self, SifError> {
        let length = source.seek(SeekFrom::End(0)).map_err(SifError::reading("length"))?;
        let mut bytes = [0; header::LEN];
        if length < bytes.len() as u64 {
            return Err(SifError::NotSif);
        }
        source.rewind().map_err(SifError::reading("header"))?;
        source.read_exact(&mut bytes).map_err(SifError::reading("header"))?;
        let header = Header::decode(&bytes)?;

        let total = field("the number of descriptors", header.total, MAX_DESCRIPTORS)?;
        let offset = field("the descriptors' offset", header.descriptors_offset, length)?;
        if total * descriptor::LEN as u64 > length - offset {
            return Err(SifError::Damaged {
                what: "the number of descriptors".into(),
                value: header.total,
                why: format!("more than the file's {length} bytes can hold"),
            });
        }
        // the header is no descriptor
        if offset < header::LEN as u64 && total > 0 {
            let (first, second) = ("the header".into(), "the descriptors".into());
            return Err(SifError::Overlap { first, second });
        }
        source.seek(SeekFrom::Start(offset)).map_err(SifError::reading("descriptors"))?;
        let mut descriptors = Vec::new();
        let mut bytes = [0; descriptor::LEN];
        for _ in 0..total {
            source.read_exact(&mut bytes).map_err(SifError::reading("descriptors"))?;
            let raw = Raw::decode(&bytes);
            if raw.used {
                descriptors.push(checked(raw, length)?);
            }
        }
        let front = offset..offset + total * descriptor::LEN as u64;
        distinct(&descriptors, front)?;
        Ok(Self { source, header, descriptors })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The used descriptors, in file order; each lies inside the file.
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    /// The primary system partition, which must be one squashfs.
    ///
    /// # Errors
    /// When there is none, more than one, or it is not a squashfs.
    pub fn partition(&self) -> Result<Partition, SifError> {
        let mut primary = self.descriptors.iter().filter_map(|d| Some((d, d.primary?)));
        let Some((found, arch)) = primary.next() else {
            return Err(SifError::NoPartition("none is marked as the primary system"));
        };
        if primary.next().is_some() {
            return Err(SifError::Ambiguous("primary partition".into()));
        }
        if !found.squashfs {
            return Err(SifError::NoPartition("its file system is another one or encrypted"));
        }
        Ok(Partition { offset: found.offset, size: found.size, arch })
    }

    /// Reads the JSON object of this name; see the names in [`crate::sif`].
    ///
    /// # Errors
    /// When there is none, more than one, or it is larger than [`MAX_OBJECT`].
    pub fn object(&mut self, name: &str) -> Result<Vec<u8>, SifError> {
        let named = |d: &&Descriptor| d.data_type == DataType::Json && d.name == name;
        let mut all = self.descriptors.iter().filter(named);
        let found = all.next().ok_or_else(|| SifError::NoObject(name.to_owned()))?.clone();
        if all.next().is_some() {
            return Err(SifError::Ambiguous(format!("object named {name:?}")));
        }
        self.read(&found)
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// When it is larger than [`MAX_OBJECT`] or cannot be read.
    pub fn read(&mut self, of: &Descriptor) -> Result<Vec<u8>, SifError> {
        if of.size > MAX_OBJECT {
            let name = of.name.clone();
            return Err(SifError::TooLarge { name, size: of.size, limit: MAX_OBJECT });
        }
        self.source.seek(SeekFrom::Start(of.offset)).map_err(SifError::reading("object"))?;
        let mut bytes = Vec::new();
        (&mut self.source)
            .take(of.size)
            .read_to_end(&mut bytes)
            .map_err(SifError::reading("object"))?;
        if bytes.len() as u64 != of.size {
            let cut = std::io::ErrorKind::UnexpectedEof.into();
            return Err(SifError::reading("object")(cut));
        }
        Ok(bytes)
    }

    /// Gives the reader back.
    pub fn into_inner(self) -> R {
        self.source
    }
}

fn field(what: &str, value: i64, limit: u64) -> Result<u64, SifError> {
    u64::try_from(value).ok().filter(|v| *v <= limit).ok_or_else(|| SifError::Damaged {
        what: what.to_owned(),
        value,
        why: format!("expected 0 to {limit}"),
    })
}

fn checked(raw: Raw, length: u64) -> Result<Descriptor, SifError> {
    let what = |field: &str| format!("the {field} of object {}", raw.id);
    let offset = field(&what("offset"), raw.offset, length)?;
    let size = field(&what("size"), raw.size, length - offset)?;
    // information only, so it need not be true
    let padded_size = u64::try_from(raw.padded_size).unwrap_or(size);
    Ok(Descriptor {
        data_type: raw.data_type,
        id: raw.id,
        offset,
        size,
        padded_size,
        time: raw.time,
        name: raw.name,
        primary: raw.primary,
        squashfs: raw.squashfs,
    })
}

/// No two objects share a number, and no two parts bytes; `table` is where the descriptors are.
fn distinct(descriptors: &[Descriptor], table: Range<u64>) -> Result<(), SifError> {
    let mut ids = HashSet::new();
    let mut parts = vec![
        (0..header::LEN as u64, "the header".to_owned()),
        (table, "the descriptors".to_owned()),
    ];
    for descriptor in descriptors {
        let name = format!("object {}", descriptor.id);
        if !ids.insert(descriptor.id) {
            return Err(SifError::Ambiguous(name));
        }
        // checked: the sum lies in the file
        parts.push((descriptor.offset..descriptor.offset + descriptor.size, name));
    }
    parts.retain(|(range, _)| !range.is_empty());
    parts.sort_by_key(|(range, _)| range.start);
    match parts.windows(2).find(|pair| pair[1].0.start < pair[0].0.end) {
        Some([(_, first), (_, second)]) => {
            Err(SifError::Overlap { first: first.clone(), second: second.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;

    use super::super::{Identity, SifWriter};
    use super::*;

    fn image() -> Vec<u8> {
        let identity = Identity {
            uuid: [7; 16],
            time: 1_700_000_000,
            arch: Arch::of(&"linux/amd64".parse().unwrap()).unwrap(),
        };
        let mut out = Cursor::new(Vec::new());
        let mut sif = SifWriter::begin(&mut out, identity).unwrap();
        sif.object(DataType::Definition, "", b"bootstrap: docker\n").unwrap();
        sif.object(DataType::Json, "moorline.json", b"{\"a\":1}").unwrap();
        let (_, at) = sif.partition().unwrap();
        assert_eq!(at % 4096, 0);
        sif.inner().write_all(&[0x5A; 5000]).unwrap();
        sif.finish(5000).unwrap();
        out.into_inner()
    }

    #[test]
    fn reads_what_was_written() {
        let bytes = image();
        let mut sif = SifReader::open(Cursor::new(&bytes)).unwrap();
        assert_eq!(sif.object("moorline.json").unwrap(), b"{\"a\":1}");
        assert!(matches!(sif.object("nothing"), Err(SifError::NoObject(_))));
        let partition = sif.partition().unwrap();
        assert_eq!((partition.size, partition.arch.name()), (5000, Some("amd64")));
        let at = usize::try_from(partition.offset).unwrap();
        assert_eq!(bytes[at..], [0x5A; 5000]);
        assert_eq!(sif.header().uuid, [7; 16]);
        let all = sif.descriptors();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].offset, all[0].id, all[2].id), (32176, 1, 3));
        // as apptainer counts: the padding lies before the object
        assert_eq!(all[2].padded_size, 5000 + (all[2].offset - (all[1].offset + all[1].size)));
    }

    #[test]
    fn two_meanings_are_refused() {
        let good = image();
        let refusal = |bytes: &[u8]| {
            let opened = SifReader::open(Cursor::new(bytes)).map(|sif| sif.partition());
            opened.and_then(|partition| partition).unwrap_err().to_string()
        };
        let first = 4096;
        let (second, third) = (first + 585, first + 2 * 585);
        let mut bytes = good.clone();
        bytes.copy_within(third..third + 585, second);
        assert!(refusal(&bytes).contains("more than one object 3,"));
        bytes[second + 5] = 2;
        assert!(refusal(&bytes).contains("damaged: object 2 and object 3 share bytes"));
        // the second partition takes the place of the JSON object
        bytes[second + 17..second + 33].copy_from_slice(&good[second + 17..second + 33]);
        assert!(refusal(&bytes).contains("more than one primary partition"));
    }

    #[test]
    fn what_shares_bytes_is_refused() {
        let good = image();
        let refusal = |changes: &[(usize, i64)]| {
            let mut bad = good.clone();
            for (at, value) in changes {
                bad[*at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            match SifReader::open(Cursor::new(&bad)) {
                Err(error) => error.to_string(),
                Ok(_) => panic!("{changes:?} was taken"),
            }
        };
        let object = |number: usize| 4096 + (number - 1) * 585 + 17;
        for (changes, parts) in [
            (&[(96, 0)][..], "the header and the descriptors"),
            (&[(96, 127)], "the header and the descriptors"),
            (&[(object(1), 0)], "the header and object 1"),
            (&[(object(1), 120)], "the header and object 1"),
            (&[(object(1), 5000)], "the descriptors and object 1"),
            (&[(object(1), 4000), (object(1) + 8, 97)], "object 1 and the descriptors"),
            (&[(object(1) + 8, 20)], "object 1 and object 2"),
            (&[(object(2) + 8, 3000)], "object 2 and object 3"),
            (&[(object(1), 128), (object(1) + 8, 35_000)], "object 1 and the descriptors"),
        ] {
            let error = refusal(changes);
            assert!(error.contains(&format!("{parts} share bytes")), "{parts}: {error}");
        }
        let bound = "the number of descriptors is";
        for total in [-1, 1025, i64::MAX, i64::MIN] {
            assert!(refusal(&[(88, total)]).contains(bound), "{total}");
        }
        // an empty object shares nothing, wherever it is
        let mut empty = good.clone();
        empty[object(1) + 8..object(1) + 16].fill(0);
        empty[object(1)..object(1) + 8].fill(0);
        assert!(SifReader::open(Cursor::new(&empty)).is_ok());
    }

    #[test]
    fn what_points_outside_is_refused() {
        let good = image();
        for (at, value) in [
            (88, -1_i64),
            (88, i64::MAX),
            (88, 100_000),
            (96, -5),
            (96, i64::MAX),
            (96, 1 << 40),
            (4096 + 17, -1),
            (4096 + 17, i64::MAX),
            (4096 + 25, -1),
            (4096 + 25, i64::MAX),
        ] {
            let mut bad = good.clone();
            bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
            assert!(SifReader::open(Cursor::new(&bad)).is_err(), "{value} at {at}");
        }
        assert!(matches!(SifReader::open(Cursor::new(&good[..100])), Err(SifError::NotSif)));
        assert!(matches!(SifReader::open(Cursor::new(&[0; 4096])), Err(SifError::NotSif)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            patches in prop::collection::vec((0_usize..8192, any::<u8>()), 0..40),
            cut in 0_usize..40_000,
        ) {
            let mut bytes = image();
            for (at, byte) in patches {
                bytes[at] = byte;
            }
            bytes.truncate(cut.max(1));
            if let Ok(mut sif) = SifReader::open(Cursor::new(&bytes)) {
                let _ = sif.partition();
                for d in sif.descriptors().to_vec() {
                    let _ = sif.read(&d);
                }
            }
        }
    }
}
