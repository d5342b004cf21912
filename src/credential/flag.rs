//! Source: `--username` with `--password-stdin` on this very command.

use super::{CredentialError, Question, Scope};
use crate::secret::{Candidates, Credential};

/// A credential from the command line and what it is for.
pub struct Explicit {
    /// What it is for; it is offered to nothing else.
    pub scope: Scope,
    /// The credential.
    pub credential: Credential,
}

#[allow(clippy::unnecessary_wraps)] // the form of every source
pub(super) fn find(question: &Question<'_>, found: &mut Candidates) -> Result<(), CredentialError> {
    if let Some(Explicit { scope, credential }) = &question.chain.settings.explicit
        && scope.covers(question.registry, question.repository)
    {
        found.offered.push(question.candidate(
            &credential.username,
            credential.password.clone(),
            "the command line (--username)".into(),
        ));
    }
    Ok(())
}
