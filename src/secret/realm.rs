//! Where a secret may be sent to be exchanged for a token, and the credentials at hand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::Credential;

/// A text that is no realm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a token realm: write scheme and host, for example https://gitlab.example")]
pub struct ParseRealmError(String);

/// An exact scheme, host and port; the path of the URL that it was read from is not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Realm {
    https: bool,
    host: String,
    port: u16,
}

impl Realm {
    /// The realm that a URL belongs to; `None` for other schemes and for URLs that hold a user.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        Some(Self { https, host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Whether it is reached through TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also when it is the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == own { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Realm {
    type Err = ParseRealmError;

    /// Reads a URL such as `https://gitlab.example/jwt/auth` or `https://gitlab.example`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // a user or a query may hold a secret, which is not repeated
        let bad = || {
            if text.contains(['@', '?', '#']) {
                ParseRealmError("***".into())
            } else {
                ParseRealmError(text.chars().take(120).collect())
            }
        };
        Url::parse(text).ok().and_then(|url| Self::of(&url)).ok_or_else(bad)
    }
}

impl Serialize for Realm {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Realm {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A credential, who provided it, and which realms may see it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// User name and secret.
    pub credential: Credential,
    /// Its source, for messages: `the environment (MOORLINE_USERNAME)`.
    pub source: String,
    /// The realms that were confirmed or configured; the registry's own host needs no entry.
    pub realms: Vec<Realm>,
}

/// The credentials for one repository, the first to be tried first, and the sources that had none
/// to offer although they might have been expected to.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// In the order in which they are tried.
    pub offered: Vec<Candidate>,
    /// One sentence for each source that was skipped for a reason worth telling.
    pub skipped: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_is_scheme_host_and_port() {
        let realm = |text: &str| text.parse::<Realm>();
        assert_eq!(realm("https://GitLab.example:443/jwt/auth"), realm("https://gitlab.example"));
        assert_ne!(realm("https://gitlab.example"), realm("http://gitlab.example"));
        assert_ne!(realm("https://gitlab.example"), realm("https://gitlab.example:8443"));
        assert_eq!(realm("http://[::1]:80/x").unwrap().to_string(), "http://[::1]");
        for bad in ["", "gitlab.example", "ftp://gitlab.example", "https://user@gitlab.example"] {
            assert!(realm(bad).is_err(), "{bad}");
        }
        for secret in ["https://u:hunter2@gitlab.example", "gitlab.example?hunter2", "hunter2@x"] {
            assert!(!realm(secret).unwrap_err().to_string().contains("hunter2"), "{secret}");
        }
    }
}
