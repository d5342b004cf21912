//! Names that are stored: of runtimes, engines, grades, states, deliveries.
//!
//! They are open: a program reads and shows a name that only a newer one knows. They stay identifiers, so
//! that nothing else can hide in one: 1 to 31 of `a-z 0-9 . _ -`, a letter or digit first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::id::ParseIdError;

/// The longest name, in bytes.
const LONGEST: usize = 31;

/// A validated identifier. It is small and `Copy`, because the types that hold one are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Padded with NUL, which no name holds.
    bytes: [u8; LONGEST],
}

impl Name {
    /// A name that stands in this program.
    ///
    /// # Panics
    /// When it is none; in a `const` that is an error of the compiler.
    #[must_use]
    pub const fn known(text: &'static str) -> Self {
        let from = text.as_bytes();
        assert!(!from.is_empty() && from.len() <= LONGEST, "a name has 1 to 31 characters");
        let mut bytes = [0; LONGEST];
        let mut at = 0;
        while at < from.len() {
            let b = from[at];
            let letter = b.is_ascii_lowercase() || b.is_ascii_digit();
            assert!(
                letter || (at > 0 && (b == b'.' || b == b'_' || b == b'-')),
                "a name is an identifier"
            );
            bytes[at] = b;
            at += 1;
        }
        Self { bytes }
    }

    /// The name as text.
    ///
    /// # Panics
    /// Never: only ASCII gets in.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|b| *b == 0).unwrap_or(LONGEST);
        std::str::from_utf8(&self.bytes[..end]).expect("a name is ASCII")
    }
}

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl FromStr for Name {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.len() <= LONGEST
            && text.bytes().next().is_some_and(letter)
            && text.bytes().all(|b| letter(b) || b"._-".contains(&b));
        if !good {
            let what = "a name (1 to 31 of a-z 0-9 . _ -, a letter or digit first)";
            return Err(ParseIdError { text: text.to_owned(), what });
        }
        let mut bytes = [0; LONGEST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Declares an enum of known names that is open: any other [`Name`] is `Other`, and is written again as it
/// was read.
macro_rules! open_names {
    (
        $(#[$meta:meta])*
        pub enum $Enum:ident { $( $(#[$doc:meta])* $Variant:ident = $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Enum {
            $( $(#[$doc])* $Variant, )+
            /// One that only a newer program knows.
            Other($crate::job::Name),
        }

        impl $Enum {
            /// Every known value with its name.
            pub const ALL: &'static [(&'static str, Self)] = &[$( ($text, Self::$Variant), )+];

            /// The name, as it is stored and typed.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$Variant => $text, )+
                    Self::Other(name) => name.as_str(),
                }
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = $crate::job::ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $text => Ok(Self::$Variant), )+
                    other => other.parse().map(Self::Other),
                }
            }
        }

        impl serde::Serialize for $Enum {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Enum {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use open_names;

#[cfg(test)]
mod tests {
    use super::*;

    open_names! {
        /// Two of many.
        pub enum Fruit {
            /// Green.
            Apple = "apple",
            /// Yellow.
            Pear = "pear",
        }
    }

    #[test]
    fn names_are_identifiers() {
        for good in ["a", "7z", "verified-on-read", "a.b_c-d", &"x".repeat(31)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".", "A", "a b", "a\u{1b}", "é", &"x".repeat(32)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_kept() {
        let read: Vec<Fruit> = serde_json::from_str(r#"["pear","plum-2"]"#).unwrap();
        assert_eq!(read, [Fruit::Pear, Fruit::Other("plum-2".parse().unwrap())]);
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"["pear","plum-2"]"#);
        assert_eq!(format!("{:>6}", read[1]), "plum-2");
        assert!(serde_json::from_str::<Fruit>(r#""Plum!""#).is_err());
        assert_eq!(Fruit::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["apple", "pear"]);
        assert_eq!("apple".parse(), Ok(Fruit::Apple));
    }
}
