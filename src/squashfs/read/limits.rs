//! Bounds on what a foreign image can make this program do.

/// Bounds on what a foreign image can make this program do; each is named in its error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Names in all directories together.
    pub entries: u64,
    /// Directories above each other.
    pub path_depth: usize,
    /// Bytes of a path.
    pub path_bytes: u64,
    /// Bytes of all files together, holes included, each inode once.
    pub content_bytes: u64,
    /// Bytes of one inode's extended attributes, names and values.
    pub xattr_bytes: u64,
}

impl Default for Limits {
    /// Those of the conversion: what it writes can be read.
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            path_depth: 512,
            path_bytes: 32 << 10,
            content_bytes: 1 << 38,
            xattr_bytes: 256 << 10,
        }
    }
}

/// Added to every image that is converted: names, directories above each other, bytes; rounded up.
const ADDED: u64 = 1000;

const ADDED_DEPTH: u64 = 8;

const ADDED_BYTES: u64 = 64 << 20;

impl Limits {
    /// Takes a limit of the conversion of layers by its name in the configuration: what a conversion
    /// within it can make can be read. A limit that says nothing of an image changes nothing.
    pub fn set(&mut self, name: &str, value: u64) {
        match name {
            // hard links are entries, and the directories that no layer describes are as many at most
            "entries" => self.entries = value.saturating_mul(2).saturating_add(ADDED),
            "path_depth" => {
                let depth = value.saturating_add(ADDED_DEPTH);
                self.path_depth = usize::try_from(depth).unwrap_or(usize::MAX);
                // a link can lead a path deeper than it is spelled
                self.path_bytes = depth.saturating_mul(crate::tree::MAX_NAME as u64 + 1);
            }
            "content_bytes" => self.content_bytes = value.saturating_add(ADDED_BYTES),
            "xattr_bytes" => self.xattr_bytes = value,
            _ => {}
        }
    }
}
