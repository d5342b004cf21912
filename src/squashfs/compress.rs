//! Compresses one block at a time; a pure function of bytes and options, so blocks may be
//! compressed by several workers or taken from a cache.
//!
//! ```text
//! options block behind the superblock: u16 length | 0x8000, then
//!   zstd: u32 level                 gzip: u32 level, u16 window (15), u16 strategies (1: default)
//! ```

use std::io;

use super::SquashfsError;
use crate::pin::Codec;

/// The compressor library that is linked in, as a recipe states it.
#[must_use]
pub fn codec_version(codec: Codec) -> String {
    match codec {
        Codec::Zstd => {
            let n = zstd::zstd_safe::version_number();
            format!("{}.{}.{}", n / 10_000, n / 100 % 100, n % 100)
        }
        // zlib-rs cannot say its version at run time
        Codec::Gzip => ZLIB_RS.into(),
    }
}

/// The locked version; a test compares it with `Cargo.lock`.
const ZLIB_RS: &str = "zlib-rs-0.6.8";

/// A compressed block, or the bytes themselves where compression did not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) stored: bool,
}

/// One worker's compressor and its buffer.
pub(super) struct Compressor {
    engine: Engine,
    buffer: Vec<u8>,
}

enum Engine {
    Zstd(Box<zstd::bulk::Compressor<'static>>),
    Gzip(Box<flate2::Compress>),
}

impl Compressor {
    pub(super) fn new(codec: Codec, level: i32) -> Result<Self, SquashfsError> {
        let bad = |why| SquashfsError::Option { what: "level", value: level.into(), why };
        let engine = match codec {
            Codec::Zstd if !(1..=22).contains(&level) => return Err(bad("zstd has 1 to 22")),
            Codec::Gzip if !(1..=9).contains(&level) => return Err(bad("gzip has 1 to 9")),
            Codec::Zstd => Engine::Zstd(Box::new(
                zstd::bulk::Compressor::new(level).map_err(SquashfsError::Compress)?,
            )),
            Codec::Gzip => Engine::Gzip(Box::new(flate2::Compress::new(
                flate2::Compression::new(level.unsigned_abs()),
                true,
            ))),
        };
        Ok(Self { engine, buffer: Vec::new() })
    }

    /// Compresses a block; never returns more bytes than went in.
    pub(super) fn block<'a>(&'a mut self, raw: &'a [u8]) -> Result<Block<'a>, SquashfsError> {
        // one byte less than raw: what is not smaller is of no use
        let room = raw.len().saturating_sub(1);
        self.buffer.resize(room, 0);
        let written = match &mut self.engine {
            Engine::Zstd(zstd) => match zstd.compress_to_buffer(raw, &mut self.buffer[..]) {
                Ok(written) => Some(written),
                Err(_) => zstd_grown(zstd, raw)?,
            },
            Engine::Gzip(gzip) => {
                gzip.reset();
                let status = gzip
                    .compress(raw, &mut self.buffer, flate2::FlushCompress::Finish)
                    .map_err(|e| SquashfsError::Compress(io::Error::other(e)))?;
                (status == flate2::Status::StreamEnd)
                    .then(|| usize::try_from(gzip.total_out()).unwrap_or(usize::MAX))
            }
        };
        Ok(match written {
            Some(written) if written <= room => {
                Block { bytes: &self.buffer[..written], stored: false }
            }
            _ => Block { bytes: raw, stored: true },
        })
    }
}

/// zstd says with one error that the result has no room and that it failed: told apart by giving
/// it as much room as it can need.
fn zstd_grown(
    zstd: &mut zstd::bulk::Compressor<'static>,
    raw: &[u8],
) -> Result<Option<usize>, SquashfsError> {
    let bytes = zstd.compress(raw).map_err(SquashfsError::Compress)?;
    Ok((bytes.len() < raw.len()).then_some(usize::MAX))
}

/// The options block's content.
pub(super) fn options(codec: Codec, level: i32) -> Vec<u8> {
    let mut out = level.to_le_bytes().to_vec();
    if codec == Codec::Gzip {
        out.extend(15_u16.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn blocks_come_back() {
        let text = b"all work and no play ".repeat(300);
        let mut x = 1_u32;
        let noise: Vec<u8> = (0..6000)
            .map(|_| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (x >> 24) as u8
            })
            .collect();
        for codec in [Codec::Zstd, Codec::Gzip] {
            let mut c = Compressor::new(codec, 3).unwrap();
            for _ in 0..2 {
                let block = c.block(&noise).unwrap();
                assert!(block.stored && block.bytes == noise, "{codec}");
                let block = c.block(&text).unwrap();
                assert!(!block.stored && block.bytes.len() < 300, "{codec}");
                let mut back = Vec::new();
                match codec {
                    Codec::Zstd => back = zstd::decode_all(block.bytes).unwrap(),
                    Codec::Gzip => {
                        let mut inflate = flate2::read::ZlibDecoder::new(block.bytes);
                        inflate.read_to_end(&mut back).unwrap();
                    }
                }
                assert_eq!(back, text, "{codec}");
            }
            assert!(c.block(b"").unwrap().stored && c.block(b"x").unwrap().stored);
            assert!(Compressor::new(codec, 99).is_err());
        }
    }

    #[test]
    fn the_stated_version_is_the_locked_one() {
        let lock = include_str!("../../Cargo.lock");
        let version = ZLIB_RS.strip_prefix("zlib-rs-").unwrap();
        assert!(lock.contains(&format!("name = \"zlib-rs\"\nversion = \"{version}\"")));
        assert!(codec_version(Codec::Zstd).starts_with("1."));
    }
}
