//! Compresses one block at a time; a pure function of bytes and options, so blocks may be
//! compressed by several workers or taken from a cache.
//!
//! ```text
//! options block behind the superblock: u16 length | 0x8000, then
//!   zstd: u32 level
//!   gzip: u32 level, u16 window (15), u16 strategies (1: default)
//!   lz4:  u32 version (1: blocks without frames), u32 flags (1: high compression; 0 here)
//! ```
//!
//! Levels of gzip go up to 12, as in libdeflate. Readers know 1 to 9, so the image says 9 for a higher one; no reader
//! uses the number.

use std::io;
use std::ops::RangeInclusive;

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
        // these two cannot say their version at run time
        Codec::Gzip => LIBDEFLATE.into(),
        Codec::Lz4 => LZ4.into(),
    }
}

/// The levels of a compressor.
#[must_use]
pub fn levels(codec: Codec) -> RangeInclusive<i32> {
    match codec {
        Codec::Zstd => 1..=22,
        Codec::Gzip => 1..=12,
        Codec::Lz4 => 1..=1,
    }
}

/// The locked versions; a test compares them with `Cargo.lock`.
const LIBDEFLATE: &str = "libdeflate-sys-1.26.1";
const LZ4: &str = "lz4_flex-0.14.0";

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
    Gzip(libdeflater::Compressor),
    Lz4,
}

impl Compressor {
    pub(super) fn new(codec: Codec, level: i32, block_size: u32) -> Result<Self, SquashfsError> {
        if !levels(codec).contains(&level) {
            let why = match codec {
                Codec::Zstd => "zstd has 1 to 22",
                Codec::Gzip => "gzip has 1 to 12",
                Codec::Lz4 => "lz4 has only 1",
            };
            return Err(SquashfsError::Option { what: "level", value: level.into(), why });
        }
        let engine = match codec {
            Codec::Zstd => Engine::Zstd(Box::new(zstd(level, block_size)?)),
            Codec::Gzip => Engine::Gzip(libdeflater::Compressor::new(
                // in its range, as was checked above
                libdeflater::CompressionLvl::new(level).unwrap_or_default(),
            )),
            Codec::Lz4 => Engine::Lz4,
        };
        Ok(Self { engine, buffer: Vec::new() })
    }

    /// Compresses a block; never returns more bytes than went in.
    pub(super) fn block<'a>(&'a mut self, raw: &'a [u8]) -> Result<Block<'a>, SquashfsError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = self.compress(raw, &mut buffer);
        self.buffer = buffer;
        Ok(match written? {
            Some(written) => Block { bytes: &self.buffer[..written], stored: false },
            None => Block { bytes: raw, stored: true },
        })
    }

    /// The same to the front of `out`, which grows where it must: how many bytes, and whether they
    /// are `raw` itself.
    pub(super) fn block_into(
        &mut self,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), SquashfsError> {
        if let Some(written) = self.compress(raw, out)? {
            return Ok((written, false));
        }
        grow(out, raw.len());
        out[..raw.len()].copy_from_slice(raw);
        Ok((raw.len(), true))
    }

    /// How many bytes of `out` are the compressed block; `None` when that would not be shorter.
    fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, SquashfsError> {
        // one byte less than raw: what is not smaller is of no use. The room is always the same for a
        // block: near its end a compressor decides by the room that it has
        let room = raw.len().saturating_sub(1);
        let buffer = match self.engine {
            // asks for as much room as it can need
            Engine::Lz4 => lz4_flex::block::get_maximum_output_size(raw.len()),
            _ => room,
        };
        grow(out, buffer);
        let out = &mut out[..buffer];
        let written = match &mut self.engine {
            Engine::Zstd(zstd) => match zstd.compress_to_buffer(raw, out) {
                Ok(written) => Some(written),
                Err(_) => zstd_grown(zstd, raw)?,
            },
            // fails for want of room only
            Engine::Gzip(gzip) => gzip.zlib_compress(raw, out).ok(),
            Engine::Lz4 => Some(
                lz4_flex::block::compress_into(raw, out)
                    .map_err(|e| SquashfsError::Compress(io::Error::other(e)))?,
            ),
        };
        Ok(written.filter(|written| *written <= room))
    }
}

/// Level 3 for blocks of at most 128 KiB, as this layout sets it: zstd's match finder `fast` with a
/// table of 2^15 entries, which stays in a core's cache, for matches from 4 bytes, and inner blocks of
/// 64 KiB, so that the codes follow what is coded. A tenth faster than `dfast`, which zstd means by
/// level 3, with tables of 2^14, and about as small (docs/performance.md). Who asks for another level
/// wants that level.
fn zstd(level: i32, block_size: u32) -> Result<zstd::bulk::Compressor<'static>, SquashfsError> {
    use zstd::zstd_safe::CParameter::{HashLog, MaxBlockSize, MinMatch, Strategy};
    use zstd::zstd_safe::Strategy as Finder;
    let mut zstd = zstd::bulk::Compressor::new(level).map_err(SquashfsError::Compress)?;
    if level == 3 && block_size <= 128 << 10 {
        let set = [Strategy(Finder::ZSTD_fast), HashLog(15), MinMatch(4), MaxBlockSize(64 << 10)];
        for parameter in set {
            zstd.set_parameter(parameter).map_err(SquashfsError::Compress)?;
        }
    }
    Ok(zstd)
}

fn grow(buffer: &mut Vec<u8>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0);
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
    match codec {
        Codec::Zstd => level.to_le_bytes().to_vec(),
        Codec::Gzip => {
            let mut out = level.min(9).to_le_bytes().to_vec();
            out.extend(15_u16.to_le_bytes());
            out.extend(1_u16.to_le_bytes());
            out
        }
        Codec::Lz4 => [1_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat(),
    }
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
        for (codec, level) in [(Codec::Zstd, 3), (Codec::Gzip, 3), (Codec::Lz4, 1)] {
            let mut c = Compressor::new(codec, level, 128 << 10).unwrap();
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
                    Codec::Lz4 => {
                        back = lz4_flex::block::decompress(block.bytes, text.len()).unwrap();
                    }
                }
                assert_eq!(back, text, "{codec}");
            }
            assert!(c.block(b"").unwrap().stored && c.block(b"x").unwrap().stored);
            assert!(Compressor::new(codec, 99, 128 << 10).is_err());
        }
    }

    #[test]
    fn the_stated_versions_are_the_locked_ones() {
        let lock = include_str!("../../Cargo.lock");
        for stated in [LIBDEFLATE, LZ4] {
            let (name, version) = stated.rsplit_once('-').unwrap();
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"");
            assert!(lock.contains(&entry), "{stated}");
        }
        assert!(codec_version(Codec::Zstd).starts_with("1."));
    }
}
