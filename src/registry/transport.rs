//! One HTTP request, sent until it is answered or the budget is used up.
//!
//! ```text
//!  429, 500, 502, 503, 504, reset, stall  -> pause (Retry-After, else doubling with jitter), again
//!  unknown host, refused, bad certificate -> error at once: waiting would not help
//!  everything else                        -> the caller's
//! ```
//!
//! Before each sending it waits for its place in the host's budget (`net`). Redirects are
//! never followed here, a proxy is used only when `proxy` says so, and every `Authorization` header is
//! marked sensitive, so that no trace of the HTTP libraries shows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response, Url};

use super::names::{Names, Reach, Resolver};
use super::options::{Options, Patience};
use super::{RegistryError, Said};
use crate::failure::chain;
use crate::net::{
    self, Backoff, ClientError, Fault, HostBudget, Page, Permit, Proxies, Proxy, Roots, is_final,
    is_passing, longer, retry_after,
};
use crate::text::{Foreign, Hidden, Shown};

/// How many characters of a server's words are repeated.
const MOST_WORDS: usize = 300;

/// A request that may be sent more than once.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Whether the certificate is not checked.
    pub(super) unverified: bool,
    /// Which addresses its host may have.
    pub(super) reach: Reach,
    pub(super) body: Option<Bytes>,
}

/// The connections: a pool for each way of making them.
pub(super) struct Transport {
    roots: Roots,
    patience: Patience,
    proxies: Proxies,
    names: Names,
    hidden: Hidden,
    hosts: Arc<HostBudget>,
    pools: Mutex<HashMap<Way, Client>>,
}

/// How a connection is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    /// Plain http, or a certificate that is not checked.
    unverified: bool,
    /// The variable that names the proxy.
    proxy: Option<&'static str>,
    reach: Reach,
}

/// What is left of one request's budget.
pub(super) struct Budget {
    attempts: u32,
    backoff: Backoff,
    pauses: Duration,
}

impl Budget {
    /// Pauses and says `true`, or says `false` when nothing is left. Never for a shorter time than its
    /// own, whatever a server asks for.
    pub(super) async fn spend(&mut self, wanted: Option<Duration>) -> bool {
        let own = self.backoff.pause();
        self.attempts = self.attempts.saturating_sub(1);
        self.attempts > 0 && self.rest(longer(own, wanted)).await
    }

    /// Pauses for as long as a host asked for, unless that is more than is left.
    async fn rest(&mut self, pause: Duration) -> bool {
        let Some(left) = self.pauses.checked_sub(pause) else { return false };
        self.pauses = left;
        tokio::time::sleep(pause).await;
        true
    }
}

/// Why a body was not read to its end.
pub(super) enum Cut {
    TooLarge,
    Broken(String),
}

impl Transport {
    pub(super) fn new(options: &Options) -> Result<Self, RegistryError> {
        Ok(Self {
            roots: Roots::read(&options.ca_files).map_err(RegistryError::Roots)?,
            patience: options.patience,
            proxies: options.proxies.clone(),
            names: options.names.clone(),
            hidden: options.hidden.clone(),
            hosts: Arc::clone(&options.hosts),
            pools: Mutex::default(),
        })
    }

    /// The secrets that no message may repeat.
    pub(super) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// What a server said, for a message. Everything that comes from a server goes through here.
    pub(super) fn words(&self, text: &str) -> Shown {
        Foreign::new(text).words(&self.hidden, MOST_WORDS)
    }

    /// A web page where a document should be, for a message; `None` when it is none.
    pub(super) fn page(&self, body: &[u8]) -> Option<String> {
        let page = Page::of(body)?;
        let title = self.words(&page.title);
        let named = if title.is_empty() { String::new() } else { format!(" ({title:?})") };
        let login = if page.is_login(body) { "a login page" } else { "a web page" };
        Some(format!("{login}{named}"))
    }

    /// The error for a body that cannot be read as what it should be.
    pub(super) fn not_read(
        &self,
        url: &Url,
        what: &str,
        body: &[u8],
        reason: &str,
    ) -> RegistryError {
        let (host, what) = (host_of(url), what.to_owned());
        match self.page(body) {
            Some(instead) => RegistryError::Page { host, what, instead },
            None if body.is_empty() => {
                RegistryError::Protocol { host, what, reason: "its answer is empty".into() }
            }
            None => RegistryError::Protocol { host, what, reason: self.words(reason).into() },
        }
    }

    /// Where the processes of this user meet.
    pub(super) fn shared_dir(&self) -> Option<&std::path::Path> {
        self.hosts.dir()
    }

    /// The proxy that a URL goes through.
    pub(super) fn proxy(&self, url: &Url) -> Option<&Proxy> {
        self.proxies.of(url)
    }

