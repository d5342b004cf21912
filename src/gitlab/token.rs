//! A token for GitLab's API; and which kind of credential something is that a registry takes.
//!
//! GitLab writes the kind in front of a secret (`gldt-`, `glpat-`, ...; "Token overview" of its documentation). Deploy tokens
//! of earlier versions have nothing there, and are known by the user name that GitLab gives them.

use crate::secret::{Credential, Secret};

/// What kind of token it is: the two go into different headers and open different routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A personal, project or group access token with `read_api`.
    Access,
    /// A running job's own: its project's container repositories and little else.
    Job,
}

/// A token for the API and where it came from.
#[derive(Clone, Debug)]
pub struct Token {
    /// Which kind.
    pub kind: TokenKind,
    /// The token.
    pub secret: Secret,
    /// Its source, for messages: `MOORLINE_GITLAB_TOKEN`.
    pub source: String,
}

/// Which kind of credential a registry would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A deploy token: made for machines, bound to a project or group, with the rights that were chosen.
    Deploy,
    /// A running CI job's own.
    Job,
    /// A personal, project or group access token, or one of OAuth.
    Access,
    /// A password, or something that cannot be told from one.
    Other,
}

/// What stands in front of secrets that are no deploy token's.
const ACCESS: [&str; 4] = ["glpat-", "gloas-", "glptt-", "glagent-"];

impl CredentialKind {
    /// By what its secret begins with, and by its user name.
    #[must_use]
    pub fn of(credential: &Credential) -> Self {
        let secret = credential.password.expose();
        let begins = |prefix: &&str| secret.starts_with(*prefix);
        match credential.username.as_str() {
            "gitlab-ci-token" => Self::Job,
            _ if begins(&"glcbt-") => Self::Job,
            _ if ACCESS.iter().any(begins) => Self::Access,
            _ if begins(&"gldt-") => Self::Deploy,
            name if name.starts_with("gitlab+deploy-token-") => Self::Deploy,
            _ => Self::Other,
        }
    }

    /// For people.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Deploy => "a deploy token",
            Self::Job => "a CI job token",
            Self::Access => "an access token",
            Self::Other => "a password, or something that cannot be told from one",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deploy_tokens_are_taken_for_such() {
        let kind = |username: &str, password: &str| {
            let password = Secret::new(password.to_owned());
            CredentialKind::of(&Credential { username: username.to_owned(), password })
        };
        assert_eq!(kind("my-token", "gldt-abc"), CredentialKind::Deploy);
        assert_eq!(kind("gitlab+deploy-token-7", "abc"), CredentialKind::Deploy);
        for (user, secret) in [("gitlab-ci-token", "gldt-abc"), ("x", "glcbt-64_abc")] {
            assert_eq!(kind(user, secret), CredentialKind::Job, "{user}");
        }
        for (user, secret) in [("x", "glpat-abc"), ("gitlab+deploy-token-7", "glpat-abc")] {
            assert_eq!(kind(user, secret), CredentialKind::Access, "{user}");
        }
        for (user, secret) in [("me", "hunter2"), ("me", ""), ("", "gldt"), ("me", "eyJhbGciOi")] {
            assert_eq!(kind(user, secret), CredentialKind::Other, "{user} {secret}");
        }
    }
}
