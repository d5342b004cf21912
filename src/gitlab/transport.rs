//! The connection under the crate `gitlab`: one GET, to one server, with one token.
//!
//! The crate's own connection follows redirects, and a `PRIVATE-TOKEN` header goes along to any
//! host; it also reads answers of any length. So its endpoints get this one.
//!
//! ```text
//!  another server or path than the base -> refused before anything is sent
//!  3xx                                  -> an error that names the target
//!  429, 502, 503, 504, no connection    -> again, at most twice (Retry-After up to 20 s)
//!  before each sending                  -> its turn among the requests to this host (`Turns`)
//! ```

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gitlab::api::{ApiError, AsyncClient, RestClient};
use reqwest::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Response, Url};

use super::{GitlabError, Options, Token, TokenKind, Turns};
use crate::backoff::Backoff;
use crate::config::ServerUrl;
use crate::failure::chain;
use crate::secret::Realm;

/// The longest answer that is read, in bytes.
const MOST_BYTES: usize = 16 << 20;

/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The first pause that nobody asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How often one question is sent.
const TRIES: u32 = 3;

pub(super) struct Transport {
    base: Url,
    host: String,
    http: reqwest::Client,
    token: Token,
    server: ServerUrl,
    turns: Option<Arc<dyn Turns>>,
    header: (HeaderName, HeaderValue),
    /// The first 401. An access token that is wrong is wrong for every question; a job token gets a
    /// 401 for what it does not open, so for it the question counts.
    refused: Mutex<HashMap<Option<Url>, GitlabError>>,
}

