//! Identifiers: one type per kind of thing, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no id of the kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct ParseIdError {
    /// What was typed.
    pub text: String,
    /// What was expected.
    pub what: &'static str,
}

/// A job's id: 26 lower-case ULID characters; sorts by the time it was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(ulid::Ulid);

impl JobId {
    /// Makes an id from milliseconds since 1970 and 80 random bits.
    #[must_use]
    pub fn from_parts(milliseconds: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(milliseconds, random))
    }

    /// Its 128 bits, most significant first: they sort as the ids do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The id of these bits.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ulid::Ulid::from_bytes(bytes))
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        self.0.timestamp_ms()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().to_ascii_lowercase())
    }
}

impl FromStr for JobId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseIdError { text: text.to_owned(), what: "a job id (26 characters)" };
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad());
        }
        ulid::Ulid::from_string(&text.to_ascii_uppercase()).map(Self).map_err(|_| bad())
    }
}

/// 128 random bits as 32 lower-case hex characters, made before the engine is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId([u8; 16]);

/// 128 random bits that tie a receipt to its submission, so that a receipt cannot be replayed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce([u8; 16]);

macro_rules! hex16 {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Its 16 bytes.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0
            }

            /// Takes 16 random bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bad = || ParseIdError { text: text.to_owned(), what: $what };
                if text.len() != 32
                    || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                {
                    return Err(bad());
                }
                u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| bad())
            }
        }
    };
}
hex16!(IntentId, "an intent id (32 hex characters)");
hex16!(Nonce, "a nonce (32 hex characters)");

macro_rules! textual {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
textual!(JobId, IntentId, Nonce);

/// What names a job at its engine for ever: engines issue the same numbers again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineKey {
    /// `local`, `slurm`, ...
    pub kind: String,
    /// The cluster's name, where the engine has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The engine's own id.
    pub id: String,
    /// When the engine took the job.
    pub submitted_at: jiff::Timestamp,
    /// The account that owns it there.
    pub owner: String,
}

impl fmt::Display for EngineKey {
    /// `slurm:123`, as the command line takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_what_they_parsed() {
        let id = JobId::from_parts(1_700_000_000_000, 42);
        assert_eq!(id.to_string().len(), 26);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_ascii_uppercase().parse::<JobId>().is_err());
        let intent = IntentId::from_bytes([7; 16]);
        assert_eq!(intent.to_string().parse(), Ok(intent));
        assert!("zz".parse::<IntentId>().is_err());
        assert!("+7070707070707070707070707070707".parse::<Nonce>().is_err());
    }
}
