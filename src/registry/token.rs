//! Tokens: which credential is tried, when a token is asked for, and when it is thrown away.
//!
//! ```text
//!  candidates in order, at last nobody:
//!    unasked --ask--> token --it covers the repository--> used until shortly before its end
//!                       |  \--it does not---------------> the next candidate
//!                       \--401 invalid_token------------> unasked (once per request)
//!            --401----> refused: the end, for this credential and this run
//!            --403----> no registry scope: the next candidate
//! ```
//!
//! Several layers that need a token at the same time wait for one request (single flight), and a
//! credential that was never accepted before is tried by one request at a time, because some
//! GitLab instances ban an address after 30 refusals. Sources: docker distribution's "Token
//! Authentication Specification"; GitLab's answers as `docs/registry.md` lists them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::{Bearer, Challenge};
use super::claims::Claims;
use super::endpoint::Endpoint;
use super::options::Options;
use super::transport::{Cut, Request, Transport, host_of};
use super::{RegistryError, Said};
use crate::oci::{Digest, Registry, Repository, Sha256Digest};
use crate::secret::{Candidate, Candidates, Realm, Secret};

/// What `Authorization` one request carries.
pub(super) struct Pass {
    /// Sensitive.
    pub(super) header: HeaderValue,
    /// Which candidate it came from.
    slot: usize,
    /// Which token of that candidate.
    number: u64,
    /// Whether a 401 can be cured by a new token.
    pub(super) renewable: bool,
    /// Texts that must not come back in a message.
    pub(super) hide: Vec<Secret>,
}

/// What a token realm, or the way there, is asked with.
pub(super) struct Desk<'a> {
    pub(super) transport: &'a Transport,
    pub(super) options: &'a Options,
    pub(super) endpoint: &'a Endpoint,
    pub(super) gates: &'a Gates,
}

/// The verdict on each credential that was ever sent, kept for the whole run.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<(String, Digest, Realm), Gate>>);

type Gate = Arc<tokio::sync::Mutex<Option<Verdict>>>;

#[derive(Clone)]
enum Verdict {
    Accepted,
    Rejected(Failed),
}

impl Gates {
    fn of(&self, candidate: &Candidate, realm: &Realm) -> Gate {
        let password = Digest::of(candidate.credential.password.expose().as_bytes());
        let key = (candidate.credential.username.clone(), password, realm.clone());
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(key).or_default())
    }
}

/// The tokens for one set of repositories of one registry.
pub(super) struct Session {
    registry: Registry,
    scopes: Vec<Repository>,
    slots: Vec<Slot>,
    skipped: Vec<String>,
    /// Candidates that the registry itself turned down for a repository.
    turned_down: Mutex<HashSet<(usize, Repository)>>,
    numbers: AtomicU64,
}

struct Slot {
    /// `None` asks without a credential.
    candidate: Option<Candidate>,
    state: tokio::sync::Mutex<State>,
}

enum State {
    Unasked,
    Token(Token),
    Failed(Failed),
}

/// Why a candidate has no token.
#[derive(Clone)]
enum Failed {
    /// Nothing else is tried.
    Stop(RegistryError),
    /// The next candidate is tried; the error is told when none is left.
    Next(RegistryError),
    /// The same, for the anonymous candidate.
    Nobody(String),
}

struct Token {
    header: HeaderValue,
    number: u64,
    renew_at: Option<Instant>,
    /// The repositories that may be pulled, where the token says so.
    covers: Option<BTreeSet<String>>,
    hide: Vec<Secret>,
}

impl Session {
    pub(super) fn new(registry: Registry, scopes: Vec<Repository>, found: Candidates) -> Self {
        let with = found.offered.into_iter().map(Some).chain([None]);
        Self::of(registry, scopes, with, found.skipped)
    }

    /// Only this credential, and never nobody: what `login` checks.
    pub(super) fn only(registry: Registry, scopes: Vec<Repository>, candidate: Candidate) -> Self {
        Self::of(registry, scopes, [Some(candidate)].into_iter(), Vec::new())
    }