    pub(super) fn budget(&self) -> Budget {
        Budget {
            attempts: self.patience.attempts,
            backoff: Backoff::new(self.patience.first_pause),
            pauses: self.patience.pauses,
        }
    }

    /// A budget for a question that is asked once.
    pub(super) fn once(&self) -> Budget {
        Budget { attempts: 1, ..self.budget() }
    }

    /// Made when first needed: a machine without root certificates can still use plain http.
    fn client(&self, way: Way, proxy: Option<&Proxy>) -> Result<Client, RegistryError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = pools.get(&way) {
            return Ok(client.clone());
        }
        let builder = net::client(&self.roots, proxy, way.unverified)
            .map_err(|error| match error {
                ClientError::Proxy(error) => RegistryError::Proxy(error),
                ClientError::Roots(error) => RegistryError::Roots(error),
            })?
            .dns_resolver(Resolver { names: self.names.clone(), reach: way.reach })
            .connect_timeout(self.patience.connect)
            .read_timeout(self.patience.stall);
        let client = builder.build().map_err(|e| {
            RegistryError::Configuration(format!("cannot make connections: {}", chain(&e)))
        })?;
        pools.insert(way, client.clone());
        Ok(client)
    }

    /// Sends until there is an answer that is not worth a retry, or the budget is used up; then
    /// the last answer or error is returned.
    pub(super) async fn send(
        &self,
        request: &Request,
        budget: &mut Budget,
    ) -> Result<Response, RegistryError> {
        let plain = request.url.scheme() == "http";
        let proxy = self.proxy(&request.url);
        // who is behind a proxy is not asked for by name from here
        let reach = if proxy.is_some() { Reach::Anywhere } else { request.reach };
        let unverified = request.unverified || plain;
        let client =
            self.client(Way { unverified, proxy: proxy.map(Proxy::variable), reach }, proxy)?;
        let host = HostBudget::host(&request.url);
        loop {
            let permit = self.enter(&host, budget).await?;
            let mut built = client
                .request(request.method.clone(), request.url.clone())
                .headers(request.headers.clone());
            if let Some(body) = &request.body {
                built = built.body(body.clone());
            }
            let sent = built.send().await;
            drop(permit);
            match sent {
                Ok(response) if response.status() == 407 && proxy.is_some() => {
                    let reason = "it wants a credential (HTTP status 407)".to_owned();
                    return Err(through(unreachable(&request.url, reason), proxy));
                }
                // 500 is a registry's storage that does not answer
                Ok(response)
                    if is_passing(response.status().as_u16()) || response.status() == 500 =>
                {
                    let wanted = retry_after(response.headers());
                    if let Some(wait) = wanted {
                        self.hosts.hold_off(&host, wait);
                    }
                    tracing::debug!(status = %response.status(), ?wanted, "registry asks to wait");
                    if !budget.spend(wanted).await {
                        return Ok(response);
                    }
                }
                Ok(response) => return Ok(response),
                Err(error) => {
                    let error = through(self.describe(&request.url, "connect to", error), proxy);
                    let passing = matches!(&error, RegistryError::Unreachable { reason, .. }
                        if !is_final(reason));
                    if !passing || !budget.spend(None).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// A place among the requests to a host, as soon as the host may be asked at all.
    async fn enter(&self, host: &str, budget: &mut Budget) -> Result<Permit, RegistryError> {
        loop {
            let permit = self.hosts.enter(host).await;
            let Some(wait) = self.hosts.held_off(host) else { return Ok(permit) };
            drop(permit);
            self.hosts.say_held_off(host, wait);
            // those who wait for the same moment do not all come in it
            let spread = Duration::from_millis(u64::from(getrandom::u32().unwrap_or(0) % 200));
            if !budget.rest(wait + spread).await {
                return Err(RegistryError::HeldOff {
                    host: host.to_owned(),
                    seconds: wait.as_secs() + 1,
                });
            }
        }
    }

    /// An error of the HTTP library without its URL, whose query may hold a storage signature.
    fn describe(&self, url: &Url, doing: &'static str, error: reqwest::Error) -> RegistryError {
        let (timeout, host) = (error.is_timeout(), host_of(url));
        if let Some(fault) = Fault::of(&error) {
            return RegistryError::Certificate { host, fault, own: self.roots.has_own() };
        }
        let mut reason: String = self.words(&chain(&error.without_url())).into();
        if reason.contains("dns error") {
            let last = reason.rsplit(": ").next().filter(|last| !last.is_empty());
            let reason = last.unwrap_or(&reason).to_owned();
            return RegistryError::UnknownHost { host, reason };
        }
        if timeout {
            reason = format!("no answer in time ({reason})");
        }
        RegistryError::Unreachable { doing, host, reason }
    }

    /// A body of at most `limit` bytes, as a whole within the time for a document.
    pub(super) async fn read(&self, response: Response, limit: u64) -> Result<Vec<u8>, Cut> {
        let time = self.patience.document;
        tokio::time::timeout(time, Self::read_all(response, limit)).await.unwrap_or_else(|_| {
            Err(Cut::Broken(format!("not all of it came within {} s", time.as_secs())))
        })
    }

    async fn read_all(mut response: Response, limit: u64) -> Result<Vec<u8>, Cut> {
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(Cut::TooLarge);
        }
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > limit => {
                    return Err(Cut::TooLarge);
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes),
                Err(error) => return Err(Cut::Broken(chain(&error.without_url()))),
            }
        }
    }

    /// What an answer that is no success says: its status, and as much of its body as came within
    /// `limit` bytes and one stall time.
    pub(super) async fn said(&self, mut response: Response, limit: u64) -> Box<Said> {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let reading = async {
            // an error answer that breaks off still has its status
            while let Ok(Some(chunk)) = response.chunk().await {
                let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(body.len());
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() >= room {
                    break;
                }
            }
        };
        if tokio::time::timeout(self.patience.stall, reading).await.is_err() {
            tracing::debug!(status, "the error answer did not end in time");
        }
        let (code, mut message) = first_error(&body);
        if (&*code, &*message) == ("", "") {
            message = self.page(&body).unwrap_or_default();
        }
        Box::new(Said { status, code: self.words(&code), message: self.words(&message) })
    }
}

