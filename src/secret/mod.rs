//! Secrets: values that cannot be printed, serialised or compared by accident.
//!
//! Floor 0. [`Secret`] has no `Display`, no `Serialize`, a redacted `Debug`, and is wiped from
//! memory when dropped (`secrecy`, `zeroize`). The only way to its text is [`Secret::expose`],
//! which is called where a request's header or a credential store's entry is made and nowhere else
//! (`tests/rules/floors.rs` holds the list of files that may call it).

mod realm;

use std::fmt;

pub use realm::{Candidate, Candidates, ParseRealmError, Realm};
use secrecy::{ExposeSecret, SecretString};

/// The longest secret that is read from a person or a pipe, in bytes.
pub const LONGEST: usize = 64 * 1024;

/// A password, a deploy token's secret, or a bearer token.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes ownership of the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The text itself; see the module's words on who may ask.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A user name and its secret, as HTTP Basic wants them.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The user name; for a GitLab deploy token exactly the token's user name.
    pub username: String,
    /// The secret.
    pub password: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let credential = Credential {
            username: "gitlab+deploy-token-1".into(),
            password: Secret::new("gldt-x".into()),
        };
        let shown = format!("{credential:?}");
        assert!(!shown.contains("gldt-x") && shown.contains("gitlab+deploy-token-1"), "{shown}");
    }
}
