//! The first 128 bytes.
//!
//! ```text
//!   0  launch[32]   "#!/usr/bin/env run-singularity\n\0"
//!  32  magic[10]    "SIF_MAGIC\0"
//!  42  version[3]   "01\0"
//!  45  arch[3]      "02\0" = amd64
//!  48  uuid[16]
//!  64  i64          created, seconds since 1970
//!  72  i64          modified
//!  80  i64          descriptors free
//!  88  i64          descriptors in all
//!  96  i64          descriptors' offset
//! 104  i64          descriptors' size in bytes
//! 112  i64          data's offset
//! 120  i64          data's size in bytes
//! ```
//!
//! All little-endian, no padding. Source: sylabs/sif `pkg/sif/sif.go`, `type header`.

use super::{Arch, SifError};

/// The header's length in bytes.
pub(super) const LEN: usize = 128;
const LAUNCH: &[u8; 32] = b"#!/usr/bin/env run-singularity\n\0";
const MAGIC: &[u8; 10] = b"SIF_MAGIC\0";
const VERSION: &[u8; 3] = b"01\0";

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The processor of the primary partition.
    pub arch: Arch,
    /// A random or derived id.
    pub uuid: [u8; 16],
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970.
    pub modified: i64,
    /// Unused descriptors.
    pub free: i64,
    /// All descriptors.
    pub total: i64,
    /// Where the descriptors start.
    pub descriptors_offset: i64,
    /// Their length in bytes.
    pub descriptors_size: i64,
    /// Where the objects start.
    pub data_offset: i64,
    /// Their length in bytes.
    pub data_size: i64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..32].copy_from_slice(LAUNCH);
        out[32..42].copy_from_slice(MAGIC);
        out[42..45].copy_from_slice(VERSION);
        out[45..48].copy_from_slice(&self.arch.bytes());
        out[48..64].copy_from_slice(&self.uuid);
        let numbers = [
            self.created,
            self.modified,
            self.free,
            self.total,
            self.descriptors_offset,
            self.descriptors_size,
            self.data_offset,
            self.data_size,
        ];
        for (slot, number) in out[64..].chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8; LEN]) -> Result<Self, SifError> {
        if bytes[32..42] != *MAGIC {
            return Err(SifError::NotSif);
        }
        if bytes[42..45] != *VERSION {
            let version = String::from_utf8_lossy(&bytes[42..45]);
            return Err(SifError::Version(version.trim_end_matches('\0').to_owned()));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[48..64]);
        let mut numbers = [0_i64; 8];
        for (number, raw) in numbers.iter_mut().zip(bytes[64..].chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(raw);
            *number = i64::from_le_bytes(word);
        }
        let [
            created,
            modified,
            free,
            total,
            descriptors_offset,
            descriptors_size,
            data_offset,
            data_size,
        ] = numbers;
        Ok(Self {
            arch: Arch::from_bytes([bytes[45], bytes[46], bytes[47]]),
            uuid,
            created,
            modified,
            free,
            total,
            descriptors_offset,
            descriptors_size,
            data_offset,
            data_size,
        })
    }
}
