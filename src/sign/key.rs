//! Keys: one that vouches, and the one that others check with.
//!
//! A secret key is a file of one line, `moorline-ed25519-secret:BASE64` (the 32 bytes of the seed), 0600. A public
//! one is `ed25519:BASE64`. Source: RFC 8032.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};
const PUBLIC: &str = "ed25519:";
const SECRET: &str = "moorline-ed25519-secret:";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A text that is not a public key.
    #[error("{0:?} is not a public key: ed25519: and 44 characters of base64")]
    PublicKey(String),
    /// A file with a secret key could not be read or written.
    #[error("{doing} the key {}: {source}", path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file with a secret key that cannot be used; its text is not repeated.
    #[error("the key {} cannot be used: {why}", path.display())]
    SecretKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
}

impl Failure for KeyError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

/// A key to check with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Whether this key made the signature of these bytes.
    pub(super) fn made(&self, signature: &[u8], bytes: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text.strip_prefix(PUBLIC).and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| KeyError::PublicKey(text.chars().take(80).collect()))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A key to sign with. Shows nothing of itself.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl SigningKey {
    /// Makes a key and writes it into a new file, 0600 before the first byte.
    ///
    /// # Errors
    /// When the file exists or cannot be written, or the system gives no random numbers.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let io = |doing| move |source| KeyError::Io { doing, path: path.to_owned(), source };
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())
            .map_err(|e| io("cannot make")(io::Error::other(e.to_string())))?;
        let key = Self::of(seed.as_ref(), path)?;
        let text = Zeroizing::new(format!("{SECRET}{}\n", STANDARD.encode(*seed)));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = made.map_err(io("cannot make"))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            // half a key is none
            let _ = std::fs::remove_file(path);
        }
        written.map_err(io("cannot write"))?;
        Ok(key)
    }

    /// Reads a key that only this user can read.
    ///
    /// # Errors
    /// When the file cannot be read, others can reach it, or it holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { doing: "cannot read", path: path.to_owned(), source };
        let wrong = |why| KeyError::SecretKey { path: path.to_owned(), why };
        let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(nofollow.bits()).unwrap_or(0);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(wrong("it is not a file of this user"));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(wrong("others can reach it: chmod 600"));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(256).read_to_string(&mut text).map_err(io)?;
        let seed = text.trim_end().strip_prefix(SECRET).and_then(|t| STANDARD.decode(t).ok());
        let seed = Zeroizing::new(seed.ok_or_else(|| wrong("it holds no secret key"))?);
        Self::of(&seed, path)
    }

    fn of(seed: &[u8], path: &Path) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        let why = "it holds no secret key";
        pair.map(Self).map_err(|_| KeyError::SecretKey { path: path.to_owned(), why })
    }

    /// The key that others check with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The signature of these bytes.
    pub(super) fn signature(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_private_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SigningKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::read(&path).unwrap().public(), key.public());
        assert!(!format!("{key:?}").contains(&fs::read_to_string(&path).unwrap()[30..60]));
        assert!(SigningKey::create(&path).is_err(), "a key is never replaced");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SigningKey::read(&path).unwrap_err().to_string().contains("chmod 600"));
        let public: PublicKey = key.public().to_string().parse().unwrap();
        assert_eq!(public, key.public());
        assert!("ed25519:AAAA".parse::<PublicKey>().is_err());
    }
}
