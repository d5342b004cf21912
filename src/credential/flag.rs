//! A credential from the command line: `--username` with `--password-stdin`, or `--credential-file`, on this very command.

use std::path::Path;

use super::{CredentialError, Scope, file};
use crate::secret::{Credential, Secret};

/// A credential from the command line and what it is for.
#[derive(Clone, Debug)]
pub struct Explicit {
    /// What it is for; it is offered to nothing else.
    pub scope: Scope,
    /// The credential.
    pub credential: Credential,
    /// The flag that gave it, for messages.
    pub flag: &'static str,
}

impl Explicit {
    /// `--username` and what came in with `--password-stdin`.
    #[must_use]
    pub fn typed(scope: Scope, username: String, password: Secret) -> Self {
        Self { scope, credential: Credential { username, password }, flag: "--username" }
    }

    /// `--credential-file`: the user name on the first line, the secret on the second.
    ///
    /// # Errors
    /// When others can reach the file, it cannot be read, or it has not these two lines.
    pub fn from_file(scope: Scope, path: &Path) -> Result<Self, CredentialError> {
        let bad = |reason| CredentialError::NoCredential { path: path.to_owned(), reason };
        let text = file::read_private(path)?.ok_or_else(|| bad("does not exist"))?;
        let mut lines = text.lines();
        let (Some(username), Some(password), None) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("has not exactly two lines"));
        };
        if username.is_empty() || password.is_empty() {
            return Err(bad("has an empty line"));
        }
        let credential = Credential {
            username: username.to_owned(),
            password: Secret::new(password.to_owned()),
        };
        Ok(Self { scope, credential, flag: "--credential-file" })
    }
}