impl Transport {
    pub(super) fn new(options: Options) -> Result<Self, GitlabError> {
        let Options { server, token, ca_files, insecure, proxies, turns, patience } = options;
        let host = server.host().to_string();
        let configuration = GitlabError::Configuration;
        let base = Url::parse(&format!("{server}/api/v4/"))
            .map_err(|e| configuration(format!("{server} is no address: {e}")))?;
        if base.scheme() != "https" && !insecure {
            return Err(GitlabError::PlainHttp { host, token: token.source });
        }
        let proxy = proxies.of(&base);
        if base.scheme() != "https"
            && let Some(proxy) = proxy
        {
            return Err(configuration(format!(
                "{host} speaks plain http, and the proxy {proxy} would read the token in {}",
                token.source
            )));
        }
        let name = match token.kind {
            TokenKind::Access => HeaderName::from_static("private-token"),
            TokenKind::Job => HeaderName::from_static("job-token"),
        };
        let mut value = HeaderValue::from_str(token.secret.expose()).map_err(|_| {
            configuration(format!("the token in {} is no token: one line of text", token.source))
        })?;
        value.set_sensitive(true);
        let builder = reqwest::Client::builder()
            .user_agent(concat!("moorline/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(patience)
            .timeout(patience);
        let builder = match proxy.map(crate::proxy::Proxy::for_client) {
            None => builder,
            Some(Ok(proxy)) => builder.proxy(proxy),
            Some(Err(error)) => return Err(configuration(error.to_string())),
        };
        let builder = if insecure {
            builder.tls_danger_accept_invalid_certs(true)
        } else {
            let mut certificates = Vec::new();
            for file in &ca_files {
                let bad = |why: String| {
                    configuration(format!("cannot use CA file {}: {why}", file.display()))
                };
                let pem = std::fs::read(file).map_err(|e| bad(e.to_string()))?;
                certificates
                    .extend(Certificate::from_pem_bundle(&pem).map_err(|e| bad(e.to_string()))?);
            }
            builder.tls_certs_merge(certificates)
        };
        let http = builder.build().map_err(|e| {
            configuration(format!(
                "cannot check certificates: {}; install ca-certificates or give --ca-file",
                chain(&e)
            ))
        })?;
        let (header, refused) = ((name, value), Mutex::default());
        Ok(Self { base, host, http, token, server, turns, header, refused })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn kind(&self) -> TokenKind {
        self.token.kind
    }

    pub(super) fn is_for(&self, server: &ServerUrl, token: &Token) -> bool {
        self.server == *server
            && self.token.kind == token.kind
            && self.token.secret.expose() == token.secret.expose()
    }

    /// What a refusal of this question holds for.
    fn asked(&self, url: &Url) -> Option<Url> {
        (self.token.kind == TokenKind::Job).then(|| url.clone())
    }

    fn refusal(&self, url: &Url) -> Option<GitlabError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(&self.asked(url)).cloned()
    }

    /// Asks, unless it was refused before: some GitLab instances ban an address after 30 refusals.
    async fn ask(&self, url: &Url) -> Result<(Response, Bytes), GitlabError> {
        if let Some(error) = self.refusal(url) {
            return Err(error);
        }
        let (answer, body) = self.get(url).await?;
        let verdict = self.judge(&answer, &body);
        if let Err(error @ GitlabError::Answer { status: 401, .. }) = &verdict {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.insert(self.asked(url), error.clone());
        }
        verdict.map(|()| (answer, body))
    }

    /// The answer, of any status that is no redirect, and its body.
    async fn get(&self, url: &Url) -> Result<(Response, Bytes), GitlabError> {
        if Realm::of(url) != Realm::of(&self.base) || !url.path().starts_with(self.base.path()) {
            return Err(GitlabError::Redirected {
                host: self.host.clone(),
                what: "a page".into(),
                to: place(url),
            });
        }
        let mut backoff = Backoff::new(FIRST_PAUSE);
        for tried in 1.. {
            let turn = self.turn(url).await?;
            let sent =
                self.http.get(url.clone()).header(&self.header.0, &self.header.1).send().await;
            drop(turn);
            let mut pause = backoff.pause();
            match sent {
                Ok(answer) if matches!(answer.status().as_u16(), 429 | 502..=504) => {
                    if let Some(wait) = wanted(&answer) {
                        pause = wait;
                        if let Some(turns) = self.turns.as_ref().filter(|_| !wait.is_zero()) {
                            turns.hold_off(url, wait);
                        }
                    }
                    if tried >= TRIES || pause > LONGEST_PAUSE {
                        return self.read(answer).await;
                    }
                }
                Ok(answer) => return self.read(answer).await,
                Err(error) => {
                    let reason = chain(&error.without_url());
                    // waiting would not help
                    let last = ["refused", "certificate", "dns error", "InvalidContentType"]
                        .iter()
                        .any(|word| reason.contains(word));
                    if last || tried >= TRIES {
                        return Err(self.unreachable(reason));
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
        Err(self.unreachable("no answer".into()))
    }

    /// A place among the requests to this host, as soon as it may be asked at all.
    async fn turn(&self, url: &Url) -> Result<Option<Box<dyn Any + Send>>, GitlabError> {
        let Some(turns) = &self.turns else { return Ok(None) };
        let mut left = LONGEST_PAUSE;
        loop {
            let turn = turns.enter(url).await;
            let Some(wait) = turns.held_off(url) else { return Ok(Some(turn)) };
            drop(turn);
            left = left.checked_sub(wait).ok_or_else(|| GitlabError::HeldOff {
                host: self.host.clone(),
                seconds: wait.as_secs() + 1,
            })?;
            tokio::time::sleep(wait).await;
        }
    }

    async fn read(&self, mut answer: Response) -> Result<(Response, Bytes), GitlabError> {
        let mut body = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|e| self.unreachable(chain(&e.without_url())))?
        {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(GitlabError::Protocol {
                    host: self.host.clone(),
                    what: "a document".into(),
                    reason: format!("it is larger than the limit of {MOST_BYTES} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((answer, body.into()))
    }

    /// The success, or the error that the status means; `what` is filled in by the caller.
    fn judge(&self, answer: &Response, body: &[u8]) -> Result<(), GitlabError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let host = self.host.clone();
        if status.is_redirection() {
            let to = answer.headers().get(LOCATION).and_then(|v| v.to_str().ok());
            let to = to.and_then(|text| answer.url().join(text).ok());
            let to = to.map_or_else(|| "nowhere".into(), |url| place(&url));
            return Err(GitlabError::Redirected { host, what: String::new(), to });
        }
        Err(GitlabError::Answer {
            host,
            what: String::new(),
            status: status.as_u16(),
            message: message(body).replace(self.token.secret.expose(), "***"),
            kind: self.token.kind,
            token: self.token.source.clone(),
        })
    }

    fn unreachable(&self, reason: String) -> GitlabError {
        GitlabError::Unreachable { host: self.host.clone(), reason }
    }
}

impl RestClient for Transport {
    type Error = GitlabError;

    fn rest_endpoint(&self, endpoint: &str) -> Result<Url, ApiError<GitlabError>> {
        Ok(self.base.join(endpoint)?)
    }
}

#[async_trait]
impl AsyncClient for Transport {
    async fn rest_async(
        &self,
        request: http::request::Builder,
        _body: Vec<u8>,
    ) -> Result<http::Response<Bytes>, ApiError<GitlabError>> {
        // every endpoint that is used here is a GET without a body
        let url = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        let url = Url::parse(&url)?;
        let (answer, body) = self.ask(&url).await.map_err(ApiError::client)?;
        let mut plain = http::Response::new(body);
        *plain.status_mut() = answer.status();
        *plain.headers_mut() = answer.headers().clone();
        Ok(plain)
    }
}

/// Scheme, host and port: a path or query may hold something private.
fn place(url: &Url) -> String {
    Realm::of(url).map_or_else(|| url.scheme().to_owned(), |realm| realm.to_string())
}

/// `Retry-After` in seconds.
fn wanted(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// GitLab's own words: `message` or `error`, one short line without control characters.
fn message(body: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = ["message", "error_description", "error"]
        .iter()
        .find_map(|key| document.get(key))
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .unwrap_or_default();
    text.chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| {
            !c.is_control()
                && !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        })
        .take(200)
        .collect()
}
