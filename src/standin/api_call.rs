//! One request to the stand-in's REST API: which project it is about, who asks, what is asked for.
//!
//! ```text
//!  PRIVATE-TOKEN of api_tokens   its projects; 404 for all others, as GitLab answers
//!  JOB-TOKEN of job_tokens       of its own project the container repositories, generic packages and
//!                                releases; 401 for everything else
//!  another token                 401
//!  none                          packages and releases of public projects; else 404
//! ```
//!
//! Source: GitLab's "CI/CD job token" (the endpoints that it opens), "REST API authentication".

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::{Config, Visibility};

/// A request about a project.
pub(super) struct Call {
    /// The project's path, in lower case.
    pub(super) project: String,
    /// The path below it, without escapes.
    pub(super) rest: Vec<String>,
    pub(super) query: Vec<(String, String)>,
}

impl Call {
    /// `None` for a path that names no project. GitLab takes a project's path or its number.
    pub(super) fn of(config: &Config, uri: &Uri) -> Option<Self> {
        let mut parts = parts(uri).into_iter();
        if parts.next()? != "projects" {
            return None;
        }
        let named = parts.next()?.to_lowercase();
        let of_number =
            named.parse::<usize>().ok().and_then(|n| config.projects.get(n.checked_sub(1)?));
        let project = of_number.map_or(named, |found| found.path.clone());
        let query =
            reqwest::Url::parse(&format!("http://query.invalid/?{}", uri.query().unwrap_or("")));
        let query = query.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default();
        Some(Self { project, rest: parts.collect(), query })
    }

    pub(super) fn rest(&self) -> Vec<&str> {
        self.rest.iter().map(String::as_str).collect()
    }

    /// Whether the caller may do this.
    ///
    /// # Errors
    /// The status of the answer.
    pub(super) fn may(
        &self,
        config: &Config,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), StatusCode> {
        let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let known = config.projects.iter().find(|p| p.path == self.project);
        let rest = self.rest();
        if let Some(token) = of("private-token") {
            let mut tokens = config.gitlab.api_tokens.iter();
            let token = tokens.find(|t| t.secret.expose() == token);
            let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
            let scopes: &[&str] =
                if method == Method::GET { &["read_api", "api"] } else { &["api"] };
            if !token.has(scopes) {
                return Err(StatusCode::FORBIDDEN); // insufficient_scope
            }
            let own = known.is_some() && token.projects.contains(&self.project);
            return if own { Ok(()) } else { Err(StatusCode::NOT_FOUND) };
        }
        let Some(token) = of("job-token") else {
            let open = known.is_some_and(|p| p.visibility == Visibility::Public);
            return match rest.as_slice() {
                ["packages", "generic", ..] | ["releases", ..] if open && method == Method::GET => {
                    Ok(())
                }
                _ => Err(StatusCode::NOT_FOUND),
            };
        };
        let mut jobs = config.job_tokens.iter();
        let job = jobs.find(|t| t.secret.expose() == token).ok_or(StatusCode::UNAUTHORIZED)?;
        match rest.as_slice() {
            ["registry", "repositories", ..] | ["packages", "generic", ..] | ["releases", ..] => {
                if job.project == self.project {
                    Ok(())
                } else {
                    Err(StatusCode::NOT_FOUND)
                }
            }
            _ => Err(StatusCode::UNAUTHORIZED),
        }
    }
}

/// Whose access token it is: its place in the configuration, from 1.
pub(super) fn user(config: &Config, headers: &HeaderMap) -> Option<usize> {
    let token = headers.get("private-token").and_then(|value| value.to_str().ok())?;
    let at = config.gitlab.api_tokens.iter().position(|t| t.secret.expose() == token)?;
    Some(at + 1)
}

/// The parts of a path below `/api/v4/`, without escapes.
pub(super) fn parts(uri: &Uri) -> Vec<String> {
    let path = uri.path().strip_prefix("/api/v4/").unwrap_or_default();
    path.split('/').map(decoded).collect()
}

/// A part of a path without its percent escapes.
fn decoded(part: &str) -> String {
    let query = format!("http://query.invalid/?{}", part.replace('+', "%2B").replace('&', "%26"));
    reqwest::Url::parse(&query)
        .ok()
        .and_then(|url| url.query_pairs().next().map(|(name, _)| name.into_owned()))
        .unwrap_or_default()
}

/// An answer in JSON.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// The answer that an error's status means.
pub(super) fn refused(status: StatusCode, why: &str) -> Response<Body> {
    answer(status, &json!({ "message": why }))
}
