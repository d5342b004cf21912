//! Extended headers: `LENGTH KEY=VALUE\n` records that override the next entry's fields.
//!
//! ```text
//! 26 mtime=1700000000.123456\n       the length counts itself and the line end,
//! 45 SCHILY.xattr.security.capability=...\n    so a value may hold any byte
//! ```
//!
//! Source: POSIX.1-2017 `pax`, "pax Extended Header". `SCHILY.xattr.` is star's, used by GNU tar,
//! bsdtar, docker and buildah alike; `LIBARCHIVE.xattr.` repeats it in another coding.

use std::collections::BTreeMap;

use super::number::decimal;
use super::sparse::{self, Piece};

/// The records that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<i64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) acl: bool,
    pub(super) sparse: sparse::Pax,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

/// Reads the records.
///
/// # Errors
/// Says which rule is broken.
pub(super) fn parse(mut data: &[u8]) -> Result<Pax, String> {
    let mut pax = Pax::default();
    while !data.is_empty() {
        let space = data.iter().take(20).position(|b| *b == b' ');
        let space = space.ok_or("an extended header record has no length")?;
        let length = usize::try_from(decimal(&data[..space]).ok_or("a record's length is wrong")?)
            .unwrap_or(usize::MAX);
        if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
            return Err("an extended header record's length is wrong".into());
        }
        let record = &data[space + 1..length - 1];
        let equals = record.iter().position(|b| *b == b'=').ok_or("a record has no =")?;
        pax.take(&record[..equals], &record[equals + 1..])?;
        data = &data[length..];
    }
    Ok(pax)
}

impl Pax {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let broken = || format!("its {} is not a number", String::from_utf8_lossy(key));
        let number = || decimal(value).ok_or_else(broken);
        if let Some(name) = key.strip_prefix(XATTR) {
            self.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        if self.sparse.take(key, value)? {
            return Ok(());
        }
        let used: [&[u8]; 6] = [b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"];
        if value.is_empty() && used.contains(&key) {
            // POSIX: the header's own value counts. GNU tar refuses it, bsdtar takes it for 0.
            return Err(format!("its {} is empty", String::from_utf8_lossy(key)));
        }
        match key {
            // the name ends there for one program and not for another
            b"path" | b"linkpath" if value.contains(&0) => {
                return Err(format!("its {} holds a NUL byte", String::from_utf8_lossy(key)));
            }
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(i64::try_from(number()?).map_err(|_| broken())?),
            b"gid" => self.gid = Some(i64::try_from(number()?).map_err(|_| broken())?),
            b"mtime" => self.mtime = Some(seconds(value).ok_or_else(broken)?),
            key if key.starts_with(b"SCHILY.acl.") => self.acl = true,
            _ => {}
        }
        Ok(())
    }

    /// Whether a global header would change what entries mean; programs differ on it.
    pub(super) fn changes_entries(&self) -> bool {
        *self != Self::default()
    }

    /// The pieces of a sparse file of version 0.0 and 0.1.
    pub(super) fn pieces(&self) -> Option<&[Piece]> {
        self.sparse.pieces()
    }
}

/// `[-]SECONDS[.FRACTION]`, rounded down.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |b| *b == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let below = i64::from(negative && fraction.iter().any(|b| *b != b'0'));
    Some(if negative { -whole - below } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn values_may_hold_line_ends() {
        let capability = b"\x01\0\0\x02\n\0 =\n";
        let data = [
            record("SCHILY.xattr.security.capability", capability),
            record("path", b"long/name"),
            record("mtime", b"-3.5"),
            record("size", b"8589934592"),
        ]
        .concat();
        let pax = parse(&data).unwrap();
        assert_eq!(pax.xattrs[&b"security.capability"[..]], capability);
        assert_eq!(pax.path.unwrap(), b"long/name");
        assert_eq!((pax.mtime, pax.size), (Some(-4), Some(1 << 33)));
    }

    #[test]
    fn broken_records_are_refused() {
        for bad in [&b"x"[..], b"5 a=b", b"99 a=b\n", b"4 ab\n", b"0 \n", b"9 size=x\n", b"-1 a=\n"]
        {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        for key in ["path", "linkpath", "size", "uid", "gid", "mtime"] {
            assert!(parse(&record(key, b"")).unwrap_err().contains("is empty"), "{key}");
        }
        for key in ["path", "linkpath"] {
            assert!(parse(&record(key, b"a\0b")).unwrap_err().contains("NUL"), "{key}");
        }
    }
}
