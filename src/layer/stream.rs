//! A layer's blob as the bytes of its tar: inflated, counted, hashed.
//!
//! ```text
//! blob --inflate--> chunks --+--> digest        two threads beside the reader; a few chunks are
//!                    ^       `--> reader        on their way, each is shared and then used again
//!                    `---- spare ----'
//! ```

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{JoinHandle, spawn};

use super::LayerError;
use super::inflate::{Gunzip, HISTORY, SLACK};
use super::limits::{Limits, check};
use crate::oci::media_type::{Compression, layer_compression};
use crate::oci::{DiffId, Hasher};

/// Below this size a layer may expand as it likes.
const FREE: u64 = 1 << 30;
/// Bytes of a chunk.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the reader, and for the digest.
const AHEAD: usize = 8;

/// Uncompressed bytes that reader and digest share: those of `bytes[HISTORY..end]`.
struct Piece {
    bytes: Vec<u8>,
    end: usize,
}

type Chunk = Arc<Piece>;

/// Reads the uncompressed bytes; [`LayerStream::finish`] says whether they were the right ones.
pub struct LayerStream {
    chunks: Receiver<io::Result<Chunk>>,
    current: Chunk,
    at: usize,
    spare: Sender<Piece>,
    digest: JoinHandle<DiffId>,
    bytes: u64,
}

/// The thread that inflates: where from, and where to.
struct Inflate {
    tar: Tar,
    last: Option<Chunk>,
    max: u64,
    by_ratio: bool,
    limits: Limits,
    reader: SyncSender<io::Result<Chunk>>,
    digest: SyncSender<Chunk>,
    spare: Receiver<Piece>,
    give_back: Sender<Piece>,
}

/// What is inflated.
enum Tar {
    Gzip(Gunzip<Box<dyn Read + Send>>),
    Other(Box<dyn Read + Send>),
}

impl LayerStream {
    /// Inflates a blob of `size` bytes as its media type says. gzip may have several members, zstd
    /// several and skippable frames.
    ///
    /// # Errors
    /// When the media type is no readable layer.
    pub fn open(
        media_type: &str,
        blob: impl Read + Send + 'static,
        size: u64,
        limits: &Limits,
    ) -> Result<Self, LayerError> {
        let compression = layer_compression(media_type)
            .ok_or_else(|| LayerError::MediaType(media_type.chars().take(100).collect()))?;
        let tar = match compression {
            Compression::None => Tar::Other(Box::new(blob)),
            Compression::Gzip => Tar::Gzip(Gunzip::new(Box::new(blob))),
            Compression::Zstd => {
                let blob = BufReader::with_capacity(128 << 10, blob);
                let frames = zstd::stream::read::Decoder::with_buffer(blob);
                Tar::Other(Box::new(frames.map_err(LayerError::Io)?))
            }
        };
        let by_ratio = size.saturating_mul(limits.expansion_ratio).max(FREE);
        let (reader, chunks) = sync_channel(AHEAD);
        let (digest, hashed) = sync_channel::<Chunk>(AHEAD);
        let (give_back, spare) = channel();
        let inflate = Inflate {
            tar,
            last: None,
            max: by_ratio.min(limits.layer_bytes),
            by_ratio: by_ratio < limits.layer_bytes,
            limits: limits.clone(),
            reader,
            digest,
            spare,
            give_back: give_back.clone(),
        };
        // both end by themselves: when the blob does, or nobody reads any more
        spawn(move || inflate.run());
        let done_with = give_back.clone();
        let digest = spawn(move || {
            let mut hasher = Hasher::default();
            for chunk in hashed {
                hasher.update(&chunk.bytes[HISTORY..chunk.end]);
                recycle(chunk, &done_with);
            }
            hasher.finish()
        });
        let current = Arc::new(Piece { bytes: Vec::new(), end: 0 });
        Ok(Self { chunks, current, at: 0, spare: give_back, digest, bytes: 0 })
    }

    /// Reads to the end and compares the digest of everything that was read.
    ///
    /// # Errors
    /// When the rest cannot be read or the digest is another one.
    pub fn finish(mut self, expected: &DiffId) -> Result<u64, LayerError> {
        io::copy(&mut self, &mut io::sink())
            .map_err(|e| LayerError::reading("behind the last one", e))?;
        let found = self.digest.join();
        let found = found.map_err(|_| LayerError::Io(io::Error::other("the digest's thread")))?;
        if found == *expected {
            Ok(self.bytes)
        } else {
            Err(LayerError::DiffId { expected: *expected, found })
        }
    }
}

impl Read for LayerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.end {
            // the channel is closed at the end of the blob, and behind an error
            let Ok(next) = self.chunks.recv() else { return Ok(0) };
            recycle(std::mem::replace(&mut self.current, next?), &self.spare);
            self.at = HISTORY;
        }
        let count = buffer.len().min(self.current.end - self.at);
        buffer[..count].copy_from_slice(&self.current.bytes[self.at..self.at + count]);
        self.at += count;
        self.bytes += count as u64;
        Ok(count)
    }
}