/// The first error of a registry's JSON body; empty texts when it is none.
fn first_error(body: &[u8]) -> (String, String) {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct One {
        code: String,
        message: String,
    }
    let parsed: Option<Errors> = serde_json::from_slice(body).ok();
    if let Some(first) = parsed.and_then(|all| all.errors.into_iter().next()) {
        return (first.code, first.message);
    }
    // storage of the S3 kind: <Error><Code>AccessDenied</Code><Message>Request has expired</Message>
    let text = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let from = text.find(&format!("<{name}>"))? + name.len() + 2;
        Some(text[from..].split_once(&format!("</{name}>"))?.0.to_owned())
    };
    if text.contains("<Error>") {
        return (element("Code").unwrap_or_default(), element("Message").unwrap_or_default());
    }
    (String::new(), String::new())
}

/// `host:port` of a URL, for messages.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn unreachable(url: &Url, reason: String) -> RegistryError {
    RegistryError::Unreachable { doing: "connect to", host: host_of(url), reason }
}

/// The same error, naming the proxy on the way: it may be the one that failed.
fn through(error: RegistryError, proxy: Option<&Proxy>) -> RegistryError {
    let Some(proxy) = proxy else { return error };
    let (doing, host, reason) = match error {
        RegistryError::Unreachable { doing, host, reason } => (doing, host, reason),
        // behind a proxy only the proxy's own name is looked up
        RegistryError::UnknownHost { host, reason } => {
            ("connect to", host, format!("unknown host: {reason}"))
        }
        other => return other,
    };
    let reason = proxy.through(&reason);
    RegistryError::Unreachable { doing, host, reason }
}

#[cfg(test)]
mod tests {
    use reqwest::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn the_first_error_counts() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no","detail":{}},{"code":"B"}]}"#;
        assert_eq!(first_error(body), ("DENIED".into(), "no".into()));
        assert_eq!(first_error(b"<html>"), (String::new(), String::new()));
        assert_eq!(first_error(br#"{"errors":[]}"#), (String::new(), String::new()));
        let storage = b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
        assert_eq!(first_error(storage), ("AccessDenied".into(), "Request has expired".into()));
    }

    /// "Now" and a date that has passed are no leave to try five times within milliseconds
    /// (containerd/containerd#10447).
    #[tokio::test]
    async fn a_server_does_not_shorten_a_pause() {
        let first = Duration::from_millis(60);
        for asked in ["0", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            let (backoff, pauses) = (Backoff::new(first), Duration::from_secs(60));
            let mut budget = Budget { attempts: 5, backoff, pauses };
            let began = std::time::Instant::now();
            let headers = HeaderMap::from_iter([(RETRY_AFTER, asked.parse().unwrap())]);
            assert!(budget.spend(retry_after(&headers)).await);
            assert!(began.elapsed() >= first / 2, "{asked}: {:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn a_budget_ends() {
        let mut budget = Budget {
            attempts: 3,
            backoff: Backoff::new(Duration::from_millis(1)),
            pauses: Duration::from_secs(60),
        };
        assert!(!budget.spend(Some(Duration::from_secs(61))).await);
        assert!(budget.spend(None).await);
        assert!(!budget.spend(None).await);
    }
}
