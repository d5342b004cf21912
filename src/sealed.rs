//! Files that end with the hash of everything before it, so that a reader knows that the file is whole. The store's
//! indexes use this.
//!
//! ```text
//! content ...
//! end  32  BLAKE3 of the content
//! ```
//!
//! Floor 0. It finds damage, not forgery: whoever can write the file can also write the right hash.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Bytes of the hash.
const SUM: usize = 32;
/// Many records are hashed at once, several times as fast as one after the other.
const AT_ONCE: usize = 64 << 10;

/// Writes such a file. Nothing is whole before [`Sealing::finish`].
pub struct Sealing<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
}

impl<'a> Sealing<'a> {
    /// Starts one.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, hasher: blake3::Hasher::new(), waiting: Vec::with_capacity(2 * AT_ONCE) }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.hasher.update(&self.waiting);
        self.out.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Writes the hash.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.pass_on()?;
        self.out.write_all(self.hasher.finalize().as_bytes())
    }
}

impl Write for Sealing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= AT_ONCE {
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.out.flush()
    }
}

/// The content of such a file; `None` when it is not whole.
#[must_use]
pub fn open(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let end = bytes.len().checked_sub(SUM)?;
    if bytes[end..] != *blake3::hash(&bytes[..end]).as_bytes() {
        return None;
    }
    bytes.truncate(end);
    Some(bytes)
}

/// The hash that such a file ends with; `None` when it is not whole.
#[must_use]
pub fn seal(bytes: &[u8]) -> Option<[u8; SUM]> {
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    (sum == blake3::hash(content).as_bytes()).then(|| sum.try_into().ok())?
}

/// The last bytes of a file, which are its hash if it is whole.
///
/// # Errors
/// When it cannot be read, or is shorter.
pub fn last(file: &File) -> io::Result<[u8; SUM]> {
    let at = file.metadata()?.len().checked_sub(SUM as u64);
    let mut sum = [0; SUM];
    file.read_exact_at(&mut sum, at.ok_or(io::ErrorKind::UnexpectedEof)?)?;
    Ok(sum)
}

/// Passes on what is written, and knows the last bytes of it: the hash, when all was written.
pub struct Seen<'a> {
    out: &'a mut dyn Write,
    last: [u8; SUM],
}

impl<'a> Seen<'a> {
    /// Starts with nothing.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, last: [0; SUM] }
    }

    /// The last bytes.
    #[must_use]
    pub fn seal(&self) -> [u8; SUM] {
        self.last
    }
}

impl Write for Seen<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        let new = &bytes[count.saturating_sub(SUM)..count];
        self.last.rotate_left(new.len());
        self.last[SUM - new.len()..].copy_from_slice(new);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Gives changed bytes a right seal.
#[cfg(test)]
pub(crate) fn seal_again(bytes: &mut [u8]) {
    let (content, sum) = bytes.split_at_mut(bytes.len() - SUM);
    sum.copy_from_slice(blake3::hash(content).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(records: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut file, mut content) = (Vec::new(), Vec::new());
        let mut sealing = Sealing::new(&mut file);
        for n in 0..records {
            sealing.write_all(&n.to_le_bytes()).unwrap();
            content.extend(n.to_le_bytes());
        }
        sealing.finish().unwrap();
        (file, content)
    }

    #[test]
    fn what_was_sealed_opens() {
        for records in [0, 1, AT_ONCE / 8 - 1, AT_ONCE / 8, AT_ONCE / 8 + 1, AT_ONCE / 2] {
            let (file, content) = sealed(records);
            let mut out = Vec::new();
            let mut seen = Seen::new(&mut out);
            for part in file.chunks(7) {
                seen.write_all(part).unwrap();
            }
            assert_eq!(Some(seen.seal()), seal(&file));
            let mut disk = tempfile::tempfile().unwrap();
            disk.write_all(&out).unwrap();
            assert_eq!(last(&disk).ok(), seal(&file));
            assert_eq!(open(file), Some(content), "{records}");
        }
    }

    #[test]
    fn a_changed_or_missing_byte_is_noticed() {
        let (file, _) = sealed(5);
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(open(changed), None, "byte {at}");
            assert_eq!(open(file[..at].to_vec()), None, "cut at {at}");
        }
    }
}
