//! A FILE cache, format 4: checked to its last byte before a job gets it.
//!
//! ```text
//! 05 04   u16 length  tags          u16 kind, u16 length, bytes; kind 1: the clock's offset
//! principal                         u32 type, u32 count, realm, components  (u32 length, bytes)
//! credential ...                    to the end of the file
//!   client, server   principals
//!   key              u16 kind, u32 length, bytes
//!   times            4 u32: authenticated, begins, ends, renewable until
//!   u8, u32          session key, flags
//!   addresses, authorization data   u32 count, then u16 kind, u32 length, bytes
//!   ticket, second ticket           u32 length, bytes
//! ```
//!
//! All numbers are big-endian. Source: MIT krb5, `doc/formats/ccache_file_format.rst`. The keys of a KEYRING
//! cache hold the same principal and credentials (`cc_keyring.c` calls `k5_marshal_cred` and
//! `k5_marshal_princ` with version 4).

use zeroize::Zeroizing;

use super::KerberosError;

/// More is no cache: a ticket has some 1,500 bytes.
pub(super) const MOST: u64 = 4 << 20;
/// The realm of entries that are settings and no tickets.
const SETTINGS: &[u8] = b"X-CACHECONF:";

/// The bytes of a FILE cache. There is no way to print them.
#[derive(Clone)]
pub struct Tickets {
    bytes: Zeroizing<Vec<u8>>,
    /// Whose they are; foreign text.
    pub principal: String,
    /// When the last of them that gets others ends.
    pub until: jiff::Timestamp,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// Checks the bytes of the cache `name`.
    ///
    /// # Errors
    /// When they are no whole cache, or hold no ticket that is valid at `now`.
    pub(super) fn of(
        name: &str,
        bytes: Zeroizing<Vec<u8>>,
        now: jiff::Timestamp,
    ) -> Result<Self, KerberosError> {
        let malformed = |why| KerberosError::Malformed { name: name.to_owned(), why };
        let (principal, ends) = read(&bytes).map_err(malformed)?;
        let Some(ends) = ends else { return Err(malformed("it holds no ticket")) };
        let until = jiff::Timestamp::from_second(i64::from(ends)).unwrap_or(now);
        if until <= now {
            return Err(KerberosError::Expired { name: name.to_owned(), at: until });
        }
        Ok(Self { bytes, principal, until })
    }

    /// The bytes, for the one file that they go to.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The head of a file whose clock agrees with the server's.
pub(super) const HEAD: [u8; 4] = [5, 4, 0, 0];

/// The owner, and when the tickets end that get other tickets; without such ones, the last of all.
fn read(bytes: &[u8]) -> Result<(String, Option<u32>), &'static str> {
    let mut rest = Bytes(bytes);
    if rest.take(1)? != [5] {
        return Err("it does not begin as a cache does");
    }
    if rest.take(1)? != [4] {
        return Err("it has another format than 4");
    }
    let tags = rest.u16()?;
    rest.take(tags.into())?;
    let owner = Principal::read(&mut rest)?;
    let (mut all, mut granting) = (None, None);
    while !rest.0.is_empty() {
        let (server, ends) = credential(&mut rest)?;
        if server.realm == SETTINGS {
            continue;
        }
        all = all.max(Some(ends));
        if server.parts.first() == Some(&&b"krbtgt"[..]) {
            granting = granting.max(Some(ends));
        }
    }
    Ok((owner.shown(), granting.or(all)))
}

fn credential<'a>(rest: &mut Bytes<'a>) -> Result<(Principal<'a>, u32), &'static str> {
    Principal::read(rest)?;
    let server = Principal::read(rest)?;
    rest.u16()?;
    rest.data()?;
    rest.take(8)?;
    let ends = rest.u32()?;
    rest.take(4 + 1 + 4)?;
    for _ in 0..2 {
        // each takes bytes of the file, so that a false count ends there
        for _ in 0..rest.u32()? {
            rest.u16()?;
            rest.data()?;
        }
    }
    rest.data()?;
    rest.data()?;
    Ok((server, ends))
}

struct Principal<'a> {
    realm: &'a [u8],
    parts: Vec<&'a [u8]>,
}

