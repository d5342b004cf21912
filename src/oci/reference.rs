//! An image reference as people type it, read once and kept whole.
//!
//! ```text
//! [docker://] [registry[:port]/] repository/path [:tag] [@sha256:...]
//! ```
//!
//! Source: OCI distribution specification 1.1, "Pulling manifests" (grammar of names and tags);
//! docker's rule that the part before the first slash is a registry only when it holds a dot or a
//! colon or is `localhost`; docker's short names (`fedora` is `docker.io/library/fedora`).
//!
//! Not promised: that the registry exists, or that a name without registry means Docker Hub; the
//! caller says which registry is the default.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Digest, ParseDigestError, may_hold_secret};

/// Where short names lead unless a default registry is configured.
pub const DOCKER_HUB: &str = "docker.io";

/// A text that is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// Nothing was given.
    #[error("the image reference is empty")]
    Empty,
    /// The part before the first slash is no host.
    #[error("{0:?} is not a registry: expected host or host:port")]
    Registry(String),
    /// The repository breaks the grammar.
    #[error(
        "{_0:?} is not a repository: lower-case letters, digits and . _ - between slashes, \
         at most 255 characters{}",
        lower_case(_0)
    )]
    Repository(String),
    /// The tag breaks the grammar.
    #[error("{0:?} is not a tag: letters, digits, . _ -, at most 128, not starting with . or -")]
    Tag(String),
    /// The part behind `@` is no digest.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// A user, a password or a query in it; the text may hold a secret and is not repeated.
    #[error(
        "the name of an image or registry must not hold a user or a query (it is not repeated here)"
    )]
    User,
    /// A web address.
    #[error("write an image without {0}: registry/group/project:tag")]
    Web(&'static str),
    /// A scheme in front that is not `docker://`.
    #[error("{0:?} is not a registry reference (known here: docker://)")]
    Scheme(String),
}

/// GitLab shows a project's path with capitals, and its registry has none.
fn lower_case(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.parse::<Repository>() {
        Ok(_) if lower != text => format!("; registries write it in lower case: {lower}"),
        _ => String::new(),
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:expr, $error:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseReferenceError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else if may_hold_secret(text) {
                    Err(ParseReferenceError::User)
                } else {
                    Err($error(text.to_owned()))
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type!(
    /// A registry: `host`, `host:port`, `[::1]:port`.
    Registry,
    is_registry,
    ParseReferenceError::Registry
);
impl Registry {
    /// Whether both are spellings of one registry: host names have no case, and 443 is the port of
    /// https.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let plain = |registry: &Self| {
            let text = registry.as_str().to_ascii_lowercase();
            text.strip_suffix(":443").map(str::to_owned).unwrap_or(text)
        };
        plain(self) == plain(other)
    }
}

text_type!(
    /// A repository's path inside its registry.
    Repository,
    is_repository,
    ParseReferenceError::Repository
);
text_type!(
    /// A tag: a name that can be moved to another image at any time.
    Tag,
    is_tag,
    ParseReferenceError::Tag
);

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                match rest.strip_prefix(':') {
                    Some(port) => ("v6", Some(port)),
                    None if rest.is_empty() => ("v6", None),
                    None => return false,
                }
            }
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.len() < 64
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    host.len() <= 253
        && host.split('.').all(label)
        && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0) && !p.starts_with('+'))
}

