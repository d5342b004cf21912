//! One thing that was looked at: how it is, and what to do about it.

use crate::failure::{Failure, Kind};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Ok,
    /// It is absent or slow, and nothing needs it yet.
    Note,
    /// Something that a verb needs does not work. The kind decides the exit code.
    Problem(Kind),
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The thing, in a word.
    pub what: &'static str,
    /// How it is.
    pub health: Health,
    /// A sentence about it; it may hold foreign text.
    pub said: String,
    /// What to try; every finding that is not [`Health::Ok`] has it.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(what: &'static str, said: impl Into<String>) -> Self {
        Self { what, health: Health::Ok, said: said.into(), remedy: None }
    }

    pub(super) fn note(what: &'static str, said: impl Into<String>, remedy: &str) -> Self {
        Self { what, health: Health::Note, said: said.into(), remedy: Some(remedy.to_owned()) }
    }

    /// The configuration, which could not be read.
    #[must_use]
    pub fn of_configuration(error: &dyn Failure) -> Self {
        Self::problem("settings", error, "mend what it names; --config FILE takes another file")
    }

    /// The error's own hint is the remedy; `otherwise` where it has none.
    pub(super) fn problem(what: &'static str, error: &dyn Failure, otherwise: &str) -> Self {
        let remedy = error.hint().unwrap_or_else(|| otherwise.to_owned());
        let (said, health) = (error.to_string(), Health::Problem(error.kind()));
        Self { what, health, said, remedy: Some(remedy) }
    }
}
