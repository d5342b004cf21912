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
//! Several layers that need a token at the same time wait for one request (single flight); `gates` decides how often a
//! credential may be sent at all. Sources: docker distribution's "Token Authentication Specification"; GitLab's answers
//! as `docs/registry.md` lists them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use reqwest::header::HeaderValue;

use super::basic::basic;
use super::challenge::{Bearer, Challenge};
use super::endpoint::Endpoint;
use super::gates::{Failed, Gates, Outcome, Turn};
use super::options::Options;
use super::transport::Transport;
use super::{RegistryError, Said};
use crate::oci::{Registry, Repository};
use crate::secret::{Candidate, Candidates};

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
    /// Of a credential that is itself in the header: its turn, until the registry has answered.
    pub(super) turn: Option<Turn>,
}

/// What a token realm, or the way there, is asked with.
pub(super) struct Desk<'a> {
    pub(super) transport: &'a Transport,
    pub(super) options: &'a Options,
    pub(super) endpoint: &'a Endpoint,
    pub(super) gates: &'a Gates,
}

/// What is to be done in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Pull,
    /// Registries want both for it: docker-registry begins an upload only for who may pull too.
    Push,
    /// Pull, but both are asked for, to learn what a credential is for.
    Learn,
}

impl Access {
    pub(super) fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Pull | Self::Learn => &["pull"],
            Self::Push => &["pull", "push"],
        }
    }

    /// As a token request names it.
    pub(super) fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push | Self::Learn => "pull,push",
        }
    }
}

/// The tokens for one set of repositories of one registry.
pub(super) struct Session {
    pub(super) registry: Registry,
    /// The path below which the registry is; no part of a repository's name there.
    prefix: Option<Repository>,
    pub(super) scopes: Vec<Repository>,
    pub(super) access: Access,
    slots: Vec<Slot>,
    skipped: Vec<String>,
    /// Candidates that the registry itself turned down for a repository.
    turned_down: Mutex<HashMap<(usize, Repository), String>>,
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

pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) number: u64,
    pub(super) renew_at: Option<Instant>,
    /// The repositories in which it may be done, where the token says so.
    pub(super) covers: Option<BTreeSet<String>>,
    /// The repositories that it lets push to and not pull from.
    pub(super) only_pushes: BTreeSet<String>,
}

impl Session {
    pub(super) fn new(
        registry: Registry,
        prefix: Option<Repository>,
        scopes: Vec<Repository>,
        access: Access,
        found: Candidates,
    ) -> Self {
        let with = found.offered.into_iter().map(Some).chain([None]);
        Self { access, ..Self::of(registry, prefix, scopes, with, found.skipped) }
    }

    /// Only this credential, and never nobody: what `login` checks.
    pub(super) fn only(
        registry: Registry,
        prefix: Option<Repository>,
        scopes: Vec<Repository>,
        candidate: Candidate,
    ) -> Self {
        let one = [Some(candidate)].into_iter();
        Self { access: Access::Learn, ..Self::of(registry, prefix, scopes, one, Vec::new()) }
    }

    /// A repository that the only credential may push to and not pull from.
    pub(super) async fn push_only(&self) -> Option<RegistryError> {
        let [Slot { candidate: Some(candidate), state }] = self.slots.as_slice() else {
            return None;
        };
        let state = state.lock().await;
        let State::Token(token) = &*state else { return None };
        let repository =
            self.scopes.iter().find(|name| token.only_pushes.contains(self.there(name)))?;
        Some(RegistryError::PushOnly {
            registry: self.registry.clone(),
            repository: repository.clone(),
            username: candidate.credential.username.clone(),
            source_name: candidate.source.clone(),
        })
    }

