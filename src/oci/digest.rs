//! SHA-256 digests, one type per kind of thing that is hashed.
//!
//! ```text
//! sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ^algo  ^64 lower-case hex characters
//! ```
//!
//! Source: OCI image specification 1.1, `descriptor.md`, "Digests". Only `sha256` is supported. The other registered
//! algorithm, `sha512`, is refused by name: no registry that Moorline works with produces it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::shown;

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// The text does not start with `sha256:`.
    #[error("{0:?} is not a sha256 digest (expected sha256: and 64 hex characters)")]
    Algorithm(String),
    /// What follows `sha256:` is not 64 lower-case hex characters.
    #[error("{0:?} is not a digest: after sha256: come exactly 64 lower-case hex characters")]
    Hex(String),
}

/// What all digest types share; sealed by the macro below.
pub trait Sha256Digest: Copy + Eq + fmt::Display {
    /// Makes the digest from its 32 bytes.
    fn from_bytes(bytes: [u8; 32]) -> Self;
    /// The 32 bytes.
    fn bytes(&self) -> &[u8; 32];

    /// The 64 hex characters without `sha256:`, as used in file names.
    fn hex(&self) -> String {
        use fmt::Write;
        self.bytes().iter().fold(String::with_capacity(64), |mut text, b| {
            // writing to a String cannot fail
            let _ = write!(text, "{b:02x}");
            text
        })
    }

    /// The digest of `data`.
    fn of(data: &[u8]) -> Self {
        Self::from_bytes(Sha256::digest(data).into())
    }
}

fn parse(text: &str) -> Result<[u8; 32], ParseDigestError> {
    let hex =
        text.strip_prefix("sha256:").ok_or_else(|| ParseDigestError::Algorithm(shown(text)))?;
    let bad = || ParseDigestError::Hex(shown(text));
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(bad());
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
    }
    Ok(bytes)
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl Sha256Digest for $name {
            fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
            fn bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "sha256:{}", self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type!(
    /// The digest of a blob as a registry stores it: a manifest, an index, a compressed layer.
    Digest
);
digest_type!(
    /// The digest of an image's configuration document; what docker calls the image id.
    ConfigDigest
);
digest_type!(
    /// The digest of a layer's uncompressed tar.
    DiffId
);
digest_type!(
    /// The digest of a whole SIF file. Never an OCI digest.
    SifDigest
);
digest_type!(
    /// The root of a SIF's hash tree: it stands for every byte that a container is made of.
    TreeRoot
);

impl From<ConfigDigest> for Digest {
    /// A configuration is fetched as a blob under the same digest.
    fn from(config: ConfigDigest) -> Self {
        Self(config.0)
    }
}

/// A running SHA-256.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Ends the hash as the kind of digest that the caller says it is.
    #[must_use]
    pub fn finish<D: Sha256Digest>(self) -> D {
        D::from_bytes(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parsed() {
        let digest = Digest::of(b"test");
        assert_eq!(
            digest.to_string(),
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn refuses_what_is_no_digest() {
        for bad in [
            "",
            "sha256:",
            "sha256:../../x",
            "sha512:00",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "sha256:9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a080",
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
