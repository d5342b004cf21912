//! The two types: foreign text, and what is left of it when it is harmless.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::harm::{Mark, lines, one_line, without_harm};
use super::hidden::Hidden;

/// Text that somebody else wrote. Formatting it gives its harmless form, on one line.
#[derive(Clone, PartialEq, Eq)]
pub struct Foreign<'a>(Cow<'a, str>);

/// Text that does nothing to a terminal and holds no secret that was known when it was made.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Shown(String);

impl<'a> Foreign<'a> {
    /// Of text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// Of bytes: what is no UTF-8 (a lone surrogate too) becomes U+FFFD.
    #[must_use]
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self(String::from_utf8_lossy(bytes))
    }

    /// Of a file's name.
    #[must_use]
    pub fn path(path: &'a Path) -> Self {
        Self::bytes(path.as_os_str().as_bytes())
    }

    /// One short sentence for a message: harmful parts are taken out, *then* secrets become `***`,
    /// then it is cut to `most` characters. Blanks in a row become one.
    #[must_use]
    pub fn words(&self, hidden: &Hidden, most: usize) -> Shown {
        let stripped = without_harm(&self.0, Mark::None, false).replace('\u{fffd}', "");
        let whole = hidden.replace(&stripped);
        let whole = whole.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut cut: String = whole.chars().take(most).collect();
        if cut.len() < whole.len() {
            cut.push_str("...");
        }
        Shown(cut)
    }

    /// One line, whole; `?` where something was taken out, so that a name does not look like
    /// another one.
    #[must_use]
    pub fn line(&self) -> Shown {
        Shown(one_line(&self.0))
    }

    /// Lines for people, which are the last to be printed: as [`Self::lines`], and secrets become `***`.
    #[must_use]
    pub fn lines_without(&self, hidden: &Hidden) -> Shown {
        Shown(hidden.replace(&lines(&self.0)))
    }

    /// As [`Self::line`], and lines stay lines.
    #[must_use]
    pub fn lines(&self) -> Shown {
        Shown(lines(&self.0))
    }
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&one_line(&self.0))
    }
}

impl fmt::Debug for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&one_line(&self.0), f)
    }
}

/// The end of a sentence behind *it has*: never a colon with nothing behind it.
#[must_use]
pub fn listed(found: &[String]) -> String {
    if found.is_empty() { " none".into() } else { format!(": {}", found.join(", ")) }
}

impl Shown {
    /// Text of this program itself.
    #[must_use]
    pub fn own(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl Deref for Shown {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Shown {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Shown> for String {
    fn from(shown: Shown) -> Self {
        shown.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "gldt-Xy7_Qp9zR2wLmN4";

    #[test]
    fn what_is_invisible_is_stripped_before_the_secret_is_looked_for() {
        let hidden = Hidden::of([SECRET]);
        let between =
            ["\x01", "\u{200b}", "\u{61c}", "\x1b[0m", "\u{e0041}", "\u{ad}", "\n", " ", "\t"];
        for inside in between {
            let echoed: String =
                SECRET.chars().flat_map(|c| [c.to_string(), inside.into()]).collect();
            let shown = Foreign::new(&format!("no access for {echoed} here")).words(&hidden, 300);
            assert!(shown.starts_with("no access for ***"), "{inside:?}: {shown}");
            assert!(!shown.contains("Qp9"), "{inside:?}: {shown}");
        }
        let bytes = [
            b"no ".as_slice(),
            &SECRET.as_bytes()[..9],
            b"\xff\xed\xa0\x80",
            &SECRET.as_bytes()[9..],
        ];
        assert_eq!(&*Foreign::bytes(&bytes.concat()).words(&hidden, 300), "no ***");
    }

    #[test]
    fn what_is_cut_was_whole_when_secrets_were_looked_for() {
        let text = format!("{} {SECRET}", "x".repeat(290));
        let shown = Foreign::new(&text).words(&Hidden::of([SECRET]), 300);
        assert!(shown.ends_with("x ***"), "{shown}");
        let long = Foreign::new(&"y".repeat(400)).words(&Hidden::default(), 300).to_string();
        assert_eq!(long.len(), 303);
    }

    #[test]
    fn names_are_marked_and_stay_on_their_line() {
        let name = Foreign::path(Path::new("a\x1b[2J\nb"));
        assert_eq!(format!("{name}|{name:?}"), "a? b|\"a? b\"");
        assert_eq!(&*Foreign::bytes(b"a\xb1").line(), "a\u{fffd}");
        assert_eq!(&*Foreign::new("a\x07\nb").lines(), "a?\nb");
    }
}
