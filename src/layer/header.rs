//! The 512-byte block in front of every tar entry.
//!
//! ```text
//!   0 name[100]   100 mode[8]  108 uid[8]  116 gid[8]  124 size[12]  136 mtime[12]
//! 148 checksum[8] 156 type     157 link[100]
//! 257 magic[6] version[2]      "ustar\0" "00" POSIX, "ustar " " \0" GNU, else old
//! 265 user[32]  297 group[32]  329 major[8]  337 minor[8]
//! 345 prefix[155]              POSIX; star (ends in "tar\0"): prefix[131]; GNU: see sparse.rs
//! ```
//!
//! Numbers: `number.rs`. Source: POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic
//! Tar Format".

use super::number::number;

/// A header block.
pub(super) struct Header(pub(super) [u8; 512]);

/// Which dialect wrote the header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Old,
    Posix,
    Star,
    Gnu,
}

impl Header {
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|b| *b == 0)
    }

    /// Whether the checksum is right; some old programs added signed bytes.
    pub(super) fn is_intact(&self) -> bool {
        let Some(stored) = number(&self.0[148..156]) else { return false };
        // its own field counts as blanks
        let sum = |value: fn(u8) -> i16| {
            let of = |bytes: &[u8]| -> i32 { bytes.iter().map(|b| i32::from(value(*b))).sum() };
            i64::from(of(&self.0[..148]) + 8 * i32::from(b' ') + of(&self.0[156..]))
        };
        stored == sum(i16::from) || stored == sum(|b| b.cast_signed().into())
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    fn dialect(&self) -> Dialect {
        match &self.0[257..265] {
            b"ustar  \0" => Dialect::Gnu,
            magic if magic.starts_with(b"ustar\0") && self.0[508..] == *b"tar\0" => Dialect::Star,
            magic if magic.starts_with(b"ustar\0") => Dialect::Posix,
            _ => Dialect::Old,
        }
    }

    pub(super) fn is_gnu(&self) -> bool {
        self.dialect() == Dialect::Gnu
    }

    /// The name with its prefix.
    pub(super) fn path(&self) -> Vec<u8> {
        let prefix = match self.dialect() {
            Dialect::Posix => text(&self.0[345..500]),
            Dialect::Star => text(&self.0[345..476]),
            Dialect::Gnu | Dialect::Old => b"",
        };
        let name = text(&self.0[..100]);
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> Option<i64> {
        number(&self.0[100..108])
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(&self.0[108..116])
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(&self.0[116..124])
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(&self.0[124..136]).and_then(|n| u64::try_from(n).ok())
    }

    pub(super) fn mtime(&self) -> Option<i64> {
        number(&self.0[136..148])
    }

    /// Device numbers; old headers have none.
    pub(super) fn device(&self) -> Option<(u32, u32)> {
        let field = |range| u32::try_from(number(&self.0[range])?).ok();
        match self.dialect() {
            Dialect::Old => Some((0, 0)),
            _ => Some((field(329..337)?, field(337..345)?)),
        }
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}
