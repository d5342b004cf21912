//! Source: what `login` keeps, the longest prefix first, in whichever place its secret lies.

use super::file::{Row, Written};
use super::{CredentialError, Keeper, SourceQuestion, keyring};
use crate::secret::Candidates;

/// What `login` keeps: the longest prefix first, in whichever place its secret lies.
pub(super) fn find(
    question: &SourceQuestion<'_>,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    question.rows.iter().try_for_each(|row| match row.store {
        Keeper::File => in_file(question, row, found),
        Keeper::Keyring | Keeper::Kernel => keyring::find(question, row, found),
    })
}

/// A secret that lies in our file.
fn in_file(
    question: &SourceQuestion<'_>,
    row: &Row,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    let path = &question.run.settings.file;
    let Some(Written(secret)) = &row.password else {
        return Err(CredentialError::Malformed { path: path.clone(), line: 1, column: 1 });
    };
    let source = format!("{} (login {})", path.display(), row.scope);
    found.offered.push(question.candidate(&row.username, secret.clone(), source));
    Ok(())
}
