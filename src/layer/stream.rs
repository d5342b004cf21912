//! A layer's blob as the bytes of its tar: inflated, counted, hashed.

use std::io::{self, BufReader, Read};

use super::LayerError;
use super::limits::{Limits, check};
use crate::oci::media_type::{Compression, layer_compression};
use crate::oci::{DiffId, Hasher};

/// Below this size a layer may expand as it likes.
const FREE: u64 = 1 << 30;

/// Reads the uncompressed bytes; [`LayerStream::finish`] says whether they were the right ones.
pub struct LayerStream<'a> {
    inner: Box<dyn Read + 'a>,
    hasher: Hasher,
    bytes: u64,
    max: u64,
    by_ratio: bool,
    limits: Limits,
}

impl<'a> LayerStream<'a> {
    /// Inflates a blob of `size` bytes as its media type says. gzip may have several members, zstd
    /// several and skippable frames.
    ///
    /// # Errors
    /// When the media type is no readable layer.
    pub fn open(
        media_type: &str,
        blob: impl Read + 'a,
        size: u64,
        limits: &Limits,
    ) -> Result<Self, LayerError> {
        let compression = layer_compression(media_type)
            .ok_or_else(|| LayerError::MediaType(media_type.chars().take(100).collect()))?;
        let blob = BufReader::with_capacity(128 << 10, blob);
        let inner: Box<dyn Read + 'a> = match compression {
            Compression::None => Box::new(blob),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
            Compression::Zstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(blob).map_err(LayerError::Io)?)
            }
        };
        let by_ratio = size.saturating_mul(limits.expansion_ratio).max(FREE);
        Ok(Self {
            inner,
            hasher: Hasher::default(),
            bytes: 0,
            max: by_ratio.min(limits.layer_bytes),
            by_ratio: by_ratio < limits.layer_bytes,
            limits: limits.clone(),
        })
    }

    /// Reads to the end and compares the digest of everything that was read.
    ///
    /// # Errors
    /// When the rest cannot be read or the digest is another one.
    pub fn finish(mut self, expected: &DiffId) -> Result<u64, LayerError> {
        io::copy(&mut self, &mut io::sink())
            .map_err(|e| LayerError::reading("behind the last one", e))?;
        let found: DiffId = self.hasher.finish();
        if found == *expected {
            Ok(self.bytes)
        } else {
            Err(LayerError::DiffId { expected: *expected, found })
        }
    }
}

impl Read for LayerStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        if self.by_ratio && self.bytes > self.max {
            check("expansion ratio", u64::MAX, self.limits.expansion_ratio)?;
        }
        check("layer bytes", self.bytes, self.max)?;
        Ok(count)
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
        LayerStream::open(media_type, blob, blob.len() as u64, &Limits::default())?.finish(diff_id)
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
        let stream =
            LayerStream::open(media_type::OCI_LAYER_GZIP, &*blob, blob.len() as u64, &limits);
        let error = stream.unwrap().finish(&DiffId::of(b"")).unwrap_err();
        assert!(error.to_string().contains("limit layer bytes of 100000"), "{error}");
    }
}
