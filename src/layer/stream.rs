//! A layer's blob as the bytes of its tar: inflated, counted, hashed.
//!
//! ```text
//! blob --inflate--> chunks --+--> digest        two threads beside the reader; a few chunks are
//!                    ^       `--> reader        on their way, each is shared and then used again
//!                    `---- spare ----'
//! ```

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{JoinHandle, spawn};

use super::limits::{Limits, check};
use super::{LayerError, compression};
use crate::oci::media_type::{LayerType, layer_type};
use crate::oci::{DiffId, Hasher};

/// Bytes of a chunk.
const CHUNK: usize = 512 << 10;
/// Chunks that wait for the reader, and for the digest.
const AHEAD: usize = 4;

/// Bytes that several threads read, as reader and digest do here.
type Chunk = Arc<Vec<u8>>;

/// Reads the uncompressed bytes; [`LayerStream::finish`] says whether they were the right ones.
pub struct LayerStream {
    chunks: Receiver<io::Result<Chunk>>,
    current: Chunk,
    at: usize,
    spare: Sender<Vec<u8>>,
    digest: JoinHandle<DiffId>,
    bytes: u64,
}

/// The thread that inflates: where from, and where to.
struct Inflate {
    tar: Box<dyn Read + Send>,
    max: u64,
    by_ratio: bool,
    limits: Limits,
    reader: SyncSender<io::Result<Chunk>>,
    digest: SyncSender<Chunk>,
    spare: Receiver<Vec<u8>>,
}

impl LayerStream {
    /// Inflates a blob of `size` bytes as its first bytes say. Its media type only tells what is no
    /// tar at all.
    ///
    /// # Errors
    /// When the media type is no readable layer, or the first bytes cannot be read.
    pub fn open(
        media_type: &str,
        blob: impl Read + Send + 'static,
        size: u64,
        limits: &Limits,
    ) -> Result<Self, LayerError> {
        if layer_type(media_type) != LayerType::Tar {
            return Err(LayerError::MediaType(media_type.chars().take(100).collect()));
        }
        let blob = BufReader::with_capacity(128 << 10, blob);
        let tar = compression::inflate(blob)
            .map_err(|error| LayerError::reading("at the start", error))?;
        let by_ratio = limits.expanded(size);
        let (reader, chunks) = sync_channel(AHEAD);
        let (digest, hashed) = sync_channel::<Chunk>(AHEAD);
        let (give_back, spare) = channel();
        let inflate = Inflate {
            tar,
            max: by_ratio.min(limits.layer_bytes),
            by_ratio: by_ratio < limits.layer_bytes,
            limits: *limits,
            reader,
            digest,
            spare,
        };
        // both end by themselves: when the blob does, or nobody reads any more
        spawn(move || inflate.run());
        let done_with = give_back.clone();
        let digest = spawn(move || {
            let mut hasher = Hasher::default();
            for chunk in hashed {
                hasher.update(&chunk);
                recycle(chunk, &done_with);
            }
            hasher.finish()
        });
        Ok(Self { chunks, current: Chunk::default(), at: 0, spare: give_back, digest, bytes: 0 })
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

impl BufRead for LayerStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // the channel is closed at the end of the blob, and behind an error
        if self.at == self.current.len()
            && let Ok(next) = self.chunks.recv()
        {
            recycle(std::mem::replace(&mut self.current, next?), &self.spare);
            self.at = 0;
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.bytes += count as u64;
    }
}

impl Read for LayerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = buffer.len().min(bytes.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Gives a chunk's memory back to whoever fills chunks, if nobody else reads it.
pub(crate) fn recycle(chunk: Chunk, spare: &Sender<Vec<u8>>) {
    if let Some(bytes) = Arc::into_inner(chunk) {
        // who fills them may have ended
        let _ = spare.send(bytes);
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
    fn chunk(&mut self, bytes: &mut u64) -> io::Result<Option<Vec<u8>>> {
        let mut chunk = self.spare.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let mut length = 0;
        while length < CHUNK {
            match self.tar.read(&mut chunk[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        *bytes += length as u64;
        if self.by_ratio && *bytes > self.max {
            check("expansion ratio", u64::MAX, self.limits.expansion_ratio)?;
        }
        check("layer bytes", *bytes, self.max)?;
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }
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
        // whatever they are called
        for kind in [
            media_type::OCI_LAYER,
            media_type::DOCKER_LAYER_GZIP,
            media_type::OCI_LAYER_GZIP,
            media_type::OCI_LAYER_ZSTD,
            "application/octet-stream",
            "",
        ] {
            for blob in [&data, &gz, &zst] {
                assert_eq!(through(kind, blob, &right).unwrap(), data.len() as u64, "{kind}");
            }
        }
        assert!(matches!(
            through(media_type::OCI_LAYER, one, &right),
            Err(LayerError::DiffId { .. })
        ));
        assert!(through(media_type::OCI_LAYER_GZIP, &gz[..gz.len() - 9], &right).is_err());
        for garbage in [&[0][..], &[0x1F], &[0; 512], b"no member"] {
            let blob = [&gz, garbage].concat();
            assert!(through(media_type::OCI_LAYER_GZIP, &blob, &right).is_err(), "{garbage:?}");
        }
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
