//! What a cache is called: `KIND:RESIDUAL`, as MIT Kerberos reads it (`krb5_cc_resolve`).
//!
//! | name | |
//! |---|---|
//! | `FILE:/path`, `/path` | a file |
//! | `DIR:/path` | the file of a directory that its file `primary` names, else `tkt` |
//! | `DIR::/path/tktX` | this file |
//! | `KEYRING:ANCHOR:COLLECTION[:NAME]`, `KEYRING:NAME` | kernel keys |
//!
//! Source: MIT krb5, `doc/basic/ccache_def.rst`, `cc_dir.c`, `cc_keyring.c`.

use std::path::PathBuf;

use super::KerberosError;

/// A cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CacheName {
    /// One file.
    File(PathBuf),
    /// The primary one of a directory.
    Directory(PathBuf),
    /// Kernel keys.
    Keyring(Ring),
}

/// Where the keys of a cache are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) anchor: Anchor,
    pub(super) collection: String,
    /// `None`: the collection's primary one.
    pub(super) name: Option<String>,
}

/// The keyring above a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Of the user, for all sessions.
    Persistent,
    /// Of the user, while processes of it live.
    User,
    /// Of the login.
    Session,
    /// Of the login, as programs before krb5 1.12 did it.
    Legacy,
}

impl CacheName {
    /// Reads a name.
    ///
    /// # Errors
    /// When the kind cannot be copied, or the name makes no sense.
    pub(super) fn parse(text: &str, uid: u32) -> Result<Self, KerberosError> {
        let refused = |why| Err(KerberosError::Kind { name: text.to_owned(), why });
        let bad = |why: &str| KerberosError::Name { name: text.to_owned(), why: why.to_owned() };
        let absolute = |path: &str| {
            let path = PathBuf::from(path);
            if path.is_absolute() { Ok(path) } else { Err(bad("its path is not absolute")) }
        };
        // a name without a kind is a file's
        let Some((kind, rest)) = text.split_once(':') else {
            return absolute(text).map(Self::File);
        };
        match kind {
            "FILE" | "WRFILE" => absolute(rest).map(Self::File),
            "DIR" => match rest.strip_prefix(':') {
                Some(file) => absolute(file).map(Self::File),
                None => absolute(rest).map(Self::Directory),
            },
            "KEYRING" => Ring::parse(rest, uid, &bad).map(Self::Keyring),
            "KCM" => refused("a daemon (sssd-kcm) keeps them, and moorline does not speak to it"),
            "MEMORY" => refused("they are in the memory of one program"),
            "API" => refused("a program of the desktop keeps them"),
            _ => refused("moorline does not know this kind of cache"),
        }
    }
}

impl Ring {
    fn parse(
        rest: &str,
        uid: u32,
        bad: &dyn Fn(&str) -> KerberosError,
    ) -> Result<Self, KerberosError> {
        let mut parts = rest.splitn(3, ':');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let Some(collection) = second else {
            if first.is_empty() {
                return Err(bad("it names no keys"));
            }
            let collection = first.to_owned();
            return Ok(Self { anchor: Anchor::Legacy, collection, name: None });
        };
        let anchor = match first {
            "persistent" => Anchor::Persistent,
            "user" => Anchor::User,
            "session" => Anchor::Session,
            "legacy" => Anchor::Legacy,
            "process" | "thread" => return Err(bad("these keys are of one program alone")),
            _ => return Err(bad("this keyring is not known")),
        };
        if anchor == Anchor::Persistent && !collection.is_empty() && collection != uid.to_string() {
            return Err(bad("these keys are another user's"));
        }
        let name = parts.next().map(str::to_owned);
        Ok(Self { anchor, collection: collection.to_owned(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn ring(anchor: Anchor, collection: &str, name: Option<&str>) -> CacheName {
        let name = name.map(str::to_owned);
        CacheName::Keyring(Ring { anchor, collection: collection.into(), name })
    }

    #[test]
    fn names() {
        for (text, expected) in [
            ("FILE:/tmp/a:b", CacheName::File("/tmp/a:b".into())),
            ("/tmp/x", CacheName::File("/tmp/x".into())),
            ("DIR:/run/user/7/krb5cc", CacheName::Directory("/run/user/7/krb5cc".into())),
            ("DIR::/d/tktA", CacheName::File("/d/tktA".into())),
            ("KEYRING:persistent:7", ring(Anchor::Persistent, "7", None)),
            (
                "KEYRING:persistent:7:krb_ccache_x",
                ring(Anchor::Persistent, "7", Some("krb_ccache_x")),
            ),
            ("KEYRING:persistent:", ring(Anchor::Persistent, "", None)),
            ("KEYRING:user:me", ring(Anchor::User, "me", None)),
            ("KEYRING:session:a:b:c", ring(Anchor::Session, "a", Some("b:c"))),
            ("KEYRING:old", ring(Anchor::Legacy, "old", None)),
        ] {
            assert_eq!(CacheName::parse(text, 7).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_copied_is_named_with_what_works() {
        for text in [
            "KCM:",
            "KCM:7:61",
            "MEMORY:x",
            "API:x",
            "MSLSA:",
            "FILE:x",
            "relative",
            "KEYRING:",
            "KEYRING:persistent:8",
            "KEYRING:process:x",
            "KEYRING:thread:x",
            "KEYRING:other:x",
        ] {
            let error = CacheName::parse(text, 7).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.hint().unwrap().contains("kinit -c FILE:"), "{text}");
        }
    }
}
