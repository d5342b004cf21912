//! The one place where a kind of failure becomes an exit code (`docs/reference/exit-codes.md`).

use crate::failure::Kind;

/// The command line, or a value on it, is wrong; clap's own code as well.
pub const USAGE: u8 = 2;

/// The exit code of a kind.
pub fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Usage => USAGE,
        Kind::NotFound => 3,
        Kind::Denied => 4,
        Kind::Network => 5,
        Kind::Integrity => 6,
        Kind::Conversion => 7,
        Kind::NoSpace => 8,
        Kind::NoRuntime => 9,
        Kind::Engine => 10,
        Kind::Policy => 11,
        Kind::Configuration => 12,
    }
}
