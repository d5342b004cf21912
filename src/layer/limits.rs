//! What a layer may ask for at most. Every limit is named in its error.

use std::collections::BTreeMap;
use std::io;

/// Bounds on what foreign archives can make this program do. Each is a key of `[limits]` in the
/// configuration, by its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries in all layers together, and files of any type that are made of them.
    pub entries: u64,
    /// Bytes of one layer's tar.
    pub layer_bytes: u64,
    /// Bytes of names, targets of links and extended attributes in all layers together. What a name
    /// begins with as the one before did is not counted.
    pub metadata_bytes: u64,
    /// Bytes of file content in all layers together, holes included.
    pub content_bytes: u64,
    /// How many bytes one compressed byte may become, beyond the first GiB of a layer; holes of sparse
    /// files are counted apart, against the same number.
    pub expansion_ratio: u64,
    /// Directories above each other.
    pub path_depth: u64,
    /// Bytes of a path.
    pub path_bytes: u64,
    /// Names that symbolic links lead the paths of entries through, for each entry, beyond the first
    /// million.
    pub link_steps: u64,
    /// Bytes of one entry's extended header (long names, extended attributes).
    pub header_bytes: u64,
    /// Bytes of one entry's extended attributes, names and values.
    pub xattr_bytes: u64,
    /// Pieces of one sparse file.
    pub sparse_pieces: u64,
}

impl Default for Limits {
    /// Far above any image that was seen, far below what would hurt a machine.
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            layer_bytes: 1 << 38,
            metadata_bytes: 256 << 20,
            content_bytes: 1 << 38,
            expansion_ratio: 1000,
            path_depth: 512,
            path_bytes: 32 << 10,
            link_steps: 64,
            header_bytes: 4 << 20,
            // as Linux has it (XATTR_SIZE_MAX)
            xattr_bytes: 64 << 10,
            sparse_pieces: 1 << 20,
        }
    }
}

/// Below this size a layer may expand as it likes.
const FREE: u64 = 1 << 30;

/// The names that [`Limits::set`] knows.
const NAMES: [&str; 11] = [
    "entries",
    "layer_bytes",
    "metadata_bytes",
    "content_bytes",
    "expansion_ratio",
    "path_depth",
    "path_bytes",
    "link_steps",
    "header_bytes",
    "xattr_bytes",
    "sparse_pieces",
];

impl Limits {
    /// How many bytes a blob of `packed` bytes may become.
    pub(super) fn expanded(&self, packed: u64) -> u64 {
        packed.saturating_mul(self.expansion_ratio).max(FREE)
    }

    /// Sets a limit by its name in the configuration; false when there is none of that name.
    #[must_use]
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        match self.field(name) {
            Some(field) => *field = value,
            None => return false,
        }
        true
    }

    /// As [`Limits::set`], but never to more than it was.
    #[must_use]
    pub fn lower(&mut self, name: &str, value: u64) -> bool {
        let now = self.field(name).map(|field| *field);
        now.is_some_and(|now| self.set(name, value.min(now)))
    }

    /// Every limit with its name in the configuration.
    #[must_use]
    pub fn all(mut self) -> Vec<(&'static str, u64)> {
        let value = |name| self.field(name).map(|field| (name, *field));
        NAMES.into_iter().filter_map(value).collect()
    }

    /// Those that are not the default.
    #[must_use]
    pub fn changed(self) -> BTreeMap<String, u64> {
        let all = self.all().into_iter().zip(Self::default().all());
        all.filter(|(now, before)| now != before)
            .map(|((name, value), _)| (name.to_owned(), value))
            .collect()
    }

    fn field(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "entries" => &mut self.entries,
            "layer_bytes" => &mut self.layer_bytes,
            "metadata_bytes" => &mut self.metadata_bytes,
            "content_bytes" => &mut self.content_bytes,
            "expansion_ratio" => &mut self.expansion_ratio,
            "path_depth" => &mut self.path_depth,
            "path_bytes" => &mut self.path_bytes,
            "link_steps" => &mut self.link_steps,
            "header_bytes" => &mut self.header_bytes,
            "xattr_bytes" => &mut self.xattr_bytes,
            "sparse_pieces" => &mut self.sparse_pieces,
            _ => return None,
        })
    }
}

/// What to do about a limit that an error calls by its words.
pub(super) fn hint(name: &str) -> String {
    let key = name.replace(' ', "_");
    format!("if you trust the image, raise {key} under [limits] in your configuration")
}

/// A limit that was passed while reading; travels inside an [`io::Error`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("more than the limit {name} of {limit} allows")]
pub(super) struct Passed {
    pub(super) name: &'static str,
    pub(super) limit: u64,
}

impl From<Passed> for io::Error {
    fn from(passed: Passed) -> Self {
        Self::other(passed)
    }
}

/// `Err` when `value` is above `limit`.
pub(super) fn check(name: &'static str, value: u64, limit: u64) -> Result<(), Passed> {
    if value > limit { Err(Passed { name, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_name() {
        let mut limits = Limits::default();
        assert!(limits.changed().is_empty());
        assert_eq!(limits.all().len(), NAMES.len());
        for (at, name) in (1..).zip(NAMES) {
            assert!(limits.set(name, at), "{name}");
        }
        assert_eq!(limits.changed(), NAMES.map(str::to_owned).into_iter().zip(1..).collect());
        // each field: none was forgotten in the list
        let shown = format!("{limits:?}");
        assert_eq!(shown.matches(": ").count(), NAMES.len(), "{shown}");
    }
}
