//! The secret itself. It has no text form but what [`Secret::expose`] gives.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The longest secret that is read from a person or a pipe, in bytes.
pub const LONGEST: usize = 64 * 1024;

/// A password, a deploy token's secret, or a bearer token.
#[derive(Clone)]
pub struct Secret(pub(super) SecretString);

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
