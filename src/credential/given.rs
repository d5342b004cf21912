//! Source: a credential from the command line of this very command.

use super::{CredentialError, Explicit, SourceQuestion};
use crate::secret::Candidates;

#[allow(clippy::unnecessary_wraps)] // every source has this form
pub(super) fn find(
    question: &SourceQuestion<'_>,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    if let Some(Explicit { scope, credential, flag }) = &question.run.settings.explicit
        && scope.covers(question.registry, question.repository)
    {
        found.offered.push(question.candidate(
            &credential.username,
            credential.password.clone(),
            format!("the command line ({flag})"),
        ));
        found.skipped.push(format!("other sources: not asked, because {flag} was given"));
    }
    Ok(())
}
