//! Source: what GitLab CI gives a job, for the registry `CI_REGISTRY` only.
//!
//! In this order: the deploy token that is named `gitlab-deploy-token` (`CI_DEPLOY_USER`,
//! `CI_DEPLOY_PASSWORD`), the registry login of the job (`CI_REGISTRY_USER`,
//! `CI_REGISTRY_PASSWORD`), the job token itself. `CI_SERVER_URL` is the token realm. Source:
//! GitLab's "Predefined CI/CD variables reference".

use std::collections::BTreeMap;

use super::{CredentialError, Question};
use crate::oci::Registry;
use crate::secret::{Candidates, Realm, Secret};

/// Each pair of variables; a job token has a fixed user name.
const PAIRS: [(&str, &str); 2] =
    [("CI_DEPLOY_USER", "CI_DEPLOY_PASSWORD"), ("CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD")];

pub(super) fn find(question: &Question<'_>, found: &mut Candidates) -> Result<(), CredentialError> {
    if !is_ours(&question.chain.settings.environment, question.registry)? {
        return Ok(());
    }
    let mut all: Vec<(&str, &str, &str)> = Vec::new();
    for (user, password) in PAIRS {
        match (question.variable(user), question.variable(password)) {
            (Some(name), Some(secret)) => all.push((name, secret, user)),
            // a protected variable is empty on unprotected branches: said, not fatal
            (Some(_), None) => found.skipped.push(format!("CI: {user} is set, {password} is not")),
            (None, Some(_)) => found.skipped.push(format!("CI: {password} is set, {user} is not")),
            (None, None) => {}
        }
    }
    if let Some(token) = question.variable("CI_JOB_TOKEN") {
        all.push(("gitlab-ci-token", token, "CI_JOB_TOKEN"));
    }
    let trace = question.variable("CI_DEBUG_TRACE");
    if !all.is_empty() && trace.is_some_and(|on| !matches!(on, "false" | "0")) {
        question.chain.warn(
            "CI_DEBUG_TRACE is on: GitLab prints every variable of this job into its log, and the \
             registry's credential is one of them",
        );
    }
    for (at, (name, secret, variable)) in all.iter().enumerate() {
        // CI_REGISTRY_PASSWORD usually is the job token: one try is enough
        if all[..at].iter().any(|(n, s, _)| n == name && s == secret) {
            continue;
        }
        found.offered.push(question.candidate(
            name,
            Secret::new((*secret).to_owned()),
            format!("GitLab CI ({variable})"),
        ));
    }
    Ok(())
}

/// The realm that CI itself names, for its own registry.
pub(super) fn realm(
    environment: &BTreeMap<String, String>,
    registry: &Registry,
) -> Result<Option<Realm>, CredentialError> {
    let url = environment.get("CI_SERVER_URL").filter(|url| !url.is_empty());
    match url {
        Some(url) if is_ours(environment, registry)? => {
            url.parse().map(Some).map_err(|error: crate::secret::ParseRealmError| {
                CredentialError::Variable { name: "CI_SERVER_URL", reason: error.to_string() }
            })
        }
        _ => Ok(None),
    }
}

fn is_ours(
    environment: &BTreeMap<String, String>,
    registry: &Registry,
) -> Result<bool, CredentialError> {
    let Some(own) = environment.get("CI_REGISTRY").filter(|own| !own.is_empty()) else {
        return Ok(false);
    };
    let own: Registry = own.parse().map_err(|error: crate::oci::ParseReferenceError| {
        CredentialError::Variable { name: "CI_REGISTRY", reason: error.to_string() }
    })?;
    Ok(own.is_same(registry))
}
