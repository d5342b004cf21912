//! Which image of a file is meant: what stands behind the path.
//!
//! ```text
//! nothing              the only one, or the one for the platform
//! @N                   the one at this place, from 0, as skopeo's source index
//! sha256:HEX           the one with this digest, or the only one whose digest begins so
//! NAME                 by name: as it is written there, then abridged as docker does, then its tag alone
//! ```

use super::Location;
use crate::oci::{Digest, Sha256Digest};
use crate::tree::show;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Any,
    At(usize),
    Digest(DigestStart),
    Name(Wanted),
}

/// The beginning of a digest's 64 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DigestStart(String);

impl DigestStart {
    pub(super) fn is(&self, digest: &impl Sha256Digest) -> bool {
        digest.hex().starts_with(&self.0)
    }
}

/// A name as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted(String);

impl PartialEq<Wanted> for String {
    fn eq(&self, wanted: &Wanted) -> bool {
        *self == wanted.0
    }
}

impl Wanted {
    /// Whether it is this name, whole or without what docker leaves out.
    pub(super) fn is_whole(&self, name: &str) -> bool {
        let parts = ["docker.io/library/", "docker.io/", "localhost/"];
        name == self.0 || parts.iter().any(|part| name.strip_prefix(part) == Some(&self.0))
    }

    /// Whether it is this name's tag.
    pub(super) fn is_tag_of(&self, name: &str) -> bool {
        name.rsplit(':').next() == Some(&self.0)
    }
}

impl Choice {
    pub(super) fn of(location: &Location) -> Self {
        let Some(tag) = &location.tag else { return Self::Any };
        if let Some(at) = tag.strip_prefix('@').and_then(|at| at.parse().ok()) {
            return Self::At(at);
        }
        let hex = |text: &str| {
            let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            hex && (1..=64).contains(&text.len())
        };
        match tag.strip_prefix("sha256:") {
            Some(start) if hex(start) => Self::Digest(DigestStart(start.to_owned())),
            _ => Self::Name(Wanted(tag.clone())),
        }
    }
}

/// How an image is offered whose name others have too, or that has none.
pub(super) fn unnamed(at: usize, digest: &Digest, names: &[&str]) -> String {
    let called: String =
        names.iter().take(2).map(|n| format!(", {}", show(n.as_bytes()))).collect();
    format!("@{at} (sha256:{}{called})", &digest.hex()[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_path() {
        let of = |text: &str| Choice::of(&Location::parse(text).unwrap());
        assert_eq!(of("oci:d"), Choice::Any);
        assert_eq!(of("oci:d:@1"), Choice::At(1));
        let digest = Choice::Digest(DigestStart("ab12".into()));
        assert_eq!(of("oci:d:sha256:ab12"), digest);
        assert_eq!(of("docker-archive:d@sha256:ab12"), digest);
        for name in ["v1", "@x", "sha256:xyz", "a/b:v1", "sha512:ab"] {
            assert_eq!(of(&format!("oci:d:{name}")), Choice::Name(Wanted(name.into())), "{name}");
        }
    }

    #[test]
    fn names_as_docker_abridges_them() {
        let wanted = |text: &str| Wanted(text.into());
        for name in ["docker.io/library/a:v1", "a:v1", "localhost/a:v1"] {
            assert!(wanted("a:v1").is_whole(name) && wanted("v1").is_tag_of(name), "{name}");
        }
        assert!(!wanted("a:v1").is_whole("quay.io/a:v1"));
    }
}
