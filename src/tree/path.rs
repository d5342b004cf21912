//! Paths as an archive spells them, made safe.
//!
//! `/a/./b//c/` is `a/b/c`. What has more than one meaning is refused: `..`, and NUL bytes, which
//! end a name for one program and not for another.

/// Longest name in a directory, in bytes; Linux' `NAME_MAX`, which squashfs shares.
pub const MAX_NAME: usize = 255;

/// A path that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `..` in the path.
    #[error("it leads upwards with ..")]
    Climbs,
    /// A NUL byte in the path.
    #[error("it holds a NUL byte")]
    Nul,
    /// A name that is too long.
    #[error("one of its names has {0} bytes, at most {MAX_NAME} are possible")]
    LongName(usize),
    /// Something that is not a directory stands in the way.
    #[error("{0} above it is not a directory")]
    NotADirectory(String),
    /// Symbolic links in its parents lead in a circle.
    #[error("the symbolic links above it lead in a circle")]
    Loop,
    /// Symbolic links that lead on and on.
    #[error("the symbolic links above it lead through more than {0} names")]
    LongWay(u64),
    /// Too many directories.
    #[error("it is deeper than the limit path depth of {0} directories")]
    TooDeep(usize),
    /// The root directory where a name is needed.
    #[error("it is the root directory")]
    Root,
}

/// A normalised path: names from the root, none of them empty, `.` or `..`. It borrows them from what
/// was parsed: there is one for every entry of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreePath<'a>(Vec<&'a [u8]>);

impl<'a> TreePath<'a> {
    /// Reads a path; a leading slash means the same as none.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(path: &'a [u8]) -> Result<Self, PathError> {
        let mut names = Vec::new();
        for name in path.split(|b| *b == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(PathError::Climbs),
                name if name.contains(&0) => return Err(PathError::Nul),
                name if name.len() > MAX_NAME => return Err(PathError::LongName(name.len())),
                name => names.push(name),
            }
        }
        Ok(Self(names))
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[&'a [u8]] {
        &self.0
    }
}

/// A path for messages: foreign bytes with control characters escaped, cut at a readable length.
#[must_use]
pub fn show(path: &[u8]) -> String {
    let cut = &path[..path.len().min(200)];
    let mut text: String = String::from_utf8_lossy(cut).escape_debug().collect();
    if cut.len() < path.len() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &[u8]) -> String {
        match TreePath::parse(path) {
            Ok(path) => show(&path.names().join(&b'/')),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn normalises_or_refuses() {
        for (path, meant) in [
            (&b"/a/./b//c/"[..], "a/b/c"),
            (b"./", ""),
            (b"/", ""),
            (b"...", "..."),
            (b"\xff", "\u{fffd}"),
            (b"a\n", "a\\n"),
        ] {
            assert_eq!(shown(path), meant);
        }
        for path in [&b"../x"[..], b"a/../b", b"a/..", b"a\0b", &[b'n'; 256]] {
            assert!(shown(path).starts_with("error"), "{}", shown(path));
        }
    }
}