impl<'a> Principal<'a> {
    fn read(rest: &mut Bytes<'a>) -> Result<Self, &'static str> {
        rest.u32()?;
        let count = rest.u32()?;
        let realm = rest.data()?;
        let mut parts = Vec::new();
        for _ in 0..count {
            parts.push(rest.data()?);
        }
        Ok(Self { realm, parts })
    }

    fn shown(&self) -> String {
        let name = self.parts.join(&b'/');
        format!("{}@{}", String::from_utf8_lossy(&name), String::from_utf8_lossy(self.realm))
    }
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, &'static str> {
        let two = self.take(2)?;
        Ok(u16::from_be_bytes([two[0], two[1]]))
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        let four = self.take(4)?;
        Ok(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    }

    fn data(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| "it is cut")?)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::{Failure, Kind};

    fn data(bytes: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        out.extend(bytes);
        out
    }

    pub(in super::super) fn principal(realm: &str, parts: &[&str]) -> Vec<u8> {
        let mut out = 1_u32.to_be_bytes().to_vec();
        out.extend(u32::try_from(parts.len()).unwrap().to_be_bytes());
        out.extend(data(realm.as_bytes()));
        for part in parts {
            out.extend(data(part.as_bytes()));
        }
        out
    }

    pub(in super::super) fn ticket(server: &[u8], ends: u32) -> Vec<u8> {
        let mut out = principal("R", &["me"]);
        out.extend(server);
        out.extend([0, 18]);
        out.extend(data(b"the key"));
        for time in [1, 1, ends, ends] {
            out.extend(time.to_be_bytes());
        }
        out.extend([0, 0, 0, 0, 7]);
        // one address, no authorization data
        out.extend([0, 0, 0, 1, 0, 2]);
        out.extend(data(&[127, 0, 0, 1]));
        out.extend([0; 4]);
        out.extend(data(b"the ticket"));
        out.extend(data(b""));
        out
    }

    fn file(tickets: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        out.extend(principal("R", &["me", "admin"]));
        out.extend(tickets.concat());
        out
    }

    fn of(bytes: &[u8], now: i64) -> Result<Tickets, KerberosError> {
        let now = jiff::Timestamp::from_second(now).unwrap();
        Tickets::of("FILE:/x", Zeroizing::new(bytes.to_vec()), now)
    }

    #[test]
    fn the_ticket_that_gets_others_decides() {
        let granting = ticket(&principal("R", &["krbtgt", "R"]), 1000);
        let service = ticket(&principal("R", &["host", "x"]), 2000);
        let setting = ticket(&principal("X-CACHECONF:", &["krb5_ccache_conf_data"]), 9000);
        let all = file(&[granting.clone(), service.clone(), setting.clone()]);
        let tickets = of(&all, 999).unwrap();
        assert_eq!((tickets.principal.as_str(), tickets.until.as_second()), ("me/admin@R", 1000));
        assert_eq!(tickets.bytes(), all);
        assert!(!format!("{tickets:?}").contains("the"));
        assert_eq!(of(&all, 1000).unwrap_err().kind(), Kind::Denied);
        assert_eq!(of(&file(&[service]), 1999).unwrap().until.as_second(), 2000);
        assert!(of(&file(&[setting]), 1).unwrap_err().to_string().contains("no ticket"));
        assert!(of(&file(&[]), 1).unwrap_err().to_string().contains("no ticket"));
    }

    #[test]
    fn every_cut_is_noticed() {
        let whole = file(&[ticket(&principal("R", &["krbtgt", "R"]), 1000)]);
        for length in 0..whole.len() {
            assert!(of(&whole[..length], 1).is_err(), "{length}");
        }
        let mut older = whole;
        older[1] = 3;
        assert!(of(&older, 1).unwrap_err().to_string().contains("another format"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of(&tail, 1);
            let _ = of(&[&HEAD[..], &principal("R", &["me"]), &tail].concat(), 1);
        }
    }
}
