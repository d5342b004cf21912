//! One thing, a line for each fact: names in front, values behind, digests shortened to the window.

use super::paint::{Painted, Tone};
use super::shorten;
use crate::text::one_line;

/// A line of a record.
#[derive(Clone, Debug)]
pub enum Line {
    /// A headline.
    Head(String),
    /// A name and its value; blanks in front of the name are kept.
    Fact(String, String),
}

impl Line {
    /// A fact.
    pub fn fact(name: &str, value: impl Into<String>) -> Self {
        Self::Fact(name.to_owned(), value.into())
    }
}

/// The lines; values stand below each other.
pub fn lines(record: &[Line], window: Option<usize>) -> Vec<Painted> {
    let names = record.iter().filter_map(|line| match line {
        Line::Fact(name, _) => Some(shorten::width(name)),
        Line::Head(_) => None,
    });
    let width = names.max().unwrap_or(0);
    let room = window.map(|window| window.saturating_sub(width + 2));
    let line = |line: &Line| match line {
        Line::Head(text) => Painted::of(Tone::Head, text.clone()),
        Line::Fact(name, value) => {
            let value = one_line(value);
            // paths and commands stay whole: they are copied
            let value = match room.filter(|room| shorten::width(&value) > *room) {
                Some(room) if value.contains("sha256:") && !value.contains(' ') => {
                    shorten::digest(&value, room)
                }
                Some(_) => shorten::digests_in(&value),
                None => value,
            };
            Painted::of(Tone::Aside, format!("{name:width$}  ")).and(Tone::Plain, value)
        }
    };
    record.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other_and_digests_fit() {
        let image = format!("group/project@sha256:{}", "1428ab43".repeat(8));
        let record = [
            Line::Head("job 1".into()),
            Line::fact("  image", image),
            Line::fact("  command", "ls"),
            Line::fact("  bytes", format!("sif sha256:{}", "1428ab43".repeat(8))),
        ];
        let text: Vec<String> = lines(&record, Some(41)).iter().map(Painted::plain).collect();
        assert_eq!(
            text,
            [
                "job 1",
                "  image    group/project@sha256:1428ab43…",
                "  command  ls",
                "  bytes    sif sha256:1428ab43…"
            ]
        );
    }
}
