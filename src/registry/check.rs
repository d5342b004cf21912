//! What `login` needs: which realm a registry names, and whether a credential is good.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap};

use super::call::v2;
use super::gates::Outcome;
use super::names::Reach;
use super::token::Session;
use super::token_request::MOST_SCOPES;
use super::transport::{Request, host_of};
use super::{Challenge, Client, RegistryError};
use crate::oci::{Registry, Repository};
use crate::secret::{Candidate, Realm};

/// What a credential is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The registry allows anonymous access.
    NotAsked,
    /// The credential is right, and pulls these of the repositories that were asked for, of which
    /// there is one at least; also when they are still empty.
    Pulls(Vec<Repository>),
    /// The registry takes the credential and does not say for which repositories (HTTP Basic).
    Accepted,
    /// The credential is right. It was granted none of the repositories that were asked for: groups
    /// (that cannot be checked), missing, or not its own.
    Known,
}

impl Client {
    /// What the registry of a repository asks for, without sending any credential; `None` when it
    /// asks for nothing.
    ///
    /// # Errors
    /// When it cannot be reached, or `/v2/` is not there.
    pub async fn challenge(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<Option<Challenge>, RegistryError> {
        let (host, endpoint) = self.endpoint(registry, repository).await?;
        let request = Request {
            method: Method::GET,
            url: v2(&endpoint)?,
            headers: HeaderMap::new(),
            unverified: endpoint.insecure,
            reach: Reach::Anywhere,
            body: None,
        };
        let response = self.0.transport.send(&request, &mut self.0.transport.budget()).await?;
        match (response.status().as_u16(), Challenge::of(response.headers())) {
            (401, Some(challenge)) => {
                self.learn(registry, &host, &endpoint, Some(&challenge));
                Ok(Some(challenge))
            }
            (200, _) => {
                self.learn(registry, &host, &endpoint, None);
                Ok(None)
            }
            (401, None) => Err(RegistryError::NoChallenge {
                host: host_of(&request.url),
                what: "/v2/".into(),
                offers: self.offers(response.headers()),
                said: self.said(response).await,
            }),
            _ => Err(RegistryError::Answer {
                host: host_of(&request.url),
                what: "/v2/ (is this a container registry?)".into(),
                said: self.said(response).await,
            }),
        }
    }

    /// The realm that a registry names, for the user to confirm; `None` when it wants no token.
    ///
    /// # Errors
    /// As [`Client::challenge`]; also when the realm is no http(s) URL.
    pub async fn realm(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<Option<Realm>, RegistryError> {
        match self.challenge(registry, repository).await? {
            Some(Challenge::Bearer(bearer)) => {
                bearer.realm.parse().map(Some).map_err(|_| RegistryError::ForbiddenRealm {
                    registry: registry.clone(),
                    realm: self.0.transport.words(&bearer.realm).into(),
                    reason: "it is not a http(s) URL",
                })
            }
            _ => Ok(None),
        }
    }

    /// Tries a credential once: asks for one token, and which of `repositories` it pulls. Of these
    /// the first 40 are asked for, and of several registries below paths of one host the first's.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] when it is wrong, [`RegistryError::NoRegistryScope`] when it is
    /// of the wrong kind, [`RegistryError::PushOnly`] when it pulls nothing and pushes, [`RegistryError::UnknownRealm`] when the realm is not among the
    /// candidate's, [`RegistryError::PlainHttp`] when it would travel in the clear.
    pub async fn check(
        &self,
        registry: &Registry,
        repositories: &[Repository],
        candidate: Candidate,
    ) -> Result<Grant, RegistryError> {
        let Some(challenge) = self.challenge(registry, repositories.first()).await? else {
            return Ok(Grant::NotAsked);
        };
        let first = repositories.first();
        let (_, endpoint) = self.endpoint(registry, first).await?;
        let prefix = self.prefix(registry, first);
        // of one registry; the path that it is below is not a repository of it
        let here = |name: &&Repository| {
            self.prefix(registry, Some(*name)) == prefix && prefix.as_ref() != Some(*name)
        };
        let repositories: Vec<Repository> =
            repositories.iter().filter(here).take(MOST_SCOPES).cloned().collect();
        let session = Session::only(registry.clone(), prefix, repositories.clone(), candidate);
        let desk = self.desk(&endpoint);
        if challenge == Challenge::Basic {
            let pass = session.pass(&desk, &challenge, None).await?;
            // only the registry itself can say whether it is right
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, pass.header.clone());
            let unverified = endpoint.insecure;
            let (method, url, reach) = (Method::GET, v2(&endpoint)?, Reach::Anywhere);
            let request = Request { method, url, headers, unverified, reach, body: None };
            let response = self.0.transport.send(&request, &mut self.0.transport.budget()).await?;
            if response.status().as_u16() != 200 {
                let said = self.said(response).await;
                return Err(session.refuse(pass, said).await);
            }
            if let Some(turn) = pass.turn {
                turn.ends(Outcome::Taken).await;
            }
            return Ok(Grant::Accepted);
        }
        if repositories.is_empty() {
            session.pass(&desk, &challenge, None).await?;
        }
        let mut pulls = Vec::new();
        for repository in &repositories {
            // the first one asks for the token that answers for all
            match session.pass(&desk, &challenge, Some(repository)).await {
                Ok(_) => pulls.push(repository.clone()),
                Err(RegistryError::NotGranted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if !pulls.is_empty() {
            return Ok(Grant::Pulls(pulls));
        }
        match session.push_only().await {
            Some(error) => Err(error),
            None => Ok(Grant::Known),
        }
    }
}
