//! What `login` needs: which realm a registry names, and whether a credential is good.

use std::sync::PoisonError;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap};

use super::call::v2;
use super::names::Reach;
use super::token::Session;
use super::transport::{Request, host_of};
use super::{Challenge, Client, RegistryError};
use crate::oci::{Registry, Repository};
use crate::secret::{Candidate, Realm};

/// What a credential is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The registry asks nobody for a credential.
    NotAsked,
    /// The credential is right, and pulls this repository; also when it is still empty.
    Pulls(Repository),
    /// The credential is right. It was not granted the repository that was asked for, which may be
    /// a group (that cannot be checked), missing, or not its own.
    Known,
}

impl Client {
    /// What the registry of a repository asks for, without sending any credential; `None` when it asks for nothing.
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
        };
        let response = self.0.transport.send(&request, &mut self.0.transport.budget()).await?;
        match (response.status().as_u16(), Challenge::of(response.headers())) {
            (401, Some(challenge)) => {
                *host.challenge.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(challenge.clone());
                Ok(Some(challenge))
            }
            (200, _) => Ok(None),
            _ => Err(RegistryError::Answer {
                host: host_of(&request.url),
                what: "/v2/ (is this a container registry?)".into(),
                said: self.said(response, &[]).await,
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
                    realm: bearer.realm.chars().take(200).collect(),
                    reason: "it is no http(s) URL",
                })
            }
            _ => Ok(None),
        }
    }

    /// Tries a credential once: asks for a token, and whether it pulls `repository`.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] when it is wrong, [`RegistryError::NoRegistryScope`] when it is
    /// of the wrong kind, [`RegistryError::UnknownRealm`] when the realm is not among the
    /// candidate's, [`RegistryError::PlainHttp`] when it would travel in the clear.
    pub async fn check(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
        candidate: Candidate,
    ) -> Result<Grant, RegistryError> {
        let Some(challenge) = self.challenge(registry, repository).await? else {
            return Ok(Grant::NotAsked);
        };
        let (_, endpoint) = self.endpoint(registry, repository).await?;
        let prefix = self.prefix(registry, repository);
        // the registry below that path itself, and no repository of it
        let repository = repository.filter(|name| prefix.as_ref() != Some(*name));
        let scopes = repository.into_iter().cloned().collect();
        let session = Session::only(registry.clone(), prefix, scopes, candidate);
        let desk = self.desk(&endpoint);
        let pass = match session.pass(&desk, &challenge, repository).await {
            Err(RegistryError::NotGranted { .. }) => return Ok(Grant::Known),
            other => other?,
        };
        if !pass.renewable {
            // Basic: only the registry itself can say whether it is right
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, pass.header.clone());
            let unverified = endpoint.insecure;
            let (method, url, reach) = (Method::GET, v2(&endpoint)?, Reach::Anywhere);
            let request = Request { method, url, headers, unverified, reach };
            let response = self.0.transport.send(&request, &mut self.0.transport.budget()).await?;
            if response.status().as_u16() != 200 {
                let said = self.said(response, &pass.hide).await;
                return Err(session.refuse(&desk, &pass, said).await);
            }
            return Ok(Grant::Known);
        }
        Ok(repository.map_or(Grant::Known, |r| Grant::Pulls(r.clone())))
    }
}
