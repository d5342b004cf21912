//! gzip, inflated into large buffers: members of deflate blocks, one behind the other.
//!
//! ```text
//! member:  1F 8B 08 flags mtime(4) xfl os  [extra] [name\0] [comment\0] [crc16]
//!          deflate blocks  crc32(4)  size mod 2^32 (4)
//! output:  | history, 32 KiB | what comes | room for one more match |
//!                            ^ from       ^ to
//! ```
//!
//! Bits are taken from a word of 64 that is filled up without branches; a symbol is looked up in a
//! table of 2^11 (distances: 2^8) entries, of which those for longer codes lead to a second table. There is room behind
//! the output for what one symbol may give, and zeros behind the input's end, so that the inner loop
//! looks at both ends once per symbol.
//!
//! Source: RFC 1952 (gzip), RFC 1951 (deflate). What is refused is what zlib refuses: codes that are
//! incomplete or over-subscribed (but for a single code of one bit), no end-of-block code, distances
//! beyond the member's start, a wrong checksum, anything but a member behind a member.

use std::io::{self, Read};

use flate2::Crc;

/// Bytes before the output that matches may reach.
pub(super) const HISTORY: usize = 32 << 10;
/// Bytes behind the wanted output that must be there: a longest match, copied in steps of 16, and
/// literals.
pub(super) const SLACK: usize = 258 + 16 + 8;
/// Bytes of input at once.
const INPUT: usize = 128 << 10;
/// Zeros behind the end of the input: more than a block's header takes.
const PAD: usize = 1024;
/// Bytes of input that one round of the inner loop may take or look at.
const ROUND: usize = 40;

/// Bits that the first table looks at, for literals and lengths, and for distances.
const MAIN: (u32, u32) = (11, 8);
/// Entries of a table, its second tables included; powers of two above zlib's ENOUGH.
const SIZE: (usize, usize) = (4096, 512);

// An entry: its low byte is how many bits it takes, bits 8 to 11 how many of them are the code (the
// rest are extra bits), the upper half is the literal, the base, or where the second table begins.
const LITERAL: u32 = 1 << 31;
const SPECIAL: u32 = 1 << 15;
const SECOND: u32 = 1 << 14;
const END: u32 = 1 << 13;

/// RFC 1951, 3.2.5: base and extra bits of the length codes from 257.
#[rustfmt::skip]
const LENGTHS: [(u16, u8); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1),
    (17, 1), (19, 2), (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4),
    (83, 4), (99, 4), (115, 4), (131, 5), (163, 5), (195, 5), (227, 5), (258, 0),
];
/// The same of the distance codes.
#[rustfmt::skip]
const DISTANCES: [(u16, u8); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4),
    (49, 4), (65, 5), (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8),
    (1025, 9), (1537, 9), (2049, 10), (3073, 10), (4097, 11), (6145, 11), (8193, 12), (12289, 12),
    (16385, 13), (24577, 13),
];
/// RFC 1951, 3.2.7: the order in which the lengths of code lengths stand.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a member; whether it is the first.
    Member {
        first: bool,
    },
    /// Before a block.
    Block,
    /// In a stored block with so many bytes to come.
    Stored(usize),
    /// In a block of codes.
    Codes,
    /// Behind the last block.
    Trailer,
    End,
}

/// Inflates the members of a gzip.
pub(super) struct Gunzip<R> {
    source: R,
    input: Box<[u8]>,
    /// The next byte, and the end of what was read.
    pos: usize,
    end: usize,
    eof: bool,
    bits: u64,
    count: u32,
    state: State,
    last: bool,
    literals: Box<[u32; SIZE.0]>,
    distances: Box<[u32; SIZE.1]>,
    /// Where in the output the member begins.
    floor: usize,
    crc: Crc,
}

fn corrupt() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "corrupt deflate stream")
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the gzip ends in the middle")
}

