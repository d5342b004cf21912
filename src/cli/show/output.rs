//! Text out: stdout is data, stderr is prose.
//!
//! ```text
//!  line, table, text of a verb   --> harmful parts become `?`          --> stdout
//!  json                          --> harmful parts become `\uXXXX`     --> stdout
//!  say, warn, error, hint, trace --> the same as lines, secrets as ***,
//!                                    a second line is indented          --> stderr
//!  bytes                         --> as they are: a job's own output    --> stdout
//! ```
//!
//! This is the last boundary, for every text, whoever made it (`text` has the first). Foreign text
//! inside a line goes through [`Foreign`] or [`cell`], so that it cannot begin a line of its own.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;

use serde::Serialize;

use crate::cli::args::foreign_words;

pub use crate::failure::Report;
use crate::failure::{Failure, Kind, system_hint};
use crate::oci::{may_hold_secret, without_users};
use crate::text::{self, Foreign, Hidden};

/// What a verb returns: the exit code, 0 unless the verb passes a job's own code on.
pub type Outcome = Result<u8, Report>;

/// An error that only the command line can make.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl CliError {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// With something to try.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Failure for CliError {
    fn kind(&self) -> Kind {
        self.kind
    }
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    /// `-q`: only errors.
    pub quiet: bool,
    /// `--json`: answers as JSON.
    pub json: bool,
}

impl Voice {
    /// Progress and remarks.
    pub fn say(self, text: impl AsRef<str>) {
        if !self.quiet {
            stderr_line("", text.as_ref());
        }
    }
}

/// A warning, also with `--quiet`: it concerns the result.
pub fn warn(text: impl AsRef<str>) {
    stderr_line("warning: ", text.as_ref());
}

/// Writes lines of data to stdout. A reader that went away ends the program quietly, as with
/// other Unix tools.
pub fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    end_if_gone(writeln!(out, "{}", text::lines(text.as_ref())));
}

/// Writes a file's name to stdout: for a script as it is, for a person made harmless.
pub fn path(path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        end_if_gone(writeln!(out, "{}", Foreign::path(path)));
    } else {
        let written =
            out.write_all(path.as_os_str().as_bytes()).and_then(|()| out.write_all(b"\n"));
        end_if_gone(written);
    }
}

/// Writes a line of data to stdout and says whether it got there: for what was done already and must not
/// look as if it had not been.
pub fn try_line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text::lines(text.as_ref())).and_then(|()| out.flush())
}

/// Copies bytes to stdout as they are.
pub fn bytes(data: &[u8]) {
    let mut out = io::stdout().lock();
    end_if_gone(out.write_all(data).and_then(|()| out.flush()));
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(text::json(&text)),
        // only a type whose keys are no strings could do this; none of ours is
        Err(error) => stderr_line("error: ", &format!("cannot write JSON: {error}")),
    }
}

fn end_if_gone(result: io::Result<()>) {
    if let Err(error) = result {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        if !gone {
            stderr_line("error: ", &format!("cannot write to standard output: {error}"));
        }
        exit(if gone { 0 } else { 8 });
    }
}

/// The secrets that nothing on stderr repeats: one list for the whole process, which all who send a
/// secret somewhere add it to.
pub fn hidden() -> Hidden {
    static HIDDEN: OnceLock<Hidden> = OnceLock::new();
    HIDDEN.get_or_init(Hidden::default).clone()
}

