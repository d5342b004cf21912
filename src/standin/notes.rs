//! The part of the stand-in's REST API that says something about a merge request or a commit.
//!
//! ```text
//!  GET  user                                   whose token it is
//!  GET  merge_requests/IID/notes               200, oldest first with sort=asc
//!  POST merge_requests/IID/notes     body      201
//!  PUT  merge_requests/IID/notes/ID  body      200; 403 for somebody else's note
//!  POST statuses/SHA                 state ... 201; one of the same name, ref and pipeline is replaced
//!  GET  repository/commits/SHA/statuses        200
//! ```
//!
//! Only an access token with the scope `api` writes (`api_call.rs`): to a job's token these routes are closed, as at
//! GitLab. Source: GitLab's "Notes API", "Commits API". It is a *stand-in*: there are no roles, and of an answer only
//! the fields that are read.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::api_call::{Call, answer, refused, user};
use super::said::{Marked, Note};
use super::{Config, Shared};

/// The answer to a question that this file knows.
pub(super) fn read(shared: &Shared, call: &Call) -> Option<Vec<Value>> {
    let packages = shared.packages.lock();
    match call.rest().as_slice() {
        ["merge_requests", iid, "notes"] => {
            let iid = merge_request(&shared.config, &call.project, iid)?;
            let of = |note: &&Note| note.project == call.project && note.merge_request == iid;
            let mut rows: Vec<Value> = packages.said.notes.iter().filter(of).map(shown).collect();
            // GitLab's own order is the newest first
            if !call.query.iter().any(|(name, value)| name == "sort" && value == "asc") {
                rows.reverse();
            }
            Some(rows)
        }
        ["repository", "commits", sha, "statuses"] => {
            let of = |mark: &&Marked| mark.project == call.project && mark.sha == *sha;
            Some(packages.said.statuses.iter().filter(of).map(|mark| mark.fields.clone()).collect())
        }
        _ => None,
    }
}

/// The answer to a POST or PUT that this file knows; the caller may do it.
pub(super) fn write(
    shared: &Shared,
    call: &Call,
    method: &Method,
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Response<Body>> {
    let fields = fields(headers, body);
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let user = user(&shared.config, headers).unwrap_or_default();
    let mut packages = shared.packages.lock();
    let said = &mut packages.said;
    Some(match (method, call.rest().as_slice()) {
        (&Method::POST, ["merge_requests", iid, "notes"]) => {
            let Some(merge_request) = merge_request(&shared.config, &call.project, iid) else {
                return Some(refused(StatusCode::NOT_FOUND, "404 Not found"));
            };
            let Some(body) = field("body").filter(|body| !body.trim().is_empty()) else {
                return Some(refused(StatusCode::BAD_REQUEST, "body is missing"));
            };
            let (project, id) = (call.project.clone(), said.notes.len() + 1);
            let note = Note { project, merge_request, id, author: user, body };
            let made = answer(StatusCode::CREATED, &shown(&note));
            said.notes.push(note);
            made
        }
        (&Method::PUT, ["merge_requests", iid, "notes", id]) => {
            let iid = merge_request(&shared.config, &call.project, iid);
            let note = said.notes.iter_mut().find(|note| {
                note.project == call.project
                    && Some(note.merge_request) == iid
                    && note.id.to_string() == *id
            });
            match (note, field("body")) {
                (None, _) => refused(StatusCode::NOT_FOUND, "404 Note Not Found"),
                (Some(note), _) if note.author != user => {
                    refused(StatusCode::FORBIDDEN, "403 Forbidden")
                }
                (Some(_), None) => refused(StatusCode::BAD_REQUEST, "body is missing"),
                (Some(note), Some(body)) => {
                    note.body = body;
                    answer(StatusCode::OK, &shown(note))
                }
            }
        }
        (&Method::POST, ["statuses", sha]) => {
            let mut pipelines = shared.config.gitlab.pipelines.iter();
            if !pipelines.any(|p| p.project == call.project && p.sha == *sha) {
                return Some(refused(StatusCode::NOT_FOUND, "404 Commit Not Found"));
            }
            let state = field("state").unwrap_or_default();
            let known = ["pending", "running", "success", "failed", "canceled", "skipped"];
            if !known.contains(&state.as_str()) {
                return Some(refused(StatusCode::BAD_REQUEST, "state does not have a valid value"));
            }
            let id = said.statuses.len() + 1;
            let mut made = json!({ "id": id, "sha": sha, "status": state });
            for name in ["name", "ref", "target_url", "description", "pipeline_id"] {
                made[name] = field(name).map_or(Value::Null, Value::String);
            }
            let same = |mark: &Marked| {
                mark.project == call.project
                    && mark.sha == *sha
                    && ["name", "ref", "pipeline_id"].iter().all(|n| mark.fields[n] == made[n])
            };
            said.statuses.retain(|mark| !same(mark));
            let answered = answer(StatusCode::CREATED, &made);
            let (project, sha) = (call.project.clone(), (*sha).to_owned());
            said.statuses.push(Marked { project, sha, fields: made });
            answered
        }
        _ => return None,
    })
}

fn shown(note: &Note) -> Value {
    json!({ "id": note.id, "body": note.body, "author": { "id": note.author }, "system": false })
}

/// The number of a merge request that there is.
fn merge_request(config: &Config, project: &str, iid: &str) -> Option<u64> {
    let iid = iid.parse().ok()?;
    let mut all = config.gitlab.merge_requests.iter();
    all.any(|m| m.project == project && m.iid == iid).then_some(iid)
}

/// The fields of a form or of a JSON object.
fn fields(headers: &HeaderMap, body: &Bytes) -> Vec<(String, String)> {
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        let document: serde_json::Map<String, Value> =
            serde_json::from_slice(body).unwrap_or_default();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return document.into_iter().map(|(name, value)| (name, text(value))).collect();
    }
    let form = format!("http://form.invalid/?{}", String::from_utf8_lossy(body));
    let parsed = reqwest::Url::parse(&form);
    parsed.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}
