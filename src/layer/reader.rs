//! Reads the entries of a tar, one after the other, from bytes that anybody may have written.
//!
//! Not promised: multi-volume archives, GNU dump directories and volume labels; they are refused.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use super::LayerError;
use super::header::Header;
use super::limits::{Limits, check};
use super::number::decimal;
use super::pax::{self, Pax};
use super::sparse::{self, Piece};
use crate::tree::show;

/// From here on a size does not fit the octal field, so only the extended header is right.
const OCTAL_END: u64 = 1 << 33;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file; its bytes come from [`TarReader::data`].
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this.
    Symlink(Vec<u8>),
    /// One more name of this path.
    HardLink(Vec<u8>),
    /// A character device: major, minor.
    Character(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// An entry with everything that extended headers say of it. The path is as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path, not normalised.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// The low 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970, rounded down.
    pub mtime: i64,
    /// Length of a regular file in bytes, holes included.
    pub size: u64,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether it has POSIX ACLs in a form other than an extended attribute.
    pub acl: bool,
}

/// A tar that is being read.
pub struct TarReader<R> {
    source: R,
    limits: Limits,
    count: u64,
    /// Of the current entry, once it is known.
    path: Option<Vec<u8>>,
    /// Stored bytes of the current entry that were not read, and the padding behind them.
    stored: u64,
    padding: u64,
    pieces: Vec<Piece>,
    next_piece: usize,
    position: u64,
    size: u64,
    /// Bytes of holes that may still come.
    holes: u64,
    /// No header was read yet.
    first: bool,
    ended: bool,
}

/// What stood in front of an entry.
#[derive(Default)]
struct Before {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl<R: Read> TarReader<R> {
    /// Reads from the first byte of a tar.
    pub fn new(source: R, limits: Limits) -> Self {
        Self {
            source,
            limits,
            count: 0,
            path: None,
            stored: 0,
            padding: 0,
            pieces: Vec::new(),
            next_piece: 0,
            position: 0,
            size: 0,
            holes: u64::MAX,
            first: true,
            ended: false,
        }
    }

    /// Bounds the holes of sparse files by what a blob of so many bytes may become. They are no bytes
    /// of the tar, so the ratio that its stream watches does not see them: 158 bytes of gzip can
    /// say that they are hundreds of GB, each block of which is looked at and listed.
    #[must_use]
    pub fn of_blob(mut self, packed: u64) -> Self {
        self.holes = self.limits.expanded(packed);
        self
    }

    /// Whether the current entry's bytes stand in the tar as they are: it has no holes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.pieces == [(0, self.size)]
    }

