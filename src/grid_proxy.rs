//! The caller's grid proxy, copied for a job that asks for it (`--proxy`).
//!
//! ```text
//! X509_USER_PROXY, else /tmp/x509up_uUID --> a regular file of the caller's, mode 0600 or 0400, no link
//! --> PEM: certificates and a private key; none of the certificates has ended
//! ```
//!
//! Floor 4: it reads one file. A proxy holds a private key, so nothing here prints it, and [`GridProxy`] has no text
//! form. Where the copy goes is `submit`'s and `execute`'s business.
//!
//! Source: RFC 3820 (proxy certificates), RFC 5280 section 4.1 (the form of a certificate); Globus and VOMS keep
//! proxies in this place and refuse one that others may read.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};
use crate::files::{ForeignError, ForeignFile};

/// More is no proxy: one with many attributes has some 20,000 bytes.
const MOST: u64 = 1 << 20;

/// The bytes of a proxy. There is no way to print them.
#[derive(Clone)]
pub struct GridProxy {
    bytes: Zeroizing<Vec<u8>>,
    /// When the first of its certificates ends.
    pub until: jiff::Timestamp,
}

impl std::fmt::Debug for GridProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GridProxy")
    }
}

impl GridProxy {
    /// For the file that a job gets.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a proxy is not copied.
#[derive(Debug, thiserror::Error)]
pub enum GridProxyError {
    /// There is none.
    #[error("there is no grid proxy: {} does not exist", .0.display())]
    None(PathBuf),
    /// The file cannot be used.
    #[error("the grid proxy {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ForeignError,
    },
    /// Others may read it.
    #[error("the grid proxy {} has mode {mode:04o}: others than you may use it", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The bytes are no proxy.
    #[error("the grid proxy {}: {why}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// It is not valid any more.
    #[error("the grid proxy {} ended at {at}", path.display())]
    Ended {
        /// Which.
        path: PathBuf,
        /// When.
        at: jiff::Timestamp,
    },
}

impl Failure for GridProxyError {
    fn kind(&self) -> Kind {
        match self {
            Self::None(_) => Kind::NotFound,
            Self::Ended { .. } => Kind::Denied,
            Self::File { .. } | Self::Open { .. } | Self::Malformed { .. } => Kind::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Open { path, .. } => format!("chmod 600 {}", path.display()),
            Self::File { .. } => "the file must be yours, and no link".into(),
            Self::None(_) | Self::Malformed { .. } | Self::Ended { .. } => {
                "voms-proxy-init (or arcproxy) makes a new one; X509_USER_PROXY names another file"
                    .into()
            }
        })
    }
}

/// Copies the caller's proxy: the one that `X509_USER_PROXY` names, or the usual one of `uid`.
///
/// # Errors
/// When there is none, others may read it, or it is not valid at `now`.
pub fn copy(
    named: Option<&str>,
    uid: u32,
    now: jiff::Timestamp,
) -> Result<GridProxy, GridProxyError> {
    let usual = || PathBuf::from(format!("/tmp/x509up_u{uid}"));
    let path = named.filter(|name| !name.is_empty()).map_or_else(usual, PathBuf::from);
    let bytes = read(&path)?;
    let malformed = |why| GridProxyError::Malformed { path: path.clone(), why };
    let until = ends(&bytes).map_err(malformed)?;
    if until <= now {
        return Err(GridProxyError::Ended { path, at: until });
    }
    Ok(GridProxy { bytes, until })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, GridProxyError> {
    let unread = |source: ForeignError| {
        if source.is_missing() {
            return GridProxyError::None(path.to_owned());
        }
        GridProxyError::File { path: path.to_owned(), source }
    };
    let opened = ForeignFile::own(MOST).open(path).map_err(unread)?;
    let mode = opened.meta().permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(GridProxyError::Open { path: path.to_owned(), mode });
    }
    opened.bytes().map(Zeroizing::new).map_err(unread)
}

/// When the first of the certificates ends.
fn ends(pem: &[u8]) -> Result<jiff::Timestamp, &'static str> {
    let mut first = None;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "it is not PEM text")?;
        let ends = not_after(&certificate).ok_or("it has a certificate that cannot be read")?;
        first = Some(first.map_or(ends, |known: jiff::Timestamp| known.min(ends)));
    }
    let first = first.ok_or("it holds no certificate")?;
    let has = |text: &[u8]| pem.windows(text.len()).any(|part| part == text);
    if has(b"PRIVATE KEY-----") { Ok(first) } else { Err("it holds no private key") }
}

