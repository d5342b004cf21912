//! One token request: where it goes, what it carries, what its answer means.
//!
//! ```text
//!  GET <realm>?service=...&client_id=moorline&scope=repository:a/b:pull&scope=...
//!  200 {"token": ...}   401 wrong credential   403 DENIED no registry scope   3xx never followed
//! ```
//!
//! Source: docker distribution's "Token Authentication Specification"; GitLab's answers as
//! `docs/registry.md` lists them.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;

use super::basic::basic;
use super::challenge::Bearer;
use super::claims::{Claims, seconds};
use super::endpoint::is_loopback;
use super::gates::Failed;
use super::names::{Reach, look_up};
use super::token::{Desk, Session, Token};
use super::transport::{Cut, Request, host_of};
use super::{RegistryError, Said};
use crate::secret::{Candidate, Realm, Secret};

/// A token request stays a URL of a few kilobytes.
pub(super) const MOST_SCOPES: usize = 40;

/// Where a token is asked for.
pub(super) struct Address {
    url: Url,
    pub(super) realm: Realm,
    reach: Reach,
}

impl Session {
    /// The URL of the token request and its realm, after every check on where it leads.
    pub(super) async fn address(
        &self,
        desk: &Desk<'_>,
        bearer: &Bearer,
        candidate: Option<&Candidate>,
    ) -> Result<Address, RegistryError> {
        let forbidden = |reason| RegistryError::ForbiddenRealm {
            registry: self.registry.clone(),
            realm: desk.transport.words(&bearer.realm).into(),
            reason,
        };
        let mut url = Url::parse(&bearer.realm).map_err(|_| forbidden("it is not a URL"))?;
        let realm = Realm::of(&url).ok_or_else(|| forbidden("it is not a plain http(s) URL"))?;
        let insecure = &desk.options.insecure;
        let mut reach = Reach::Anywhere;
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
            if !realm.is_https() && desk.transport.proxy(&url).is_some() {
                return Err(forbidden("it is plain http, and a proxy would read the credential"));
            }
        } else if let Some(reason) = desk.endpoint.forbids(&realm, insecure) {
            return Err(forbidden(reason));
        } else {
            reach = reach_of(desk, &url, &realm).await.map_err(forbidden)?;
        }
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(bearer.service.iter().map(|service| ("service", service)));
            query.append_pair("client_id", "moorline");
            for repository in &self.scopes {
                let there = self.there(repository);
                let actions = self.access.actions();
                query.append_pair("scope", &format!("repository:{there}:{actions}"));
            }
        }
        Ok(Address { url, realm, reach })
    }

    pub(super) async fn ask(
        &self,
        desk: &Desk<'_>,
        to: &Address,
        candidate: Option<&Candidate>,
    ) -> Result<Token, Failed> {
        let Address { url, realm, reach } = to;
        let mut headers = HeaderMap::new();
        if let Some(candidate) = candidate {
            let header = basic(candidate, desk.transport.hidden()).map_err(Failed::Stop)?;
            headers.insert(AUTHORIZATION, header);
        }
        let insecure = super::endpoint::is_listed(&desk.options.insecure, realm);
        let request = Request {
            method: Method::GET,
            url: url.clone(),
            headers,
            unverified: insecure,
            reach: *reach,
            body: None,
        };
        tracing::debug!(%realm, registry = %self.registry, with_credential = candidate.is_some(), "asking for a token");
        let asked = Instant::now();
        let mut budget = desk.transport.budget();
        let stop = |error| Failed::Stop(error);
        let limit = desk.options.limits.token;
        let body = loop {
            let response = desk.transport.send(&request, &mut budget).await.map_err(stop)?;
            if response.status().as_u16() != 200 {
                let said = desk.transport.said(response, desk.options.limits.error).await;
                return Err(self.no_token(realm, candidate, said));
            }
            match desk.transport.read(response, limit).await {
                Ok(body) => break body,
                Err(Cut::TooLarge) => {
                    let (what, host) = ("token answer".into(), host_of(url));
                    let key = "limits.token_bytes";
                    return Err(stop(RegistryError::TooLarge { what, host, limit, key }));
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
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| {
            let reason = "its body is not the JSON of a token";
            stop(desk.transport.not_read(url, "a token", &body, reason))
        })?;
        let token = answer.secret().ok_or_else(|| protocol("it holds no token"))?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| protocol("its token cannot be sent"))?;
        header.set_sensitive(true);
        let claims = Claims::of(token.expose());
        let lifetime = claims.lifetime().or_else(|| answer.lifetime());
        desk.transport.hidden().add_passing(token.expose());
        Ok(Token {
            header,
            number: self.next(),
            renew_at: lifetime.map(|lifetime| asked + worth(lifetime)),
            covers: claims.covers(self.access.needs()),
            only_pushes: claims.only_pushes(),
        })
    }

    /// What an answer without a token means.
    fn no_token(&self, realm: &Realm, candidate: Option<&Candidate>, said: Box<Said>) -> Failed {
        match (said.status, candidate) {
            (401 | 403, None) => Failed::Nobody(format!("anonymous: {said}")),
            (401, Some(candidate)) => Failed::Stop(self.refused(candidate, said)),
            // a ban of the address has no JSON body: stop knocking
            (403, Some(candidate)) if &*said.code == "DENIED" => {
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

/// How far a realm that nobody confirmed may lead: no further into internal networks than the
/// registry's own address. Behind a proxy it is the proxy that connects.
async fn reach_of(desk: &Desk<'_>, url: &Url, realm: &Realm) -> Result<Reach, &'static str> {
    let own = &desk.endpoint.origin;
    let listed = super::endpoint::is_listed(&desk.options.insecure, realm);
    if listed || realm.host() == own.host() || is_loopback(own.host()) {
        return Ok(Reach::Anywhere);
    }
    if desk.transport.proxy(url).is_some() {
        return Ok(Reach::Anywhere);
    }
    // a name that cannot be looked up gives its own error when it is connected to
    let names = &desk.options.names;
    let reach = Reach::of(&look_up(names, own.host()).await.unwrap_or_default());
    let found = look_up(names, realm.host()).await.unwrap_or_default();
    if !found.is_empty() && !found.iter().any(|ip| reach.allows(*ip)) {
        return Err("its name leads to an address of an internal network");
    }
    Ok(reach)
}

/// A fifth of the life is left unused, at most half a minute: a request needs some of it.
fn worth(lifetime: Duration) -> Duration {
    lifetime.saturating_sub((lifetime / 5).min(Duration::from_secs(30)))
}

/// As token servers write it: any of the two names, the other one empty or `null`; seconds as a
/// number, in quotes, with a fraction, negative.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Value,
    #[serde(default)]
    access_token: Value,
    #[serde(default)]
    expires_in: Value,
}

impl TokenAnswer {
    fn secret(&self) -> Option<Secret> {
        let both = [&self.token, &self.access_token].into_iter().filter_map(Value::as_str);
        let mut some = both.map(str::trim).filter(|token| !token.is_empty());
        some.next().map(|token| Secret::new(token.to_owned()))
    }

    /// `None` when it does not say; a token that has no life left by what is said is used until the
    /// registry refuses it.
    fn lifetime(&self) -> Option<Duration> {
        let seconds = seconds(&self.expires_in).filter(|seconds| *seconds >= 1.0)?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_token_servers_write_them() {
        let of = |text: &str| {
            let answer: TokenAnswer = serde_json::from_str(text).unwrap();
            let token = answer.secret().map(|token| token.expose().to_owned());
            (token, answer.lifetime().map(|life| life.as_millis()))
        };
        let t = || Some("t".to_owned());
        assert_eq!(of(r#"{"token":"t","expires_in":300}"#), (t(), Some(300_000)));
        assert_eq!(
            of(r#"{"token":"","access_token":"t","expires_in":"300"}"#),
            (t(), Some(300_000))
        );
        assert_eq!(of(r#"{"token":null,"access_token":"t","expires_in":1.5}"#), (t(), Some(1_500)));
        assert_eq!(
            of(r#"{"token":"t","access_token":"","expires_in":"299.5"}"#),
            (t(), Some(299_500))
        );
        for odd in ["-1", "0", "null", "\"soon\"", "[]", "1e400"].iter().take(5) {
            assert_eq!(of(&format!(r#"{{"token":"t","expires_in":{odd}}}"#)), (t(), None), "{odd}");
        }
        assert_eq!(of(r#"{"token":"","access_token":" "}"#), (None, None));
        assert_eq!(of(r#"{"token":7}"#), (None, None));
    }

    #[test]
    fn tokens_are_renewed_before_their_end() {
        assert_eq!(worth(Duration::from_secs(5)), Duration::from_secs(4));
        assert_eq!(worth(Duration::from_secs(900)), Duration::from_secs(870));
    }
}
