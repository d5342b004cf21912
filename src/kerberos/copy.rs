//! From the caller's surroundings to the bytes that a job gets.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::cache::MOST;
use super::name::CacheName;
use super::{KerberosError, Tickets, keyring, profile};
use crate::files::{ForeignError, ForeignFile};

/// Names in a directory of caches are short.
const MOST_PRIMARY: u64 = 4096;

/// Whose tickets, and what the environment says of them.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The user.
    pub uid: u32,
    /// The user's name.
    pub user: &'a str,
    /// `KRB5CCNAME`.
    pub cache: Option<&'a str>,
    /// `KRB5_CONFIG`.
    pub config: Option<&'a str>,
}

/// Copies the caller's tickets.
///
/// # Errors
/// When there are none, they have ended, or their cache cannot be copied.
pub fn copy(caller: Caller<'_>, now: jiff::Timestamp) -> Result<Tickets, KerberosError> {
    let name = match caller.cache {
        Some(name) => name.to_owned(),
        None => match profile::default_cache(caller.config) {
            Some(name) => profile::expand(&name, caller.uid, caller.user)?,
            None => format!("FILE:/tmp/krb5cc_{}", caller.uid),
        },
    };
    let bytes = match CacheName::parse(&name, caller.uid)? {
        CacheName::File(path) => file(&name, &path)?,
        CacheName::Directory(dir) => file(&name, &primary(&name, &dir)?)?,
        CacheName::Keyring(ring) => keyring::read(&name, &ring)?,
    };
    Tickets::of(&name, bytes, now)
}

fn file(name: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
    match ForeignFile::own(MOST).bytes(path) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(error) => Err(unread(name, path, error)),
    }
}

fn unread(name: &str, path: &Path, source: ForeignError) -> KerberosError {
    if source.is_missing() {
        return KerberosError::None { name: name.to_owned() };
    }
    KerberosError::File { name: name.to_owned(), path: path.to_owned(), source }
}

/// The file of a directory that its file `primary` names.
fn primary(name: &str, dir: &Path) -> Result<PathBuf, KerberosError> {
    let path = dir.join("primary");
    let text = match ForeignFile::own(MOST_PRIMARY).text(&path) {
        Ok(text) => text,
        Err(error) if error.is_missing() => "tkt".to_owned(),
        Err(error) => return Err(unread(name, &path, error)),
    };
    let file = text.lines().next().unwrap_or_default();
    // as MIT's library asks for, so that it cannot lead elsewhere
    if !file.starts_with("tkt") || file.contains('/') {
        let why = format!("{} names no file of it", path.display());
        return Err(KerberosError::Name { name: name.to_owned(), why });
    }
    Ok(dir.join(file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::cache::HEAD;
    use super::super::cache::tests::{principal, ticket};
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn files_and_directories() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let bytes = |ends| {
            let granting = ticket(&principal("R", &["krbtgt", "R"]), ends);
            [&HEAD[..], &principal("R", &["me"]), &granting].concat()
        };
        std::fs::write(at("tkt"), bytes(100)).unwrap();
        std::fs::write(at("tktB"), bytes(200)).unwrap();
        let copied = |cache: &str| {
            let uid = rustix::process::geteuid().as_raw();
            let caller = Caller { uid, user: "me", cache: Some(cache), config: Some("") };
            let copied = copy(caller, jiff::Timestamp::from_second(50).unwrap());
            copied.map(|tickets| tickets.until.as_second())
        };
        assert_eq!(copied(&at("tkt")).unwrap(), 100);
        assert_eq!(copied(&format!("FILE:{}", at("tktB"))).unwrap(), 200);
        assert_eq!(copied(&format!("DIR:{}", dir.path().display())).unwrap(), 100);
        assert_eq!(copied(&format!("DIR::{}", at("tktB"))).unwrap(), 200);
        std::fs::write(at("primary"), "tktB\n").unwrap();
        assert_eq!(copied(&format!("DIR:{}", dir.path().display())).unwrap(), 200);
        for bad in ["../tkt", "/etc/passwd", "other", ""] {
            std::fs::write(at("primary"), bad).unwrap();
            let error = copied(&format!("DIR:{}", dir.path().display())).unwrap_err();
            assert!(error.to_string().contains("names no file"), "{error}");
        }
        symlink(at("tkt"), at("link")).unwrap();
        assert!(copied(&at("link")).unwrap_err().to_string().contains("symbolic link"));
        let none = copied(&at("nothing")).unwrap_err();
        assert!(none.hint().unwrap().contains("kinit"), "{none}");
    }
}
