//! Sparse files: only the pieces between holes are stored.
//!
//! ```text
//! GNU, type S    header: 386 4 x (offset[12] size[12])  482 more?  483 real size[12]
//!                each following block: 21 x (offset[12] size[12])  504 more?
//! PAX 0.0        GNU.sparse.offset=, GNU.sparse.numbytes= ...  GNU.sparse.size=
//! PAX 0.1        GNU.sparse.map=off,len,off,len                GNU.sparse.size=, .name=
//! PAX 1.0        GNU.sparse.major=1 .minor=0 .realsize= .name=; in front of the data, padded to
//!                512: "count\noffset\nlength\n..."
//! ```
//!
//! Source: GNU tar manual, "Storing Sparse Files".

use super::header::Header;
use super::number::{decimal, number};

/// A stored piece: where in the file, how long.
pub(super) type Piece = (u64, u64);

/// What PAX records say of a sparse file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pieces: Vec<Piece>,
    seen: bool,
    major: Option<u64>,
    minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pending: Option<u64>,
}

impl Pax {
    /// Takes a record; false when it is not about sparse files.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<bool, String> {
        let Some(key) = key.strip_prefix(b"GNU.sparse.") else { return Ok(false) };
        let number = || decimal(value).ok_or("a GNU.sparse record is not a number");
        self.seen = true;
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(number()?),
            b"offset" => self.pending = Some(number()?),
            b"numbytes" => {
                let offset = self.pending.take().ok_or("GNU.sparse.numbytes without an offset")?;
                self.pieces.push((offset, number()?));
            }
            b"map" => {
                let numbers: Option<Vec<u64>> = value.split(|b| *b == b',').map(decimal).collect();
                let numbers = numbers.ok_or("GNU.sparse.map is not a list of numbers")?;
                if !numbers.len().is_multiple_of(2) {
                    return Err("GNU.sparse.map has an odd count".into());
                }
                self.pieces = numbers.chunks_exact(2).map(|p| (p[0], p[1])).collect();
            }
            // numblocks repeats what the list says
            _ => {}
        }
        Ok(true)
    }

    /// Whether the map stands in front of the data.
    ///
    /// # Errors
    /// When it is of a version that is not read.
    pub(super) fn map_in_data(&self) -> Result<bool, String> {
        match (self.major, self.minor) {
            (Some(1), Some(0)) => Ok(true),
            (None | Some(0), _) => Ok(false),
            (major, minor) => {
                let shown = |n: Option<u64>| n.map_or("?".into(), |n| n.to_string());
                Err(format!("sparse format {}.{} is not read", shown(major), shown(minor)))
            }
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.seen
    }

    pub(super) fn pieces(&self) -> Option<&[Piece]> {
        self.seen.then_some(&self.pieces)
    }
}

/// The pieces in a GNU header, its real size, and whether a block with more follows.
pub(super) fn from_header(header: &Header) -> Result<(Vec<Piece>, u64, bool), String> {
    let mut pieces = Vec::new();
    add(&header.0[386..482], &mut pieces)?;
    let size = number(&header.0[483..495]).and_then(|n| u64::try_from(n).ok());
    Ok((pieces, size.ok_or("its real size is not a number")?, header.0[482] != 0))
}

/// The pieces in a following block, and whether there is one more.
pub(super) fn from_block(block: &[u8; 512], pieces: &mut Vec<Piece>) -> Result<bool, String> {
    add(&block[..504], pieces)?;
    Ok(block[504] != 0)
}

fn add(list: &[u8], pieces: &mut Vec<Piece>) -> Result<(), String> {
    for pair in list.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let field = |f| number(f).and_then(|n| u64::try_from(n).ok());
        match (field(&pair[..12]), field(&pair[12..])) {
            (Some(offset), Some(length)) => pieces.push((offset, length)),
            _ => return Err("its sparse map holds no numbers".into()),
        }
    }
    Ok(())
}

/// Checks that the pieces are in order, inside the file, and as long as what is stored.
pub(super) fn check(pieces: &[Piece], real: u64, stored: u64) -> Result<(), String> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for (offset, length) in pieces {
        if *offset < end {
            return Err("its sparse pieces overlap or are out of order".into());
        }
        end = offset.checked_add(*length).ok_or("a sparse piece ends beyond all numbers")?;
        sum += length;
    }
    if end > real {
        return Err("a sparse piece lies behind the file's end".into());
    }
    if sum != stored {
        return Err(format!("its sparse pieces have {sum} bytes, {stored} are stored"));
    }
    Ok(())
}
