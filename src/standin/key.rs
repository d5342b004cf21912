//! The key that signs tokens, its id and its certificate.
//!
//! The id is libtrust's, which docker-registry looks keys up by: the first 30 bytes of the SHA-256
//! of the public key (DER, `SubjectPublicKeyInfo`) in base32, a colon after every fourth character.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::oci::{Digest, Sha256Digest};

/// A 2048 bit RSA key that lives as long as the stand-in.
pub(super) struct SigningKey {
    sign: EncodingKey,
    check: DecodingKey,
    id: String,
    certificate: String,
}

impl SigningKey {
    pub(super) fn generate() -> Result<Self, String> {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(|e| e.to_string())?;
        let certificate = CertificateParams::new(vec!["gitlab-stand-in".to_owned()])
            .and_then(|params| params.self_signed(&pair))
            .map_err(|e| e.to_string())?;
        Ok(Self {
            sign: EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())
                .map_err(|e| e.to_string())?,
            check: DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes())
                .map_err(|e| e.to_string())?,
            id: key_id(&pair.subject_public_key_info()),
            certificate: certificate.pem(),
        })
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, String> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.sign).map_err(|e| e.to_string())
    }

    /// The claims of a token that this key signed for `audience`; `None` for every other text, and
    /// for tokens that are more than a minute past their end (docker-registry's leeway).
    pub(super) fn check<T: DeserializeOwned>(&self, token: &str, audience: &str) -> Option<T> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[audience]);
        validation.validate_nbf = true;
        jsonwebtoken::decode(token, &self.check, &validation).ok().map(|data| data.claims)
    }
}

fn key_id(public_key: &[u8]) -> String {
    let hash = Digest::of(public_key);
    base32(&hash.bytes()[..30])
        .as_bytes()
        .chunks(4)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(":")
}

/// RFC 4648 base32 of a length that needs no padding.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes
        .chunks_exact(5)
        .flat_map(|five| {
            let bits = five.iter().fold(0_u64, |bits, b| bits << 8 | u64::from(*b));
            (0..8).map(move |i| char::from(ALPHABET[(bits >> (35 - 5 * i) & 31) as usize]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_of_rfc_4648() {
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
    }

    #[test]
    fn key_ids_have_twelve_groups_of_four() {
        let id = key_id(b"any");
        assert_eq!(id.split(':').count(), 12, "{id}");
        assert!(id.split(':').all(|group| group.len() == 4), "{id}");
    }
}
