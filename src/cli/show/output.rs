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
//! Colours are added here, after the text was made harmless, and only where [`window`] says so. With `-q` only errors
//! and data are left.
//!
//! This is the last boundary for every text, whoever made it; `text` is the first. Foreign text inside a line goes
//! through [`Foreign`] or [`cell`], so that it cannot begin a line of its own.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use serde::Serialize;

use super::exit;
use super::paint::{Painted, Tone};
use super::{shorten, window};

pub use crate::failure::Report;
use crate::failure::{Failure, Kind};
use crate::oci::without_users;
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
    /// `--full`: nothing is shortened.
    pub full: bool,
}

impl Voice {
    /// Takes the flags. Warnings come from everywhere, so `-q` is kept for the whole process.
    pub fn new(quiet: bool, json: bool, full: bool) -> Self {
        QUIET.store(quiet, Ordering::Relaxed);
        Self { quiet, json, full }
    }

    /// Progress and remarks.
    pub fn say(self, text: impl AsRef<str>) {
        if !self.quiet {
            // a beginning of a digest is accepted wherever a digest is
            let brief = !self.full && io::stderr().is_terminal();
            let text = text.as_ref();
            stderr_line("", &if brief { shorten::digests_in(text) } else { text.to_owned() });
        }
    }

    /// The columns of a line of data; `None`: as many as it takes.
    pub fn width(self) -> Option<usize> {
        if self.full { None } else { window::width() }
    }
}

/// Whether `-q` was given.
static QUIET: AtomicBool = AtomicBool::new(false);

/// A warning; not with `--quiet`, which leaves errors and data.
pub fn warn(text: impl AsRef<str>) {
    if !QUIET.load(Ordering::Relaxed) {
        stderr_line("warning: ", text.as_ref());
    }
}

/// Where data goes when a program's own stdout must not be mixed with it.
static KEPT: OnceLock<OwnedFd> = OnceLock::new();

/// Keeps stdout for the answer in JSON: what is started from now on has this process's stderr as its stdout.
///
/// # Errors
/// When the system has no handle left.
pub fn keep_stdout() -> io::Result<()> {
    let kept = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    // a second time in one process would keep stderr
    let _ = KEPT.set(kept);
    Ok(())
}

/// stdout, or what [`keep_stdout`] kept of it.
fn out(bytes: &[u8]) -> io::Result<()> {
    if let Some(kept) = KEPT.get() {
        let mut left = bytes;
        while !left.is_empty() {
            match rustix::io::write(kept, left) {
                Ok(written) => left = &left[written..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// Writes lines of data to stdout. A reader that went away ends the program quietly, as with
/// other Unix tools.
pub fn line(text: impl AsRef<str>) {
    end_if_gone(out(format!("{}\n", text::lines(text.as_ref())).as_bytes()));
}

/// Writes lines with colours to stdout, where that has them.
pub fn painted(lines: &[Painted]) {
    let colours = window::colours_out();
    let piece = |(tone, piece): &(Tone, String)| {
        let shown = text::one_line(piece);
        if colours { tone.paint(&shown) } else { shown }
    };
    let line = |line: &Painted| line.pieces().iter().map(piece).collect::<String>() + "\n";
    end_if_gone(out(lines.iter().map(line).collect::<String>().as_bytes()));
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
    out(format!("{}\n", text::lines(text.as_ref())).as_bytes())
}

/// Copies bytes to stdout as they are.
pub fn bytes(data: &[u8]) {
    let mut out = io::stdout().lock();
    end_if_gone(out.write_all(data).and_then(|()| out.flush()));
}

/// Prints a value as JSON. Verbs print theirs with `document::print`.
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
        process::exit(if gone { 0 } else { i32::from(exit::code(Kind::NoSpace)) });
    }
}

/// The secrets that nothing on stderr repeats: one list for the whole process, which all who send a
/// secret somewhere add it to.
pub fn hidden() -> Hidden {
    static HIDDEN: OnceLock<Hidden> = OnceLock::new();
    HIDDEN.get_or_init(Hidden::default).clone()
}

pub(super) fn stderr_line(before: &str, text: &str) {
    let tone = match before.trim() {
        "error:" => Tone::Bad,
        "warning:" => Tone::Doubt,
        "hint:" => Tone::Busy,
        _ => Tone::Plain,
    };
    let before = if tone != Tone::Plain && window::colours_err() {
        format!("{} ", tone.paint(before.trim_end()))
    } else {
        before.to_owned()
    };
    let text = format!("{before}{}\n", prose(text));
    // nobody is left to tell when stderr is gone
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a text of several lines that was made harmless before.
pub(super) fn stderr_made_harmless(text: &str) {
    // nobody is left to tell when stderr is gone
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// For stderr: harmless, without secrets, and no second line that looks like one of ours.
pub(super) fn prose(text: &str) -> String {
    let shown = Foreign::new(text.trim_end()).lines_without(&hidden());
    let shown = without_users(&shown);
    shown.replace('\n', "\n  ")
}

/// For a writer of whole lines to stderr, such as a trace.
pub fn stderr_bytes(bytes: &[u8]) {
    stderr_line("", &String::from_utf8_lossy(bytes));
}

/// The words of the command line, for those who must know where `--` stood.
pub fn arguments() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(prose("a\x1b[31mb\u{202e}c\u{7}\nwarning: no\n"), "a?b?c?\n  warning: no");
        assert_eq!(cell("a\nb\u{e0041}"), "a b?");
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
}
