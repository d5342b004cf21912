//! `GET /jwt/auth` as GitLab answers it.
//!
//! ```text
//!  unknown service                              404, empty
//!  wrong credential                             401 UNAUTHORIZED
//!  credential without any registry ability      403 DENIED
//!  anonymous, nothing granted                   403 DENIED
//!  project unknown or not open to the caller    200, "access": []
//!  else                                         200, the allowed part of what was asked
//! ```

use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::{Config, Scope, Visibility, is_below};
use super::{Account, ApiToken, DeployToken, JobToken, OauthToken, Shared};

/// One entry of a token's `access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
    #[serde(default)]
    pub(super) meta: serde_json::Value,
}

/// The claims that the embedded registry looks at again.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) access: Vec<Access>,
    /// The stand-in's own number, see `Issued`.
    pub(super) number: u64,
}

/// Who asks.
enum Caller<'a> {
    Anonymous,
    Deploy(&'a DeployToken),
    Job(&'a JobToken),
    /// A personal, project or group access token.
    Access(&'a ApiToken),
    Oauth(&'a OauthToken),
    /// With the password.
    User(&'a Account),
}

pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let query = query.unwrap_or_default();
    let parameters: Vec<(String, String)> = parse_query(&query);
    let config = &shared.config;
    if !parameters.iter().any(|(name, value)| name == "service" && *value == config.service) {
        return answer(StatusCode::NOT_FOUND, String::new());
    }
    let caller = match headers.get(header::AUTHORIZATION) {
        None => Caller::Anonymous,
        Some(value) => {
            match value.to_str().ok().and_then(basic).and_then(|(u, p)| who(config, &u, &p)) {
                Some(caller) => caller,
                None => {
                    return error(
                        StatusCode::UNAUTHORIZED,
                        "UNAUTHORIZED",
                        "HTTP Basic: Access denied. If a password was provided for Git authentication, \
                     the password was incorrect or you're required to use a token instead of a \
                     password. If a token was provided, it was either incorrect, expired, or \
                     improperly scoped.",
                    );
                }
            }
        }
    };
    let forbidden = || error(StatusCode::FORBIDDEN, "DENIED", "access forbidden");
    if let Caller::Deploy(token) = &caller
        && !token.scopes.iter().any(|s| matches!(s, Scope::ReadRegistry | Scope::WriteRegistry))
    {
        return forbidden();
    }
    if let Caller::Access(token) = &caller
        && !token.may_pull()
        && !token.may_push()
    {
        return forbidden();
    }
    let access: Vec<Access> = parameters
        .iter()
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, value)| value.split(' '))
        .filter_map(|scope| grant(config, &caller, scope))
        .collect();
    if matches!(caller, Caller::Anonymous) && access.is_empty() {
        return forbidden();
    }
    match sign(&shared, &caller, &access) {
        Ok(token) => {
            let body = json!({ "token": token }).to_string();
            shared.issued.lock().unwrap_or_else(PoisonError::into_inner).tokens.push(token);
            answer(StatusCode::OK, body)
        }
        Err(message) => error(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &message),
    }
}

fn sign(shared: &Shared, caller: &Caller<'_>, access: &[Access]) -> Result<String, String> {
    let number = {
        let mut issued = shared.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.last += 1;
        issued.last
    };
    let now = jiff::Timestamp::now().as_second();
    let lifetime = i64::try_from(shared.config.token_lifetime.as_secs()).unwrap_or(i64::MAX);
    let (auth_type, user_name) = match caller {
        Caller::Anonymous => ("none", None),
        Caller::Deploy(token) => ("deploy_token", Some(token.username.as_str())),
        Caller::Job(_) => ("build", Some("gitlab-ci-token")),
        Caller::Access(_) => ("personal_access_token", Some("owner-of-the-token")),
        Caller::Oauth(_) => ("oauth", Some("owner-of-the-token")),
        Caller::User(account) => ("gitlab_or_ldap", Some(account.username.as_str())),
    };
    let is_user = !matches!(caller, Caller::Anonymous | Caller::Deploy(_));
    let user = shared.key.sign(&json!({
        "user_info": { "token_type": auth_type, "username": user_name },
    }))?;
    shared.key.sign(&json!({
        "access": access,
        "jti": uuid(ulid::Ulid::generate().into()),
        "aud": shared.config.service,
        "sub": if is_user { user_name } else { None },
        "iss": shared.config.issuer,
        "iat": now,
        "nbf": now - 5,
        "exp": now.saturating_add(lifetime),
        "auth_type": auth_type,
        "user": user,
        "number": number,
    }))
}

/// 128 bits in the notation of RFC 9562.
fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The part of `type:name:action,action` that the caller is allowed; `None` drops it silently.
fn grant(config: &Config, caller: &Caller<'_>, scope: &str) -> Option<Access> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    if kind != "repository" {
        return None;
    }
    let (id, project) = config.project_of(name)?;
    let open = project.visibility == Visibility::Public;
    let (pull, push) = match caller {
        Caller::Anonymous => (open, false),
        Caller::Deploy(token) => {
            let own = token.project.as_deref() == Some(&project.path)
                || token.group.as_deref().is_some_and(|group| is_below(&project.path, group));
            let has = |scope| own && token.scopes.contains(&scope);
            (open || has(Scope::ReadRegistry), has(Scope::WriteRegistry))
        }
        Caller::Access(token) => {
            let own = token.projects.contains(&project.path);
            (open || own && token.may_pull(), own && token.may_push())
        }
        Caller::Job(job) => (open || job.project == project.path, job.project == project.path),
        Caller::Oauth(OauthToken { projects, .. }) | Caller::User(Account { projects, .. }) => {
            let own = projects.contains(&project.path);
            (open || own, own)
        }
    };
    let actions: Vec<String> = actions
        .split(',')
        .filter(|action| match *action {
            "pull" => pull,
            "push" => push,
            _ => false,
        })
        .map(str::to_owned)
        .collect();
    let root = project.path.split('/').next().unwrap_or_default().len();
    (!actions.is_empty()).then(|| Access {
        kind: kind.to_owned(),
        name: name.to_owned(),
        actions,
        meta: json!({
            "project_path": project.path,
            "project_id": id + 1,
            "root_namespace_id": root,
        }),
    })
}