    /// The next entry; skips what was not read of the one before. `None` at the archive's end.
    ///
    /// # Errors
    /// When the archive is malformed, could be read in two ways, or passes a limit.
    pub fn next_entry(&mut self) -> Result<Option<Member>, LayerError> {
        if self.ended {
            return Ok(None);
        }
        let mut before = Before::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                if before.long_name.is_some() || before.long_link.is_some() || before.pax.is_some()
                {
                    return Err(self.malformed("an extended header describes no entry"));
                }
                self.ended = true;
                return Ok(None);
            };
            let Some(size) = header.size() else {
                return Err(self.malformed("its size is not a number"));
            };
            let twice = match header.type_flag() {
                b'L' => before.long_name.replace(self.long(size)?).is_some(),
                b'K' => before.long_link.replace(self.long(size)?).is_some(),
                b'x' => {
                    let body = self.extended(size)?;
                    let pax = pax::parse(&body).map_err(|why| self.malformed(why))?;
                    before.pax.replace(pax).is_some()
                }
                b'g' => {
                    let body = self.extended(size)?;
                    let pax = pax::parse(&body).map_err(|why| self.malformed(why))?;
                    if pax.changes_entries() {
                        return Err(self.refused("a global extended header changes entries"));
                    }
                    false
                }
                _ => return self.entry(&header, size, before).map(Some),
            };
            if twice {
                return Err(self.refused("two extended headers of one kind describe it"));
            }
        }
    }

    /// The current entry's name, for messages.
    pub fn name(&self) -> String {
        match &self.path {
            Some(path) => show(path),
            None if self.count == 0 => "at the start".into(),
            None => format!("number {}", self.count),
        }
    }

    /// Gives the source back, somewhere behind the end of the archive.
    pub fn into_inner(self) -> R {
        self.source
    }

    fn entry(
        &mut self,
        header: &Header,
        header_size: u64,
        before: Before,
    ) -> Result<Member, LayerError> {
        let Before { long_name, long_link, pax } = before;
        let mut pax = pax.unwrap_or_default();
        self.count += 1;
        self.path = None;
        let long = pax.sparse.name.take().or(pax.path.take());
        let own = match header.path() {
            Ok(path) => path,
            // it does not count beside a long one
            Err(_) if long.is_some() || long_name.is_some() => Vec::new(),
            Err(why) => return Err(self.refused(why)),
        };
        let path = one(long_name, long, own).map_err(|why| self.refused(why))?;
        self.path = Some(path.clone());
        let link = one(long_link, pax.link.take(), header.link()).map_err(|w| self.refused(w))?;
        self.limit("path bytes", path.len().max(link.len()) as u64, self.limits.path_bytes)?;

        let stored = match pax.size {
            Some(size) if size != header_size && size < OCTAL_END => {
                return Err(self.refused(format!(
                    "its extended header says {size} bytes, its header {header_size}"
                )));
            }
            Some(size) => size,
            None => header_size,
        };
        let kind = self.kind(header, &path, link)?;
        if kind != MemberKind::File && stored != 0 {
            return Err(self.refused(format!("it is not a file but has {stored} bytes")));
        }
        self.stored = stored;
        self.padding = stored.wrapping_neg() % 512;
        self.position = 0;
        self.next_piece = 0;
        self.size = self.pieces(header, &pax, &kind)?;

        let bytes: usize = pax.xattrs.iter().map(|(k, v)| k.len() + v.len()).sum();
        self.limit("xattr bytes", bytes as u64, self.limits.xattr_bytes)?;
        // chown(2) takes the last number for "as it is"
        let id = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n < u32::MAX);
        let (Some(uid), Some(gid)) = (id(pax.uid.or(header.uid())), id(pax.gid.or(header.gid())))
        else {
            return Err(self.malformed("its owner is not a number from 0 to 4294967294"));
        };
        let Some(mtime) = pax.mtime.or(header.mtime()) else {
            return Err(self.malformed("its time is not a number"));
        };
        let Some(mode) = header.mode().and_then(|n| u16::try_from(n & 0o7777).ok()) else {
            return Err(self.malformed("its mode is not a number"));
        };
        let (size, xattrs, acl) = (self.size, pax.xattrs, pax.acl);
        Ok(Member { path, kind, mode, uid, gid, mtime, size, xattrs, acl })
    }

    fn kind(&self, header: &Header, path: &[u8], link: Vec<u8>) -> Result<MemberKind, LayerError> {
        let device = || header.device().ok_or_else(|| self.malformed("its device is not a number"));
        Ok(match header.type_flag() {
            // old programs mark a directory only by its slash
            0 if path.ends_with(b"/") => MemberKind::Directory,
            b'0' | b'7' | b'S' if path.ends_with(b"/") => {
                return Err(self.refused("it is a file by its type and a directory by its name"));
            }
            0 | b'0' | b'7' | b'S' => MemberKind::File,
            b'1' => MemberKind::HardLink(link),
            b'2' => MemberKind::Symlink(link),
            b'3' => device().map(|(major, minor)| MemberKind::Character(major, minor))?,
            b'4' => device().map(|(major, minor)| MemberKind::Block(major, minor))?,
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            other => {
                return Err(self.refused(format!("its type {:?} is not read", char::from(other))));
            }
        })
    }

    /// Sets the stored pieces and returns the file's whole length.
    fn pieces(&mut self, header: &Header, pax: &Pax, kind: &MemberKind) -> Result<u64, LayerError> {
        let gnu = header.type_flag() == b'S';
        if !gnu && !pax.sparse.is_there() {
            self.pieces = vec![(0, self.stored)];
            return Ok(self.stored);
        }
        if *kind != MemberKind::File || (gnu && (pax.sparse.is_there() || !header.is_gnu())) {
            return Err(self.refused("it is sparse in two ways, or no file"));
        }
        let real = if gnu {
            let (mut pieces, real, mut more) =
                sparse::from_header(header).map_err(|why| self.malformed(why))?;
            while more {
                let mut block = [0; 512];
                self.exact(&mut block)?;
                more = sparse::from_block(&block, &mut pieces).map_err(|w| self.malformed(w))?;
                self.bound_pieces(pieces.len())?;
            }
            self.pieces = pieces;
            real
        } else {
            self.pieces = if pax.sparse.map_in_data().map_err(|why| self.refused(why))? {
                self.map_in_data()?
            } else {
                pax.pieces().unwrap_or_default().to_vec()
            };
            pax.sparse.real_size.ok_or_else(|| self.malformed("its real size is missing"))?
        };
        self.bound_pieces(self.pieces.len())?;
        sparse::check(&self.pieces, real, self.stored).map_err(|why| self.malformed(why))?;
        match self.holes.checked_sub(real - self.stored) {
            Some(left) => self.holes = left,
            None => self.limit("expansion ratio", u64::MAX, self.limits.expansion_ratio)?,
        }
        Ok(real)
    }

    /// The map of PAX 1.0: decimal lines in the first stored blocks.
    fn map_in_data(&mut self) -> Result<Vec<Piece>, LayerError> {
        let mut numbers = Vec::new();
        let mut wanted = None;
        let mut digits = Vec::new();
        while wanted.is_none_or(|n| numbers.len() < n) {
            let mut block = [0; 512];
            if self.stored < 512 {
                return Err(self.malformed("its sparse map is cut"));
            }
            self.exact(&mut block)?;
            self.stored -= 512;
            for byte in block {
                if wanted.is_some_and(|n| numbers.len() >= n) {
                    break;
                }
                if byte != b'\n' {
                    digits.push(byte);
                    if digits.len() > 20 {
                        return Err(self.malformed("its sparse map holds no numbers"));
                    }
                    continue;
                }
                let number = decimal(&digits)
                    .ok_or_else(|| self.malformed("its sparse map holds no numbers"))?;
                digits.clear();
                if wanted.is_none() {
                    let count = usize::try_from(number).unwrap_or(usize::MAX);
                    self.bound_pieces(count)?;
                    wanted = Some(count * 2);
                } else {
                    numbers.push(number);
                }
            }
        }
        Ok(numbers.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    }

    fn bound_pieces(&self, count: usize) -> Result<(), LayerError> {
        self.limit("sparse pieces", count as u64, self.limits.sparse_pieces)
    }

    /// The next header; `None` at the end mark, whole or not, or the end of the bytes.
    fn header(&mut self) -> Result<Option<Header>, LayerError> {
        let mut header = Header([0; 512]);
        let filled = self.block(&mut header.0)?;
        if header.is_zero() {
            // a piece of an end mark; nobody reads anything in it
            if filled < header.0.len() {
                return Ok(None);
            }
            let mut second = Header([0; 512]);
            self.block(&mut second.0)?;
            if !second.is_zero() {
                return Err(self.refused("a lone zero block stands behind it"));
            }
            return Ok(None);
        }
        if filled < header.0.len() && !self.first {
            return Err(self.malformed("the archive ends in the middle of what stands behind it"));
        }
        if !header.is_intact() {
            if self.first {
                let why = "it begins neither as a tar nor as gzip, zstd, xz or bzip2";
                return Err(self.malformed(why));
            }
            return Err(self.malformed("the header behind it has a wrong checksum"));
        }
        self.first = false;
        Ok(Some(header))
    }

    /// Fills a block as far as there are bytes; how far.
    fn block(&mut self, block: &mut [u8; 512]) -> Result<usize, LayerError> {
        let mut filled = 0;
        while filled < block.len() {
            match self.source.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(LayerError::reading(self.name(), e)),
            }
        }
        Ok(filled)
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), LayerError> {
        self.source.read_exact(bytes).map_err(|e| LayerError::reading(self.name(), e))
    }

    /// The body of an extended header.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        self.limit("header bytes", size, self.limits.header_bytes)?;
        self.stored = size;
        self.padding = size.wrapping_neg() % 512;
        let mut body = Vec::new();
        (&mut self.source)
            .take(size)
            .read_to_end(&mut body)
            .map_err(|e| LayerError::reading(self.name(), e))?;
        if body.len() as u64 != size {
            return Err(self.malformed("the archive ends in the middle of it"));
        }
        self.stored = 0;
        Ok(body)
    }

    /// A GNU long name: up to its NUL.
    fn long(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        let mut body = self.extended(size)?;
        let end = body.iter().position(|b| *b == 0).unwrap_or(body.len());
        body.truncate(end);
        Ok(body)
    }

    /// Skips what is left of an entry. Its bytes must all be there; the padding behind the last entry
    /// may be missing, as writers leave it that were never closed.
    fn skip(&mut self) -> Result<(), LayerError> {
        let rest = self.stored + self.padding;
        let skipped = io::copy(&mut (&mut self.source).take(rest), &mut io::sink())
            .map_err(|e| LayerError::reading(self.name(), e))?;
        if skipped < self.stored {
            return Err(self.malformed("the archive ends in the middle of it"));
        }
        (self.stored, self.padding) = (0, 0);
        Ok(())
    }

    fn limit(&self, name: &'static str, value: u64, limit: u64) -> Result<(), LayerError> {
        check(name, value, limit).map_err(|passed| LayerError::limit(self.name(), &passed))
    }

    fn malformed(&self, why: impl Into<String>) -> LayerError {
        LayerError::malformed(self.name(), why)
    }

    fn refused(&self, why: impl Into<String>) -> LayerError {
        LayerError::refused(self.name(), why)
    }
}

