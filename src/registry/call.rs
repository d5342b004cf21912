//! One authorised request: endpoint, token, request, and what to do on a 401 or a redirect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, Url};

use super::challenge::{Bearer, Challenge};
use super::endpoint::Endpoint;
use super::gates::{Failed, Outcome};
use super::names::{Reach, look_up};
use super::token::{Access, Desk, Pass, Session, below};
use super::token_request::MOST_SCOPES;
use super::transport::{Budget, Request, host_of};
use super::{Client, Host, RegistryError};
use crate::oci::{Registry, Repository};
use crate::secret::{Candidates, Realm};

/// Redirects of one request; storage needs one.
const MOST_REDIRECTS: usize = 5;

/// What is asked of a repository.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    /// The token that it needs follows from it: everything but GET and HEAD needs one that pushes.
    pub(super) method: Method,
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a Repository,
    pub(super) to: To<'a>,
    /// What goes with it beside the authorisation.
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    /// For messages.
    pub(super) what: &'a str,
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) enum To<'a> {
    /// Below the repository: `manifests/v1`.
    Path(&'a str),
    /// An address that the registry gave, which is on its own host.
    Address(&'a Url),
}

impl<'a> Ask<'a> {
    /// A GET; further headers and other methods are put in by the caller.
    pub(super) fn get(
        registry: &'a Registry,
        repository: &'a Repository,
        path: &'a str,
        what: &'a str,
    ) -> Self {
        let (method, to) = (Method::GET, To::Path(path));
        Self { method, registry, repository, to, headers: HeaderMap::new(), body: None, what }
    }

    /// With a header; a value that cannot be sent is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// Whether it changes nothing.
    fn only_reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// An answer that is no 401.
pub(super) struct Answered {
    pub(super) response: Response,
}

impl Client {
    /// The registry's address, found out once; only loopback and listed hosts are asked for it.
    pub(super) async fn endpoint(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<(Arc<Host>, Endpoint), RegistryError> {
        let prefix = self.prefix(registry, repository);
        let host = self.host(registry, prefix.as_ref());
        let find = async || {
            let endpoint = self.find_endpoint(registry, prefix.as_ref()).await?;
            *host.challenge.lock().unwrap_or_else(PoisonError::into_inner) =
                self.0.remembered.look(&endpoint);
            Ok(endpoint)
        };
        let endpoint = host.endpoint.get_or_try_init(find).await?.clone();
        Ok((host, endpoint))
    }

    async fn find_endpoint(
        &self,
        registry: &Registry,
        prefix: Option<&Repository>,
    ) -> Result<Endpoint, RegistryError> {
        let path = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let make = |https| Endpoint::new(registry, &path, https, &self.0.options);
        let (secure, plain) = (make(true)?, make(false)?);
        if plain.started_here {
            return Ok(plain);
        }
        if !plain.may_be_plain() {
            return Ok(secure);
        }
        // TLS first: a listed registry that has it should not get its secrets in the clear
        let mut request = Request {
            method: Method::GET,
            url: v2(&secure)?,
            headers: HeaderMap::new(),
            unverified: secure.insecure,
            reach: Reach::Anywhere,
            body: None,
        };
        let mut answer = self.0.transport.send(&request, &mut self.0.transport.once()).await;
        if matches!(answer, Err(RegistryError::Roots(_))) {
            // without root certificates it is still known who speaks TLS, and that nobody else is asked
            request.unverified = true;
            answer = self.0.transport.send(&request, &mut self.0.transport.once()).await;
        }
        match answer {
            Ok(_) | Err(RegistryError::Certificate { .. }) => Ok(secure),
            Err(error) => {
                tracing::debug!(%registry, %error, "no TLS there: using plain http");
                Ok(plain)
            }
        }
    }

    /// The session of a repository; its credentials are looked up when it is made.
    async fn session(
        &self,
        registry: &Registry,
        repository: &Repository,
        access: Access,
    ) -> Result<Arc<Session>, RegistryError> {
        let key = (registry.clone(), repository.clone(), access);
        let known = |client: &Self| {
            let sessions = client.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.get(&key).cloned()
        };
        if let Some(session) = known(self) {
            return Ok(session);
        }
        let found = self.look_up(registry, repository).await?;
        let prefix = self.prefix(registry, Some(repository));
        let scopes = vec![repository.clone()];
        let session = Session::new(registry.clone(), prefix, scopes, access, found);
        let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // two callers may have looked at the same time: the first one's session is used by both
        Ok(Arc::clone(sessions.entry(key).or_insert_with(|| Arc::new(session))))
    }

    async fn look_up(
        &self,
        registry: &Registry,
        repository: &Repository,
    ) -> Result<Candidates, RegistryError> {
        let lookup = Arc::clone(&self.0.options.credentials);
        let (registry, repository) = (registry.clone(), repository.clone());
        // a keyring may ask its user: not on a thread that serves connections
        tokio::task::spawn_blocking(move || lookup(&registry, &repository))
            .await
            .map_err(|e| RegistryError::Configuration(format!("credential lookup died: {e}")))?
            .map_err(RegistryError::Credential)
    }

    /// Announces repositories, so that those of one project share their token requests.
    ///
    /// A registry does not say where a project's path ends, so repositories are grouped by their
    /// first two components and by the credentials that were found for them; the token itself then
    /// says what it covers. The answer holds the repositories whose credential source is broken.
    pub async fn announce(
        &self,
        registry: &Registry,
        repositories: &[Repository],
    ) -> BTreeMap<Repository, RegistryError> {
        type Group = (Vec<(String, String)>, Option<Repository>, String);
        let mut groups: BTreeMap<Group, (Candidates, Vec<Repository>)> = BTreeMap::new();
        let mut broken = BTreeMap::new();
        let different: BTreeSet<&Repository> = repositories.iter().collect();
        for repository in different {
            let found = match self.look_up(registry, repository).await {
                Ok(found) => found,
                Err(error) => {
                    broken.insert(repository.clone(), error);
                    continue;
                }
            };
            let who = found
                .offered
                .iter()
                .map(|c| (c.source.clone(), c.credential.username.clone()))
                .collect();
            let prefix = self.prefix(registry, Some(repository));
            let there = below(prefix.as_ref(), repository);
            let project = there.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
            let (_, members) = groups.entry((who, prefix, project)).or_insert((found, Vec::new()));
            members.push(repository.clone());
        }
        let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for ((_, prefix, _), (found, members)) in groups {
            for scopes in members.chunks(MOST_SCOPES) {
                let (prefix, found) = (prefix.clone(), found.clone());
                let access = Access::Pull;
                let session =
                    Session::new(registry.clone(), prefix, scopes.to_vec(), access, found);
                let session = Arc::new(session);
                for repository in scopes {
                    sessions
                        .entry((registry.clone(), repository.clone(), access))
                        .or_insert_with(|| Arc::clone(&session));
                }
            }
        }
        broken
    }

    /// What the registry itself asked for just now.
    pub(super) fn learn(
        &self,
        registry: &Registry,
        host: &Host,
        endpoint: &Endpoint,
        now: Option<&Challenge>,
    ) {
        let before = {
            let mut asks = host.challenge.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *asks, now.cloned())
        };
        // another request may have learned it at the same time
        let _ = host.confirmed.set(());
        self.0.remembered.note(endpoint, now);
        if before.is_some_and(|before| !now.is_some_and(|now| now.is_as(&before))) {
            // what another realm said of tokens and credentials says nothing here
            let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.retain(|(of, ..), _| of != registry);
        }
    }

    /// What to send for a challenge; `None` when it was last time's, and the registry, which was
    /// asked because of it, says something else now.
    async fn pass(
        &self,
        host: &Host,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
        session: &Session,
        (known, guessed): (&Challenge, bool),
    ) -> Result<Option<Pass>, RegistryError> {
        let passed = session.pass(&self.desk(endpoint), known, Some(ask.repository)).await;
        if !guessed || passed.is_ok() {
            return passed.map(Some);
        }
        let now = async || self.challenge(ask.registry, Some(ask.repository)).await.map(drop);
        let asked = host.confirmed.get_or_try_init(now).await.is_ok();
        let holds = host.asks().is_some_and(|now| now.is_as(known));
        if asked && !holds { Ok(None) } else { passed.map(Some) }
    }

    /// Sends a request with whatever authorisation it needs.
    #[expect(clippy::too_many_lines, reason = "one request's life, in order")]
    pub(super) async fn call(
        &self,
        ask: &Ask<'_>,
        budget: &mut Budget,
    ) -> Result<Answered, RegistryError> {
        let (host, endpoint) = self.endpoint(ask.registry, Some(ask.repository)).await?;
        let access = if ask.only_reads() { Access::Pull } else { Access::Push };
        let mut session = self.session(ask.registry, ask.repository, access).await?;
        let url = match ask.to {
            To::Address(url) => url.clone(),
            To::Path(path) => endpoint
                .base
                .join(&format!("v2/{}/{path}", session.there(ask.repository)))
                .map_err(|e| protocol(&endpoint.base, ask.what, &e.to_string()))?,
        };
        let mut renewed = false;
        // each round learns the challenge, renews the token once, or drops a candidate
        let (mut storage, mut untaken) = (0, None);
        for _ in 0..2 * session.len() + 6 {
            // in this order: what is read afterwards is at least as new
            let guessed = !host.confirmed.initialized();
            let challenge = host.asks();
            let mut pass = None;
            if let Some(known) = &challenge {
                let known = (known, guessed);
                pass = match self.pass(&host, &endpoint, ask, &session, known).await {
                    Err(RegistryError::NotGranted { none: false, .. }) if untaken.is_some() => {
                        return Err(untaken.unwrap_or_else(|| protocol(&url, ask.what, "401")));
                    }
                    other => other?,
                };
                if pass.is_none() {
                    session = self.session(ask.registry, ask.repository, access).await?;
                    continue;
                }
            }
            let answer = self.follow(&endpoint, &url, ask, pass.as_ref(), budget).await;
            // what a storage asks for, to which it was redirected, is not the registry's word
            let refused = answer.as_ref().is_ok_and(|answer| {
                let own = Realm::of(answer.url()).as_ref() == Some(&endpoint.origin);
                own && answer.status().as_u16() == 401
            });
            if !refused && let Some(turn) = pass.as_mut().and_then(|pass| pass.turn.take()) {
                let unclear = |error: &RegistryError| Outcome::Unclear(Failed::Stop(error.clone()));
                turn.ends(answer.as_ref().map_or_else(unclear, |_| Outcome::Taken)).await;
            }
            let response = answer?;
            tracing::debug!(
                registry = %ask.registry, repository = %ask.repository, what = ask.what,
                status = response.status().as_u16(), "registry answered"
            );
            if !refused {
                // whoever takes the token asks for it
                let _ = host.confirmed.set(());
                let status = response.status().as_u16();
                let elsewhere = Realm::of(response.url()).as_ref() != Some(&endpoint.origin);
                match (status, pass) {
                    // an address that the registry signed may have ended on the way
                    (400 | 401 | 403, _) if elsewhere && storage == 0 => {
                        tracing::debug!(
                            status,
                            what = ask.what,
                            "the storage refuses: asked once more"
                        );
                        storage += 1;
                        continue;
                    }
                    (400 | 401 | 403, _) if elsewhere => {
                        return Err(RegistryError::Storage {
                            storage: host_of(response.url()),
                            registry: ask.registry.clone(),
                            what: ask.what.to_owned(),
                            said: self.said(response).await,
                        });
                    }
                    // a HEAD has no words: its GET decides
                    (403, Some(pass)) if ask.method == Method::GET => {
                        let said = self.said(response).await;
                        session.turn_down(&pass, ask.repository, said.to_string());
                        renewed = false;
                        continue;
                    }
                    _ => return Ok(Answered { response }),
                }
            }
            let asked = Challenge::of(response.headers());
            if let (Some(now), true) = (&asked, guessed || pass.is_none()) {
                self.learn(ask.registry, &host, &endpoint, Some(now));
                if challenge.is_none_or(|known| !now.is_as(&known)) {
                    session = self.session(ask.registry, ask.repository, access).await?;
                    continue;
                }
            }
            match (pass, asked) {
                (Some(pass), Some(Challenge::Bearer(Bearer { error: Some(error), .. })))
                    if error == "insufficient_scope" =>
                {
                    session.turn_down(&pass, ask.repository, "not granted".into());
                    renewed = false;
                }
                (Some(pass), _) if pass.renewable && !renewed => {
                    renewed = true;
                    session.renew(&pass).await;
                }
                (Some(pass), _) if !pass.renewable => {
                    let said = self.said(response).await;
                    return Err(session.refuse(pass, said).await);
                }
                // a second one that is not taken: another credential may do better
                (Some(pass), _) => {
                    let said = self.said(response).await;
                    let why =
                        format!("the registry takes no token that its realm gives for it ({said})");
                    session.turn_down(&pass, ask.repository, why);
                    let (host, what) = (host_of(&url), ask.what.to_owned());
                    untaken = Some(RegistryError::Answer { host, what, said });
                    renewed = false;
                }
                (None, _) => {
                    return Err(RegistryError::NoChallenge {
                        host: host_of(&url),
                        what: ask.what.to_owned(),
                        offers: self.offers(response.headers()),
                        said: self.said(response).await,
                    });
                }
            }
        }
        Err(protocol(&url, ask.what, "it never accepts the tokens of its own realm"))
    }

    /// The ways to log in that a server offers, as it names them.
    pub(super) fn offers(&self, headers: &HeaderMap) -> String {
        let schemes = super::challenge::schemes(headers);
        self.0.transport.words(&schemes.join(", ")).into()
    }

    pub(super) fn desk<'a>(&'a self, endpoint: &'a Endpoint) -> Desk<'a> {
        Desk {
            transport: &self.0.transport,
            options: &self.0.options,
            endpoint,
            gates: &self.0.gates,
        }
    }

    /// The proxy on the way to a registry, as `http://proxy.example:3128 (https_proxy)`.
    ///
    /// # Errors
    /// When the registry's name is no host name, or it had to be asked and was not there.
    pub async fn proxy(
        &self,
        registry: &Registry,
        repository: &Repository,
    ) -> Result<Option<String>, RegistryError> {
        Ok(self.endpoint(registry, Some(repository)).await?.1.proxy)
    }

    pub(super) async fn said(&self, response: Response) -> Box<super::Said> {
        self.0.transport.said(response, self.0.options.limits.error).await
    }

    /// Sends, and follows redirects by hand: the token goes only to the registry's own origin.
    async fn follow(
        &self,
        endpoint: &Endpoint,
        first: &Url,
        ask: &Ask<'_>,
        pass: Option<&Pass>,
        budget: &mut Budget,
    ) -> Result<Response, RegistryError> {
        let insecure = &self.0.options.insecure;
        let mut url = first.clone();
        let mut reach = Reach::Anywhere;
        for _ in 0..=MOST_REDIRECTS {
            let origin = Realm::of(&url);
            let mut headers = ask.headers.clone();
            if let Some(pass) = pass
                && origin.as_ref() == Some(&endpoint.origin)
            {
                headers.insert(AUTHORIZATION, pass.header.clone());
            }
            let unverified =
                origin.as_ref().is_some_and(|o| super::endpoint::is_listed(insecure, o));
            let (method, body) = (ask.method.clone(), ask.body.clone());
            let request = Request { method, url: url.clone(), headers, unverified, reach, body };
            let response = self.0.transport.send(&request, budget).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            if !ask.only_reads() {
                // what is sent goes to the registry that was named, and to nobody that it names
                return Err(protocol(
                    &url,
                    ask.what,
                    "it redirects an upload, which is not followed",
                ));
            }
            let target = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|text| url.join(text).ok())
                .ok_or_else(|| protocol(&url, ask.what, "a redirect that leads nowhere"))?;
            if let Some(reason) = endpoint.forbids_redirect(&target, insecure) {
                let reason = format!("its redirect is not followed: {reason}");
                return Err(protocol(&url, ask.what, &reason));
            }
            tracing::debug!(to = host_of(&target), what = ask.what, "redirected");
            reach = self.reach_of_redirect(endpoint, &target).await;
            url = target;
        }
        Err(protocol(first, ask.what, "too many redirects"))
    }

    /// How far the name of a redirect's target may lead. Behind a proxy it is the proxy that connects.
    async fn reach_of_redirect(&self, endpoint: &Endpoint, to: &Url) -> Reach {
        let (own, insecure) = (endpoint.origin.host(), &self.0.options.insecure);
        let listed = Realm::of(to).is_some_and(|to| super::endpoint::is_listed(insecure, &to));
        if listed || to.host_str() == Some(own) || self.0.transport.proxy(to).is_some() {
            return Reach::Anywhere;
        }
        let found = look_up(&self.0.options.names, own).await;
        Reach::of(&found.unwrap_or_default()).max(Reach::Site)
    }
}

/// `https://host/v2/`.
pub(super) fn v2(endpoint: &Endpoint) -> Result<Url, RegistryError> {
    endpoint.base.join("v2/").map_err(|e| protocol(&endpoint.base, "/v2/", &e.to_string()))
}

pub(super) fn protocol(url: &Url, what: &str, reason: &str) -> RegistryError {
    RegistryError::Protocol { host: host_of(url), what: what.to_owned(), reason: reason.to_owned() }
}
