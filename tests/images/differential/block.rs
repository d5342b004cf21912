//! Writes the blocks of a tar byte by byte, right or wrong as it is asked.

/// The random numbers of a test: the same seed gives the same ones everywhere (`SplitMix64`).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `below`, without it.
    pub fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    pub fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.below(below as u64)).unwrap()
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Old,
    Ustar,
    Gnu,
}

/// How a number stands in its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Zeros in front, a NUL behind.
    Nul,
    /// Blanks in front, a blank behind.
    Blanks,
    /// A blank and a NUL behind.
    BlankNul,
    /// No end at all.
    Full,
    /// Two's complement behind a set bit.
    Base256,
}

/// A header block that is being written.
pub struct Header(pub [u8; 512]);

impl Header {
    pub fn new(dialect: Dialect, type_flag: u8) -> Self {
        let mut block = [0; 512];
        match dialect {
            Dialect::Old => {}
            Dialect::Ustar => block[257..265].copy_from_slice(b"ustar\x0000"),
            Dialect::Gnu => block[257..265].copy_from_slice(b"ustar  \0"),
        }
        block[156] = type_flag;
        Self(block)
    }

    pub fn text(&mut self, at: usize, length: usize, text: &[u8]) {
        let cut = text.len().min(length);
        self.0[at..at + cut].copy_from_slice(&text[..cut]);
    }

    pub fn number(&mut self, at: usize, length: usize, value: i64, form: Form) {
        let field = &mut self.0[at..at + length];
        let text = match form {
            Form::Nul => format!("{:0width$o}\0", value, width = length - 1),
            Form::Blanks => format!("{:width$o} ", value, width = length - 1),
            Form::BlankNul => format!("{:0width$o} \0", value, width = length - 2),
            Form::Full => format!("{value:0length$o}"),
            Form::Base256 => {
                let fill = if value < 0 { 0xFF } else { 0 };
                field.fill(fill);
                let low = value.to_be_bytes();
                let (count, from) = (length.min(8), 8 - length.min(8));
                field[length - count..].copy_from_slice(&low[from..]);
                field[0] |= 0x80;
                return;
            }
        };
        assert_eq!(text.len(), length, "{value:o} does not fit");
        field.copy_from_slice(text.as_bytes());
    }

    pub fn close(&mut self) {
        self.close_with(false, false);
    }

    /// Writes the checksum: of signed bytes as some old programs did, or a wrong one.
    pub fn close_with(&mut self, signed: bool, wrong: bool) {
        self.0[148..156].fill(b' ');
        let sum: i64 = if signed {
            self.0.iter().map(|b| i64::from(b.cast_signed())).sum()
        } else {
            self.0.iter().map(|b| i64::from(*b)).sum()
        };
        let sum = sum + i64::from(wrong);
        self.0[148..156].copy_from_slice(format!("{:06o}\0 ", sum.max(0)).as_bytes());
    }
}

/// Fills up to the next block.
pub fn pad(archive: &mut Vec<u8>, with: u8) {
    archive.resize(archive.len().next_multiple_of(512), with);
}

/// A PAX record with its length.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// An extended header of type `x` or `g`.
pub fn extended(archive: &mut Vec<u8>, type_flag: u8, body: &[u8]) {
    let mut header = Header::new(Dialect::Ustar, type_flag);
    header.text(0, 100, b"PaxHeaders/x");
    header.number(100, 8, 0o644, Form::Nul);
    header.number(108, 8, 0, Form::Nul);
    header.number(116, 8, 0, Form::Nul);
    header.number(124, 12, i64::try_from(body.len()).unwrap(), Form::Nul);
    header.number(136, 12, 0, Form::Nul);
    header.close();
    archive.extend(header.0);
    archive.extend(body);
    pad(archive, 0);
}

/// A GNU long name (`L`) or link (`K`).
pub fn long(archive: &mut Vec<u8>, type_flag: u8, text: &[u8]) {
    let mut header = Header::new(Dialect::Gnu, type_flag);
    header.text(0, 100, b"././@LongLink");
    header.number(100, 8, 0, Form::Nul);
    header.number(108, 8, 0, Form::Nul);
    header.number(116, 8, 0, Form::Nul);
    header.number(124, 12, i64::try_from(text.len()).unwrap() + 1, Form::Nul);
    header.number(136, 12, 0, Form::Nul);
    header.close();
    archive.extend(header.0);
    archive.extend(text);
    archive.push(0);
    pad(archive, 0);
}
