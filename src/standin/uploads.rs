//! The embedded registry: the push half of the v2 API.
//!
//! ```text
//!  POST  blobs/uploads/           202, Location below the host's root
//!  PATCH blobs/uploads/N          202; with a Content-Range that does not follow: 416
//!  GET   blobs/uploads/N          204, Range: what is there of it
//!  PUT   blobs/uploads/N?digest=  201, or 400 DIGEST_INVALID
//!  PUT   manifests/TAG            201, or 400 MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN
//! ```
//!
//! Source: OCI distribution specification 1.1 ("Push"). As docker-registry, it begins nothing for a
//! token that may not pull too; as GitLab, it refuses media types that are not on its list.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::Value;

use super::Shared;
use super::access::{authorize, challenge, set, with_digest};
use super::token::error;
use crate::oci::{Digest, Sha256Digest, media_type};

/// Configurations that GitLab's registry knows; of its list only what tests push.
const CONFIGS: [&str; 3] = [
    media_type::OCI_CONFIG,
    "application/vnd.docker.container.image.v1+json",
    media_type::SIF_CONFIG,
];

pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let unknown = || error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such route");
    let path = uri.path().strip_prefix("/v2/").unwrap_or_default();
    let upload = path.rsplit_once("/blobs/uploads/");
    let Some((repository, rest)) = upload.or_else(|| path.rsplit_once("/manifests/")) else {
        return unknown();
    };
    // as docker-registry: who asks how far an upload is need not be allowed to push
    let (actions, scope): (&[&str], _) =
        if method == Method::GET { (&["pull"], "pull") } else { (&["pull", "push"], "pull,push") };
    if let Err(why) = authorize(&shared, &headers, Some(repository), actions) {
        return challenge(&shared, Some(repository), scope, why);
    }
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        return error(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "the body broke off");
    };
    match (method, upload.is_some()) {
        (Method::POST, true) if rest.is_empty() => {
            let mut uploads = shared.uploads.lock();
            uploads.0 += 1;
            let number = uploads.0;
            uploads.1.insert(number, Vec::new());
            so_far(StatusCode::ACCEPTED, repository, number, 0)
        }
        (Method::GET, true) => {
            let number = rest.parse().unwrap_or(0);
            let have = shared.uploads.lock().1.get(&number).map(Vec::len);
            have.map_or_else(unknown_upload, |have| {
                so_far(StatusCode::NO_CONTENT, repository, number, have)
            })
        }
        (Method::PATCH, true) => append(&shared, repository, rest, &headers, &bytes),
        (Method::PUT, true) => finish(&shared, rest, uri.query().unwrap_or_default(), &bytes),
        (Method::PUT, false) => manifest(&shared, repository, rest, &headers, bytes),
        _ => unknown(),
    }
}

fn unknown_upload() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn append(
    shared: &Shared,
    repository: &str,
    number: &str,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Response<Body> {
    let mut uploads = shared.uploads.lock();
    let number = number.parse().unwrap_or(0);
    let Some(have) = uploads.1.get_mut(&number) else { return unknown_upload() };
    let range = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let from = range.and_then(|text| text.split_once('-')?.0.parse::<usize>().ok());
    if from.is_some_and(|from| from != have.len()) {
        let (code, message) = ("RANGE_INVALID", "the piece does not follow");
        return error(StatusCode::RANGE_NOT_SATISFIABLE, code, message);
    }
    have.extend_from_slice(bytes);
    so_far(StatusCode::ACCEPTED, repository, number, have.len())
}

fn finish(shared: &Shared, number: &str, query: &str, bytes: &[u8]) -> Response<Body> {
    let Some(mut have) = shared.uploads.lock().1.remove(&number.parse().unwrap_or(0)) else {
        return unknown_upload();
    };
    have.extend_from_slice(bytes);
    let url = reqwest::Url::parse(&format!("http://query.invalid/?{query}"));
    let named = url.ok().and_then(|url| {
        url.query_pairs().find(|(name, _)| name == "digest").map(|(_, value)| value.into_owned())
    });
    let digest = Digest::of(&have);
    if named != Some(digest.to_string()) {
        let message = "provided digest did not match uploaded content";
        return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message);
    }
    shared.images.put_blob(have);
    created(&digest)
}

fn manifest(
    shared: &Shared,
    repository: &str,
    name: &str,
    headers: &HeaderMap,
    bytes: Bytes,
) -> Response<Body> {
    let invalid = |code: &str, why: &str| error(StatusCode::BAD_REQUEST, code, why);
    let Ok(document) = serde_json::from_slice::<Value>(&bytes) else {
        return invalid("MANIFEST_INVALID", "no JSON");
    };
    let config = document["config"]["mediaType"].as_str().unwrap_or_default();
    if document.get("artifactType").is_some() || !CONFIGS.contains(&config) {
        return invalid("MANIFEST_INVALID", &format!("unknown media type: {config}"));
    }
    let layers = document["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    for blob in layers.iter().chain([&document["config"]]) {
        let digest = blob["digest"].as_str().and_then(|text| text.parse().ok());
        if digest.is_none_or(|digest| shared.images.blob(&digest).is_none()) {
            return invalid("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
        }
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or(media_type::OCI_MANIFEST);
    let digest = shared.images.put_manifest(repository, kind, bytes);
    if name.parse::<Digest>().is_err() {
        shared.images.tag(repository, name, digest);
    }
    created(&digest)
}

/// Where an upload goes on.
fn so_far(status: StatusCode, repository: &str, number: u64, have: usize) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    set(&mut response, header::LOCATION, &format!("/v2/{repository}/blobs/uploads/{number}"));
    set(&mut response, header::RANGE, &format!("0-{}", have.saturating_sub(1)));
    response
}

fn created(digest: &Digest) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    with_digest(response, digest)
}
