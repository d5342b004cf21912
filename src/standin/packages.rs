//! The part of the stand-in's REST API that a release job writes: the generic package registry, and releases.
//!
//! ```text
//!  PUT  packages/generic/NAME/VERSION/FILE   201; a file of the same name is served from then on
//!  GET  packages/generic/NAME/VERSION/FILE   200, the bytes
//!  POST releases                             201, the release with its links; 409 when the tag has one
//! ```
//!
//! Source: GitLab's "Generic packages repository" and "Releases API". It is a *stand-in*: tags are not
//! looked up, and of an answer there are only the fields that are read.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::api_call::{Call, answer, refused};
use super::{Shared, notes};

/// PUT and POST.
pub(super) async fn write(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let Some(call) = Call::of(&shared.config, &uri) else {
        return refused(StatusCode::NOT_FOUND, "404 Project Not Found");
    };
    if let Err(status) = call.may(&shared.config, &method, &headers) {
        return refused(status, &status.to_string());
    }
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        return refused(StatusCode::BAD_REQUEST, "the body broke off");
    };
    if let Some(said) = notes::write(&shared, &call, &method, &headers, &bytes) {
        return said;
    }
    match (method, call.rest().as_slice()) {
        (Method::PUT, ["packages", "generic", package, version, file]) => {
            if ![package, version, file].iter().all(|name| is_name(name)) {
                return refused(
                    StatusCode::BAD_REQUEST,
                    "a package's name, version or file is invalid",
                );
            }
            let name = [call.project.as_str(), *package, *version, *file].map(str::to_owned);
            shared.packages.lock().files.insert(name, bytes);
            refused(StatusCode::CREATED, "201 Created")
        }
        (Method::POST, ["releases"]) => create(&shared, &call.project, &bytes),
        _ => refused(StatusCode::NOT_FOUND, "404 Not Found"),
    }
}

/// The answer to a GET of a file, `None` when it asks for something else.
pub(super) fn file(shared: &Shared, call: &Call) -> Option<Response<Body>> {
    let ["packages", "generic", package, version, file] = call.rest()[..] else { return None };
    let name = [call.project.as_str(), package, version, file].map(str::to_owned);
    let Some(bytes) = shared.packages.lock().files.get(&name).cloned() else {
        return Some(refused(StatusCode::NOT_FOUND, "404 Not Found"));
    };
    let mut response = Response::new(Body::from(bytes));
    let kind = header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Some(response)
}

/// A release that was made here.
pub(super) fn release(shared: &Shared, project: &str, tag: &str) -> Option<Value> {
    shared.packages.lock().releases.get(&[project, tag].map(str::to_owned)).cloned()
}

fn create(shared: &Shared, project: &str, body: &[u8]) -> Response<Body> {
    let bad = |why: &str| refused(StatusCode::BAD_REQUEST, why);
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return bad("the body is no JSON");
    };
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let Some(tag) = text(&asked, "tag_name") else { return bad("tag_name is missing") };
    let mut names = BTreeSet::new();
    for link in asked["assets"]["links"].as_array().into_iter().flatten() {
        let (Some(name), Some(url)) = (text(link, "name"), text(link, "url")) else {
            return bad("a link needs a name and a url");
        };
        if !["http://", "https://", "ftp://"].iter().any(|scheme| url.starts_with(scheme)) {
            return bad("a link's url is blocked: only allowed schemes are http, https, ftp");
        }
        let kind = text(link, "link_type").unwrap_or_else(|| "other".into());
        if !["other", "runbook", "image", "package"].contains(&kind.as_str()) {
            return bad("link_type does not have a valid value");
        }
        if !names.insert(name) {
            return bad("a link's name has already been taken");
        }
    }
    let made = json!({
        "tag_name": tag,
        "name": text(&asked, "name").unwrap_or_else(|| tag.clone()),
        "description": asked["description"],
        "commit": { "id": asked["ref"] },
        "assets": { "links": asked["assets"]["links"] },
    });
    let key = [project.to_owned(), tag];
    let mut packages = shared.packages.lock();
    if packages.releases.contains_key(&key) {
        return refused(StatusCode::CONFLICT, "Release already exists");
    }
    packages.releases.insert(key, made.clone());
    answer(StatusCode::CREATED, &made)
}

/// Letters, digits and `. - _ + ~`, not beginning with a tilde; no name of a directory.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_+~".contains(c);
    !name.is_empty()
        && name.chars().all(fits)
        && !name.starts_with('~')
        && name != "."
        && name != ".."
}
