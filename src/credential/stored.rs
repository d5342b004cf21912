//! What `login`, `logout` and the list of credentials answer.

use std::time::Duration;

use serde::Serialize;

use super::{Keeper, Scope};
use crate::secret::Realm;

/// What `login` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where the secret is.
    pub place: Keeper,
    /// How long it stays there when it is not used; `None`: until `logout`.
    pub lasts: Option<Duration>,
    /// Sentences for the user: why that is not where it was expected to be, what could not be done.
    pub notes: Vec<String>,
}

/// What `logout` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Where the secret was.
    pub place: Keeper,
    /// Whether it is still there: the place does not answer here, and nobody looks there any more.
    pub remains: bool,
}

/// A stored credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it is for.
    pub scope: Scope,
    /// The user name.
    pub username: String,
    /// The token realm that was confirmed with it.
    pub realm: Option<Realm>,
    /// Where the secret is.
    pub place: Keeper,
}
