//! What kind of failure an error is, so that one place maps it to an exit code.
//!
//! Every module has its own typed error. Each of them says its [`Kind`] and, where there is
//! something to try, a hint. Only `cli` prints errors and only `cli::show::exit` turns a kind into a number.

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

impl Kind {
    /// All kinds, in the order of their exit codes.
    pub const ALL: [Self; 11] = [
        Self::Usage,
        Self::NotFound,
        Self::Denied,
        Self::Network,
        Self::Integrity,
        Self::Conversion,
        Self::NoSpace,
        Self::NoRuntime,
        Self::Engine,
        Self::Policy,
        Self::Configuration,
    ];

    /// Its word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Network => "network",
            Self::Integrity => "integrity",
            Self::Conversion => "conversion",
            Self::NoSpace => "no-space",
            Self::NoRuntime => "no-runtime",
            Self::Engine => "engine",
            Self::Policy => "policy",
            Self::Configuration => "configuration",
        }
    }

    /// What to try against a failure of this kind that knows nothing better.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Usage => "moorline help VERB shows examples and all flags",
            Self::NotFound => "check the name; a relative path begins in the current directory",
            Self::Denied => "moorline auth-explain IMAGE says which credential is taken, and why",
            Self::Network => {
                "try again later; moorline doctor says what answers, and auth-explain which proxy is taken"
            }
            Self::Integrity => "get it anew from where it came; do not use what is here",
            Self::Conversion => "moorline inspect IMAGE shows its layers; --verbose says more",
            // which place is full stands in the error
            Self::NoSpace => "free space there",
            Self::NoRuntime => "moorline doctor says what works here, and how to mend the rest",
            Self::Engine => "moorline doctor says which engines answer",
            Self::Policy => "moorline config show names the file that says so; ask who keeps it",
            Self::Configuration => "mend what the message names, or move it away",
        }
    }
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

/// An error on its way to the user: any module's [`Failure`].
#[derive(Debug)]
pub struct Report(pub Box<dyn Failure>);

impl<E: Failure> From<E> for Report {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// The kind of an I/O error: a full disk or quota is told apart, and a disk or file server that fails is
/// nobody's wrong usage; everything else is `otherwise`.
#[must_use]
pub fn io_kind(error: &std::io::Error, otherwise: Kind) -> Kind {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    // errno(3) on Linux: EIO, ESTALE
    let fails = matches!(error.raw_os_error(), Some(5 | 116));
    match error.kind() {
        StorageFull | QuotaExceeded => Kind::NoSpace,
        _ if fails && otherwise == Kind::Usage => Kind::Configuration,
        _ => otherwise,
    }
}

/// What helps against an error of the system that stands among the causes, whatever met it.
#[must_use]
pub fn system_hint(error: &(dyn Error + 'static)) -> Option<&'static str> {
    // errno(3) on Linux
    const EDQUOT: i32 = 122;
    const ESTALE: i32 = 116;
    let mut cause = Some(error);
    while let Some(this) = cause {
        match this.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            Some(EDQUOT) => {
                return Some(
                    "`quota -s` (on Lustre `lfs quota -h`) shows your quota; remove something there; where \
                     the store is meant, moorline cache prune does, or set MOORLINE_CACHE to another file \
                     system",
                );
            }
            Some(ESTALE) => {
                return Some(
                    "the file server lost the file or was started anew: run the command again; if \
                     that fails too, the file system has to be mounted anew",
                );
            }
            _ => cause = this.source(),
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write it")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_quota_and_a_stale_handle_are_known_wherever_they_stand() {
        let of = |number| system_hint(&Outer(std::io::Error::from_raw_os_error(number)));
        assert!(of(122).unwrap().contains("quota"));
        assert!(of(116).unwrap().contains("again"));
        assert_eq!(of(28), None);
        let kind = |errno| io_kind(&std::io::Error::from_raw_os_error(errno), Kind::Usage);
        assert_eq!(kind(122), Kind::NoSpace);
        // a disk, a file server; and a name that is none
        assert_eq!([5, 116, 2].map(kind), [Kind::Configuration, Kind::Configuration, Kind::Usage]);
    }
}
