//! Which server certificates are taken: those of a trusted authority, and those that the user
//! trusts byte for byte.
//!
//! ```text
//!  chain to a root, date, purpose, name      webpki, as everywhere
//!     |-- fails only because it is a CA's, or because its signer is not known
//!     v
//!  the very bytes stand in --ca-file?        then its name is checked, and it is taken
//! ```
//!
//! `openssl req -x509` marks a certificate as a CA's unless it is told otherwise. Servers of test and
//! site registries present it, browsers and curl take it when it is trusted itself, webpki does not
//! (RFC 5280, 4.2.1.9 leaves it open). What the user named byte for byte needs no authority.
//!
//! webpki checks the dates first (`check_issuer_independent_properties`), so they are right whenever it gives one of
//! these two reasons. A test makes sure of it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// The system's roots and the user's, and the user's certificates themselves.
#[derive(Debug)]
pub(super) struct Pinned {
    roots: Verifier,
    trusted: Vec<CertificateDer<'static>>,
}

impl Pinned {
    pub(super) fn new(
        trusted: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let roots = Verifier::new_with_extra_roots(trusted.iter().cloned(), provider)?;
        Ok(Self { roots, trusted })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.roots.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let Err(error) = verdict else { return verdict };
        if !self.trusted.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            return Err(error);
        }
        let Error::InvalidCertificate(reason) = &error else { return Err(error) };
        let named = match reason {
            // a bad signature: who signed it has the name of somebody trusted
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)
            }
            // nothing else was wrong with it: the name is checked last
            CertificateError::NotValidForNameContext { .. } => Err(error),
            reason if is_ca_as_server(reason) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)
            }
            _ => return Err(error),
        };
        match named {
            Err(_) if is_its_common_name(end_entity, server_name) => {}
            named => named?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because it says that it is an authority's.
pub(super) fn is_ca_as_server(reason: &CertificateError) -> bool {
    webpki_error(reason).is_some_and(|e| matches!(e, webpki::Error::CaUsedAsEndEntity))
}

/// webpki's own reason, where rustls has no word of its own for it.
pub(super) fn webpki_error(reason: &CertificateError) -> Option<&webpki::Error> {
    match reason {
        CertificateError::Other(other) => other.0.downcast_ref(),
        _ => None,
    }
}

/// Whether a certificate that lists no names at all has this one as its common name, as
/// `openssl req -subj /CN=NAME` makes it. Only for what the user trusts byte for byte.
fn is_its_common_name(der: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    // id-at-commonName, 2.5.4.3
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    // id-ce-subjectAltName, 2.5.29.17
    const ALTERNATIVE_NAMES: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];
    if der.windows(ALTERNATIVE_NAMES.len()).any(|bytes| bytes == ALTERNATIVE_NAMES) {
        return false;
    }
    let Ok(certificate) = webpki::EndEntityCert::try_from(der) else { return false };
    let (subject, name) = (certificate.subject(), name.to_str());
    let mut at = subject.windows(COMMON_NAME.len()).enumerate();
    at.any(|(at, bytes)| {
        // then a string: its tag, its length below 128, its bytes
        let value = subject.get(at + COMMON_NAME.len()..).unwrap_or_default();
        let value = match value {
            [_, length, text @ ..] if *length < 0x80 => text.get(..usize::from(*length)),
            _ => None,
        };
        bytes == COMMON_NAME && value.is_some_and(|v| v.eq_ignore_ascii_case(name.as_bytes()))
    })
}
