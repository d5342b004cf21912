//! A credential as a file that is handed over: what [`Explicit::from_file`](super::Explicit::from_file) reads.

use zeroize::Zeroizing;

use crate::secret::Credential;

/// User name and secret, a line each. Whoever writes them makes a file that only its owner can read.
#[must_use]
pub fn two_lines(credential: &Credential) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    for line in [credential.username.as_str(), credential.password.expose()] {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::{Explicit, Scope};
    use crate::secret::Secret;

    #[test]
    fn it_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handed");
        let credential = Credential {
            username: "gitlab+deploy-token-1".into(),
            password: Secret::new("gldt-x".into()),
        };
        crate::files::create(&path, 0o600, &two_lines(&credential)).unwrap();
        let scope = Scope { registry: "registry.example".parse().unwrap(), prefix: None };
        let read = Explicit::from_file(scope, &path).unwrap().credential;
        assert_eq!(read.username, credential.username);
        assert_eq!(read.password.expose(), credential.password.expose());
    }
}
