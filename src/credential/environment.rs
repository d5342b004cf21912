//! Source: `MOORLINE_USERNAME` and `MOORLINE_PASSWORD`, for `MOORLINE_REGISTRY` only.
//!
//! `MOORLINE_REGISTRY` may name a project too (`registry/group/project`). Alone it is no
//! credential; a user name or password without it is broken, because a secret must not go to
//! whatever registry comes along.

use std::borrow::Cow;

use super::{CredentialError, Scope, SourceQuestion};
use crate::secret::{Candidates, Secret};

fn three<'a>(
    question: &'a SourceQuestion<'_>,
    names: [&'static str; 3],
) -> Result<[Option<Cow<'a, str>>; 3], CredentialError> {
    let [one, two, three] = names.map(|name| question.text(name));
    Ok([one?, two?, three?])
}

pub(super) fn find(
    question: &SourceQuestion<'_>,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    const NAMES: [&str; 3] = ["MOORLINE_REGISTRY", "MOORLINE_USERNAME", "MOORLINE_PASSWORD"];
    let lacks = |has, lacks| Err(CredentialError::Incomplete { has, lacks });
    let (registry, username, password) = match three(question, NAMES)? {
        [_, None, None] => return Ok(()),
        [_, Some(_), None] => return lacks(NAMES[1], NAMES[2]),
        [_, None, Some(_)] => return lacks(NAMES[2], NAMES[1]),
        [None, Some(_), Some(_)] => return lacks(NAMES[2], NAMES[0]),
        [Some(registry), Some(username), Some(password)] => (registry, username, password),
    };
    let (username, password) = (&*username, &*password);
    let scope: Scope = registry.parse().map_err(|error: CredentialError| {
        CredentialError::Variable { name: NAMES[0], reason: error.to_string() }
    })?;
    if scope.covers(question.registry, question.repository) {
        found.offered.push(question.candidate(
            username,
            Secret::new(password.to_owned()),
            "the environment (MOORLINE_USERNAME)".into(),
        ));
    } else {
        found.skipped.push(format!("environment: MOORLINE_REGISTRY is {scope}"));
    }
    Ok(())
}
