//! Which file systems belong to one machine: their locks tell about all processes that use them.
//!
//! Source: `statfs(2)`, `linux/magic.h`. What is not in the list counts as a network file system.

/// tmpfs, ramfs, ext2 to 4, xfs, btrfs, zfs, f2fs, overlay, bcachefs.
const LOCAL: [u32; 9] = [
    0x0102_1994,
    0x8584_58f6,
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x2fc1_2fc1,
    0xf2f5_2010,
    0x794c_7630,
    0xca45_1a4e,
];

/// Whether `f_type` of `statfs(2)` is that of a file system of one machine.
#[must_use]
pub fn is_local(kind: impl Into<i128>) -> bool {
    let kind = kind.into();
    LOCAL.iter().any(|local| i128::from(*local) == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_not_local() {
        assert!(is_local(0xef53_i64) && is_local(0x0102_1994_u32));
        // NFS, Lustre, FUSE, CIFS
        for kind in [0x6969_i64, 0x0bd0_0bd0, 0x6573_5546, 0xff53_4d42] {
            assert!(!is_local(kind));
        }
    }
}