    fn of(
        registry: Registry,
        scopes: Vec<Repository>,
        candidates: impl Iterator<Item = Option<Candidate>>,
        skipped: Vec<String>,
    ) -> Self {
        let slot = |candidate| Slot { candidate, state: tokio::sync::Mutex::new(State::Unasked) };
        Self {
            registry,
            scopes,
            slots: candidates.map(slot).collect(),
            skipped,
            turned_down: Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }

    /// How many candidates there are, the anonymous one included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// What to send with a request for `repository`; `None` for `/v2/` itself asks for any token.
    pub(super) async fn pass(
        &self,
        desk: &Desk<'_>,
        challenge: &Challenge,
        repository: Option<&Repository>,
    ) -> Result<Pass, RegistryError> {
        let mut failures = Vec::new();
        let mut tried = Vec::new();
        for (number, slot) in self.slots.iter().enumerate() {
            if repository.is_some_and(|r| self.was_turned_down(number, r)) {
                tried.push(format!("{}: not granted", slot.name()));
                continue;
            }
            // held while asking, so that everybody else waits for this one answer
            let mut state = slot.state.lock().await;
            let worn = match &*state {
                State::Unasked => true,
                State::Token(token) => token.renew_at.is_some_and(|at| Instant::now() >= at),
                State::Failed(_) => false,
            };
            if worn {
                *state = match self.obtain(desk, challenge, slot.candidate.as_ref()).await {
                    Ok(token) => State::Token(token),
                    Err(failed) => State::Failed(failed),
                };
            }
            match &*state {
                State::Token(token) if repository.is_none_or(|r| token.covers(r)) => {
                    return Ok(Pass {
                        header: token.header.clone(),
                        slot: number,
                        number: token.number,
                        renewable: matches!(challenge, Challenge::Bearer(_)),
                        hide: token.hide.clone(),
                    });
                }
                State::Token(_) => tried.push(format!("{}: not granted", slot.name())),
                State::Failed(Failed::Stop(error)) => return Err(error.clone()),
                State::Failed(Failed::Next(error)) => {
                    tried.push(error.to_string());
                    failures.push(error.clone());
                }
                State::Failed(Failed::Nobody(why)) => tried.push(why.clone()),
                State::Unasked => {} // obtain() was called above
            }
        }
        // a single credential of the wrong kind is a clearer story than a list
        let credentials = self.slots.iter().filter(|slot| slot.candidate.is_some()).count();
        match (failures.into_iter().next(), repository) {
            (Some(error), Some(_)) if credentials == 1 => Err(error),
            (_, Some(repository)) => Err(self.not_granted(repository, tried)),
            (Some(error), None) => Err(error),
            (None, None) => Err(RegistryError::Configuration(format!(
                "{} wants a credential and there is none ({})",
                self.registry,
                tried.join("; ")
            ))),
        }
    }

    fn not_granted(&self, repository: &Repository, mut tried: Vec<String>) -> RegistryError {
        tried.extend(self.skipped.iter().cloned());
        RegistryError::NotGranted {
            registry: self.registry.clone(),
            repository: repository.clone(),
            tried,
        }
    }

    fn was_turned_down(&self, slot: usize, repository: &Repository) -> bool {
        let turned_down = self.turned_down.lock().unwrap_or_else(PoisonError::into_inner);
        turned_down.contains(&(slot, repository.clone()))
    }

    /// The registry answered `insufficient_scope`: this candidate is of no use for the repository.
    pub(super) fn turn_down(&self, pass: &Pass, repository: &Repository) {
        let mut turned_down = self.turned_down.lock().unwrap_or_else(PoisonError::into_inner);
        turned_down.insert((pass.slot, repository.clone()));
    }

    /// The registry answered `invalid_token`: ask again, unless somebody did already.
    pub(super) async fn renew(&self, pass: &Pass) {
        let mut state = self.slots[pass.slot].state.lock().await;
        if matches!(&*state, State::Token(token) if token.number == pass.number) {
            *state = State::Unasked;
        }
    }

    /// A credential that the registry itself refused (Basic): never again in this run.
    pub(super) async fn refuse(
        &self,
        desk: &Desk<'_>,
        pass: &Pass,
        said: Box<Said>,
    ) -> RegistryError {
        let slot = &self.slots[pass.slot];
        let error = match &slot.candidate {
            Some(candidate) => {
                let error = self.refused(candidate, said);
                let gate = desk.gates.of(candidate, &desk.endpoint.origin);
                *gate.lock().await = Some(Verdict::Rejected(Failed::Stop(error.clone())));
                error
            }
            None => RegistryError::Answer {
                host: self.registry.to_string(),
                what: "anonymous access".into(),
                said,
            },
        };
        *slot.state.lock().await = State::Failed(Failed::Stop(error.clone()));
        error
    }

    fn refused(&self, candidate: &Candidate, said: Box<Said>) -> RegistryError {
        RegistryError::Refused {
            registry: self.registry.clone(),
            username: candidate.credential.username.clone(),
            source_name: candidate.source.clone(),
            said,
        }
    }

    async fn obtain(
        &self,
        desk: &Desk<'_>,
        challenge: &Challenge,
        candidate: Option<&Candidate>,
    ) -> Result<Token, Failed> {
        if let Some(candidate) = candidate
            && !desk.endpoint.takes_secrets()
        {
            return Err(Failed::Stop(RegistryError::PlainHttp {
                registry: self.registry.clone(),
                source_name: candidate.source.clone(),
            }));
        }
        match (challenge, candidate) {
            (Challenge::Basic, None) => Err(Failed::Nobody("anonymous: not allowed".into())),
            (Challenge::Basic, Some(candidate)) => {
                let gate = desk.gates.of(candidate, &desk.endpoint.origin);
                if let Some(Verdict::Rejected(failed)) = gate.lock().await.as_ref() {
                    return Err(failed.clone());
                }
                let (header, hide) = basic(candidate).map_err(Failed::Stop)?;
                Ok(Token { header, number: self.next(), renew_at: None, covers: None, hide })
            }
            (Challenge::Bearer(bearer), candidate) => {
                let (url, realm) = self.address(desk, bearer, candidate).map_err(Failed::Stop)?;
                let Some(candidate) = candidate else {
                    return self.ask(desk, &url, &realm, None).await;
                };
                let gate = desk.gates.of(candidate, &realm);
                let mut verdict = gate.lock().await;
                match verdict.as_ref() {
                    Some(Verdict::Rejected(failed)) => return Err(failed.clone()),
                    Some(Verdict::Accepted) => {
                        drop(verdict);
                        return self.ask(desk, &url, &realm, Some(candidate)).await;
                    }
                    None => {}
                }
                let answer = self.ask(desk, &url, &realm, Some(candidate)).await;
                *verdict = match &answer {
                    Ok(_) => Some(Verdict::Accepted),
                    Err(failed) => Some(Verdict::Rejected(failed.clone())),
                };
                answer
            }
        }
    }

    fn next(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The URL of the token request and its realm, after every check on where it leads.
    fn address(
        &self,
        desk: &Desk<'_>,
        bearer: &Bearer,
        candidate: Option<&Candidate>,
    ) -> Result<(Url, Realm), RegistryError> {
        let forbidden = |reason| RegistryError::ForbiddenRealm {
            registry: self.registry.clone(),
            realm: bearer.realm.chars().take(200).collect(),
            reason,
        };
        let mut url = Url::parse(&bearer.realm).map_err(|_| forbidden("it is not a URL"))?;
        let realm = Realm::of(&url).ok_or_else(|| forbidden("it is no plain http(s) URL"))?;
        let insecure = &desk.options.insecure;
        if let Some(candidate) = candidate {
            let own = realm == desk.endpoint.origin;
            if !own && !candidate.realms.contains(&realm) {
                return Err(RegistryError::UnknownRealm {
                    registry: self.registry.clone(),
                    realm,
                    source_name: candidate.source.clone(),
                });
            }
            if !desk.endpoint.realm_takes_secrets(&realm, insecure) {
                return Err(forbidden("it is plain http, and a credential would be sent there"));
            }
        } else if let Some(reason) = desk.endpoint.forbids(&realm, insecure) {
            return Err(forbidden(reason));
        }
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(bearer.service.iter().map(|service| ("service", service)));
            query.append_pair("client_id", "moorline");
            for repository in &self.scopes {
                query.append_pair("scope", &format!("repository:{repository}:pull"));
            }
        }
        Ok((url, realm))
    }

    async fn ask(
        &self,
        desk: &Desk<'_>,
        url: &Url,
        realm: &Realm,
        candidate: Option<&Candidate>,
    ) -> Result<Token, Failed> {
        let mut headers = HeaderMap::new();
        let mut hide = Vec::new();
        if let Some(candidate) = candidate {
            let (header, secrets) = basic(candidate).map_err(Failed::Stop)?;
            headers.insert(AUTHORIZATION, header);
            hide = secrets;
        }
        let insecure = super::endpoint::is_listed(&desk.options.insecure, realm);
        let request =
            Request { method: Method::GET, url: url.clone(), headers, unverified: insecure };
        tracing::debug!(%realm, registry = %self.registry, with_credential = candidate.is_some(), "asking for a token");
        let asked = Instant::now();
        let mut budget = desk.transport.budget();
        let stop = |error| Failed::Stop(error);
        let limit = desk.options.limits.token;
        let body = loop {
            let response = desk.transport.send(&request, &mut budget).await.map_err(stop)?;
            if response.status().as_u16() != 200 {
                let said = desk.transport.said(response, desk.options.limits.error, &hide).await;
                return Err(self.no_token(realm, candidate, said));
            }
            match desk.transport.read(response, limit).await {
                Ok(body) => break body,
                Err(Cut::TooLarge) => {
                    let (what, host) = ("token answer".into(), host_of(url));
                    return Err(stop(RegistryError::TooLarge { what, host, limit }));
                }
                // the credential was not refused: asking again is no second try of it
                Err(Cut::Broken(reason)) => {
                    if !budget.spend(None).await {
                        let (doing, host) = ("read a token from", host_of(url));
                        return Err(stop(RegistryError::Unreachable { doing, host, reason }));
                    }
                }
            }
        };
        let protocol = |reason: &str| {
            stop(RegistryError::Protocol {
                host: host_of(url),
                what: "a token".into(),
                reason: reason.into(),
            })
        };
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| protocol("its body is not the JSON of a token"))?;
        let token = answer
            .token
            .or(answer.access_token)
            .filter(|token| !token.is_empty())
            .map(Secret::new)
            .ok_or_else(|| protocol("it holds no token"))?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| protocol("its token cannot be sent"))?;
        header.set_sensitive(true);
        let claims = Claims::of(token.expose());
        let lifetime = claims.lifetime().or(answer.expires_in.map(Duration::from_secs));
        hide.push(token);
        Ok(Token {
            header,
            number: self.next(),
            renew_at: lifetime.map(|lifetime| asked + worth(lifetime)),
            covers: claims.covers(),
            hide,
        })
    }

    /// What an answer without a token means.
    fn no_token(&self, realm: &Realm, candidate: Option<&Candidate>, said: Box<Said>) -> Failed {
        match (said.status, candidate) {
            (401 | 403, None) => Failed::Nobody(format!("anonymous: {said}")),
            (401, Some(candidate)) => Failed::Stop(self.refused(candidate, said)),
            // a ban of the address has no JSON body: stop knocking
            (403, Some(candidate)) if said.code == "DENIED" => {
                Failed::Next(RegistryError::NoRegistryScope {
                    registry: self.registry.clone(),
                    username: candidate.credential.username.clone(),
                    source_name: candidate.source.clone(),
                    said,
                })
            }
            (300..=399, _) => Failed::Stop(RegistryError::Protocol {
                host: realm.to_string(),
                what: "a token".into(),
                reason: format!("it redirects ({said}), which is not followed for tokens"),
            }),
            _ => Failed::Stop(RegistryError::Answer {
                host: realm.to_string(),
                what: "a token".into(),
                said,
            }),
        }
    }
}

