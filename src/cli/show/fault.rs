//! Errors, as people and programs read them: what failed, on what, why, and what to try.
//!
//! ```text
//! error: cannot read the job file gone.toml: No such file or directory     what, on what, why
//!   caused by: ...                                                          what its text does not hold yet
//! hint: ...                                                                 what to try
//! ```

use std::error::Error;
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::error::ErrorKind;
use serde_json::{Value, json};

use super::exit;
use super::output::{arguments, prose, stderr_line, stderr_made_harmless};
use crate::cli::args::foreign_words;
use crate::failure::{Failure, Kind, Report, system_hint};
use crate::oci::may_hold_secret;
use crate::text;

/// Prints what clap says of the arguments: help to stdout, errors to stderr. An argument may hold anything, so
/// an error with something harmful in it loses that, and clap's colours with it. clap repeats the words that it does
/// not understand: one that may hold a secret comes out as `***`.
pub fn clap(error: clap::Error) {
    let hint = foreign_words::hint(&error, &arguments());
    let error = &foreign_words::without_bad_tips(error, hint.is_some());
    let text = error.render().to_string();
    let lines = text::lines(&text);
    // what is asked for is help, wherever clap prints it
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let mut shown = if is_help { lines } else { no_line_of_its_own(&lines) };
    for word in words().filter(|word| may_hold_secret(word)) {
        shown = shown.replace(&word, "***");
    }
    if error.use_stderr() && shown != text {
        stderr_made_harmless(&shown);
    } else {
        // a closed pipe is no failure here
        let _ = error.print();
    }
    if let Some(hint) = hint {
        stderr_line("hint: ", hint);
    }
    if error.use_stderr() {
        let message = text::lines(&shown);
        let message = message.lines().next().unwrap_or_default();
        told(json!({
            "kind": Kind::Usage.name(),
            "exit_code": exit::USAGE,
            "message": message.strip_prefix("error: ").unwrap_or(message),
            "causes": [],
            "hint": hint,
        }));
    }
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
    let message = failure.to_string();
    stderr_line("error: ", &message);
    let mut said = message.clone();
    let mut causes = Vec::new();
    let mut cause: Option<&dyn Error> = failure.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            stderr_line("  caused by: ", &text);
            said.push_str(&text);
            causes.push(prose(&text));
        }
        cause = error.source();
    }
    let hint = hint(&**failure);
    stderr_line("hint: ", &hint);
    told(json!({
        "kind": failure.kind().name(),
        "exit_code": exit::code(failure.kind()),
        "message": prose(&message),
        "causes": causes,
        "hint": prose(&hint),
    }));
}

/// The verb of this command line.
static VERB: OnceLock<String> = OnceLock::new();

/// Keeps which verb it is, for hints.
pub fn is_about(verb: &str) {
    // one command line, one verb
    let _ = VERB.set(verb.to_owned());
}

/// What to try against a failure.
pub fn hint(failure: &dyn Failure) -> String {
    // what the system said outdoes what the step guesses; a step that knows nothing leaves it to the kind
    let system = system_hint(failure).map(String::from);
    system.or_else(|| failure.hint()).unwrap_or_else(|| {
        let hint = failure.kind().hint();
        VERB.get().map_or_else(|| hint.to_owned(), |verb| hint.replace("VERB", verb))
    })
}

/// The errors that were printed, for the document of `--json`.
static TOLD: Mutex<Vec<Value>> = Mutex::new(Vec::new());

fn told(error: Value) {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).push(error);
}

/// The errors that were printed so far.
pub fn told_errors() -> Vec<Value> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
