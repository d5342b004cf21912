//! Reads two facts from a program's ELF header: its program interpreter, and the processor that it is for.
//!
//! ```text
//! 0          4     5    6               32-bit 64-bit
//! +----------+-----+----+--- ... ------- 28 --- 32 ---- 42/54 ----- 44/56 ---+
//! | 7f E L F |class|data|                 phoff       | phentsize | phnum     |
//! +----------+-----+----+--- ... ---------------------------------------------+
//! at phoff, phnum entries; type 3 (PT_INTERP) gives the place of a NUL-ended path:
//!   64-bit: type 0, offset 8, filesz 32      32-bit: type 0, offset 4, filesz 16
//! ```
//!
//! Source: System V ABI, "ELF Header" and "Program Header". Not promised: that the file can run.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const PT_INTERP: u64 = 3;
/// `PATH_MAX` of Linux; a longer interpreter is never started by the kernel.
const LONGEST_PATH: usize = 4096;

/// A file whose program interpreter cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// No ELF magic: a script, for example.
    #[error("it is not an ELF file")]
    NotElf,
    /// A field points outside the file or holds a value that the format does not know.
    #[error("its ELF header is broken")]
    Broken,
}

/// Class, byte order (1 little, 2 big) and number of a processor in ELF.
pub const MACHINES: [(&str, u8, u8, u16); 12] = [
    ("386", 1, 1, 3),
    ("amd64", 2, 1, 62),
    ("arm", 1, 1, 40),
    ("arm64", 2, 1, 183),
    ("ppc64", 2, 2, 21),
    ("ppc64le", 2, 1, 21),
    ("mips", 1, 2, 8),
    ("mipsle", 1, 1, 8),
    ("mips64", 2, 2, 8),
    ("mips64le", 2, 1, 8),
    ("s390x", 2, 2, 22),
    ("riscv64", 2, 1, 243),
];

/// The processor that a program is for, as Go calls it; `None` for what is not a program or not in the table.
#[must_use]
pub fn processor(file: &[u8]) -> Option<&'static str> {
    let head = file.get(..20).filter(|head| head.starts_with(b"\x7fELF"))?;
    let number = [head[18], head[19]];
    let number = if head[5] == 2 { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    let mut known = MACHINES.iter();
    known.find(|m| (m.1, m.2, m.3) == (head[4], head[5], number)).map(|m| m.0)
}

/// The program interpreter that `file` asks for; `None` for a static program.
///
/// # Errors
/// When `file` is not ELF, or its headers point outside of it.
pub fn interpreter(file: &[u8]) -> Result<Option<PathBuf>, ElfError> {
    if !file.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    let wide = match file.get(4) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err(ElfError::Broken),
    };
    let big = match file.get(5) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err(ElfError::Broken),
    };
    let number = |at: usize, length: usize| -> Result<u64, ElfError> {
        let bytes = at.checked_add(length).and_then(|end| file.get(at..end));
        let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
        let bytes = bytes.ok_or(ElfError::Broken)?;
        Ok(if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    };
    let size = |at, length| {
        number(at, length).and_then(|n| usize::try_from(n).map_err(|_| ElfError::Broken))
    };

    let word = if wide { 8 } else { 4 };
    let table = size(if wide { 32 } else { 28 }, word)?;
    let entry = size(if wide { 54 } else { 42 }, 2)?;
    let count = size(if wide { 56 } else { 44 }, 2)?;
    for i in 0..count {
        let at = table.checked_add(i * entry).ok_or(ElfError::Broken)?;
        if number(at, 4)? != PT_INTERP {
            continue;
        }
        let field = |offset: usize| at.checked_add(offset).ok_or(ElfError::Broken);
        let start = size(field(if wide { 8 } else { 4 })?, word)?;
        let length = size(field(if wide { 32 } else { 16 })?, word)?;
        let end = start.checked_add(length).ok_or(ElfError::Broken)?;
        let path = file.get(start..end).ok_or(ElfError::Broken)?;
        return match path.split_last() {
            Some((0, path))
                if path.first() == Some(&b'/')
                    && path.len() < LONGEST_PATH
                    && !path.contains(&0) =>
            {
                Ok(Some(PathBuf::from(OsStr::from_bytes(path))))
            }
            _ => Err(ElfError::Broken),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header with one program header of `kind` that points to `path`.
    fn file(wide: bool, big: bool, kind: u32, path: &[u8]) -> Vec<u8> {
        let (header, entry) = if wide { (64_usize, 56_usize) } else { (52, 32) };
        let mut bytes = vec![0; header + entry];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[4] = if wide { 2 } else { 1 };
        bytes[5] = if big { 2 } else { 1 };
        let mut put = |at: usize, length: usize, n: usize| {
            for i in 0..length {
                let shift = if big { length - 1 - i } else { i };
                bytes[at + i] = n.to_le_bytes()[shift];
            }
        };
        let word = if wide { 8 } else { 4 };
        put(if wide { 32 } else { 28 }, word, header);
        put(if wide { 54 } else { 42 }, 2, entry);
        put(if wide { 56 } else { 44 }, 2, 1);
        put(header, 4, kind as usize);
        put(header + if wide { 8 } else { 4 }, word, header + entry);
        put(header + if wide { 32 } else { 16 }, word, path.len());
        bytes.extend_from_slice(path);
        bytes
    }

    #[test]
    fn both_classes_and_byte_orders() {
        for (wide, big) in [(false, false), (false, true), (true, false), (true, true)] {
            let program = file(wide, big, 3, b"/lib/ld.so\0");
            assert_eq!(interpreter(&program), Ok(Some("/lib/ld.so".into())), "{wide} {big}");
            let fixed = file(wide, big, 1, b"");
            assert_eq!(interpreter(&fixed), Ok(None), "{wide} {big}");
        }
    }

    #[test]
    fn foreign_and_broken_files() {
        assert_eq!(interpreter(b"#!/bin/sh\n"), Err(ElfError::NotElf));
        assert_eq!(interpreter(b""), Err(ElfError::NotElf));
        assert_eq!(interpreter(b"\x7fELF"), Err(ElfError::Broken));
        for path in [&b"ld.so\0"[..], b"/ld.so", b"", b"/a\0b\0"] {
            assert_eq!(interpreter(&file(true, false, 3, path)), Err(ElfError::Broken));
        }
        let mut cut = file(true, false, 3, b"/lib/ld.so\0");
        cut.pop();
        assert_eq!(interpreter(&cut), Err(ElfError::Broken));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = interpreter(&bytes);
            bytes.splice(0..0, *b"\x7fELF\x02\x01");
            let _ = interpreter(&bytes);
        }

        #[test]
        fn a_changed_header_gives_an_answer(at in 0_usize..130, value: u8) {
            let mut bytes = file(true, false, 3, b"/lib/ld.so\0");
            bytes[at] = value;
            let _ = interpreter(&bytes);
        }
    }
}
