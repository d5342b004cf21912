//! Singularity Hub: where a SIF lies, and the file itself. It is not a registry, and Moorline does not log in there.
//!
//! ```text
//!  GET ENDPOINT/api/container/user/image:tag  -> {"image": "https://storage...", "version": ...}
//!  GET <image>                                -> the SIF, or a redirect to it
//! ```
//!
//! Source: the API that Singularity's `shub` client asks. Nothing secret goes to a hub or to where it
//! leads. What it names is a claim: a file's digest is that of its bytes; a `version` of the form
//! `sha256.HEX` must be the same.
//!
//! Not promised: hubs with a login; resuming a file that broke off (there is no digest yet that would
//! tell two files apart), it is fetched anew.

use std::io::Write;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Response, Url};
use serde::Deserialize;

use super::call::protocol;
use super::endpoint::{is_listed, is_loopback};
use super::names::{Reach, is_internal, literal, look_up};
use super::transport::{Cut, Request, host_of};
use super::{Client, RegistryError};
use crate::config::ServerUrl;
use crate::failure::chain;
use crate::oci::{HubName, SifDigest};
use crate::secret::Realm;

/// The answer of the hub's API, in bytes.
const MOST_OF_ANSWER: u64 = 1 << 20;
/// Redirects on the way to a file.
const MOST_REDIRECTS: usize = 5;

/// Where a hub says that a SIF lies.
#[derive(Clone, Debug)]
pub struct HubFile {
    from: Url,
    image: Url,
    /// The digest that the hub gives for it, where it gives one.
    pub sif: Option<SifDigest>,
}

#[derive(Deserialize)]
struct HubAnswer {
    image: String,
    #[serde(default)]
    version: Option<String>,
}

impl Client {
    /// Asks a hub where a SIF lies.
    ///
    /// # Errors
    /// When the hub cannot be reached, does not know the name, or answers something else.
    pub async fn hub(
        &self,
        endpoint: &ServerUrl,
        name: &HubName,
    ) -> Result<HubFile, RegistryError> {
        let what = format!("shub://{}:{}", name.name(), name.tag);
        let place = format!("{endpoint}/api/container/{}:{}", name.name(), name.tag);
        let url = Url::parse(&place).map_err(|_| RegistryError::UnknownHost {
            host: endpoint.to_string(),
            reason: "not an address".into(),
        })?;
        let mut budget = self.0.transport.budget();
        let bytes = loop {
            let response = self.plain(&url, &url, &what).await?;
            match self.0.transport.read(response, MOST_OF_ANSWER).await {
                Ok(bytes) => break bytes,
                Err(Cut::TooLarge) => {
                    let (host, limit) = (host_of(&url), MOST_OF_ANSWER);
                    return Err(RegistryError::TooLarge { what, host, limit, key: "" });
                }
                Err(Cut::Broken(reason)) => {
                    if !budget.spend(None).await {
                        let (doing, host) = ("read from", host_of(&url));
                        return Err(RegistryError::Unreachable { doing, host, reason });
                    }
                }
            }
        };
        let answer: HubAnswer = serde_json::from_slice(&bytes).map_err(|_| {
            let reason = "its body does not say where the image is";
            self.0.transport.not_read(&url, &what, &bytes, reason)
        })?;
        let image = url
            .join(&answer.image)
            .map_err(|_| protocol(&url, &what, "its image is at no address"))?;
        let version = answer.version.unwrap_or_default();
        let hex = version.strip_prefix("sha256.").or_else(|| version.strip_prefix("sha256:"));
        let sif = hex.and_then(|hex| format!("sha256:{hex}").parse().ok());
        Ok(HubFile { from: url, image, sif })
    }

    /// Streams the file into `sink` and says how long it was. Nothing is known of its bytes: the
    /// caller hashes them. On any error what the sink got is worthless.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] beyond `limit` bytes, and as [`Client::hub`].
    pub async fn hub_file(
        &self,
        file: &HubFile,
        limit: u64,
        sink: &mut (impl Write + Send),
    ) -> Result<u64, RegistryError> {
        let what = "the image";
        let mut response = self.plain(&file.from, &file.image, what).await?;
        let host = host_of(response.url());
        let large =
            || RegistryError::TooLarge { what: what.into(), host: host.clone(), limit, key: "" };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(large());
        }
        let mut done = 0;
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    done += chunk.len() as u64;
                    if done > limit {
                        return Err(large());
                    }
                    sink.write_all(&chunk)
                        .map_err(|reason| RegistryError::Sink { reason: reason.into() })?;
                }
                Ok(None) => return Ok(done),
                Err(error) => {
                    let reason = chain(&error.without_url());
                    return Err(RegistryError::Unreachable { doing: "read from", host, reason });
                }
            }
        }
    }

    /// A GET that carries nothing; `from` is the hub, beyond whose network it does not lead.
    async fn plain(&self, from: &Url, to: &Url, what: &str) -> Result<Response, RegistryError> {
        let insecure = &self.0.options.insecure;
        let own = Realm::of(from);
        let mut url = to.clone();
        for _ in 0..=MOST_REDIRECTS {
            let forbidden =
                |why: &str| protocol(from, what, &format!("it leads to {}: {why}", host_of(&url)));
            let realm = Realm::of(&url).ok_or_else(|| forbidden("no http address"))?;
            let listed = is_listed(insecure, &realm);
            let hub_is_near = is_loopback(from.host_str().unwrap_or_default());
            let clear = listed || hub_is_near && is_loopback(realm.host());
            if !(realm.is_https() || clear) {
                return Err(forbidden("it is not https"));
            }
            let same = own.as_ref().is_some_and(|own| own.host() == realm.host());
            let reach = if same || listed || self.0.transport.proxy(&url).is_some() {
                Reach::Anywhere
            } else {
                let names = &self.0.options.names;
                let host = from.host_str().unwrap_or_default();
                Reach::of(&look_up(names, host).await.unwrap_or_default())
            };
            let internal = realm.host() == "localhost"
                || literal(realm.host()).is_some_and(|ip| is_internal(ip) && !reach.allows(ip));
            if internal && reach != Reach::Anywhere {
                return Err(forbidden("its address is of an internal network"));
            }
            let request = Request {
                method: Method::GET,
                url: url.clone(),
                headers: HeaderMap::new(),
                unverified: listed,
                reach,
                body: None,
            };
            let mut budget = self.0.transport.budget();
            let response = self.0.transport.send(&request, &mut budget).await?;
            match response.status().as_u16() {
                200 => return Ok(response),
                301 | 302 | 303 | 307 | 308 => {
                    let next = response.headers().get(LOCATION).and_then(|v| v.to_str().ok());
                    let next = next.and_then(|text| url.join(text).ok());
                    url = next.ok_or_else(|| protocol(&url, what, "a redirect to nowhere"))?;
                }
                status => {
                    let (what, host) = (what.to_owned(), host_of(&url));
                    let said = self.said(response).await;
                    return Err(match status {
                        404 | 410 => RegistryError::NotAtHub { what, host, said },
                        _ => RegistryError::Answer { host, what, said },
                    });
                }
            }
        }
        Err(protocol(to, what, "too many redirects"))
    }
}
