//! Numbers as tar's headers and its extended records write them.
//!
//! ```text
//! header   octal text, blanks and NULs around it; base-256, two's complement, when the first bit
//!          is set (GNU, star)
//! record   decimal digits
//! ```
//!
//! Source: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header";
//! GNU tar manual, "Basic Tar Format".

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

/// Digits only.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
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

    #[test]
    fn decimals_are_digits_alone() {
        for (text, value) in [
            (&b"0"[..], Some(0)),
            (b"0018446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"", None),
            (b"+1", None),
            (b"1 ", None),
        ] {
            assert_eq!(decimal(text), value, "{text:?}");
        }
    }
}
