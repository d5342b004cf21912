//! The one table: columns that fit the window, and grow with it.
//!
//! ```text
//!  natural widths --> too wide? --> leave out columns that may go: those without a value, then from the back of
//!                                   their order
//!                               --> take from the ends of ids and from seconds, of which nobody misses anything
//!                               --> take from the widest column that can shrink, until it fits; from dates last
//!                               --> shorten each cell by its column's kind
//! ```
//!
//! Own code: the libraries for tables (comfy-table, tabled) wrap cells into several lines, and none knows how a digest
//! or an id is shortened so that it can still be typed. Foreign text in a cell cannot break out of it.

use std::cmp::Reverse;

use super::paint::{Painted, Tone};
use super::shorten;
use crate::text::one_line;

/// Between two columns.
const GAP: usize = 2;
/// Columns of `2026-11-30 20:26Z`.
const TO_THE_MINUTE: usize = 17;

/// How the values of a column give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Not at all.
    Whole,
    /// To a beginning.
    Id,
    /// `NAME@sha256:1428ab43…`.
    Digest,
    /// `2026-11-30 20:26:56Z`, without seconds, without the year; the zone stays.
    Time,
    /// To its end.
    Path,
    /// To its beginning.
    Text,
}

impl Gives {
    /// Columns that are left at least.
    fn least(self) -> usize {
        match self {
            Self::Whole => usize::MAX,
            // the time of an id and two random characters; a day and a minute with its zone
            Self::Id | Self::Time => 12,
            Self::Digest => 16,
            Self::Path | Self::Text => 8,
        }
    }

    /// Columns below which something is lost: an id's beginning stands for it, and nobody needs seconds.
    fn without_loss(self) -> usize {
        match self {
            Self::Id => self.least(),
            Self::Time => TO_THE_MINUTE,
            _ => usize::MAX,
        }
    }

    fn fit(self, text: &str, most: usize) -> String {
        match self {
            Self::Whole => text.to_owned(),
            Self::Id => shorten::id(text, most),
            Self::Digest => shorten::digest(text, most),
            Self::Time => time(text, most),
            Self::Path => shorten::path(text, most),
            Self::Text => shorten::text(text, most),
        }
    }
}

/// `2026-11-30 20:26:56Z`, `2026-11-30 20:26Z`, `11-30 20:26Z`.
fn time(text: &str, most: usize) -> String {
    let zone = if text.ends_with('Z') { "Z" } else { "" };
    let minute = text.get(..16).unwrap_or(text);
    match most {
        most if text.len() <= most => text.to_owned(),
        TO_THE_MINUTE.. => format!("{minute}{zone}"),
        _ => format!("{}{zone}", minute.get(5..).unwrap_or(minute)),
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    head: &'static str,
    kind: Gives,
    goes: u8,
    wants: usize,
}

impl Column {
    /// One that is always there.
    pub const fn new(head: &'static str, kind: Gives) -> Self {
        Self { head, kind, goes: 0, wants: 0 }
    }

    /// One that is left out where there is no room; of several the one with the highest number first.
    #[must_use]
    pub const fn goes(self, order: u8) -> Self {
        Self { goes: order, ..self }
    }

    /// One that says too little with less: others are left out first.
    #[must_use]
    pub const fn wants(self, columns: usize) -> Self {
        Self { wants: columns, ..self }
    }
}

/// Rows below a head.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    /// Without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// One more row: a value for each column.
    pub fn row(&mut self, values: impl IntoIterator<Item = String>) {
        self.toned(values.into_iter().map(|value| (Tone::Plain, value)));
    }

    /// As [`Table::row`], with the values' meaning.
    pub fn toned(&mut self, values: impl IntoIterator<Item = (Tone, String)>) {
        let values = values.into_iter().map(|(tone, value)| (tone, one_line(&value)));
        self.rows.push(values.collect());
    }

    /// The lines, for so many columns; `None`: whole.
    pub fn lines(&self, window: Option<usize>) -> Vec<Painted> {
        let natural: Vec<usize> = (0..self.columns.len()).map(|at| self.natural(at)).collect();
        let (shown, widths) = match window {
            Some(window) => self.fitted(&natural, window),
            None => ((0..natural.len()).collect(), natural),
        };
        let value = |row: &[(Tone, String)], at: usize| {
            let (tone, text) = row.get(at).cloned().unwrap_or_default();
            let limited = widths[at] < shorten::width(&text);
            let text = if limited { self.columns[at].kind.fit(&text, widths[at]) } else { text };
            (tone, text)
        };
        let head = self.columns.iter().map(|column| (Tone::Head, column.head.to_owned()));
        let head: Vec<(Tone, String)> = head.collect();
        let rows = std::iter::once(&head).chain(&self.rows);
        let rows: Vec<Vec<(Tone, String)>> =
            rows.map(|row| shown.iter().map(|at| value(row, *at)).collect()).collect();
        // a shortened value may be shorter than its room
        let widest = |at: usize| rows.iter().map(|row| shorten::width(&row[at].1)).max();
        let widths: Vec<usize> = (0..shown.len()).map(|at| widest(at).unwrap_or(0)).collect();
        rows.iter().map(|row| line(row, &widths)).collect()
    }

    fn natural(&self, at: usize) -> usize {
        let values = self.rows.iter().filter_map(|row| row.get(at));
        let widest = values.map(|(_, value)| shorten::width(value)).max().unwrap_or(0);
        widest.max(self.columns[at].head.len())
    }

    /// Which columns are shown, and how wide each may be.
    fn fitted(&self, natural: &[usize], window: usize) -> (Vec<usize>, Vec<usize>) {
        let least = |at: usize| {
            let column = self.columns[at];
            column.kind.least().max(column.head.len()).max(column.wants).min(natural[at])
        };
        let mut shown: Vec<usize> = (0..natural.len()).collect();
        let sum = |shown: &[usize], of: &dyn Fn(usize) -> usize| {
            shown.iter().map(|at| of(*at)).sum::<usize>() + GAP * shown.len().saturating_sub(1)
        };
        if sum(&shown, &|at| natural[at]) > window {
            let says =
                |at: usize| self.rows.iter().any(|row| row.get(at).is_some_and(|(_, v)| v != "-"));
            shown.retain(|at| self.columns[*at].goes == 0 || says(*at));
        }
        while sum(&shown, &least) > window {
            let goes = |at: &&usize| self.columns[**at].goes > 0;
            let last = shown.iter().filter(goes).max_by_key(|at| self.columns[**at].goes).copied();
            let Some(last) = last else { break };
            shown.retain(|at| *at != last);
        }
        let mut widths = natural.to_vec();
        let free = |at: usize| self.columns[at].kind.without_loss().max(least(at));
        let is_time = |at: usize| self.columns[at].kind == Gives::Time;
        let rounds: [&dyn Fn(usize) -> usize; 3] =
            [&free, &|at| if is_time(at) { free(at).min(natural[at]) } else { least(at) }, &least];
        for floor in rounds {
            while sum(&shown, &|at| widths[at]) > window {
                let can = shown.iter().copied().filter(|at| widths[*at] > floor(*at));
                // of several as wide the last one
                let Some(widest) = can.min_by_key(|at| (Reverse(widths[*at]), Reverse(*at))) else {
                    break;
                };
                widths[widest] -= 1;
            }
        }
        (shown, widths)
    }
}