/// Gives a chunk's memory back if nobody else reads it.
fn recycle(chunk: Chunk, spare: &Sender<Piece>) {
    if let Some(piece) = Arc::into_inner(chunk).filter(|piece| !piece.bytes.is_empty()) {
        // who inflates may have ended
        let _ = spare.send(piece);
    }
}

impl Inflate {
    fn run(mut self) {
        let mut bytes = 0;
        loop {
            match self.chunk(&mut bytes) {
                Ok(None) => return,
                Ok(Some(chunk)) => {
                    let chunk = Arc::new(chunk);
                    self.last = Some(Arc::clone(&chunk));
                    let gone = self.digest.send(Arc::clone(&chunk)).is_err();
                    if self.reader.send(Ok(chunk)).is_err() || gone {
                        return;
                    }
                }
                Err(error) => {
                    // nobody may be left who wants to know
                    let _ = self.reader.send(Err(error));
                    return;
                }
            }
        }
    }

    /// The next bytes; `None` at the end.
    fn chunk(&mut self, bytes: &mut u64) -> io::Result<Option<Piece>> {
        let new = || Piece { bytes: vec![0; HISTORY + CHUNK + SLACK], end: 0 };
        let mut chunk = self.spare.try_recv().unwrap_or_else(|_| new());
        if let Some(last) = self.last.take() {
            chunk.bytes[..HISTORY].copy_from_slice(&last.bytes[last.end - HISTORY..last.end]);
            recycle(last, &self.give_back);
        }
        let to = HISTORY + CHUNK;
        chunk.end = match &mut self.tar {
            Tar::Gzip(gzip) => gzip.fill(&mut chunk.bytes, to)?,
            Tar::Other(tar) => fill(tar, &mut chunk.bytes[..to])?,
        };
        let length = chunk.end - HISTORY;
        *bytes += length as u64;
        if self.by_ratio && *bytes > self.max {
            check("expansion ratio", u64::MAX, self.limits.expansion_ratio)?;
        }
        check("layer bytes", *bytes, self.max)?;
        Ok((length > 0).then_some(chunk))
    }
}

/// Reads until the chunk is full or nothing comes any more.
fn fill(tar: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut end = HISTORY;
    while end < chunk.len() {
        match tar.read(&mut chunk[end..]) {
            Ok(0) => break,
            Ok(count) => end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::oci::{Sha256Digest, media_type};

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    fn through(media_type: &str, blob: &[u8], diff_id: &DiffId) -> Result<u64, LayerError> {
        let stream = io::Cursor::new(blob.to_vec());
        let size = blob.len() as u64;
        LayerStream::open(media_type, stream, size, &Limits::default())?.finish(diff_id)
    }

    #[test]
    fn every_compression_and_several_members() {
        let data = b"some tar bytes ".repeat(5000);
        let right = DiffId::of(&data);
        let (one, two) = data.split_at(1000);
        let gz = [gzip(one), gzip(two)].concat();
        let mut zst = zstd::encode_all(one, 3).unwrap();
        // a skippable frame (RFC 8878, 3.1.2) between two frames
        zst.extend(0x184D_2A50_u32.to_le_bytes());
        zst.extend(4_u32.to_le_bytes());
        zst.extend(b"skip");
        zst.extend(zstd::encode_all(two, 3).unwrap());
        for (kind, blob) in [
            (media_type::OCI_LAYER, &data),
            (media_type::DOCKER_LAYER_GZIP, &gz),
            (media_type::OCI_LAYER_GZIP, &gz),
            (media_type::OCI_LAYER_ZSTD, &zst),
        ] {
            assert_eq!(through(kind, blob, &right).unwrap(), data.len() as u64, "{kind}");
        }
        assert!(matches!(
            through(media_type::OCI_LAYER, one, &right),
            Err(LayerError::DiffId { .. })
        ));
        assert!(through(media_type::OCI_LAYER_GZIP, &gz[..gz.len() - 9], &right).is_err());
        assert!(matches!(
            through("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", &gz, &right),
            Err(LayerError::MediaType(_))
        ));
    }

    #[test]
    fn a_bomb_is_stopped_by_name() {
        let limits = Limits { layer_bytes: 100_000, ..Limits::default() };
        let blob = gzip(&vec![0; 1_000_000]);
        let size = blob.len() as u64;
        let stream =
            LayerStream::open(media_type::OCI_LAYER_GZIP, io::Cursor::new(blob), size, &limits);
        let error = stream.unwrap().finish(&DiffId::of(b"")).unwrap_err();
        assert!(error.to_string().contains("limit layer bytes of 100000"), "{error}");
    }
}
