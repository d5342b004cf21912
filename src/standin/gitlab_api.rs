//! The stand-in's REST API: the few routes of GitLab's that "what CI built" needs, answered from a
//! list of pipelines, merge requests and releases.
//!
//! `api_call` decides who may ask.
//!
//! Source: GitLab's "REST API resources" (container registry, pipelines, jobs, commits, merge
//! requests, releases). It is a *stand-in*: of each answer only the fields that are read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::api_call::{Call, answer, parts, refused, user};
use super::{CiPipeline, Shared, notes, packages};

/// `main` is every project's default branch here.
const DEFAULT_BRANCH: &str = "main";

pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let facts = &shared.config.gitlab;
    if let Some(status) = facts.status.and_then(|s| StatusCode::from_u16(s).ok()) {
        let mut response = answer(status, &json!({ "message": "the stand-in was told to say so" }));
        if let Ok(to) = facts.redirect_to.parse() {
            response.headers_mut().insert(header::LOCATION, to);
        }
        return response;
    }
    if parts(&uri) == ["personal_access_tokens", "self"] {
        // any token regardless of its scopes may ask this
        let token = headers.get("private-token").and_then(|value| value.to_str().ok());
        let found = facts.api_tokens.iter().find(|t| Some(t.secret.expose()) == token);
        return match found {
            Some(token) => answer(StatusCode::OK, &json!({ "id": 1, "scopes": token.scopes })),
            None => refused(StatusCode::UNAUTHORIZED, "401 Unauthorized"),
        };
    }
    if parts(&uri) == ["user"] {
        return match user(&shared.config, &headers) {
            Some(id) => answer(StatusCode::OK, &json!({ "id": id })),
            None => refused(StatusCode::UNAUTHORIZED, "401 Unauthorized"),
        };
    }
    let Some(call) = Call::of(&shared.config, &uri) else {
        return refused(StatusCode::NOT_FOUND, "404 Project Not Found");
    };
    if let Err(status) = call.may(&shared.config, &Method::GET, &headers) {
        return refused(status, &status.to_string());
    }
    if let Some(file) = packages::file(&shared, &call) {
        return file;
    }
    if let Some(rows) = notes::read(&shared, &call) {
        return answer(StatusCode::OK, &page(rows, &call.query));
    }
    match find(&shared, &call.project, &call.rest(), &call.query) {
        Some(found) => answer(StatusCode::OK, &found),
        None => refused(StatusCode::NOT_FOUND, "404 Not found"),
    }
}

fn find(
    shared: &Shared,
    project: &str,
    rest: &[&str],
    query: &[(String, String)],
) -> Option<Value> {
    let facts = &shared.config.gitlab;
    let number = |path: &str| {
        let at = shared.config.projects.iter().position(|p| p.path == path);
        at.map(|at| at + 1)
    };
    let asked = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let mut own = facts.pipelines.iter().filter(|p| p.project == project);
    match rest {
        [] => Some(json!({
            "id": number(project)?,
            "path_with_namespace": project,
            "default_branch": DEFAULT_BRANCH,
        })),
        ["registry", "repositories"] => {
            let paths = shared.images.below(project).into_iter().enumerate();
            let rows = paths.map(|(at, path)| {
                json!({
                    "id": at + 1,
                    "name": path[project.len()..].trim_start_matches('/'),
                    "path": path,
                    "location": format!("{}/{path}", shared.address),
                })
            });
            Some(page(rows.collect(), query))
        }
        ["pipelines"] => {
            let fits = |name: &str, value: &str| asked(name).is_none_or(|wanted| wanted == value);
            let mut rows: Vec<&CiPipeline> = own
                .filter(|p| {
                    fits("ref", &p.git_ref) && fits("sha", &p.sha) && fits("status", &p.status)
                })
                .collect();
            rows.sort_by_key(|p| std::cmp::Reverse(p.id));
            Some(page(rows.into_iter().map(pipeline).collect(), query))
        }
        ["pipelines", id] => own.find(|p| p.id.to_string() == *id).map(pipeline),
        ["pipelines", id, "jobs"] => {
            let of = own.find(|p| p.id.to_string() == *id)?;
            let rows = of.jobs.iter().enumerate().map(
                |(at, name)| json!({ "id": of.id * 100 + at as u64, "name": name, "status": of.status }),
            );
            Some(page(rows.collect(), query))
        }
        ["repository", "commits", name] => {
            let found = own.find(|p| p.sha.starts_with(name) || p.git_ref == *name)?;
            Some(json!({ "id": found.sha }))
        }
        ["merge_requests", iid] => {
            let mut all = facts.merge_requests.iter();
            let found = all.find(|m| m.project == project && m.iid.to_string() == *iid)?;
            let source = found.source_project.as_deref().unwrap_or(project);
            let head = facts.pipelines.iter().find(|p| p.id == found.pipeline)?;
            Some(json!({
                "iid": found.iid,
                "sha": head.sha,
                "source_branch": found.source_branch,
                "source_project_id": number(source),
                "target_project_id": number(project),
                "head_pipeline": pipeline(head),
            }))
        }
        ["releases", tag] => {
            if let Some(made) = packages::release(shared, project, tag) {
                return Some(made);
            }
            let found = facts.releases.iter().find(|r| r.project == project && r.tag == *tag)?;
            Some(json!({ "tag_name": found.tag, "commit": { "id": found.sha } }))
        }
        _ => None,
    }
}

fn pipeline(found: &CiPipeline) -> Value {
    json!({
        "id": found.id,
        "sha": found.sha,
        "ref": found.git_ref,
        "tag": found.tag,
        "status": found.status,
    })
}

/// The rows of `page` and `per_page`, as GitLab cuts them.
fn page(rows: Vec<Value>, query: &[(String, String)]) -> Value {
    let number = |name: &str, default: usize| {
        let found = query.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.parse().ok());
        found.unwrap_or(default).max(1)
    };
    let (page, size) = (number("page", 1), number("per_page", 20).min(100));
    rows.into_iter().skip((page - 1) * size).take(size).collect()
}
