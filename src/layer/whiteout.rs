//! Names that take something away.
//!
//! ```text
//! dir/.wh.NAME        removes dir/NAME of lower layers
//! dir/.wh..wh..opq    removes everything in dir of lower layers
//! dir/.wh..wh.OTHER   bookkeeping of AUFS, ignored
//! ```
//!
//! Source: OCI image specification 1.1, `layer.md`, "Whiteouts".

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const AUFS: &[u8] = b".wh..wh.";

/// What a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whiteout<'a> {
    /// Remove this name of lower layers.
    Name(&'a [u8]),
    /// Remove all of lower layers in this directory.
    Opaque,
    /// Nothing.
    Ignored,
    /// It names no file.
    Invalid,
}

/// What a name asks for; `None` for ordinary names.
pub(super) fn read(name: &[u8]) -> Option<Whiteout<'_>> {
    let hidden = name.strip_prefix(PREFIX)?;
    Some(match hidden {
        _ if name == OPAQUE => Whiteout::Opaque,
        _ if name.starts_with(AUFS) => Whiteout::Ignored,
        b"" | b"." | b".." => Whiteout::Invalid,
        hidden => Whiteout::Name(hidden),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, meant) in [
            (&b"a"[..], None),
            (b".wha", None),
            (b".wh.a", Some(Whiteout::Name(b"a"))),
            (b".wh..wh..opq", Some(Whiteout::Opaque)),
            (b".wh..wh.plnk", Some(Whiteout::Ignored)),
            (b".wh.", Some(Whiteout::Invalid)),
            (b".wh..", Some(Whiteout::Invalid)),
            (b".wh...", Some(Whiteout::Invalid)),
            (b".wh....", Some(Whiteout::Name(b"..."))),
        ] {
            assert_eq!(read(name), meant, "{}", String::from_utf8_lossy(name));
        }
    }
}
