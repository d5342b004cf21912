//! Names that take something away.
//!
//! ```text
//! dir/.wh.NAME        removes dir/NAME of lower layers
//! dir/.wh..wh..opq    removes everything in dir of lower layers
//! dir/.wh..wh.OTHER   bookkeeping of AUFS, ignored
//! .wh..wh.OTHER/...   the same, with all that is below it; but
//! .wh..wh.plnk/N      a file whose names are hard links to this: it is kept until they come
//! ```
//!
//! Source: OCI image specification 1.1, `layer.md`, "Whiteouts"; for AUFS what docker does in
//! `pkg/archive/diff.go`.

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

/// AUFS' directory of files that have several names.
const LINKS: &[u8] = b".wh..wh.plnk";

/// What a path in AUFS' own directories is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aufs<'a> {
    /// What hard links of this layer lead to, by this name.
    Link(&'a [u8]),
    /// Nothing that an image has.
    Other,
}

/// What a path is, if it is in AUFS' own directories; they stand in a layer's root.
pub(super) fn aufs<'a>(names: &[&'a [u8]]) -> Option<Aufs<'a>> {
    match names {
        [LINKS, name] => Some(Aufs::Link(name)),
        [first, ..] if read(first) == Some(Whiteout::Ignored) => Some(Aufs::Other),
        _ => None,
    }
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

    #[test]
    fn directories_of_aufs() {
        for (path, meant) in [
            (&[&b".wh..wh.plnk"[..], b"12.34"][..], Some(Aufs::Link(&b"12.34"[..]))),
            (&[b".wh..wh.plnk"], Some(Aufs::Other)),
            (&[b".wh..wh.plnk", b"a", b"b"], Some(Aufs::Other)),
            (&[b".wh..wh.orph", b"a"], Some(Aufs::Other)),
            (&[b".wh..wh..opq", b"a"], None),
            (&[b"d", b".wh..wh.plnk", b"a"], None),
            (&[b".wh.d"], None),
            (&[], None),
        ] {
            assert_eq!(aufs(path), meant, "{path:?}");
        }
    }
}
