//! Who may do what at the embedded registry, and the headers of its answers: what reading (`registry`) and
//! writing (`uploads`) share.
//!
//! Source: challenges as docker-registry 2.8 words them.

use std::fmt::Write as _;
use std::sync::PoisonError;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::Shared;
use super::token::{Claims, error};
use crate::oci::Digest;

/// `Err` holds the challenge's `error`, empty when no token came.
pub(super) fn authorize(
    shared: &Shared,
    headers: &HeaderMap,
    repository: Option<&str>,
    needed: &[&str],
) -> Result<(), &'static str> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or("")?;
    let claims: Claims = shared.key.check(token, &shared.config.service).ok_or("invalid_token")?;
    if claims.number <= shared.issued.lock().unwrap_or_else(PoisonError::into_inner).expired_up_to {
        return Err("invalid_token");
    }
    let granted = repository.is_none_or(|repository| {
        claims.access.iter().any(|access| {
            access.kind == "repository"
                && access.name == repository
                && needed.iter().all(|one| access.actions.iter().any(|action| action == one))
        })
    });
    if granted { Ok(()) } else { Err("insufficient_scope") }
}

pub(super) fn challenge(
    shared: &Shared,
    repository: Option<&str>,
    actions: &str,
    why: &str,
) -> Response<Body> {
    let mut value =
        format!("Bearer realm=\"{}\",service=\"{}\"", shared.realm(), shared.config.service);
    // writing to a String cannot fail
    if let Some(repository) = repository {
        let _ = write!(value, ",scope=\"repository:{repository}:{actions}\"");
    }
    if !why.is_empty() {
        let _ = write!(value, ",error=\"{why}\"");
    }
    let mut response = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
    set(&mut response, header::WWW_AUTHENTICATE, &value);
    response
}

pub(super) fn with_digest(mut response: Response<Body>, digest: &Digest) -> Response<Body> {
    set(&mut response, HeaderName::from_static("docker-content-digest"), &digest.to_string());
    response
}

/// A value that is no header value (a media type with a line break, say) is left out.
pub(super) fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
