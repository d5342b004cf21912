//! The 512-byte block in front of every tar entry.
//!
//! ```text
//!   0 name[100]   100 mode[8]  108 uid[8]  116 gid[8]  124 size[12]  136 mtime[12]
//! 148 checksum[8] 156 type     157 link[100]
//! 257 magic[6] version[2]      "ustar\0" "00" POSIX, "ustar " " \0" GNU, else old
//! 265 user[32]  297 group[32]  329 major[8]  337 minor[8]
//! 345 prefix[155]              POSIX; star (ends in "tar\0"): prefix[131]
//! 345 atime[12] 357 ctime[12]  GNU; then see sparse.rs. Go up to 1.7: prefix[155] all the same
//! ```
//!
//! Numbers: `number.rs`. Source: POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic
//! Tar Format"; for Go's mistake golang/go#12594 and #21005, and what today's `archive/tar` does.

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
    ///
    /// # Errors
    /// When GNU's times and Go's prefix can be read in one place.
    pub(super) fn path(&self) -> Result<Vec<u8>, &'static str> {
        let prefix = match self.dialect() {
            Dialect::Posix => text(&self.0[345..500]),
            Dialect::Star => text(&self.0[345..476]),
            Dialect::Gnu => self.prefix_of_go()?,
            Dialect::Old => b"",
        };
        let name = text(&self.0[..100]);
        Ok(if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() })
    }

    /// Docker that was built with Go up to 1.7 wrote long paths with a prefix under GNU's magic, once
    /// a number had needed base-256. Where GNU has its times such a header has text that is no number,
    /// and then docker, umoci and every other program with today's Go take it for the prefix: so did
    /// whoever ran the image. GNU tar and bsdtar leave the prefix out.
    fn prefix_of_go(&self) -> Result<&[u8], &'static str> {
        // a sparse file of GNU's has its map there
        if self.type_flag() == b'S' {
            return Ok(b"");
        }
        let times = [&self.0[345..357], &self.0[357..369]];
        if times.iter().all(|time| is_time_of_gnu(time)) {
            return Ok(b"");
        }
        let prefix = text(&self.0[345..500]);
        // what Go takes for numbers, and what it does not take for a prefix
        let is_number = |field: &&[u8]| text(field).is_empty() || number(text(field)).is_some();
        if times.iter().all(is_number) || !prefix.is_ascii() {
            return Err("its GNU header has something between times and a prefix");
        }
        Ok(prefix)
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

/// Whether a field is as GNU tar writes a time: nothing, eleven digits, or base-256.
fn is_time_of_gnu(field: &[u8]) -> bool {
    let full = field[..11].iter().all(|b| matches!(b, b'0'..=b'7')) && b" \0".contains(&field[11]);
    let binary = matches!(field[0], 0x80 | 0xFF) && number(field).is_some();
    field.iter().all(|b| *b == 0) || full || binary
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}
