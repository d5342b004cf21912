//! The certificates that are trusted: the system's, and those of the user's files.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::pinned::Pinned;
use crate::failure::{Failure, Kind, chain};
use crate::files::{ForeignFile, MOST_CA_BYTES};

/// Why certificates cannot be checked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RootsError {
    /// A file of the user's.
    #[error("cannot use CA file {}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is none at all, or the TLS library refuses them.
    #[error("cannot check certificates: {0}")]
    None(String),
}

impl Failure for RootsError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File { .. } => "a CA file holds one or more certificates as text, each between \
                                  -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----, or \
                                  one in binary (DER)"
                .into(),
            Self::None(_) => "install ca-certificates, or give --ca-file".into(),
        })
    }
}

/// The user's certificates; the system's are read when the first connection needs them.
#[derive(Debug, Default)]
pub struct Roots {
    user: Vec<CertificateDer<'static>>,
    made: OnceLock<ClientConfig>,
}

impl Roots {
    /// Reads the user's files.
    ///
    /// # Errors
    /// When one cannot be read, holds no certificate, or one that cannot be trusted.
    pub fn read(files: &[PathBuf]) -> Result<Self, RootsError> {
        let mut user = Vec::new();
        for path in files {
            let bad = |reason: String| RootsError::File { path: path.clone(), reason };
            let file = ForeignFile::anyones(MOST_CA_BYTES).through_links().or_handed();
            let bytes = file.bytes(path).map_err(|e| bad(e.to_string()))?;
            user.extend(certificates(&bytes).map_err(bad)?);
        }
        Ok(Self { user, made: OnceLock::new() })
    }

    /// Whether the user named any.
    #[must_use]
    pub fn has_own(&self) -> bool {
        !self.user.is_empty()
    }

    /// The TLS side of an HTTP client that speaks HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// [`RootsError::None`] when there is not a single root certificate.
    pub fn tls(&self) -> Result<ClientConfig, RootsError> {
        if let Some(made) = self.made.get() {
            return Ok(made.clone());
        }
        let none = |e: rustls::Error| RootsError::None(chain(&e));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Pinned::new(self.user.clone(), Arc::clone(&provider)).map_err(none)?;
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(none)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        tls.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
        Ok(self.made.get_or_init(|| tls).clone())
    }
}

/// The certificates of a file, as PEM or as DER.
fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    // a DER certificate is a SEQUENCE with a long length
    let found = if bytes.starts_with(&[0x30, 0x82]) {
        vec![CertificateDer::from(bytes.to_vec())]
    } else {
        CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| format!("it is no PEM text: {e}"))?
    };
    if found.is_empty() {
        let holds = |label: &str| bytes.windows(label.len()).any(|at| at == label.as_bytes());
        return Err(match () {
            () if holds("PRIVATE KEY-----") => "it holds a private key and no certificate",
            () if holds("BEGIN TRUSTED CERTIFICATE-----") => {
                "it holds OpenSSL's own form of a certificate: openssl x509 -in FILE writes the \
                 usual one"
            }
            () if holds("BEGIN PKCS7-----") => {
                "it holds PKCS#7: openssl pkcs7 -print_certs -in FILE writes certificates"
            }
            () => "it holds no PEM certificate",
        }
        .to_owned());
    }
    for (at, one) in found.iter().enumerate() {
        webpki::anchor_from_trusted_cert(one)
            .map_err(|e| format!("its certificate {} cannot be trusted: {e}", at + 1))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_people_have_them() {
        let made = rcgen::generate_simple_self_signed(["r.example".to_owned()]).unwrap();
        let (pem, der) = (made.cert.pem(), made.cert.der().to_vec());
        let twice = format!("comment\r\n{}\n{pem}", pem.replace('\n', "\r\n"));
        assert_eq!(certificates(pem.as_bytes()).unwrap().len(), 1);
        assert_eq!(certificates(twice.as_bytes()).unwrap().len(), 2);
        assert_eq!(certificates(&der).unwrap().len(), 1);
        let key = made.signing_key.serialize_pem();
        for (bytes, expected) in [
            (b"".as_slice(), "no PEM certificate"),
            (key.as_bytes(), "a private key"),
            (&pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE").into_bytes(), "openssl x509"),
            (&pem.replace("CERTIFICATE", "PKCS7").into_bytes(), "openssl pkcs7"),
            (&der[..der.len() - 9], "certificate 1 cannot be trusted"),
        ] {
            let error = certificates(bytes).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