impl Slot {
    fn name(&self) -> String {
        match &self.candidate {
            Some(c) => format!("user {:?} from {}", c.credential.username, c.source),
            None => "anonymous".into(),
        }
    }
}

impl Token {
    fn covers(&self, repository: &Repository) -> bool {
        self.covers.as_ref().is_none_or(|covers| covers.contains(repository.as_str()))
    }
}

/// The `Authorization: Basic` header of a candidate, and the texts in it that must stay hidden.
fn basic(candidate: &Candidate) -> Result<(HeaderValue, Vec<Secret>), RegistryError> {
    let password = &candidate.credential.password;
    let both = Secret::new(format!("{}:{}", candidate.credential.username, password.expose()));
    let encoded = Secret::new(STANDARD.encode(both.expose()));
    let mut header =
        HeaderValue::from_str(&format!("Basic {}", encoded.expose())).map_err(|_| {
            RegistryError::Configuration(format!(
                "the secret from {} cannot be sent",
                candidate.source
            ))
        })?;
    header.set_sensitive(true);
    // the forms in which a realm could send it back
    let alone = Secret::new(STANDARD.encode(password.expose()));
    let in_url = password.expose().bytes().map(|b| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(b).to_string()
        }
        other => format!("%{other:02X}"),
    });
    let in_url = Secret::new(in_url.collect());
    Ok((header, vec![password.clone(), encoded, alone, in_url]))
}

/// A fifth of the life is left unused, at most half a minute: a request needs some of it.
fn worth(lifetime: Duration) -> Duration {
    lifetime.saturating_sub((lifetime / 5).min(Duration::from_secs(30)))
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_before_their_end() {
        assert_eq!(worth(Duration::from_secs(5)), Duration::from_secs(4));
        assert_eq!(worth(Duration::from_secs(900)), Duration::from_secs(870));
    }
}
