//! Source: what GitLab CI gives a job, for the registry `CI_REGISTRY` and for its dependency proxy.
//!
//! In this order: the deploy token that is named `gitlab-deploy-token` (`CI_DEPLOY_USER`,
//! `CI_DEPLOY_PASSWORD`), the registry login of the job (`CI_REGISTRY_USER`,
//! `CI_REGISTRY_PASSWORD`), the job token itself. For `CI_DEPENDENCY_PROXY_SERVER`, which is GitLab's
//! own host: `CI_DEPENDENCY_PROXY_USER` and `CI_DEPENDENCY_PROXY_PASSWORD`. `CI_SERVER_URL` is the
//! token realm of both. Source: GitLab's "Predefined CI/CD variables reference".

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{CredentialError, SourceQuestion};
use crate::oci::Registry;
use crate::secret::{Candidates, Realm, Secret};

/// The variable that names a registry, and the pairs that are for it.
const REGISTRIES: [(&str, &[(&str, &str)]); 2] = [
    (
        "CI_REGISTRY",
        &[("CI_DEPLOY_USER", "CI_DEPLOY_PASSWORD"), ("CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD")],
    ),
    ("CI_DEPENDENCY_PROXY_SERVER", &[("CI_DEPENDENCY_PROXY_USER", "CI_DEPENDENCY_PROXY_PASSWORD")]),
];

/// User name, secret, and the variable that gave them.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>, &'static str);

pub(super) fn find(
    question: &SourceQuestion<'_>,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    let environment = &question.run.settings.environment;
    let mut all: Vec<Pair<'_>> = Vec::new();
    let mut ours = false;
    for (registry, pairs) in REGISTRIES {
        if !is_named(environment, registry, question.registry)? {
            continue;
        }
        ours = true;
        for (user, password) in pairs {
            match (question.text(user)?, question.text(password)?) {
                (Some(name), Some(secret)) => all.push((name, secret, user)),
                // a protected variable is empty on unprotected branches: said, not fatal
                (Some(_), None) => {
                    found.skipped.push(format!("CI: {user} is set, {password} is not"));
                }
                (None, Some(_)) => {
                    found.skipped.push(format!("CI: {password} is set, {user} is not"));
                }
                (None, None) => {}
            }
        }
        if let Some(token) = question.text("CI_JOB_TOKEN")? {
            all.push(("gitlab-ci-token".into(), token, "CI_JOB_TOKEN"));
        }
    }
    if !ours && question.variable("CI_JOB_TOKEN").is_some() {
        let own = question.variable("CI_REGISTRY");
        let own = own.map_or_else(
            || "this GitLab has no registry (CI_REGISTRY is not set)".to_owned(),
            |own| format!("the job's credentials are for CI_REGISTRY, which is {own}"),
        );
        found.skipped.push(format!("CI: {own}"));
    }
    let trace = question.variable("CI_DEBUG_TRACE");
    if !all.is_empty() && trace.is_some_and(|on| !matches!(on, "false" | "0")) {
        question.run.warn(
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
            Secret::new(secret.clone().into_owned()),
            format!("GitLab CI ({variable})"),
        ));
    }
    Ok(())
}

/// The realm that CI itself names, for its own registry and its dependency proxy.
pub(super) fn realm(
    environment: &BTreeMap<String, String>,
    registry: &Registry,
) -> Result<Option<Realm>, CredentialError> {
    let url = environment.get("CI_SERVER_URL").filter(|url| !url.is_empty());
    let Some(url) = url else { return Ok(None) };
    for (variable, _) in REGISTRIES {
        if is_named(environment, variable, registry)? {
            return url.parse().map(Some).map_err(|error: crate::secret::ParseRealmError| {
                CredentialError::Variable { name: "CI_SERVER_URL", reason: error.to_string() }
            });
        }
    }
    Ok(None)
}

/// Whether a variable names this registry.
fn is_named(
    environment: &BTreeMap<String, String>,
    name: &'static str,
    registry: &Registry,
) -> Result<bool, CredentialError> {
    let Some(own) = environment.get(name).filter(|own| !own.is_empty()) else {
        return Ok(false);
    };
    let own: Registry = own.parse().map_err(|error: crate::oci::ParseReferenceError| {
        CredentialError::Variable { name, reason: error.to_string() }
    })?;
    Ok(own.is_same(registry))
}
