//! The connection under the crate `gitlab`: one question, to one server, with one token.
//!
//! The crate's own connection follows redirects, and a `PRIVATE-TOKEN` header goes along to any
//! host; it also reads answers of any length. So its endpoints get this one.
//!
//! ```text
//!  another server or path than the base -> refused before anything is sent
//!  3xx within the base                  -> followed (a project that moved), and said once
//!  3xx elsewhere, or to a POST or PUT   -> an error that names the target
//!  429, 502, 503, 504, no connection    -> again, at most twice (Retry-After up to 20 s); a POST, which could be
//!                                          done twice, only after 429 or when no connection came about
//!  before each sending                  -> its turn among the requests to this host (`HostBudget`)
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gitlab::api::{ApiError, AsyncClient, RestClient};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, Response, Url};

use super::{GitlabError, Options, Token, TokenKind};
use crate::config::ServerUrl;
use crate::failure::chain;
use crate::net::{
    self, Backoff, ClientError, Fault, HostBudget, Page, Permit, Proxy, Roots, is_final,
    is_of_gateway, is_passing, longer, retry_after,
};
use crate::secret::Realm;
use crate::text::{Foreign, Hidden, Shown};

/// The longest answer that is read, in bytes.
const MOST_BYTES: usize = 16 << 20;

/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The first pause that nobody asked for.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Redirects of one question.
const MOST_REDIRECTS: usize = 3;

/// How often one question is sent.
const TRIES: u32 = 3;

/// What is sent.
struct ApiCall {
    url: Url,
    /// `None` for a GET.
    sends: Option<Sends>,
}

/// What changes something.
struct Sends {
    method: Method,
    /// Of the body.
    kind: Option<HeaderValue>,
    body: Vec<u8>,
}

impl ApiCall {
    fn request(&self, http: &reqwest::Client) -> RequestBuilder {
        let Some(Sends { method, kind, body }) = &self.sends else {
            return http.get(self.url.clone());
        };
        let mut request = http.request(method.clone(), self.url.clone()).body(body.clone());
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        request
    }

    /// Whether it must not be done twice.
    fn is_once(&self) -> bool {
        self.sends.as_ref().is_some_and(|sends| sends.method == Method::POST)
    }

    /// Whether an answer of this status is none: behind a gateway's it may have been done.
    fn is_asked_again(&self, status: u16) -> bool {
        is_passing(status) && !(is_of_gateway(status) && self.is_once())
    }

    /// What a token needs for it.
    fn scope(&self) -> &'static str {
        if self.sends.is_some() { "api" } else { "read_api" }
    }
}

pub(super) struct Transport {
    base: Url,
    host: String,
    http: reqwest::Client,
    token: Token,
    server: ServerUrl,
    proxy: Option<Proxy>,
    hosts: Option<Arc<HostBudget>>,
    hidden: Hidden,
    notice: Option<super::Notice>,
    /// Projects of which was said that they moved.
    told: Mutex<BTreeSet<String>>,
    roots: Roots,
    header: (HeaderName, HeaderValue),
    /// The first 401. An access token that is wrong is wrong for every question; a job token gets a
    /// 401 for what it does not open, so for it the question counts.
    refused: Mutex<HashMap<Option<Url>, GitlabError>>,
}