/// User and password of an `Authorization: Basic` header.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, value) = header.split_once(' ')?;
    let decoded = STANDARD.decode(value.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
}

fn who<'a>(config: &'a Config, user: &str, password: &str) -> Option<Caller<'a>> {
    if user == "gitlab-ci-token" {
        let job = config.job_tokens.iter().find(|job| job.secret.expose() == password)?;
        return Some(Caller::Job(job));
    }
    // the user name is ignored for these
    let mut oauth = config.oauth_tokens.iter();
    if let Some(token) = oauth.find(|token| token.secret.expose() == password) {
        return Some(Caller::Oauth(token));
    }
    let mut access = config.gitlab.api_tokens.iter();
    if let Some(token) = access.find(|token| token.secret.expose() == password) {
        return Some(Caller::Access(token));
    }
    let mut deploy = config.deploy_tokens.iter();
    let is_deploy =
        |token: &&DeployToken| token.username == user && token.secret.expose() == password;
    if let Some(token) = deploy.find(is_deploy) {
        return Some(Caller::Deploy(token));
    }
    let is_user = |account: &&Account| {
        account.username == user && account.secret.expose() == password && !account.two_factor
    };
    config.accounts.iter().find(is_user).map(Caller::User)
}

/// `name=value` pairs of a query; percent and plus decoded. Broken escapes stay as they are.
fn parse_query(query: &str) -> Vec<(String, String)> {
    reqwest::Url::parse(&format!("http://query.invalid/?{query}"))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    answer(status, json!({ "errors": [{ "code": code, "message": message }] }).to_string())
}

fn answer(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