/// The end of a certificate's validity.
///
/// ```text
/// SEQUENCE { SEQUENCE { [0] version OPTIONAL, INTEGER serial, SEQUENCE algorithm, SEQUENCE issuer,
///                       SEQUENCE { Time notBefore, Time notAfter }, ... }, ... }
/// ```
fn not_after(certificate: &[u8]) -> Option<jiff::Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let expect = |bytes, wanted| value(bytes).filter(|(tag, ..)| *tag == wanted);
    let (_, certificate, _) = expect(certificate, SEQUENCE)?;
    let (_, mut rest, _) = expect(certificate, SEQUENCE)?;
    if let Some((_, _, behind)) = expect(rest, VERSION) {
        rest = behind;
    }
    for wanted in [0x02, SEQUENCE, SEQUENCE] {
        (_, _, rest) = expect(rest, wanted)?;
    }
    let (_, validity, _) = expect(rest, SEQUENCE)?;
    let (_, _, rest) = value(validity)?;
    let (tag, text, _) = value(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// A DER value: its tag, its bytes, and what stands behind it.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, 4.1.2.5).
fn time(tag: u8, text: &str) -> Option<jiff::Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let digits = text.strip_suffix('Z').filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let part = |at: usize| rest[2 * at..2 * at + 2].parse::<i8>().ok();
    let civil = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    /// A certificate as far as it is read.
    fn certificate(ends: &str) -> Vec<u8> {
        let tag = if ends.len() == 13 { 0x17 } else { 0x18 };
        let validity = [der(0x17, b"200101000000Z"), der(tag, ends.as_bytes())].concat();
        let parts = [
            der(0xa0, &der(2, &[2])),
            der(2, &[1]),
            der(0x30, b""),
            der(0x30, b""),
            der(0x30, &validity),
        ];
        der(0x30, &[der(0x30, &parts.concat()), der(0x30, b"")].concat())
    }

    fn pem(name: &str, bytes: &[u8]) -> String {
        format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", STANDARD.encode(bytes))
    }

    #[test]
    fn the_first_certificate_that_ends_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x509up");
        let named = path.display().to_string();
        let now: jiff::Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let write = |text: &str, mode: u32| {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let copied = || copy(Some(&named), rustix::process::geteuid().as_raw(), now);
        let (proxy, key) =
            (pem("CERTIFICATE", &certificate("261202010203Z")), pem("RSA PRIVATE KEY", b"k"));
        let user = pem("CERTIFICATE", &certificate("20300101000000Z"));
        let whole = format!("{proxy}{key}{user}");
        for mode in [0o600, 0o400] {
            write(&whole, mode);
            let proxy = copied().unwrap();
            assert_eq!(proxy.until.to_string(), "2026-12-02T01:02:03Z");
            assert_eq!(proxy.bytes(), whole.as_bytes());
            assert_eq!(format!("{proxy:?}"), "GridProxy");
        }
        let old = pem("CERTIFICATE", &certificate("20261130235959Z"));
        for (text, mode, said, hint) in [
            (whole.as_str(), 0o640, "has mode 0640", "chmod 600"),
            (&format!("{whole}{old}"), 0o600, "ended at 2026-11-30T23:59:59Z", "voms-proxy-init"),
            (&user, 0o600, "it holds no private key", "voms-proxy-init"),
            (&key, 0o600, "it holds no certificate", "voms-proxy-init"),
            (&pem("CERTIFICATE", b"x"), 0o600, "cannot be read", "voms-proxy-init"),
            ("", 0o600, "it holds no certificate", "X509_USER_PROXY"),
        ] {
            write(text, mode);
            let error = copied().unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.hint().unwrap().contains(hint), "{error}");
        }
        write(&whole, 0o600);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = copy(Some(&link.display().to_string()), 0, now).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        let none = copy(Some("/nowhere/x509up"), 0, now).unwrap_err();
        assert_eq!(none.kind(), Kind::NotFound);
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = not_after(&bytes);
            let _ = ends(&bytes);
        }

        #[test]
        fn any_time_gives_an_answer(tag in 0x16u8..0x1a, text in "[0-9Z]{0,18}") {
            let _ = time(tag, &text);
        }

        #[test]
        fn a_flipped_byte_gives_an_answer(at in 0usize..60, byte in any::<u8>()) {
            let mut bytes = certificate("261202010203Z");
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = not_after(&bytes);
        }
    }
}
