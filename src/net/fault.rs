//! Why a server's certificate was not taken, in words that name the reason, and what helps against it.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::pinned::{is_ca_as_server, webpki_error};

/// The reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is for other names; these, as far as it says.
    Name(Vec<String>),
    /// It ended then.
    Expired(Option<String>),
    /// It begins then.
    NotYet(Option<String>),
    /// Nobody who is trusted signed it.
    UnknownIssuer,
    /// Who signed it has the name of somebody trusted, and another key.
    OtherKey,
    /// It says that it is an authority's certificate, and the user did not name it itself.
    CaAsServer,
    /// It has X.509's first version, which has no names.
    OldVersion,
    /// It is for something else than servers.
    Purpose,
    /// Something else, in the TLS library's words.
    Other(String),
}

impl Fault {
    /// The reason, when an error has one of these among its causes.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let rustls::Error::InvalidCertificate(reason) = find(error)? else { return None };
        Some(match reason {
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::Name(presented.iter().map(|name| plain_name(name)).collect())
            }
            CertificateError::NotValidForName => Self::Name(Vec::new()),
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(day(*not_after)),
            CertificateError::Expired => Self::Expired(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYet(day(*not_before))
            }
            CertificateError::NotValidYet => Self::NotYet(None),
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::BadSignature => Self::OtherKey,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            reason if is_ca_as_server(reason) => Self::CaAsServer,
            reason => match webpki_error(reason) {
                Some(webpki::Error::UnsupportedCertVersion) => Self::OldVersion,
                Some(other) => Self::Other(format!("{other:?}")),
                // the platform verifier's own word for a wrong purpose
                None if format!("{reason:?}").contains("EkuError") => Self::Purpose,
                None => Self::Other(reason.to_string()),
            },
        })
    }

    /// Behind *the certificate of HOST*.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Name(names) if names.is_empty() => {
                "is not for this name: it lists no names at all (no subjectAltName)".into()
            }
            Self::Name(names) => format!("is not for this name, it is for {}", names.join(", ")),
            Self::Expired(day) => format!("has expired{}", on(" on ", day.as_ref())),
            Self::NotYet(day) => format!("is not valid yet{}", on(": it begins on ", day.as_ref())),
            Self::UnknownIssuer => {
                "was signed by nobody who is trusted here (unknown issuer)".into()
            }
            Self::OtherKey => {
                "was signed by an authority of a trusted one's name, with another key".into()
            }
            Self::CaAsServer => "is that of an authority (CA:TRUE), used as a server's".into(),
            Self::OldVersion => {
                "is an X.509 certificate of version 1, which is not supported".into()
            }
            Self::Purpose => "is not for servers (extended key usage)".into(),
            Self::Other(reason) => format!("was not taken: {reason}"),
        }
    }

    /// What helps. `own` says whether the user gave CA files already.
    #[must_use]
    pub fn hint(&self, host: &str, own: bool) -> String {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let make = format!("have one made with subjectAltName=DNS:{name}");
        match self {
            Self::Name(names) if names.is_empty() => format!("{make} (IP:... for an address)"),
            Self::Name(_) => format!("use one of these names for it, or {make}"),
            Self::Expired(_) => {
                "its owner has to renew it; check the date of this machine, too".into()
            }
            Self::NotYet(_) => "check the date of this machine".into(),
            Self::UnknownIssuer if own => format!(
                "the files of --ca-file and ca_files do not hold its authority: `openssl s_client \
                 -showcerts -connect {}` shows who signed it",
                with_port(host)
            ),
            Self::UnknownIssuer => format!(
                "give the certificate of {host}'s authority with --ca-file FILE; for a test \
                 registry without one, --insecure-registry {host}"
            ),
            Self::OtherKey => format!(
                "the authority may have a new certificate: give it with --ca-file in place of the old one \
                 (`openssl s_client -showcerts -connect {}` shows who signed)",
                with_port(host)
            ),
            Self::CaAsServer => format!(
                "to trust exactly this certificate give it itself with --ca-file FILE (`openssl \
                 s_client -connect {}` shows it), or have one made with basicConstraints=CA:FALSE",
                with_port(host)
            ),
            Self::OldVersion => format!("{make}: that makes version 3"),
            Self::Purpose => "have one made with extendedKeyUsage=serverAuth".into(),
            Self::Other(_) => format!("for a test registry, --insecure-registry {host}"),
        }
    }
}

fn with_port(host: &str) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port { host.to_owned() } else { format!("{host}:443") }
}

fn on(before: &str, day: Option<&String>) -> String {
    day.map(|day| format!("{before}{day}")).unwrap_or_default()
}

fn day(time: UnixTime) -> Option<String> {
    let time = jiff::Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok()?;
    Some(time.strftime("%Y-%m-%d").to_string())
}

/// `DnsName("a.example")` as `a.example`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"').to_owned()
}

/// A TLS error among the causes; one in an `io::Error` is no `source()` of it.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        let inner = this.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => this.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports() {
        assert_eq!(plain_name("DnsName(\"a.example\")"), "a.example");
        assert_eq!(plain_name("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(with_port("a.example"), "a.example:443");
        assert_eq!(with_port("[::1]:5000"), "[::1]:5000");
    }

    #[test]
    fn a_fault_is_found_inside_an_io_error() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(inner));
        assert_eq!(Fault::of(&wrapped), Some(Fault::UnknownIssuer));
        assert_eq!(Fault::of(&io::Error::other("certificate")), None);
    }
}
