//! How wide a line may be, and whether colours are wanted.
//!
//! | stdout is | width | colours |
//! |---|---|---|
//! | a terminal | the window's | unless `NO_COLOR` or `CLICOLOR=0` is set |
//! | something else, `COLUMNS` is set | that | only with `CLICOLOR_FORCE` |
//! | something else | none: values stay whole, as scripts want them | only with `CLICOLOR_FORCE` |
//!
//! Sources: <https://no-color.org>, <https://bixense.com/clicolors> (through the crate `anstream`, which clap's own
//! texts use, too).

use std::io::{IsTerminal, stderr, stdout};
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice};

/// The usual window, for a terminal that does not tell its size.
const USUAL: usize = 80;
/// A narrower one is treated as this wide: less shows nothing.
const LEAST: usize = 40;

/// `COLUMNS`, as the environment had it.
static COLUMNS: OnceLock<usize> = OnceLock::new();

/// Keeps what the environment says; a text that is no number says nothing.
pub fn keep_columns(text: Option<&str>) {
    if let Some(columns) = text.and_then(|text| text.parse().ok()) {
        // a second value in one process is a test's business and changes nothing
        let _ = COLUMNS.set(columns);
    }
}

/// The columns of a line on stdout; `None`: as many as it takes.
pub fn width() -> Option<usize> {
    if !stdout().is_terminal() {
        return COLUMNS.get().map(|columns| *columns.max(&LEAST));
    }
    let size = rustix::termios::tcgetwinsize(stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    Some(columns.unwrap_or(USUAL).max(LEAST))
}

/// Whether somebody types and reads here.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && stdout().is_terminal()
}

/// Whether stdout gets colours.
pub fn colours_out() -> bool {
    AutoStream::choice(&stdout()) != ColorChoice::Never
}

/// Whether stderr gets colours.
pub fn colours_err() -> bool {
    AutoStream::choice(&stderr()) != ColorChoice::Never
}
