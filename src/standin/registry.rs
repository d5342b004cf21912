//! The embedded registry: the pull half of the v2 API, behind the stand-in's tokens. The other half is
//! `uploads`.
//!
//! Source: OCI distribution specification 1.1 ("Pull", "Content discovery"); challenges as
//! docker-registry 2.8 words them.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use super::access::{authorize, challenge, set, with_digest};
use super::token::error;
use super::{Shared, uploads};
use crate::oci::{Digest, Sha256Digest};

/// A path below `/v2/`.
enum Target<'a> {
    Base,
    Manifest { repository: &'a str, wanted: &'a str },
    Blob { repository: &'a str, digest: &'a str },
    Tags { repository: &'a str },
}

impl<'a> Target<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/v2/")?;
        if path.is_empty() {
            return Some(Self::Base);
        }
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return Some(Self::Tags { repository });
        }
        if let Some((repository, wanted)) = path.rsplit_once("/manifests/") {
            return Some(Self::Manifest { repository, wanted });
        }
        let (repository, digest) = path.rsplit_once("/blobs/")?;
        Some(Self::Blob { repository, digest })
    }

    fn repository(&self) -> Option<&'a str> {
        match self {
            Self::Base => None,
            Self::Manifest { repository, .. }
            | Self::Blob { repository, .. }
            | Self::Tags { repository } => Some(repository),
        }
    }
}

/// What is there; of an upload, how far it is.
pub(super) async fn read(
    shared: State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    if method == Method::GET && uri.path().contains("/blobs/uploads/") {
        return uploads::handle(shared, method, uri, headers, Body::empty()).await;
    }
    handle(shared, uri, headers).await
}

pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let Some(target) = Target::parse(uri.path()) else {
        return error(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "repository name not known to registry",
        );
    };
    if let Err(why) = authorize(&shared, &headers, target.repository(), &["pull"]) {
        return challenge(&shared, target.repository(), "pull", why);
    }
    match target {
        Target::Base => typed("application/json", Bytes::from_static(b"{}")),
        Target::Manifest { repository, wanted } => match shared.images.manifest(repository, wanted)
        {
            Some(stored) => {
                let digest = Digest::of(&stored.bytes);
                with_digest(typed(&stored.media_type, stored.bytes), &digest)
            }
            None => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
        },
        Target::Blob { digest, .. } => {
            let found = digest.parse().ok().and_then(|d| Some((d, shared.images.blob(&d)?)));
            match found {
                Some((digest, bytes)) => {
                    with_digest(ranged(bytes, headers.get(header::RANGE)), &digest)
                }
                None => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry"),
            }
        }
        Target::Tags { repository } => match shared.images.tags(repository) {
            Some(tags) => typed(
                "application/json",
                serde_json::json!({ "name": repository, "tags": tags }).to_string().into(),
            ),
            None => error(
                StatusCode::NOT_FOUND,
                "NAME_UNKNOWN",
                "repository name not known to registry",
            ),
        },
    }
}

/// The whole blob, or the part that `Range: bytes=FROM-[TO]` asks for.
fn ranged(bytes: Bytes, range: Option<&HeaderValue>) -> Response<Body> {
    let total = bytes.len();
    let asked = range
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes="))
        .and_then(|value| value.split_once('-'))
        .and_then(|(from, to)| {
            let to = if to.is_empty() { total.checked_sub(1)? } else { to.parse().ok()? };
            Some((from.parse::<usize>().ok()?, to))
        });
    let mut response = match asked {
        None => typed("application/octet-stream", bytes),
        Some((from, to)) if from <= to && from < total => {
            let to = to.min(total - 1);
            let mut part = typed("application/octet-stream", bytes.slice(from..=to));
            *part.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut part, header::CONTENT_RANGE, &format!("bytes {from}-{to}/{total}"));
            part
        }
        Some(_) => {
            let mut refused = error(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "range");
            set(&mut refused, header::CONTENT_RANGE, &format!("bytes */{total}"));
            refused
        }
    };
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    response
}

fn typed(media_type: &str, bytes: Bytes) -> Response<Body> {
    let length = bytes.len();
    let mut response = Response::new(Body::from(bytes));
    set(&mut response, header::CONTENT_TYPE, media_type);
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    response
}
