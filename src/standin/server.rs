//! Starts and stops the stand-in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::key::SigningKey;
use super::pending::Uploads;
use super::written::Written;
use super::{
    Config, Images, Seen, Shared, StandInError, gitlab_api, packages, registry, token, uploads,
};

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
            uploads: Uploads::default(),
            packages: Written::default(),
            seen: Mutex::default(),
            issued: Mutex::default(),
            config,
            key,
            address,
        });
        let mut router = Router::new().route("/jwt/auth", get(token::handle));
        let api = get(gitlab_api::handle).put(packages::write).post(packages::write);
        router = router.route("/api/v4/{*path}", api);
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
    pub(super) shared: Arc<Shared>,
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

    /// The private key that signs tokens (PKCS#8, DER): a test makes the certificate of it that
    /// docker-registry wants as `rootcertbundle`. It guards nothing but test images.
    #[must_use]
    pub fn signing_key(&self) -> &[u8] {
        self.shared.key.pkcs8()
    }

    /// What the embedded registry serves; changes are seen by the next request.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.shared.images
    }

    /// The generic packages of a project that were written: package, version, file.
    #[must_use]
    pub fn packages(&self, project: &str) -> Vec<[String; 3]> {
        self.shared.packages.files(project)
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
