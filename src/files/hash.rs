//! The SHA-256 of a file.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// What a reader gave, as a digest and a length. The caller says which kind of digest it is:
/// `SifDigest::from_bytes(sum.sha256)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The digest's bytes.
    pub sha256: [u8; 32],
    /// How many bytes were hashed.
    pub length: u64,
}

/// Hashes what is left of a reader, to its end.
///
/// # Errors
/// When it cannot be read. A signal that interrupts a read is no error.
pub fn sha256(from: &mut impl Read) -> io::Result<Sum> {
    let mut hasher = Sha256::new();
    let mut length = 0;
    // large enough that the calls do not count, small enough for the cache of a core
    let mut buffer = vec![0; 1 << 18];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(Sum { sha256: hasher.finalize().into(), length }),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, and is interrupted before each.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.0.read(&mut buffer[..1])
        }
    }

    #[test]
    fn the_whole_is_hashed() {
        // FIPS 180-2, appendix B.1
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hex = |sum: Sum| sum.sha256.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let sum = sha256(&mut Slow(b"abc", false)).unwrap();
        assert_eq!((hex(sum), sum.length), (ABC.to_owned(), 3));
        let large = vec![7; (1 << 19) + 5];
        let sum = sha256(&mut large.as_slice()).unwrap();
        assert_eq!(sum.length, large.len() as u64);
        assert_eq!(sum, sha256(&mut Slow(&large, false)).unwrap());
        assert_eq!(sha256(&mut io::empty()).unwrap().length, 0);
    }

    #[test]
    fn a_failed_read_is_no_digest() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        assert_eq!(sha256(&mut Broken).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
