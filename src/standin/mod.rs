//! A stand-in for GitLab and its container registry, on loopback, for the demo and the tests.
//!
//! ```text
//!  client --GET /v2/...--------------> embedded registry   401 + challenge, later blobs and manifests
//!         --GET /jwt/auth + Basic----> stand-in for GitLab  {"token": "<RS256 JWT>"}
//!         --GET /v2/... + Bearer-----> embedded registry   checks the token's signature and access
//!
//!  or, with `registry: false`, only /jwt/auth, in front of docker-registry with `auth.token`
//! ```
//!
//! It is a *stand-in*: it answers what GitLab's `GET /jwt/auth` answers for deploy tokens, job
//! tokens and anonymous callers, a few routes of its REST API, and nothing else of GitLab. The embedded registry serves
//! what [`Images`] holds and what was pushed to it. Sources: GitLab's
//! `doc/administration/packages/container_registry` and
//! `app/services/auth/container_registry_authentication_service.rb` (behaviour only), docker
//! distribution's "Token Authentication Specification", OCI distribution specification 1.1.
//!
//! Not promised: to be safe anywhere but on loopback, or fast.

mod access;
mod config;
mod facts;
mod gitlab_api;
mod images;
mod key;
mod registry;
mod token;
mod uploads;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use config::{Account, Config, DeployToken, JobToken, OauthToken, Project, Scope, Visibility};
pub use gitlab_api::{ApiToken, CiMergeRequest, CiPipeline, CiRelease, GitlabFacts};
pub use images::{Images, LayoutError};
use key::SigningKey;

use crate::failure::{Failure, Kind};

/// Why the stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    /// The address is not on loopback.
    #[error("the stand-in listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The port is taken, or may not be used.
    #[error("the stand-in cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No signing key could be made.
    #[error("the stand-in cannot make its signing key: {0}")]
    Key(String),
}

impl Failure for StandInError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotLoopback(_) => Kind::Usage,
            Self::Listen { .. } => Kind::Network,
            Self::Key(_) => Kind::Configuration,
        }
    }
}

/// One request that was answered, for tests that count. Holds no header and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `HEAD`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether an `Authorization` header came with it.
    pub authorized: bool,
    /// Whether a token of GitLab's API came with it.
    pub api_token: bool,
    /// The answer's status.
    pub status: u16,
}

/// What the handlers share.
struct Shared {
    config: Config,
    key: SigningKey,
    images: Images,
    uploads: uploads::Uploads,
    address: SocketAddr,
    seen: Mutex<Vec<Seen>>,
    /// Tokens issued at or before this number are treated as expired.
    issued: Mutex<Issued>,
}

/// Tokens are numbered so that a test can expire them without waiting.
#[derive(Default)]
struct Issued {
    last: u64,
    expired_up_to: u64,
    /// Their texts.
    tokens: Vec<String>,
}

impl Shared {
    fn realm(&self) -> String {
        format!("http://{}/jwt/auth", self.address)
    }
}

/// The stand-in; [`StandIn::start`] is all there is to it.
pub struct StandIn;

impl StandIn {
    /// Listens and serves in the background of the current tokio runtime.
    ///
    /// # Errors
    /// When the address is not on loopback or cannot be listened on, or no key can be made.
    pub async fn start(config: Config) -> Result<Running, StandInError> {
        let wanted = config.listen;
        if !wanted.ip().is_loopback() {
            return Err(StandInError::NotLoopback(wanted));
        }
        let key = SigningKey::generate().map_err(StandInError::Key)?;
        let listen = |source| StandInError::Listen { address: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared {
            images: Images::default(),
            uploads: uploads::Uploads::default(),
            seen: Mutex::default(),
            issued: Mutex::default(),
            config,
            key,
            address,
        });
        let mut router = Router::new().route("/jwt/auth", get(token::handle));
        router = router.route("/api/v4/{*path}", get(gitlab_api::handle));
        if shared.config.registry {
            router = router.route("/v2/", get(registry::handle));
            let both = get(registry::read)
                .post(uploads::handle)
                .patch(uploads::handle)
                .put(uploads::handle);
            router = router.route("/v2/{*path}", both);
        }
        let app = router
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), record))
            .with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let ended = axum::serve(listener, app)
                .with_graceful_shutdown(async {
                    // an error means that `Running` was dropped: the same end
                    let _ = stopped.await;
                })
                .await;
            if let Err(error) = ended {
                tracing::error!(%error, "the stand-in stopped");
            }
        });
        Ok(Running { shared, stop: Some(stop), task: Some(task) })
    }
}

async fn record(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let target = request.uri().to_string();
    let authorized = request.headers().contains_key(header::AUTHORIZATION);
    let api_token =
        ["private-token", "job-token"].iter().any(|n| request.headers().contains_key(*n));
    let response = next.run(request).await;
    let seen = Seen { method, target, authorized, api_token, status: response.status().as_u16() };
    tracing::debug!(method = seen.method, target = seen.target, status = seen.status, "stand-in");
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    response
}

/// A stand-in that serves; it stops when this is dropped or [`Running::shutdown`] is called.
pub struct Running {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The token realm, `http://127.0.0.1:PORT/jwt/auth`.
    #[must_use]
    pub fn realm(&self) -> String {
        self.shared.realm()
    }

    /// The certificate of the signing key (PEM), for docker-registry's `rootcertbundle`.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.shared.key.certificate()
    }

    /// What the embedded registry serves; changes are seen by the next request.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.shared.images
    }

    /// Every request that was answered so far, in the order of the answers.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The text of every bearer token issued so far, for tests that search for them where no token
    /// may be.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        self.shared.issued.lock().unwrap_or_else(PoisonError::into_inner).tokens.clone()
    }

    /// Makes the embedded registry refuse all tokens issued so far as expired (`invalid_token`).
    pub fn expire_tokens(&self) {
        let mut issued = self.shared.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.expired_up_to = issued.last;
    }

    /// Stops listening, lets running answers end, and returns when the port is free.
    pub async fn shutdown(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // only a panic of the server makes this an error; it was reported where it happened
            let _ = task.await;
        }
    }
}

#[cfg(test)]
mod tests;
