//! A user name and its secret.

use super::Secret;

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