fn stderr_line(before: &str, text: &str) {
    let text = format!("{before}{}\n", prose(text));
    // nobody is left to tell when stderr is gone
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// For stderr: harmless, without secrets, and no second line that looks like one of ours.
fn prose(text: &str) -> String {
    let shown = Foreign::new(text.trim_end()).lines_without(&hidden());
    let shown = without_users(&shown);
    shown.replace('\n', "\n  ")
}

/// For a writer of whole lines to stderr, such as a trace.
pub fn stderr_bytes(bytes: &[u8]) {
    stderr_line("", &String::from_utf8_lossy(bytes));
}

/// Prints what clap says of the arguments: help to stdout, errors to stderr. An argument may hold anything, so
/// an error with something harmful in it loses that, and clap's colours with it. clap repeats the words that it does
/// not understand: one that may hold a secret comes out as `***`.
pub fn clap(error: &clap::Error) {
    let text = error.render().to_string();
    let mut shown = no_line_of_its_own(&text::lines(&text));
    for word in words().filter(|word| may_hold_secret(word)) {
        shown = shown.replace(&word, "***");
    }
    if error.use_stderr() && shown != text {
        // nobody is left to tell when stderr is gone
        let _ = io::stderr().lock().write_all(shown.as_bytes());
    } else {
        // a closed pipe is no failure here
        let _ = error.print();
    }
    if let Some(hint) = foreign_words::hint(error) {
        stderr_line("hint: ", hint);
    }
}

/// The words of the command line, for those who must know where `--` stood.
pub fn arguments() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// A word with a line's end in it must not begin a line that looks like one of ours: behind the first line only
/// what clap itself begins a line with stays where it is.
fn no_line_of_its_own(text: &str) -> String {
    let own = |line: &str| {
        let begins = ["  ", "Usage: ", "For more information"];
        line.trim().is_empty() || begins.iter().any(|begin| line.starts_with(begin))
    };
    let lines = text.split_inclusive('\n').enumerate();
    let mark = |(at, line): (usize, &str)| {
        if at == 0 || own(line) { line.to_owned() } else { format!("  {line}") }
    };
    lines.map(mark).collect()
}

/// The arguments, and the values of those in one word: `--api=URL`.
fn words() -> impl Iterator<Item = String> {
    arguments().into_iter().flat_map(|word| {
        let value = word.split_once('=').map(|(_, value)| value.to_owned());
        [Some(word), value].into_iter().flatten()
    })
}

/// Prints an error: what failed, the causes that its text does not hold yet, and what to try.
pub fn error(report: &Report) {
    let failure = &report.0;
    let mut said = failure.to_string();
    stderr_line("error: ", &said);
    let mut cause: Option<&dyn Error> = failure.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            stderr_line("  caused by: ", &text);
            said.push_str(&text);
        }
        cause = error.source();
    }
    // which place is full stands in the error; another one is named by who knows how
    let full = (failure.kind() == Kind::NoSpace).then(|| "free space there".into());
    // what the system said outdoes what the step guesses
    let system = system_hint(&**failure).map(String::from);
    if let Some(hint) = system.or_else(|| failure.hint()).or(full) {
        stderr_line("hint: ", &hint);
    }
}

/// Foreign text inside a line: harmful parts become `?`, and it stays on that line.
pub fn cell(text: &str) -> String {
    text::one_line(text)
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut whole, mut tenths, mut unit) = (bytes / 1000, bytes % 1000 / 100, 0);
    while whole >= 1000 && unit + 1 < UNITS.len() {
        (whole, tenths, unit) = (whole / 1000, whole % 1000 / 100, unit + 1);
    }
    format!("{whole}.{tenths} {}", UNITS[unit])
}

/// Left-aligned columns with two spaces between them; the last one is not padded. What a cell holds
/// cannot leave it.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|value| cell(value)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (c, value) in row.iter().enumerate() {
            line.push_str(value);
            if c + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', widths[c] + 2 - value.chars().count()));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(prose("a\x1b[31mb\u{202e}c\u{7}\nwarning: no\n"), "a?b?c?\n  warning: no");
        assert_eq!(cell("a\nb\u{e0041}"), "a b?");
        assert_eq!(table(&[vec!["a\x1bc\nb".into(), "c".into()]]), "a? b  c");
    }

    #[test]
    fn no_line_on_stderr_repeats_a_secret() {
        hidden().add("gldt-of-the-output-test");
        assert_eq!(prose("echo: gldt-of-\u{200b}the-output-test"), "echo: ***");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_234_567), "1.2 MB");
        assert_eq!(size(48_000_000_000), "48.0 GB");
    }

    #[test]
    fn tables_align() {
        let rows = vec![vec!["a".into(), "b".into()], vec!["long".into(), "c".into()]];
        assert_eq!(table(&rows), "a     b\nlong  c");
    }
}
