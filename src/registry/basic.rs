//! A candidate as HTTP Basic sends it. Source: RFC 7617, 2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use super::RegistryError;
use crate::secret::{Candidate, Secret};
use crate::text::Hidden;

/// The `Authorization: Basic` header of a candidate, whose secret is hidden from now on.
pub(super) fn basic(candidate: &Candidate, hidden: &Hidden) -> Result<HeaderValue, RegistryError> {
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
    hidden.add(password.expose());
    // where the password is too short to be found inside it
    hidden.add(encoded.expose());
    Ok(header)
}
