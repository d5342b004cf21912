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
//! Numbers are octal text, or base-256 when the first bit is set (GNU, star). Source: POSIX.1-2017
//! `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

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
            let of = |bytes: &[u8]| -> i64 { bytes.iter().map(|b| i64::from(value(*b))).sum() };
            of(&self.0[..148]) + 8 * i64::from(b' ') + of(&self.0[156..])
        };
        let (unsigned, signed) = (sum(i16::from), sum(|b| b.cast_signed().into()));
        stored == unsigned || stored == signed
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

/// A numeric field; an empty one is 0.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // two's complement; the first bit only marks the form
        let negative = first & 0x40 != 0;
        let start = i64::from(first & 0x3F) - if negative { 0x40 } else { 0 };
        return rest
            .iter()
            .try_fold(start, |n, b| n.checked_mul(256).and_then(|n| n.checked_add(i64::from(*b))));
    }
    let blank = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    if !digits[end..].iter().all(blank) {
        return None;
    }
    digits[..end].iter().try_fold(0_i64, |n, b| match b {
        b'0'..=b'7' => n.checked_mul(8).map(|n| n + i64::from(b - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_form() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777777 ", Some(0o77_777_777_777)),
            (b"\x80\0\0\0\0\0\0\0\0\x02\0\0", Some(131_072)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"12x4", None),
            (b"12 4", None),
            (b"-1\0", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }
}
