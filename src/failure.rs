//! What kind of failure an error is, so that one place maps it to an exit code.
//!
//! Every module has its own typed error. Each of them says its [`Kind`] and, where there is
//! something to try, a hint. Only `cli` prints errors and only `cli::exit` turns a kind into a number.

use std::error::Error;

/// The kinds of failure that scripts can tell apart; see `docs/reference/exit-codes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The command line or a value on it is wrong.
    Usage,
    /// The thing asked for does not exist, or cannot be seen with this credential.
    NotFound,
    /// A credential was refused, or is not sent where it was asked for.
    Denied,
    /// A host could not be reached, or did not answer as it should.
    Network,
    /// Bytes do not have the digest that they should have.
    Integrity,
    /// An image could not be converted.
    Conversion,
    /// A file system is full, or a quota is used up.
    NoSpace,
    /// No container runtime can run the image here.
    NoRuntime,
    /// The batch engine is absent, refused, or answered in an unknown way.
    Engine,
    /// A site's or project's policy forbids it.
    Policy,
    /// A configuration, credential or ledger file is broken.
    Configuration,
}

/// An error that knows its [`Kind`] and may know what to try next.
pub trait Failure: Error + Send + Sync + 'static {
    /// The kind, which decides the exit code.
    fn kind(&self) -> Kind;

    /// One sentence or command that the user can try; printed on a line of its own.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The kind of an I/O error: a full disk or quota is told apart, everything else is `otherwise`.
#[must_use]
pub fn io_kind(error: &std::io::Error, otherwise: Kind) -> Kind {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => Kind::NoSpace,
        _ => otherwise,
    }
}

/// An error and those of its causes that its text does not hold yet, on one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = next.source();
    }
    text
}
