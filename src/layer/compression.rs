//! How a layer is compressed: its bytes say it, not its media type.
//!
//! ```text
//! a block with a right checksum   tar, also when its first name is "BZh91AY"
//! 1f 8b                           gzip (RFC 1952), possibly of several members
//! 28 b5 2f fd, 5x 2a 4d 18        zstd (RFC 8878), possibly with skippable frames, also in front
//! fd 37 7a 58 5a 00               xz
//! "BZh" 1-9, 31 41 59 26 53 59    bzip2; 17 72 45 38 50 90 behind the digit when it holds nothing
//! all else                        tar, and its reader says what is wrong
//! ```
//!
//! A wrong label cannot smuggle anything in: all that is read has to have the layer's `diff_id`. `docker load` reads
//! these five.

use std::io::{self, BufRead, Cursor, Read};

use super::header::Header;

/// Bytes that tell.
const ENOUGH: u64 = 512;

/// KiB that xz may ask for; `xz -9` takes 64 MiB.
const XZ_MEMORY: u32 = 130 << 10;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// What bytes that begin like this are; [`Compression::start`] takes as many as are needed.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        if let Some(block) = start.first_chunk()
            && Header(*block).is_intact()
        {
            return Self::None;
        }
        match start {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Self::Zstd,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
                Self::Bzip2
            }
            _ => Self::None,
        }
    }

    /// Reads the first bytes, as far as they are there.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn start(bytes: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        bytes.take(ENOUGH).read_to_end(&mut start)?;
        Ok(start)
    }

    /// What a layer that is compressed like this is called in a manifest. Of xz and bzip2 no
    /// specification speaks.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        use crate::oci::media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};
        match self {
            Self::None => OCI_LAYER,
            Self::Gzip => OCI_LAYER_GZIP,
            Self::Zstd => OCI_LAYER_ZSTD,
            Self::Xz => "application/vnd.oci.image.layer.v1.tar+xz",
            Self::Bzip2 => "application/vnd.oci.image.layer.v1.tar+bzip2",
        }
    }
}

/// The uncompressed bytes of a blob.
pub(super) fn inflate(mut blob: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let start = Compression::start(&mut blob)?;
    let compression = Compression::of(&start);
    let blob = Cursor::new(start).chain(blob);
    Ok(match compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(blob)?),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(blob, true, XZ_MEMORY)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(blob)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_tell() {
        for (start, meant) in [
            (&b"\x1F\x8B\x08\0"[..], Compression::Gzip),
            (b"\x28\xB5\x2F\xFD", Compression::Zstd),
            (b"\x53\x2A\x4D\x18\x04\0\0\0", Compression::Zstd),
            (b"\xFD7zXZ\0\0\x04", Compression::Xz),
            (b"BZh91AY&SY", Compression::Bzip2),
            (b"BZh9 is a name", Compression::None),
            (b"", Compression::None),
            (b"\x1F", Compression::None),
            (&[0; 512], Compression::None),
        ] {
            assert_eq!(Compression::of(start), meant, "{start:?}");
        }
    }

    /// A tar may begin with any name.
    #[test]
    fn a_tar_is_a_tar_whatever_its_first_name() {
        for name in ["BZh91AY&SY", "\x1F\u{8b}"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(0);
            let field = &mut header.as_old_mut().name;
            let bytes: Vec<u8> = name.chars().map(|c| u8::try_from(c).unwrap()).collect();
            field[..bytes.len()].copy_from_slice(&bytes);
            header.set_cksum();
            assert_eq!(Compression::of(header.as_bytes()), Compression::None, "{name:?}");
        }
    }
}
