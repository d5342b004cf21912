//! Where a value was set: in a line of a file, by a flag, or by a variable.

use std::fmt;
use std::path::PathBuf;

/// Whose configuration file it is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The machine's administrators'.
    Site,
    /// The user's own, or one named by `--config`.
    User,
    /// A repository's; somebody else's input.
    Project,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Site => "site",
            Self::User => "user",
            Self::Project => "project",
        })
    }
}

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// Whose.
        level: Level,
        /// Which.
        file: PathBuf,
        /// From 1.
        line: usize,
    },
    /// In this environment variable; made by `cli`.
    Environment(&'static str),
    /// By this flag; made by `cli`.
    Flag(&'static str),
}

impl Origin {
    /// Whether somebody else's input said it.
    #[must_use]
    pub fn is_project(&self) -> bool {
        matches!(self, Self::File { level: Level::Project, .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { level, file, line } => write!(f, "{level} ({}:{line})", file.display()),
            Self::Environment(name) => write!(f, "environment ({name})"),
            Self::Flag(name) => write!(f, "flag ({name})"),
        }
    }
}

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}
