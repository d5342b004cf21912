//! The fragment table: where each block of tails lies.
//!
//! ```text
//! u64 place   u32 size | 1 << 24 when stored uncompressed   u32 0        16 bytes
//! ```

/// The bit of a data block's size that says it is stored uncompressed.
pub(super) const UNCOMPRESSED: u32 = 1 << 24;
/// The number of no fragment, for files without a tail.
pub(super) const NO_FRAGMENT: u32 = u32::MAX;

/// A block of tails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) place: u64,
    /// As stored, with [`UNCOMPRESSED`].
    pub(super) size: u32,
}

pub(super) fn records(fragments: &[Fragment]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fragments.len() * 16);
    for fragment in fragments {
        out.extend(fragment.place.to_le_bytes());
        out.extend(fragment.size.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
    }
    out
}
