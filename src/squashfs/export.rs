//! The export table: from an inode's number to its place, for NFS servers.
//!
//! ```text
//! u64 reference of inode 1, u64 reference of inode 2, ...
//! ```

pub(super) fn records(references: &[u64]) -> Vec<u8> {
    references.iter().flat_map(|reference| reference.to_le_bytes()).collect()
}
