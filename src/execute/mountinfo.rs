//! `/proc/self/mountinfo`.
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
//!                  point options
//! ```
//!
//! Source: `proc_pid_mountinfo(5)`; blanks, tabs, newlines and backslashes are `\040` and so on.

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where, as seen from this process' root.
    pub(super) point: String,
    /// Flags of this mount, not of its file system.
    pub(super) options: Vec<String>,
}

/// The mounts, parents before children; lines that make no sense are left out.
pub(super) fn parse(table: &str) -> Vec<Entry> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(4);
            let point = unescape(fields.next()?);
            let options = fields.next()?.split(',').map(String::from).collect();
            Some(Entry { point, options })
        })
        .collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
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
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let table = "36 35 98:0 / /a\\040b\\134c rw,noatime master:1 - ext3 /dev/root rw\n\nx y\n";
        assert_eq!(
            parse(table),
            [Entry { point: "/a b\\c".into(), options: vec!["rw".into(), "noatime".into()] }]
        );
        assert_eq!(unescape("\\04"), "\\04");
        assert_eq!(unescape("é\\"), "é\\");
    }
}
