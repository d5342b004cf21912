//! Text with colours: pieces of plain text, each with what it means.
//!
//! Escape sequences are made where the text is written, after everything harmful was taken out of it. So foreign
//! text in a piece cannot bring a sequence of its own, and without colours the text is the same.

use anstyle::{AnsiColor, Style};

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// A headline, a table's head.
    Head,
    /// It went well.
    Good,
    /// It did not.
    Bad,
    /// It is not known, or somebody should look.
    Doubt,
    /// It goes on.
    Busy,
    /// Less important than what stands beside it.
    Aside,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Head => Style::new().bold(),
            Self::Good => colour(AnsiColor::Green),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Doubt => colour(AnsiColor::Yellow),
            Self::Busy => colour(AnsiColor::Cyan),
            Self::Aside => Style::new().dimmed(),
        }
    }

    /// The text in this tone. It must be harmless already.
    pub fn paint(self, text: &str) -> String {
        if self == Self::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// A line of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Painted(Vec<(Tone, String)>);

impl Painted {
    /// One piece.
    pub fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![(tone, text.into())])
    }

    /// With one more.
    #[must_use]
    pub fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// The pieces.
    pub fn pieces(&self) -> &[(Tone, String)] {
        &self.0
    }

    /// The text without tones.
    #[cfg(test)]
    pub fn plain(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

impl From<String> for Painted {
    fn from(text: String) -> Self {
        Self::of(Tone::Plain, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_begins_and_ends_around_its_text() {
        assert_eq!(Tone::Good.paint("done"), "\u{1b}[32mdone\u{1b}[0m");
        assert_eq!(Tone::Plain.paint("done"), "done");
        let line = Painted::of(Tone::Head, "a").and(Tone::Plain, "b");
        assert_eq!(line.plain(), "ab");
    }
}
