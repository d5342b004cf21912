//! `/proc/self/mountinfo`.
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
//!                  point options
//! ```
//!
//! Source: `proc_pid_mountinfo(5)`; blanks, tabs, newlines and backslashes are `\040` and so on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where, as seen from this process' root.
    pub(super) point: PathBuf,
    /// Flags of this mount, not of its file system.
    pub(super) options: Vec<String>,
}

/// The mounts, parents before children; lines that make no sense are left out.
pub(super) fn parse(table: &[u8]) -> Vec<Entry> {
    table
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b' ').skip(4);
            let point = unescape(fields.next()?);
            let options = std::str::from_utf8(fields.next()?).ok()?;
            Some(Entry { point, options: options.split(',').map(String::from).collect() })
        })
        .collect()
}

fn unescape(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        if let Some(code) = code {
            bytes.push(code);
            rest = &after[3..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;

    #[test]
    fn lines() {
        let table =
            b"36 35 98:0 / /a\\040b\\134c\xff rw,noatime master:1 - ext3 /dev/root rw\n\nx y\n";
        assert_eq!(
            parse(table),
            [Entry {
                point: OsStr::from_bytes(b"/a b\\c\xff").into(),
                options: vec!["rw".into(), "noatime".into()]
            }]
        );
        assert_eq!(unescape(b"\\04"), Path::new("\\04"));
        assert_eq!(unescape("é\\".as_bytes()), Path::new("é\\"));
    }
}
