//! Kernel keys. A login's session keyring holds tickets, tokens and passwords, and every process below
//! inherits it: it could read them and change who else may. So a program gets an empty one of its own.
//!
//! Source: keyrings(7), `session-keyring(7)`. AFS looks for its tokens there: keys of the types
//! `afs_pag` (`OpenAFS`) and `rxrpc` (the kernel's own client), which are linked into the new one when
//! the job has a path on AFS.

use keyutils::{Key, Keyring, SpecialKeyring};

use super::failed::Failed;

/// Types of keys that AFS needs.
const TOKENS: [&str; 2] = ["afs_pag", "rxrpc"];

// errno(3), the same on every machine that we run on
const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// Leaves the caller's session keyring for an empty one; returns what was linked into it, as
/// `type:description`. The calls that undo this are refused to the program where `filtered` is set.
///
/// # Errors
/// When there is a keyring and it cannot be left, for example because of the user's quota.
pub(super) fn own_session(afs: bool, filtered: bool) -> Result<Vec<String>, Failed> {
    let found = if afs { tokens() } else { vec![] };
    // from the process's keyring they can be linked once more; it ends with the exec
    let mut bridge = if found.is_empty() {
        None
    } else {
        Keyring::attach_or_create(SpecialKeyring::Process).ok()
    };
    if let Some(bridge) = &mut bridge {
        for (key, _) in &found {
            let _ = bridge.link_key(key);
        }
    }
    let mut session = match Keyring::join_anonymous_session() {
        Ok(session) => session,
        // a kernel without keys, or an outer container that forbids the calls: to the program, too
        Err(errno) if matches!(errno.0, EPERM | ENOSYS | EOPNOTSUPP) => return Ok(vec![]),
        Err(_) if filtered => return Ok(vec![]),
        Err(errno) => {
            return Err(Failed(format!(
                "making a session keyring: {errno} (the quota is kernel.keys.maxkeys)"
            )));
        }
    };
    let linked = found.into_iter().filter(|(key, _)| session.link_key(key).is_ok());
    Ok(linked.map(|(_, name)| name).collect())
}

/// The tokens of the caller's session, and of keyrings in it.
fn tokens() -> Vec<(Key, String)> {
    let Ok(session) = Keyring::attach(SpecialKeyring::Session) else { return vec![] };
    let Ok((mut keys, below)) = session.read() else { return vec![] };
    keys.extend(below.iter().filter_map(|ring| ring.read().ok()).flat_map(|(keys, _)| keys));
    keys.into_iter()
        .filter_map(|key| {
            let about = key.description().ok()?;
            is_token(&about.type_).then(|| (key, format!("{}:{}", about.type_, about.description)))
        })
        .collect()
}

fn is_token(kind: &str) -> bool {
    TOKENS.contains(&kind)
}

/// Whether a path is on AFS.
pub(super) fn on_afs(path: &std::path::Path) -> bool {
    // statfs(2): AFS_FS_MAGIC of the kernel's client, "OAFS" of OpenAFS
    const MAGIC: [i64; 2] = [0x6B41_4653, 0x5346_414F];
    rustix::fs::statfs(path).is_ok_and(|about| MAGIC.contains(&about.f_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_of_afs_are_taken() {
        for (kind, taken) in [
            ("afs_pag", true),
            ("rxrpc", true),
            ("user", false),
            ("keyring", false),
            ("afs_pag2", false),
            ("", false),
        ] {
            assert_eq!(is_token(kind), taken, "{kind}");
        }
        assert!(!on_afs(std::path::Path::new("/")));
        assert!(!on_afs(std::path::Path::new("/nowhere")));
    }
}