impl<R: Read> Gunzip<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            input: vec![0; INPUT + PAD].into_boxed_slice(),
            pos: 0,
            end: 0,
            eof: false,
            bits: 0,
            count: 0,
            state: State::Member { first: true },
            last: false,
            literals: Box::new([0; SIZE.0]),
            distances: Box::new([0; SIZE.1]),
            floor: HISTORY,
            crc: Crc::new(),
        }
    }

    /// Writes what comes to `out[HISTORY..]`, until `to` or a little behind it; the bytes before are
    /// the last ones of the call before. Returns where it ends: `HISTORY` only at the end.
    pub(super) fn fill(&mut self, out: &mut [u8], to: usize) -> io::Result<usize> {
        let mut at = HISTORY;
        let mut summed = at;
        while at < to {
            match self.state {
                State::Member { first } => {
                    self.floor = at;
                    self.state = if self.member(first)? { State::Block } else { State::End };
                }
                State::Block => self.block()?,
                State::Stored(left) => {
                    if self.pos == self.end && left > 0 {
                        self.need(1)?;
                        if self.pos == self.end {
                            return Err(cut());
                        }
                    }
                    let count = left.min(self.end - self.pos).min(to - at);
                    let bytes = &self.input[self.pos..self.pos + count];
                    out[at..at + count].copy_from_slice(bytes);
                    (self.pos, at) = (self.pos + count, at + count);
                    self.state = match left - count {
                        0 => self.behind_block(),
                        left => State::Stored(left),
                    };
                }
                State::Codes => {
                    self.need(ROUND)?;
                    at = self.codes(out, at, to)?;
                }
                State::Trailer => {
                    self.crc.update(&out[summed..at]);
                    summed = at;
                    self.trailer()?;
                }
                State::End => break,
            }
        }
        self.crc.update(&out[summed..at]);
        self.floor = (self.floor + HISTORY).saturating_sub(at);
        Ok(at)
    }

    /// Reads until `count` bytes are there, or all; zeros follow the last.
    fn need(&mut self, count: usize) -> io::Result<()> {
        while self.end < self.pos + count && !self.eof {
            // the word of bits may still be given back
            let kept = self.pos.saturating_sub(8);
            self.input.copy_within(kept..self.end, 0);
            self.end -= kept;
            self.pos -= kept;
            match self.source.read(&mut self.input[self.end..INPUT]) {
                Ok(0) => {
                    self.eof = true;
                    self.input[self.end..self.end + PAD].fill(0);
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.need(1)?;
        if self.pos >= self.end {
            return Err(cut());
        }
        self.pos += 1;
        Ok(self.input[self.pos - 1])
    }

    /// A member's header; `false` at the end behind another member.
    fn member(&mut self, first: bool) -> io::Result<bool> {
        self.need(1)?;
        if self.pos >= self.end && !first {
            return Ok(false);
        }
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "invalid gzip header");
        let mut crc = Crc::new();
        let mut next = |this: &mut Self| -> io::Result<u8> {
            let byte = this.byte()?;
            crc.update(&[byte]);
            Ok(byte)
        };
        let mut fixed = [0; 10];
        for byte in &mut fixed {
            *byte = next(self)?;
        }
        let flags = fixed[3];
        if fixed[..3] != [0x1F, 0x8B, 8] {
            return Err(bad());
        }
        if flags & 4 != 0 {
            let length = u16::from_le_bytes([next(self)?, next(self)?]);
            for _ in 0..length {
                next(self)?;
            }
        }
        for text in [8, 16] {
            while flags & text != 0 && next(self)? != 0 {}
        }
        if flags & 2 != 0 {
            let [low, high, ..] = crc.sum().to_le_bytes();
            if [self.byte()?, self.byte()?] != [low, high] {
                return Err(bad());
            }
        }
        self.crc.reset();
        Ok(true)
    }

    fn trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = self.byte()?;
        }
        let own = u64::from(self.crc.amount()) << 32 | u64::from(self.crc.sum());
        if trailer != own.to_le_bytes() {
            let why = "corrupt gzip stream does not have a matching checksum";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        self.state = State::Member { first: false };
        Ok(())
    }

    /// Fills the word of bits: at least 56 are there then.
    fn refill(&mut self) {
        let word: [u8; 8] = self.input[self.pos..self.pos + 8].try_into().unwrap_or_default();
        self.bits |= u64::from_le_bytes(word) << self.count;
        self.pos += (63 - self.count as usize) >> 3;
        self.count |= 56;
    }

    /// Takes up to 16 bits, of at least as many.
    fn take(&mut self, count: u32) -> usize {
        let value = self.bits & ((1 << count) - 1);
        self.bits >>= count;
        self.count -= count;
        usize::try_from(value).unwrap_or(0)
    }

    /// Gives whole bytes of the word back; those of a byte that was begun are lost.
    fn align(&mut self) -> io::Result<()> {
        self.pos -= self.count as usize / 8;
        (self.bits, self.count) = (0, 0);
        if self.pos > self.end { Err(cut()) } else { Ok(()) }
    }

    fn behind_block(&mut self) -> State {
        if self.last { State::Trailer } else { State::Block }
    }

    /// A block's header with its tables.
    fn block(&mut self) -> io::Result<()> {
        self.need(PAD - 8)?;
        self.refill();
        self.last = self.take(1) == 1;
        match self.take(2) {
            0 => {
                self.align()?;
                let mut lengths = [0; 4];
                for byte in &mut lengths {
                    *byte = self.byte()?;
                }
                let length = u16::from_le_bytes([lengths[0], lengths[1]]);
                if length != !u16::from_le_bytes([lengths[2], lengths[3]]) {
                    return Err(corrupt());
                }
                self.state = State::Stored(length.into());
                return Ok(());
            }
            1 => {
                let mut lengths = [8; 288 + 32];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                lengths[288..].fill(5);
                self.tables(&lengths[..288], &lengths[288..])?;
            }
            2 => self.dynamic()?,
            _ => return Err(corrupt()),
        }
        if self.pos - self.count as usize / 8 > self.end {
            return Err(cut());
        }
        self.state = State::Codes;
        Ok(())
    }

    /// RFC 1951, 3.2.7.
    fn dynamic(&mut self) -> io::Result<()> {
        let (literals, distances, codes) = (self.take(5) + 257, self.take(5) + 1, self.take(4) + 4);
        if literals > 286 || distances > 30 {
            return Err(corrupt());
        }
        let mut of_lengths = [0; 19];
        for place in &ORDER[..codes] {
            self.refill();
            of_lengths[*place] = u8::try_from(self.take(3)).unwrap_or(0);
        }
        let mut table = [0; 128];
        build(&mut table, 7, &of_lengths, false, |symbol| (symbol as u32) << 16)?;
        let mut lengths = [0; 286 + 30];
        let all = literals + distances;
        let mut at = 0;
        while at < all {
            self.refill();
            let entry = table[(self.bits & 127) as usize];
            if entry & SPECIAL != 0 {
                return Err(corrupt());
            }
            self.take(entry & 0xFF);
            let symbol = (entry >> 16) as u8;
            let (length, times) = match symbol {
                16 if at == 0 => return Err(corrupt()),
                16 => (lengths[at - 1], 3 + self.take(2)),
                17 => (0, 3 + self.take(3)),
                18 => (0, 11 + self.take(7)),
                length => (length, 1),
            };
            lengths
                .get_mut(at..at + times)
                .filter(|_| at + times <= all)
                .ok_or_else(corrupt)?
                .fill(length);
            at += times;
        }
        if lengths[256] == 0 {
            return Err(corrupt());
        }
        let (literals, distances) = lengths[..all].split_at(literals);
        self.tables(literals, distances)
    }

    fn tables(&mut self, literals: &[u8], distances: &[u8]) -> io::Result<()> {
        build(&mut self.literals[..], MAIN.0, literals, true, |symbol| match symbol {
            0..256 => LITERAL | (symbol as u32) << 16,
            256 => SPECIAL | END,
            _ => LENGTHS.get(symbol - 257).map_or(SPECIAL, entry),
        })?;
        build(&mut self.distances[..], MAIN.1, distances, true, |symbol| {
            DISTANCES.get(symbol).map_or(SPECIAL, entry)
        })
    }

    /// Symbols, until the block, the input or the room ends; returns where the output ends.
    fn codes(&mut self, out: &mut [u8], mut at: usize, to: usize) -> io::Result<usize> {
        let (literals, distances) = (&self.literals, &self.distances);
        let input = &self.input[..];
        let (mut pos, mut bits, mut count) = (self.pos, self.bits, self.count);
        let stop = if self.eof { self.end } else { self.end - ROUND };
        // one check instead of one for each byte
        let out = &mut out[..to + SLACK];
        macro_rules! refill {
            () => {
                let word: [u8; 8] = input[pos..pos + 8].try_into().unwrap_or_default();
                bits |= u64::from_le_bytes(word) << (count & 63);
                pos += (63 - (count & 63) as usize) >> 3;
                count |= 56;
            };
        }
        macro_rules! skip {
            ($entry:expr) => {
                bits = bits.wrapping_shr($entry);
                count = count.wrapping_sub($entry & 0xFF);
            };
        }
        macro_rules! look {
            ($table:expr, $main:expr) => {
                $table[(bits & ((1 << $main) - 1)) as usize]
            };
        }
        macro_rules! look_again {
            ($table:expr, $size:expr, $entry:expr) => {{
                skip!($entry);
                let among = (1_u32 << ($entry >> 8 & 15)) - 1;
                $table[(($entry >> 16) + (bits as u32 & among)) as usize & ($size - 1)]
            }};
        }
        macro_rules! value {
            ($entry:expr) => {{
                let extra = bits & (1_u64.wrapping_shl($entry)).wrapping_sub(1);
                let value = ($entry >> 16) as usize + (extra >> ($entry >> 8 & 15)) as usize;
                skip!($entry);
                value
            }};
        }
        while pos <= stop && at < to {
            refill!();
            let mut code = look!(literals, MAIN.0);
            if code & LITERAL != 0 {
                skip!(code);
                out[at] = (code >> 16) as u8;
                at += 1;
                code = look!(literals, MAIN.0);
                if code & LITERAL != 0 {
                    skip!(code);
                    out[at] = (code >> 16) as u8;
                    at += 1;
                    code = look!(literals, MAIN.0);
                    if code & LITERAL != 0 {
                        skip!(code);
                        out[at] = (code >> 16) as u8;
                        at += 1;
                        continue;
                    }
                }
                refill!();
            }
            if code & SPECIAL != 0 {
                if code & SECOND != 0 {
                    code = look_again!(literals, SIZE.0, code);
                }
                if code & LITERAL != 0 {
                    skip!(code);
                    out[at] = (code >> 16) as u8;
                    at += 1;
                    continue;
                }
                if code & SPECIAL != 0 {
                    if code & END == 0 {
                        return Err(corrupt());
                    }
                    skip!(code);
                    (self.pos, self.bits, self.count) = (pos, bits & ((1 << count) - 1), count);
                    if self.last {
                        self.align()?;
                    } else if pos - count as usize / 8 > self.end {
                        return Err(cut());
                    }
                    self.state = self.behind_block();
                    return Ok(at);
                }
            }
            let length = value!(code);
            let mut code = look!(distances, MAIN.1);
            if code & SPECIAL != 0 {
                if code & SECOND != 0 {
                    code = look_again!(distances, SIZE.1, code);
                }
                if code & SPECIAL != 0 {
                    return Err(corrupt());
                }
            }
            let distance = value!(code);
            if distance > at - self.floor {
                return Err(corrupt());
            }
            repeat(out, at, distance, length);
            at += length;
        }
        (self.pos, self.bits, self.count) = (pos, bits & ((1 << count) - 1), count);
        if self.eof && pos > stop {
            return Err(cut());
        }
        Ok(at)
    }
}