    /// A repository's name where the registry is.
    pub(super) fn there<'a>(&self, repository: &'a Repository) -> &'a str {
        below(self.prefix.as_ref(), repository)
    }

    fn of(
        registry: Registry,
        prefix: Option<Repository>,
        scopes: Vec<Repository>,
        candidates: impl Iterator<Item = Option<Candidate>>,
        skipped: Vec<String>,
    ) -> Self {
        let slot = |candidate| Slot { candidate, state: tokio::sync::Mutex::new(State::Unasked) };
        Self {
            registry,
            prefix,
            scopes,
            access: Access::Pull,
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
            if let Some(why) = repository.and_then(|r| self.was_turned_down(number, r)) {
                tried.push(format!("{}: {why}", slot.name()));
                continue;
            }
            let Challenge::Bearer(bearer) = challenge else {
                match self.basic(desk, number, slot.candidate.as_ref()).await {
                    Ok(pass) => return Ok(pass),
                    Err(Failed::Stop(error)) => return Err(error),
                    Err(Failed::Next(error)) => {
                        tried.push(error.to_string());
                        failures.push(error);
                    }
                    Err(Failed::Nobody(why)) => tried.push(why),
                }
                continue;
            };
            // held while asking, so that everybody else waits for this one answer
            let mut state = slot.state.lock().await;
            let worn = match &*state {
                State::Unasked => true,
                State::Token(token) => token.renew_at.is_some_and(|at| Instant::now() >= at),
                State::Failed(_) => false,
            };
            if worn {
                *state = match self.obtain(desk, bearer, slot.candidate.as_ref()).await {
                    Ok(token) => State::Token(token),
                    Err(failed) => State::Failed(failed),
                };
            }
            match &*state {
                State::Token(token) if repository.is_none_or(|r| token.covers(self.there(r))) => {
                    return Ok(Pass {
                        header: token.header.clone(),
                        slot: number,
                        number: token.number,
                        renewable: true,
                        turn: None,
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
        let (registry, repository) = (self.registry.clone(), repository.clone());
        match self.access {
            Access::Pull | Access::Learn => {
                let none = self.slots.iter().all(|slot| slot.candidate.is_none());
                RegistryError::NotGranted { registry, repository, none, tried }
            }
            Access::Push => RegistryError::NoPush { registry, repository, tried },
        }
    }

    fn was_turned_down(&self, slot: usize, repository: &Repository) -> Option<String> {
        let turned_down = self.turned_down.lock().unwrap_or_else(PoisonError::into_inner);
        turned_down.get(&(slot, repository.clone())).cloned()
    }

    /// The registry itself did not take it: this candidate is of no use for the repository.
    pub(super) fn turn_down(&self, pass: &Pass, repository: &Repository, why: String) {
        let mut turned_down = self.turned_down.lock().unwrap_or_else(PoisonError::into_inner);
        turned_down.insert((pass.slot, repository.clone()), why);
    }

    /// The registry answered `invalid_token`: ask again, unless somebody did already.
    pub(super) async fn renew(&self, pass: &Pass) {
        let mut state = self.slots[pass.slot].state.lock().await;
        if matches!(&*state, State::Token(token) if token.number == pass.number) {
            *state = State::Unasked;
        }
    }

    /// A credential that the registry itself refused (Basic): never again in this run.
    pub(super) async fn refuse(&self, pass: Pass, said: Box<Said>) -> RegistryError {
        let error = match &self.slots[pass.slot].candidate {
            Some(candidate) => self.refused(candidate, said),
            None => RegistryError::Answer {
                host: self.registry.to_string(),
                what: "anonymous access".into(),
                said,
            },
        };
        if let Some(turn) = pass.turn {
            turn.ends(Outcome::Refused(Failed::Stop(error.clone()))).await;
        }
        error
    }

    pub(super) fn refused(&self, candidate: &Candidate, said: Box<Said>) -> RegistryError {
        RegistryError::Refused {
            registry: self.registry.clone(),
            username: candidate.credential.username.clone(),
            source_name: candidate.source.clone(),
            said,
        }
    }

    /// The credential itself, for one request; nobody else sends it before its verdict is there.
    async fn basic(
        &self,
        desk: &Desk<'_>,
        slot: usize,
        candidate: Option<&Candidate>,
    ) -> Result<Pass, Failed> {
        let Some(candidate) = candidate else {
            return Err(Failed::Nobody("anonymous: not allowed".into()));
        };
        self.may_travel(desk, candidate)?;
        let turn = desk.gates.of(candidate, &desk.endpoint.origin).enter().await?;
        let header = basic(candidate, desk.transport.hidden()).map_err(Failed::Stop)?;
        let number = self.next();
        Ok(Pass { header, slot, number, renewable: false, turn: Some(turn) })
    }

    async fn obtain(
        &self,
        desk: &Desk<'_>,
        bearer: &Bearer,
        candidate: Option<&Candidate>,
    ) -> Result<Token, Failed> {
        if let Some(candidate) = candidate {
            self.may_travel(desk, candidate)?;
        }
        let to = self.address(desk, bearer, candidate).await.map_err(Failed::Stop)?;
        let Some(candidate) = candidate else { return self.ask(desk, &to, None).await };
        let turn = desk.gates.of(candidate, &to.realm).enter().await?;
        let answer = self.ask(desk, &to, Some(candidate)).await;
        turn.ends(match &answer {
            Ok(_) => Outcome::Taken,
            Err(failed) if failed.is_verdict() => Outcome::Refused(failed.clone()),
            Err(failed) => Outcome::Unclear(failed.clone()),
        })
        .await;
        answer
    }

    fn may_travel(&self, desk: &Desk<'_>, candidate: &Candidate) -> Result<(), Failed> {
        if desk.endpoint.takes_secrets() {
            return Ok(());
        }
        Err(Failed::Stop(RegistryError::PlainHttp {
            registry: self.registry.clone(),
            source_name: candidate.source.clone(),
            proxy: desk.endpoint.proxy.clone(),
        }))
    }

    pub(super) fn next(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
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
    fn covers(&self, repository: &str) -> bool {
        self.covers.as_ref().is_none_or(|covers| covers.contains(repository))
    }
}

/// A repository's name without the path that the registry is below.
pub(super) fn below<'a>(prefix: Option<&Repository>, repository: &'a Repository) -> &'a str {
    let rest = prefix.and_then(|prefix| repository.as_str().strip_prefix(prefix.as_str()));
    rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or(repository.as_str())
}
