//! One of the 585-byte records that say what lies where.
//!
//! ```text
//!   0  i32   type           0x4001 definition file, 0x4004 partition, 0x4006 generic JSON, 0x4007 bytes
//!   4  u8    used           0 or 1
//!   5  u32   id             from 1
//!   9  u32   group          0xF0000000 + number of the group
//!  13  u32   link           id of the object that this one is about, 0 for none
//!  17  i64   offset         from the start of the file
//!  25  i64   size
//!  33  i64   size and the padding *before* it
//!  41  i64   created        seconds since 1970
//!  49  i64   modified
//!  57  i64   uid
//!  65  i64   gid
//!  73  name[128]            NUL-padded
//! 201  extra[384]           a partition's: i32 file system, i32 kind, arch[3]
//! ```
//!
//! Little-endian, packed. Source: sylabs/sif `pkg/sif/descriptor.go`, `type rawDescriptor`.

use super::Arch;

/// A descriptor's length in bytes.
pub(super) const LEN: usize = 585;
/// The only group that Moorline writes; apptainer's objects are in it, too.
const GROUP: u32 = 0xF000_0001;
/// `extra`: a squashfs.
const FS_SQUASH: i32 = 1;
/// `extra`: the partition that is the container's root file system.
const PRIMARY_SYSTEM: i32 = 2;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// A definition file: how the image was built.
    Definition,
    /// A file system.
    Partition,
    /// A signature; listed, not understood.
    Signature,
    /// JSON under a name.
    Json,
    /// Bytes under a name.
    Generic,
    /// Anything else, by its number.
    Other(i32),
}

impl DataType {
    fn from_number(number: i32) -> Self {
        match number {
            0x4001 => Self::Definition,
            0x4004 => Self::Partition,
            0x4005 => Self::Signature,
            0x4006 => Self::Json,
            0x4007 => Self::Generic,
            other => Self::Other(other),
        }
    }

    fn number(self) -> i32 {
        match self {
            Self::Definition => 0x4001,
            Self::Partition => 0x4004,
            Self::Signature => 0x4005,
            Self::Json => 0x4006,
            Self::Generic => 0x4007,
            Self::Other(number) => number,
        }
    }
}

/// A used descriptor. Read ones are checked to lie inside the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub data_type: DataType,
    /// Its number, from 1.
    pub id: u32,
    /// Where it starts, in bytes from the start of the file.
    pub offset: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// `size` and the padding that was put in front.
    pub padded_size: u64,
    /// Seconds since 1970.
    pub time: i64,
    /// Its name, empty for definition files and partitions; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// For the partition that is run: its processor.
    pub primary: Option<Arch>,
    /// Whether the partition's file system is squashfs.
    pub squashfs: bool,
}

/// What stands in a descriptor before anything was checked.
pub(super) struct Raw {
    pub(super) used: bool,
    pub(super) data_type: DataType,
    pub(super) id: u32,
    pub(super) offset: i64,
    pub(super) size: i64,
    pub(super) padded_size: i64,
    pub(super) time: i64,
    pub(super) name: String,
    pub(super) primary: Option<Arch>,
    pub(super) squashfs: bool,
}

/// Reads fixed-width numbers off the front of a slice whose length was checked by its type.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (head, tail) = self.0.split_at(N.min(self.0.len()));
        out[..head.len()].copy_from_slice(head);
        self.0 = tail;
        out
    }
}

impl Raw {
    pub(super) fn decode(bytes: &[u8; LEN]) -> Self {
        let mut c = Cursor(bytes);
        let data_type = DataType::from_number(i32::from_le_bytes(c.take()));
        let used = c.take::<1>()[0] != 0;
        let id = u32::from_le_bytes(c.take());
        let (_group, _link) = (c.take::<4>(), c.take::<4>());
        let mut number = || i64::from_le_bytes(c.take());
        let (offset, size, padded_size, time) = (number(), number(), number(), number());
        let (_modified, _uid, _gid) = (number(), number(), number());
        let name: [u8; 128] = c.take();
        let name = name.split(|b| *b == 0).next().unwrap_or_default();
        let (file_system, kind) = (i32::from_le_bytes(c.take()), i32::from_le_bytes(c.take()));
        let partition = data_type == DataType::Partition;
        Self {
            used,
            data_type,
            id,
            offset,
            size,
            padded_size,
            time,
            name: String::from_utf8_lossy(name).into_owned(),
            primary: (partition && kind == PRIMARY_SYSTEM).then(|| Arch::from_bytes(c.take())),
            squashfs: partition && file_system == FS_SQUASH,
        }
    }
}

impl Descriptor {
    /// The bytes. Names are cut at 127 bytes; the writer's own names are far shorter.
    pub(super) fn encode(&self) -> [u8; LEN] {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX).to_le_bytes();
        let mut out = Vec::with_capacity(LEN);
        out.extend(self.data_type.number().to_le_bytes());
        out.push(1);
        out.extend(self.id.to_le_bytes());
        out.extend(GROUP.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        out.extend(signed(self.offset));
        out.extend(signed(self.size));
        out.extend(signed(self.padded_size));
        out.extend(self.time.to_le_bytes());
        out.extend(self.time.to_le_bytes());
        out.extend(0_i64.to_le_bytes());
        out.extend(0_i64.to_le_bytes());
        let mut name = [0; 128];
        for (slot, byte) in name[..127].iter_mut().zip(self.name.bytes()) {
            *slot = byte;
        }
        out.extend(name);
        if let Some(arch) = self.primary {
            out.extend(FS_SQUASH.to_le_bytes());
            out.extend(PRIMARY_SYSTEM.to_le_bytes());
            out.extend(arch.bytes());
        }
        let mut bytes = [0; LEN];
        bytes[..out.len()].copy_from_slice(&out);
        bytes
    }
}