/// Copies `length` bytes from `distance` before `at`; up to 16 bytes behind them may change.
#[inline]
fn repeat(out: &mut [u8], mut at: usize, distance: usize, length: usize) {
    let end = at + length;
    let mut from = at - distance;
    if distance >= 16 {
        while at < end {
            let piece: [u8; 16] = out[from..from + 16].try_into().unwrap_or_default();
            out[at..at + 16].copy_from_slice(&piece);
            (from, at) = (from + 16, at + 16);
        }
    } else if distance == 1 {
        let byte = out[from];
        out[at..end].fill(byte);
    } else if distance >= 8 {
        while at < end {
            let piece: [u8; 8] = out[from..from + 8].try_into().unwrap_or_default();
            out[at..at + 8].copy_from_slice(&piece);
            (from, at) = (from + 8, at + 8);
        }
    } else {
        while at < end {
            out[at] = out[from];
            (from, at) = (from + 1, at + 1);
        }
    }
}

/// A length's or a distance's entry without its code.
fn entry(of: &(u16, u8)) -> u32 {
    u32::from(of.0) << 16 | u32::from(of.1)
}

/// Makes the table of a canonical code (RFC 1951, 3.2.2), and its second tables behind it.
fn build(
    table: &mut [u32],
    main: u32,
    lengths: &[u8],
    may_be_single: bool,
    entry: impl Fn(usize) -> u32,
) -> io::Result<()> {
    let mut counts = [0_u32; 16];
    lengths.iter().for_each(|length| counts[usize::from(*length)] += 1);
    counts[0] = 0;
    let mut next = [0_u32; 16];
    let mut left = 1_i32;
    for length in 1..16 {
        left = (left << 1) - counts[length] as i32;
        if left < 0 {
            return Err(corrupt());
        }
        if length < 15 {
            next[length + 1] = (next[length] + counts[length]) << 1;
        }
    }
    if left > 0 {
        let none = counts[1..].iter().all(|count| *count == 0);
        if !may_be_single || !(none || counts[1] == 1 && counts[2..].iter().all(|c| *c == 0)) {
            return Err(corrupt());
        }
        table[..1 << main].fill(SPECIAL);
    }
    let long = counts[main as usize + 1..].iter().any(|count| *count > 0);
    let reversed = |code: u32, length: u32| code.reverse_bits() >> (32 - length);
    let first = (1_u32 << main) - 1;
    if long {
        // how many bits each second table needs
        let mut deepest = [0_u8; 1 << MAIN.0];
        let mut codes = next;
        for length in lengths.iter().filter(|length| **length > 0) {
            let code = codes[usize::from(*length)];
            codes[usize::from(*length)] += 1;
            if u32::from(*length) > main {
                let prefix = (reversed(code, u32::from(*length)) & first) as usize;
                deepest[prefix] = deepest[prefix].max(*length);
            }
        }
        let mut free = 1_u32 << main;
        for (prefix, deep) in deepest.iter().enumerate().filter(|(_, deep)| **deep > 0) {
            let width = u32::from(*deep) - main;
            table[prefix] = free << 16 | SPECIAL | SECOND | width << 8 | main;
            free += 1 << width;
        }
    }
    for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
        let length = u32::from(*length);
        let code = &mut next[length as usize];
        let turned = reversed(*code, length);
        *code += 1;
        let (places, at, taken) = if length <= main {
            (&mut table[..1 << main], turned, length)
        } else {
            let second = table[(turned & first) as usize];
            let (start, width) = ((second >> 16) as usize, second >> 8 & 15);
            (&mut table[start..start + (1 << width)], turned >> main, length - main)
        };
        let entry = entry(symbol);
        let entry =
            entry + taken | taken << 8 & if entry & (LITERAL | SPECIAL) == 0 { 0xF00 } else { 0 };
        places.iter_mut().skip(at as usize).step_by(1 << taken).for_each(|place| *place = entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    /// All of it, in chunks of `room`, by this module.
    fn own(gzip: &[u8], room: usize) -> io::Result<Vec<u8>> {
        let mut gzip = Gunzip::new(gzip);
        let (mut out, mut all) = (vec![0xEE; HISTORY + room + SLACK], Vec::new());
        loop {
            let end = gzip.fill(&mut out, HISTORY + room)?;
            if end == HISTORY {
                return Ok(all);
            }
            all.extend(&out[HISTORY..end]);
            out.copy_within(end - HISTORY..end, 0);
        }
    }

    fn others(gzip: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        flate2::bufread::MultiGzDecoder::new(gzip).read_to_end(&mut all).map(|_| all)
    }

    fn pack(data: &[u8], level: u32) -> Vec<u8> {
        let named = GzBuilder::new().filename("a name").comment("words").extra(vec![1, 2, 3]);
        let mut out = named.write(Vec::new(), Compression::new(level));
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    /// The same bytes, or both refuse it.
    fn same(gzip: &[u8], room: usize) {
        match (own(gzip, room), others(gzip)) {
            (Ok(own), Ok(other)) => assert!(own == other, "other bytes"),
            (Err(_), Err(_)) => {}
            (own, other) => {
                panic!("{:?} and {:?}", own.map(|b| b.len()), other.map(|b| b.len()));
            }
        }
    }

    /// Texts, runs, noise and repetitions from far away.
    fn data() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            (any::<u8>(), 0..3000_usize).prop_map(|(byte, times)| vec![byte; times]),
            prop::collection::vec(any::<u8>(), 0..3000),
            prop::collection::vec(b'a'..b'f', 0..3000),
            (prop::collection::vec(any::<u8>(), 1..40), 1..1500_usize)
                .prop_map(|(pattern, times)| pattern.repeat(times)),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| {
            let once = pieces.concat();
            [&once[..], &once[..once.len() / 2], &once[..]].concat()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn as_zlib_does_it(data in data(), level in 0..=9_u32, split in 0..=100_usize, room in 1..70_000_usize) {
            let (one, two) = data.split_at(data.len() * split / 100);
            let gzip = [pack(one, level), pack(two, 9 - level)].concat();
            prop_assert!(own(&gzip, room).unwrap() == data);
        }

        #[test]
        fn broken_as_zlib_finds_it(
            data in data(),
            level in 0..=9_u32,
            cut in 0..=100_usize,
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8), 0..3),
            behind in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut gzip = pack(&data, level);
            for (at, bit) in flips {
                let at = at.index(gzip.len());
                gzip[at] ^= 1_u8 << bit;
            }
            gzip.extend(behind);
            gzip.truncate(gzip.len() * cut.max(50) / 100);
            // reserved flags, and the header's checksum, are not looked at by everybody
            prop_assume!(gzip.len() < 4 || gzip[3] & 0xE2 == 0);
            same(&gzip, 50_000);
        }

        #[test]
        fn any_bits_in_a_block(bits in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut gzip = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
            gzip.extend(bits);
            same(&gzip, 50_000);
        }
    }

    #[test]
    fn cut_anywhere() {
        let data: Vec<u8> = (0..4000_u32).flat_map(|n| (n % 700 * 77).to_le_bytes()).collect();
        let gzip = [pack(&data, 6), pack(b"", 6), pack(&data[..5000], 1)].concat();
        assert_eq!(own(&gzip, 1 << 16).unwrap(), [&data[..], &data[..5000]].concat());
        let whole = [pack(&data, 6).len(), pack(&data, 6).len() + pack(b"", 6).len()];
        for end in (0..gzip.len()).filter(|end| !whole.contains(end)) {
            assert!(own(&gzip[..end], 1 << 16).is_err(), "{end}");
        }
        for garbage in [&[0][..], &[0x1F], &[0; 512], b"garbage behind it"] {
            assert!(own(&[&gzip, garbage].concat(), 1 << 16).is_err());
        }
    }

    #[test]
    fn a_wrong_checksum_a_wrong_size_and_a_headers_checksum() {
        let right = pack(b"some bytes", 6);
        for at in right.len() - 8..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            assert!(own(&wrong, 100).unwrap_err().to_string().contains("checksum"));
        }
        let plain = GzBuilder::new().write(Vec::new(), Compression::fast()).finish().unwrap();
        let mut summed = plain.clone();
        summed[3] |= 2;
        let mut crc = Crc::new();
        crc.update(&summed[..10]);
        summed.splice(10..10, crc.sum().to_le_bytes()[..2].to_vec());
        assert_eq!(own(&summed, 100).unwrap(), b"");
        summed[10] ^= 1;
        assert!(own(&summed, 100).is_err());
    }
}