fn is_repository(text: &str) -> bool {
    // alpha-numeric ( ('.' | '_' | '__' | '-'*) alpha-numeric )*
    fn component(c: &str) -> bool {
        let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = c.as_bytes();
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
        if !alnum(first) || !alnum(last) {
            return false;
        }
        c.split(|ch: char| ch.is_ascii_lowercase() || ch.is_ascii_digit())
            .all(|sep| matches!(sep, "" | "." | "_" | "__") || sep.bytes().all(|b| b == b'-'))
    }
    !text.is_empty() && text.len() <= 255 && text.split('/').all(component)
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !text.is_empty()
        && text.len() <= 128
        && word(text.as_bytes()[0])
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// A reference with everything that was typed; a tag and a digest may both be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The registry.
    pub registry: Registry,
    /// The repository.
    pub repository: Repository,
    /// The tag, where one was typed.
    pub tag: Option<Tag>,
    /// The digest, where one was typed; it decides, the tag is then only information.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads a reference; names without a registry get `default_registry`, except behind `docker://`,
    /// where they are Docker Hub's as everywhere else.
    ///
    /// # Errors
    /// Says which part breaks which rule.
    pub fn parse(text: &str, default_registry: &str) -> Result<Self, ParseReferenceError> {
        if may_hold_secret(text) {
            return Err(ParseReferenceError::User);
        }
        let (text, default_registry) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("docker") => (rest, DOCKER_HUB),
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(ParseReferenceError::Web("https://"));
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => {
                return Err(ParseReferenceError::Web("http://"));
            }
            Some((scheme, _)) => return Err(ParseReferenceError::Scheme(format!("{scheme}://"))),
            None => (text, default_registry),
        };
        if text.is_empty() {
            return Err(ParseReferenceError::Empty);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':']) || first.starts_with('[') || first == "localhost" =>
            {
                (first, rest)
            }
            _ => (default_registry, name),
        };
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag.parse()?)),
            None => (path, None),
        };
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            other => other,
        };
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}").parse()?
        } else {
            path.parse()?
        };
        Ok(Self { registry: registry.parse()?, repository, tag, digest })
    }

    /// What to ask the registry for: the digest, else the tag, else `latest`.
    #[must_use]
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    /// As [`Reference::parse`] with Docker Hub as the default.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, DOCKER_HUB)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|e| format!("error: {e}"), |r| r.to_string())
    }

    #[test]
    fn spellings_of_one_registry() {
        let same = |a: &str, b: &str| {
            let [a, b]: [Registry; 2] = [a, b].map(|text| text.parse().unwrap());
            assert_eq!(a.is_same(&b), b.is_same(&a));
            a.is_same(&b)
        };
        for (a, b) in [
            ("r.example", "R.Example"),
            ("r.example", "r.example:443"),
            ("R.example:5050", "r.EXAMPLE:5050"),
            ("[FE80::1]:443", "[fe80::1]"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("r.example", "r.example:5050"),
            ("r.example", "r.example:80"),
            ("r.example:4430", "r.example"),
            ("r.example", "xr.example"),
            ("r.example", "r.example.org"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn spellings_that_users_know() {
        let d = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (typed, meant) in [
            ("fedora", "docker.io/library/fedora"),
            ("docker://fedora:latest", "docker.io/library/fedora:latest"),
            ("user/image:1", "docker.io/user/image:1"),
            ("localhost/a/b", "localhost/a/b"),
            ("127.0.0.1:5000/a:v1", "127.0.0.1:5000/a:v1"),
            ("[::1]:5000/a:v1", "[::1]:5000/a:v1"),
            (
                "gitlab-registry.cern.ch/grp/proj/sub/img:x",
                "gitlab-registry.cern.ch/grp/proj/sub/img:x",
            ),
        ] {
            assert_eq!(shown(typed), meant);
        }
        let both = format!("r.example/a/b:v1@{d}");
        assert_eq!(shown(&both), both);
        assert_eq!(
            Reference::parse("grp/proj:tag", "gitlab-registry.cern.ch").unwrap().to_string(),
            "gitlab-registry.cern.ch/grp/proj:tag"
        );
        // with the scheme it is Docker Hub's, whatever the default is
        for (typed, meant) in [
            ("docker://fedora", "docker.io/library/fedora"),
            ("docker://grp/proj:tag", "docker.io/grp/proj:tag"),
            ("docker://r.example/a/b:v1", "r.example/a/b:v1"),
            ("fedora", "gitlab-registry.cern.ch/fedora"),
        ] {
            let read = Reference::parse(typed, "gitlab-registry.cern.ch").unwrap();
            assert_eq!(read.to_string(), meant, "{typed}");
        }
    }

    #[test]
    fn broken_references_are_named() {
        for bad in [
            "",
            "docker://",
            "shub://a/b",
            "R.example/UPPER",
            "https://r.example/a",
            "r.example/a:",
            "r.example/a b",
            "r.example/a@sha256:../../x",
            "r.example/../b",
            "r.example//b",
            "r.example/a:-x",
            "-r.example/a",
            "r.example:99999/a",
            "r.example/a@md5:00",
            "r.example/a\n",
        ] {
            assert!(shown(bad).starts_with("error:"), "{bad:?} -> {}", shown(bad));
        }
    }

    #[test]
    fn what_a_browser_shows_is_explained() {
        for (typed, said) in [
            ("r.example/Grp/Proj:v1", "registries write it in lower case: grp/proj"),
            ("docker://r.example/Grp/Proj", "in lower case: grp/proj"),
            (
                "https://r.example/a/b:v1",
                "write an image without https://: registry/group/project:tag",
            ),
            ("HTTP://r.example/a", "write an image without http://"),
        ] {
            assert!(shown(typed).contains(said), "{typed}: {}", shown(typed));
        }
        // where it would not help
        assert!(!shown("r.example/A//b").contains("lower case: "));
        assert_eq!(shown("DOCKER://r.example/a:V1"), "r.example/a:V1");
    }

    fn reference() -> impl Strategy<Value = Reference> {
        (
            "(localhost|[a-z][a-z0-9]{0,8}(\\.[a-z]{1,5}){1,2}|\\[::1\\])(:[1-9][0-9]{0,3})?",
            "[a-z0-9]{2,6}((\\.|_|__|-{1,3})[a-z0-9]{1,5})?(/[a-z0-9]{1,6}){1,3}",
            proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            proptest::option::of(any::<[u8; 32]>()),
        )
            .prop_map(|(registry, repository, tag, digest)| Reference {
                registry: registry.parse().unwrap(),
                repository: repository.parse().unwrap(),
                tag: tag.map(|t| t.parse().unwrap()),
                digest: digest.map(super::super::Sha256Digest::from_bytes),
            })
    }

    proptest! {
        #[test]
        fn parse_of_print_is_the_same(reference in reference()) {
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }

        #[test]
        fn any_text_parses_or_errs_and_print_is_stable(text in ".{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