fn line(row: &[(Tone, String)], widths: &[usize]) -> Painted {
    let mut line = Painted::default();
    let last = row.iter().rposition(|(_, text)| !text.is_empty()).unwrap_or(0);
    for (at, (tone, text)) in row.iter().enumerate().take(last + 1) {
        line = line.and(*tone, text.clone());
        if at < last {
            let blanks = widths[at] + GAP - shorten::width(text);
            line = line.and(Tone::Plain, " ".repeat(blanks));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::new("JOB", Gives::Id),
            Column::new("STATE", Gives::Whole),
            Column::new("SUBMITTED", Gives::Time),
            Column::new("IMAGE", Gives::Digest),
            Column::new("COMMAND", Gives::Text).goes(1),
        ]);
        table.row([
            "01jd5k8q2m4xtwj0a7c9v1n3r6".to_owned(),
            "completed".to_owned(),
            "2026-11-30 20:26:56Z".to_owned(),
            format!("group/project@sha256:{}", "1428ab43".repeat(8)),
            "./analysis --events 1000".to_owned(),
        ]);
        table
    }

    fn text(lines: &[Painted]) -> Vec<String> {
        lines.iter().map(Painted::plain).collect()
    }

    #[test]
    fn it_fits_80_columns_and_grows() {
        let narrow = text(&table().lines(Some(80)));
        assert_eq!(
            narrow[1],
            "01jd5k8q2m4x  completed  2026-11-30 20:26Z  sha256:1428ab43…  ./analysis --eve…"
        );
        let wide = text(&table().lines(Some(200)));
        assert!(wide[1].contains(&"1428ab43".repeat(8)) && wide[1].ends_with("1000"), "{wide:?}");
        assert_eq!(text(&table().lines(None)), wide);
        let tiny = text(&table().lines(Some(58)));
        assert!(!tiny[0].contains("COMMAND"), "{tiny:?}");
    }

    #[test]
    fn what_says_nothing_or_too_little_goes_first() {
        let mut table = Table::new([
            Column::new("JOB", Gives::Id),
            Column::new("NAME", Gives::Text).goes(1),
            Column::new("STATE", Gives::Whole).goes(2),
            Column::new("BECAUSE", Gives::Text).wants(20),
        ]);
        let row = ["01jd5k8q2m4xtwj0a7c9", "-", "completed", "the worker measured it"];
        table.row(row.map(str::to_owned));
        assert_eq!(
            text(&table.lines(Some(48)))[1],
            "01jd5k8q2m4xt  completed  the worker measured it"
        );
        assert_eq!(text(&table.lines(Some(34)))[1], "01jd5k8q2m4x  the worker measured…");
        assert_eq!(text(&table.lines(None))[1].matches('-').count(), 1);
    }

    #[test]
    fn what_a_cell_holds_cannot_leave_it() {
        let mut table = Table::new([Column::new("A", Gives::Text), Column::new("B", Gives::Text)]);
        table.row(["a\x1bc\nb".to_owned(), "c".to_owned()]);
        table.row([String::new(), String::new()]);
        assert_eq!(text(&table.lines(None)), ["A     B", "a? b  c", ""]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_window_where_that_is_possible(
            rows in proptest::collection::vec(
                (".{0,60}", "[a-z]{0,9}", ".{0,90}", ".{0,90}"), 0..6),
            window in 60..200_usize,
        ) {
            let mut table = Table::new([
                Column::new("JOB", Gives::Id),
                Column::new("STATE", Gives::Whole),
                Column::new("IMAGE", Gives::Digest),
                Column::new("COMMAND", Gives::Text),
            ]);
            for (a, b, c, d) in rows {
                table.row([a, b, c, d]);
            }
            for line in text(&table.lines(Some(window))) {
                prop_assert!(shorten::width(&line) <= window, "{line:?}");
            }
        }
    }
}