/// What of a hole is given at once.
const ZEROS: [u8; 4096] = [0; 4096];

impl<R: BufRead> TarReader<R> {
    /// Appends the next `count` of the current entry's bytes, holes as zeros.
    ///
    /// # Errors
    /// When they cannot be read or there are fewer.
    pub fn take(&mut self, count: usize, buffer: &mut Vec<u8>) -> Result<(), LayerError> {
        buffer.reserve(count);
        let mut left = count;
        while left > 0 {
            match self.append(left, buffer) {
                Ok(0) => return Err(self.malformed("the archive ends in the middle of it")),
                Ok(taken) => left -= taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::reading(self.name(), error)),
            }
        }
        Ok(())
    }

    /// Appends some of the current entry's next bytes, at most `most`; how many.
    fn append(&mut self, most: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let (ahead, stored) = self.ahead();
        let most = most.min(usize::try_from(ahead).unwrap_or(usize::MAX));
        let bytes = if stored { self.source.fill_buf()? } else { &ZEROS };
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = bytes.len().min(most);
        buffer.extend_from_slice(&bytes[..count]);
        if stored {
            self.source.consume(count);
            self.stored -= count as u64;
        }
        self.position += count as u64;
        Ok(count)
    }

    /// How many of the current entry's next bytes are alike, and whether they are stored.
    fn ahead(&mut self) -> (u64, bool) {
        let behind = |(offset, length): &Piece| offset + length <= self.position;
        while self.pieces.get(self.next_piece).is_some_and(behind) {
            self.next_piece += 1;
        }
        match self.pieces.get(self.next_piece) {
            Some((offset, length)) if *offset <= self.position => {
                (offset + length - self.position, true)
            }
            Some((offset, _)) => (offset - self.position, false),
            None => (self.size - self.position, false),
        }
    }
}

/// The one text that three places may hold; GNU's and PAX's long forms must agree.
fn one(
    gnu: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
    header: Vec<u8>,
) -> Result<Vec<u8>, &'static str> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) if gnu != pax => Err("two extended headers name it differently"),
        (Some(long), _) | (None, Some(long)) => Ok(long),
        (None, None) => Ok(header),
    }
}
