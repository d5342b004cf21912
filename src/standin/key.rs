//! The key that signs tokens, and its id.
//!
//! docker-registry wants a certificate of the key. The programs that start a docker-registry make it (tests and
//! `examples/gitlab-stand-in.rs`). The demo starts none, so it does not have to build a writer of certificates.
//!
//! The id is libtrust's, which docker-registry looks keys up by: the first 30 bytes of the SHA-256
//! of the public key (DER, `SubjectPublicKeyInfo`) in base32, a colon after every fourth character.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::oci::{Digest, Sha256Digest};

/// What stands before the RSA key in PKCS#8 (RFC 5208): a sequence of two bytes' length, version 0, the
/// algorithm `rsaEncryption` (RFC 8017 A.1), and the head of an octet string of two bytes' length.
const PKCS8_HEAD: usize = 4 + 3 + 15 + 4;

/// A 2048 bit RSA key that lives as long as the stand-in.
pub(super) struct SigningKey {
    sign: EncodingKey,
    check: DecodingKey,
    id: String,
    pkcs8: Pkcs8V1Der<'static>,
}

impl SigningKey {
    pub(super) fn generate() -> Result<Self, String> {
        let failed = |_| "no RSA key can be made".to_owned();
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        let bare = pkcs8.as_ref().get(PKCS8_HEAD..).unwrap_or_default();
        Ok(Self {
            sign: EncodingKey::from_rsa_der(bare),
            check: DecodingKey::from_rsa_der(public.as_ref()),
            id: key_id(public.as_ref()),
            pkcs8,
        })
    }

    /// The private key: PKCS#8, DER.
    pub(super) fn pkcs8(&self) -> &[u8] {
        self.pkcs8.as_ref()
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
    fn a_token_is_read_by_the_key_that_signed_it() {
        let claims = serde_json::json!({ "aud": "registry", "exp": 32_503_680_000_u64, "n": 7 });
        let key = SigningKey::generate().unwrap();
        let token = key.sign(&claims).unwrap();
        assert_eq!(key.check::<serde_json::Value>(&token, "registry").unwrap()["n"], 7);
        assert!(key.check::<serde_json::Value>(&token, "another").is_none());
        let other = SigningKey::generate().unwrap();
        assert!(other.check::<serde_json::Value>(&token, "registry").is_none());
    }

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
