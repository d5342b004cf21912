//! What all our HTTP clients have in common: the name that they send, no redirects that they follow by themselves, no
//! proxy but the one that was chosen, and certificates that are checked.

use reqwest::{ClientBuilder, redirect};

use super::{Proxy, ProxyError, Roots, RootsError};

/// Why there is no client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// Certificates cannot be checked.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// The builder of a client; times, names and the rest are the caller's. With `unverified` a server's certificate
/// is not checked, and `roots` are not read.
///
/// # Errors
/// When the proxy cannot be used, or there is no root certificate.
pub fn client(
    roots: &Roots,
    proxy: Option<&Proxy>,
    unverified: bool,
) -> Result<ClientBuilder, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("moorline/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy();
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy.for_client()?);
    }
    Ok(if unverified {
        builder.tls_danger_accept_invalid_certs(true)
    } else {
        builder.tls_backend_preconfigured(roots.tls()?)
    })
}
