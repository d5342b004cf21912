//! A KEYRING cache as the bytes of a file.
//!
//! ```text
//! anchor                       persistent-keyring(7), user-keyring(7), session-keyring(7)
//!   _krb, _krb_COLLECTION      keyring
//!     krb_ccache:primary       user key: u32 1, u32 length, NAME
//!     NAME                     keyring: a cache
//!       __krb5_princ__         user key: the owner
//!       __krb5_time_offsets__  user key: the clock's offset
//!       SERVER ...             big_key or user key: a credential each
//! ```
//!
//! The keys hold what a file of format 4 holds, so they are put one behind the other. The anchors are linked
//! into the process's own keyring first: who *possesses* a key may read it (keyrings(7)). Nothing is created in
//! the caller's keyrings but the persistent one itself, which the kernel makes when it is asked for.
//!
//! Source: MIT krb5, `cc_keyring.c`.

use std::fmt::Display;

use keyutils::{Key, Keyring, SpecialKeyring};
use zeroize::Zeroizing;

use super::KerberosError;
use super::cache::HEAD;
use super::name::{Anchor, Ring};

const OWNER: &str = "__krb5_princ__";
const CLOCK: &str = "__krb5_time_offsets__";
const PRIMARY: &str = "krb_ccache:primary";

/// Reads the keys of the cache `name`.
///
/// # Errors
/// When the cache is not there, or the kernel does not give it.
pub(super) fn read(name: &str, ring: &Ring) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
    let failed = |doing| failed(name, doing);
    let none = || KerberosError::None { name: name.to_owned() };
    let mut own = Keyring::attach_or_create(SpecialKeyring::Process)
        .map_err(failed("making a keyring of this process"))?;
    let anchor = match ring.anchor {
        Anchor::Persistent => own.attach_persistent().map_err(failed("the persistent keyring"))?,
        Anchor::User => {
            let user =
                Keyring::attach(SpecialKeyring::User).map_err(failed("the user's keyring"))?;
            own.link_keyring(&user).map_err(failed("the user's keyring"))?;
            user
        }
        Anchor::Session | Anchor::Legacy => {
            Keyring::attach(SpecialKeyring::Session).map_err(failed("the session's keyring"))?
        }
    };
    let collection = match ring.anchor {
        Anchor::Persistent => "_krb".to_owned(),
        _ => format!("_krb_{}", ring.collection),
    };
    let found = child(&anchor, &collection).map_err(failed("looking for the tickets"))?;
    let cache = match (&found, &ring.name) {
        (Some(found), Some(name)) => child(found, name),
        (Some(found), None) => {
            let primary = primary(found).unwrap_or_else(|| default_name(ring));
            child(found, &primary)
        }
        // as programs before krb5 1.12 left it
        (None, _) if ring.anchor == Anchor::Legacy => child(&anchor, &ring.collection),
        (None, _) => Ok(None),
    };
    let cache = cache.map_err(failed("looking for the tickets"))?.ok_or_else(none)?;
    let (keys, _) = cache.read().map_err(failed("listing the tickets"))?;
    let mut owner = None;
    let mut head = HEAD.to_vec();
    let mut credentials = Vec::new();
    for key in keys {
        let about = key.description().map_err(failed("looking at a ticket"))?;
        let bytes = Zeroizing::new(key.read().map_err(failed("reading a ticket"))?);
        match about.description.as_str() {
            OWNER => owner = Some(bytes),
            CLOCK if bytes.len() == 8 => head = [&[5, 4, 0, 12, 0, 1, 0, 8], &bytes[..]].concat(),
            CLOCK => {}
            _ => credentials.push(bytes),
        }
    }
    let owner = owner.ok_or_else(none)?;
    // room is made once, so that no copy stays behind in memory
    let length = head.len() + owner.len() + credentials.iter().map(|c| c.len()).sum::<usize>();
    let mut file = Zeroizing::new(Vec::with_capacity(length));
    file.extend_from_slice(&head);
    file.extend_from_slice(&owner);
    for credential in &credentials {
        file.extend_from_slice(credential);
    }
    Ok(file)
}

fn failed<E: Display>(name: &str, doing: &'static str) -> impl FnOnce(E) -> KerberosError + use<E> {
    let name = name.to_owned();
    move |why| KerberosError::Keys { name, doing, why: why.to_string() }
}

/// A keyring directly in another one.
fn child(above: &Keyring, name: &str) -> keyutils::Result<Option<Keyring>> {
    let (_, rings) = above.read()?;
    let named = |ring: &Keyring| ring.description().is_ok_and(|about| about.description == name);
    Ok(rings.into_iter().find(named))
}

/// The name of a collection's primary cache.
fn primary(collection: &Keyring) -> Option<String> {
    let (keys, _) = collection.read().ok()?;
    let named = |key: &Key| key.description().is_ok_and(|about| about.description == PRIMARY);
    let bytes = keys.into_iter().find(named)?.read().ok()?;
    let (version, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    (u32::from_be_bytes(*version) == 1).then(|| String::from_utf8(name.to_vec()).ok())?
}

fn default_name(ring: &Ring) -> String {
    if ring.collection.is_empty() { "tkt".to_owned() } else { ring.collection.clone() }
}