impl Transport {
    pub(super) fn new(options: Options) -> Result<Self, GitlabError> {
        let Options { server, token, ca_files, insecure, proxies, hosts, patience, hidden, notice } =
            options;
        hidden.add(token.secret.expose());
        let host = server.host().to_string();
        let configuration = GitlabError::Configuration;
        let base = Url::parse(&format!("{server}/api/v4/"))
            .map_err(|e| configuration(format!("{server} is not an address: {e}")))?;
        if base.scheme() != "https" && !insecure {
            return Err(GitlabError::PlainHttp { host, token: token.source });
        }
        let proxy = proxies.of(&base).cloned();
        if base.scheme() != "https"
            && let Some(proxy) = &proxy
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
            configuration(format!("the token in {} is not a token: one line of text", token.source))
        })?;
        value.set_sensitive(true);
        let roots = Roots::read(&ca_files).map_err(GitlabError::Roots)?;
        let builder = net::client(&roots, proxy.as_ref(), insecure)
            .map_err(|error| match error {
                ClientError::Proxy(error) => configuration(error.to_string()),
                ClientError::Roots(error) => GitlabError::Roots(error),
            })?
            .connect_timeout(patience)
            .timeout(patience);
        let http = builder
            .build()
            .map_err(|e| configuration(format!("cannot make connections: {}", chain(&e))))?;
        let (header, refused) = ((name, value), Mutex::default());
        Ok(Self {
            base,
            host,
            http,
            token,
            server,
            proxy,
            hosts,
            hidden,
            notice,
            roots,
            header,
            refused,
            told: Mutex::default(),
        })
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
    async fn ask(&self, question: &ApiCall) -> Result<(Response, Bytes), GitlabError> {
        let url = &question.url;
        if let Some(error) = self.refusal(url) {
            return Err(error);
        }
        let (answer, body) = match question.sends {
            None => self.follow(url).await?,
            Some(_) => self.send(question).await?,
        };
        let verdict = self.judge(&answer, &body, question.scope());
        if let Err(error @ GitlabError::Answer { status: 401, .. }) = &verdict {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.insert(self.asked(url), error.clone());
        }
        if let (Ok(()), Some(page)) = (&verdict, Page::of(&body)) {
            let login = if page.is_login(&body) { "a login page" } else { "a web page" };
            let title = self.words(&page.title);
            return Err(GitlabError::Protocol {
                host: self.host.clone(),
                what: String::new(),
                reason: format!("it is {login} ({title:?})"),
            });
        }
        verdict.map(|()| (answer, body))
    }

    /// Why an answer cannot be read; there is always something to say.
    pub(super) fn unread(&self, reason: &str) -> String {
        let words = self.words(reason);
        if words.is_empty() {
            "it is not what the API's reference says".into()
        } else {
            words.into()
        }
    }

    /// The answer, and its body. A redirect is followed within this server's own API: so GitLab
    /// answers for a project that was moved or renamed. Any other one is the caller's.
    async fn follow(&self, first: &Url) -> Result<(Response, Bytes), GitlabError> {
        let mut url = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let (answer, body) = self.get(&url).await?;
            let next = answer.status().is_redirection().then(|| target(&answer)).flatten();
            match next.filter(|next| self.is_own(next) && *next != url) {
                Some(next) => {
                    self.tell_moved(&url, &next).await;
                    url = next;
                }
                None => return Ok((answer, body)),
            }
        }
        Err(GitlabError::Protocol {
            host: self.host.clone(),
            what: String::new(),
            reason: "too many redirects".into(),
        })
    }

    /// Says once how a project is called now.
    async fn tell_moved(&self, from: &Url, to: &Url) {
        let (Some(notice), Some(old)) = (&self.notice, project_of(&self.base, from)) else {
            return;
        };
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if !told.insert(old.clone()) {
                return;
            }
        }
        let mut new = project_of(&self.base, to);
        // GitLab names the project by its number
        if let Some(number) = new.clone().filter(|new| new.bytes().all(|b| b.is_ascii_digit()))
            && let Ok(url) = self.base.join(&format!("projects/{number}"))
            && let Ok((_, body)) = self.get(&url).await
        {
            #[derive(serde::Deserialize)]
            struct Named {
                path_with_namespace: String,
            }
            let named: Option<Named> = serde_json::from_slice(&body).ok();
            new = named.map(|named| named.path_with_namespace).or(new);
        }
        let now = new.filter(|new| *new != old).map_or_else(String::new, |new| {
            format!(": it is {} now, use that name", self.words(&new))
        });
        notice(&format!("GitLab at {} says that {} has moved{now}", self.host, self.words(&old)));
    }

    /// Whether an address is this server's API.
    fn is_own(&self, url: &Url) -> bool {
        Realm::of(url) == Realm::of(&self.base) && url.path().starts_with(self.base.path())
    }

    async fn get(&self, url: &Url) -> Result<(Response, Bytes), GitlabError> {
        self.send(&ApiCall { url: url.clone(), sends: None }).await
    }

    /// One answer of any status, and its body.
    async fn send(&self, question: &ApiCall) -> Result<(Response, Bytes), GitlabError> {
        let url = &question.url;
        if !self.is_own(url) {
            return Err(GitlabError::Redirected {
                host: self.host.clone(),
                what: "a page".into(),
                to: place(url),
            });
        }
        let mut backoff = Backoff::new(FIRST_PAUSE);
        for tried in 1.. {
            let turn = self.turn(url).await?;
            let request = question.request(&self.http).header(&self.header.0, &self.header.1);
            let sent = request.send().await;
            drop(turn);
            let mut pause = backoff.pause();
            match sent {
                Ok(answer) if question.is_asked_again(answer.status().as_u16()) => {
                    if let Some(wait) = retry_after(answer.headers()) {
                        pause = longer(pause, Some(wait));
                        if let Some(hosts) = &self.hosts {
                            hosts.hold_off(&HostBudget::host(url), wait);
                        }
                    }
                    if tried >= TRIES || pause > LONGEST_PAUSE {
                        return self.read(answer).await;
                    }
                }
                Ok(answer) => return self.read(answer).await,
                Err(error) => {
                    if let Some(fault) = Fault::of(&error) {
                        let (host, own) = (self.host.clone(), self.roots.has_own());
                        return Err(GitlabError::Certificate { host, fault, own });
                    }
                    let connecting = error.is_connect();
                    let reason = String::from(self.words(&chain(&error.without_url())));
                    // waiting would not help
                    // its name was typed by hand: one that is not known is told at once
                    let last = is_final(&reason)
                        || reason.contains("dns error")
                        || question.is_once() && !connecting;
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
    async fn turn(&self, url: &Url) -> Result<Option<Permit>, GitlabError> {
        let Some(hosts) = &self.hosts else { return Ok(None) };
        let host = HostBudget::host(url);
        let mut left = LONGEST_PAUSE;
        loop {
            let turn = hosts.enter(&host).await;
            let Some(wait) = hosts.held_off(&host) else { return Ok(Some(turn)) };
            hosts.say_held_off(&host, wait);
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
    fn judge(
        &self,
        answer: &Response,
        body: &[u8],
        scope: &'static str,
    ) -> Result<(), GitlabError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let host = self.host.clone();
        if status.is_redirection() {
            let to = match target(answer) {
                None => "nowhere".to_owned(),
                // such as /users/sign_in
                Some(url) if Realm::of(&url) == Realm::of(&self.base) => {
                    "a page of its own, outside its API (a login page?)".into()
                }
                Some(url) => self.words(&place(&url)).into(),
            };
            return Err(GitlabError::Redirected { host, what: String::new(), to });
        }
        Err(GitlabError::Answer {
            host,
            what: String::new(),
            status: status.as_u16(),
            message: self.words(&message(body)),
            kind: self.token.kind,
            scope,
            token: self.token.source.clone(),
        })
    }

    /// What the server said, for a message. Everything that comes from it goes through here.
    pub(super) fn words(&self, text: &str) -> Shown {
        Foreign::new(text).words(&self.hidden, 200)
    }

    fn unreachable(&self, reason: String) -> GitlabError {
        let reason = match &self.proxy {
            Some(proxy) => proxy.through(&reason),
            None => reason,
        };
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
        body: Vec<u8>,
    ) -> Result<http::Response<Bytes>, ApiError<GitlabError>> {
        let url = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        let url = Url::parse(&url)?;
        let method = request.method_ref().cloned().unwrap_or_default();
        let kind = request.headers_ref().and_then(|headers| headers.get(CONTENT_TYPE)).cloned();
        let sends = (method != Method::GET).then_some(Sends { method, kind, body });
        let question = ApiCall { url, sends };
        let (answer, body) = self.ask(&question).await.map_err(ApiError::client)?;
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

/// Where a redirect leads.
fn target(answer: &Response) -> Option<Url> {
    let text = answer.headers().get(LOCATION)?.to_str().ok()?;
    answer.url().join(text).ok()
}

/// The project that a question of the API is about: its path, or its number.
fn project_of(base: &Url, url: &Url) -> Option<String> {
    let rest = url.path().strip_prefix(base.path())?.strip_prefix("projects/")?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    // a path is one component, its slashes encoded
    Some(name.replace("%2F", "/").replace("%2f", "/"))
}

/// GitLab's own words: `message` or `error`; what a page calls itself; as they were sent.
fn message(body: &[u8]) -> String {
    if let Some(page) = Page::of(body) {
        return format!("a web page, {:?}", page.title);
    }
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    ["message", "error_description", "error"]
        .iter()
        .find_map(|key| document.get(key))
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .unwrap_or_default()
}
