//! A file's bytes as a stream, for those who need no threads.

use std::io::{self, Read};

use super::{Decoder, File, Image, Pieces, ReadAt};

/// A file that is read from its start to its end. What the image caused is an [`io::Error`] with
/// the [`super::ReadError`] in it.
pub struct Content<'d, 'a, S> {
    pieces: Pieces<'a, S>,
    decoder: &'d mut Decoder<'a, S>,
    /// The piece that is being read, and how much of it was.
    raw: Vec<u8>,
    at: usize,
}

impl<S: ReadAt> Image<S> {
    /// Opens a file.
    pub fn content<'d, 'a>(
        &'a self,
        file: &File,
        decoder: &'d mut Decoder<'a, S>,
    ) -> Content<'d, 'a, S> {
        Content { pieces: self.pieces(file), decoder, raw: Vec::new(), at: 0 }
    }
}

impl<S: ReadAt> Read for Content<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.raw.len() {
            let Some(piece) = self.pieces.next() else { return Ok(0) };
            let piece = piece.map_err(io::Error::other)?;
            let raw = self.decoder.read(&piece).map_err(io::Error::other)?;
            self.raw.clear();
            self.raw.extend(raw);
            self.at = 0;
        }
        let rest = &self.raw[self.at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}
