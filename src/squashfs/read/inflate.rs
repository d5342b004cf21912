//! Inflates one block at a time into a buffer whose size is the bound.

use super::ReadError;

/// One thread's decompressor.
pub(super) struct Inflater(Engine);

enum Engine {
    Gzip(Box<flate2::Decompress>),
    Lz4,
    Zstd(Box<zstd::bulk::Decompressor<'static>>),
}

impl Inflater {
    /// For the superblock's number.
    pub(super) fn new(compressor: u16) -> Result<Self, ReadError> {
        let refused = |name: &str| Err(ReadError::Compressor(name.to_owned()));
        Ok(Self(match compressor {
            1 => Engine::Gzip(Box::new(flate2::Decompress::new(true))),
            2 => return refused("lzma"),
            3 => return refused("lzo"),
            4 => return refused("xz"),
            5 => Engine::Lz4,
            6 => Engine::Zstd(Box::new(
                zstd::bulk::Decompressor::new()
                    .map_err(|source| ReadError::Io { what: "decompressor", source })?,
            )),
            other => return refused(&format!("an unknown compressor, number {other}")),
        }))
    }

    /// Inflates `packed` into `out`, which then has 1 to `most` bytes.
    pub(super) fn inflate(
        &mut self,
        what: &'static str,
        packed: &[u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), ReadError> {
        let damaged = |why: String| ReadError::damaged(what, why);
        out.resize(most, 0);
        let length = match &mut self.0 {
            Engine::Gzip(gzip) => {
                gzip.reset(true);
                let status = gzip
                    .decompress(packed, out, flate2::FlushDecompress::Finish)
                    .map_err(|e| damaged(format!("a block does not inflate: {e}")))?;
                if status != flate2::Status::StreamEnd {
                    return Err(damaged(format!("a block is cut or has more than {most} bytes")));
                }
                usize::try_from(gzip.total_out()).unwrap_or(usize::MAX)
            }
            Engine::Lz4 => lz4_flex::block::decompress_into(packed, out)
                .map_err(|e| damaged(format!("a block does not inflate: {e}")))?,
            Engine::Zstd(zstd) => zstd
                .decompress_to_buffer(packed, &mut out[..])
                .map_err(|e| damaged(format!("a block does not inflate: {e}")))?,
        };
        if length == 0 || length > most {
            return Err(damaged(format!("a block inflates to {length} bytes")));
        }
        out.truncate(length);
        Ok(())
    }
}
