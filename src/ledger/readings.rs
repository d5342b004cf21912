//! What SIF files gave that the user named and this program read whole: so that the next start of the same file reads it
//! no second time.
//!
//! ```text
//! LEDGER/readings.idx      0600, a line for each: IDENTITY DIGEST ROOT\n      ROOT: - where the file has no hash tree
//! ```
//!
//! It says which digest stands in the plan of a job, so it lies here, where no job can write. It is no part of the
//! history, and nobody has to believe it for what runs: the worker checks each block against the root, or hashes the
//! file. A line that is lost costs one reading.

use std::path::Path;

use super::error::LedgerError;
use super::kept::{append, appended};
use crate::oci::{SifDigest, TreeRoot};

const NAME: &str = "readings.idx";

/// Digest and root of the file with this identity, when it was read before.
#[must_use]
pub fn read_before(dir: &Path, identity: &str) -> Option<(SifDigest, Option<TreeRoot>)> {
    let text = appended(dir, NAME);
    let text = String::from_utf8_lossy(&text);
    // a line that is being written has no end yet; the newest counts
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let found =
        lines.filter_map(|line| line.strip_prefix(identity)?.strip_prefix(' ')).next_back()?;
    let (digest, root) = found.split_once(' ')?;
    let root = if root == "-" { None } else { Some(root.parse().ok()?) };
    Some((digest.parse().ok()?, root))
}

/// Notes what a file gave.
///
/// # Errors
/// When the directory is not this user's alone, or cannot be written.
pub fn note_reading(
    dir: &Path,
    identity: &str,
    digest: SifDigest,
    root: Option<TreeRoot>,
) -> Result<(), LedgerError> {
    let root = root.map_or_else(|| "-".to_owned(), |root| root.to_string());
    append(dir, NAME, &format!("{identity} {digest} {root}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::oci::Sha256Digest;

    #[test]
    fn the_same_identity_gives_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("l");
        assert_eq!(read_before(&dir, "1:2"), None);
        let (one, two) = (SifDigest::of(b"1"), SifDigest::of(b"2"));
        let root = Some(TreeRoot::of(b"r"));
        note_reading(&dir, "1:2", one, root).unwrap();
        note_reading(&dir, "1:22", two, None).unwrap();
        assert_eq!(read_before(&dir, "1:2"), Some((one, root)));
        assert_eq!(read_before(&dir, "1:22"), Some((two, None)));
        assert_eq!((read_before(&dir, "1"), read_before(&dir, "")), (None, None));
        note_reading(&dir, "1:2", two, None).unwrap();
        assert_eq!(read_before(&dir, "1:2"), Some((two, None)));
        // what is damaged says nothing
        for bad in ["1:3 sha256:1 -\n", "1:3 -\n", "1:3\n", "1:3 \n", "\u{ff}"] {
            fs::write(dir.join(NAME), bad).unwrap();
            assert_eq!(read_before(&dir, "1:3"), None, "{bad:?}");
        }
    }
}
