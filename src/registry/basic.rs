//! A candidate as HTTP Basic sends it. Source: RFC 7617, 2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use super::RegistryError;
use crate::secret::{Candidate, Secret};

/// The `Authorization: Basic` header of a candidate, and the texts in it that must stay hidden.
pub(super) fn basic(candidate: &Candidate) -> Result<(HeaderValue, Vec<Secret>), RegistryError> {
    let password = &candidate.credential.password;
    let both = Secret::new(format!("{}:{}", candidate.credential.username, password.expose()));
    let encoded = Secret::new(STANDARD.encode(both.expose()));
    let mut header =
        HeaderValue::from_str(&format!("Basic {}", encoded.expose())).map_err(|_| {
            RegistryError::Configuration(format!(
                "the secret from {} cannot be sent",
                candidate.source
            ))
        })?;
    header.set_sensitive(true);
    // the forms in which a realm could send it back
    let alone = Secret::new(STANDARD.encode(password.expose()));
    let in_url = password.expose().bytes().map(|b| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(b).to_string()
        }
        other => format!("%{other:02X}"),
    });
    let in_url = Secret::new(in_url.collect());
    Ok((header, vec![password.clone(), encoded, alone, in_url]))
}
