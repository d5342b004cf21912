//! Every credential for an image is tried in the order in which a pull takes them, each at most once.

use super::pin::resolve;
use super::surroundings::{Surroundings, block_on};
use crate::credential::Explanation;
use crate::failure::Report;
use crate::oci::{Platform, Reference, Repository};
use crate::registry::{Client, Grant, RegistryError};
use crate::secret::{Candidate, Realm};

/// What a registry said of an image and the credentials for it.
#[derive(Debug)]
pub struct Trial {
    /// On the way to the registry.
    pub proxy: Option<String>,
    /// That the registry named.
    pub realm: Option<Realm>,
    /// In their order.
    pub tried: Vec<Tried>,
    /// The image with its digest: what the registry answers in the end, with whatever was taken.
    pub answer: Result<String, Report>,
}

/// What became of one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which source has it.
    pub source: &'static str,
    /// Its user.
    pub username: String,
    /// Where exactly it was found.
    pub from: String,
    /// What the registry said, in words.
    pub result: String,
    /// Whether a pull takes it.
    pub taken: bool,
}

impl Default for Trial {
    /// Nobody was asked.
    fn default() -> Self {
        Self { proxy: None, realm: None, tried: Vec::new(), answer: Ok(String::new()) }
    }
}

impl Trial {
    /// Asks the registry.
    ///
    /// # Errors
    /// When nobody can be asked from here; what the registry refuses is in the answer.
    pub fn of(
        here: &dyn Surroundings,
        reference: &Reference,
        explained: &Explanation,
    ) -> Result<Self, Report> {
        let (registry, repository) = (&reference.registry, &reference.repository);
        let client = here.client()?;
        // an unreachable registry is told by the next question, in the same words
        let proxy = block_on(here, client.proxy(registry, repository))?.ok().flatten();
        Ok(match block_on(here, client.realm(registry, Some(repository)))? {
            Ok(realm) => {
                let tried = block_on(here, try_all(&client, reference, explained))?;
                let resolved = resolve(here, reference, &Platform::host());
                let answer = resolved.map(|resolved| resolved.pin.reference().to_string());
                Self { proxy, realm, tried, answer }
            }
            Err(error) => Self { proxy, answer: Err(error.into()), ..Self::default() },
        })
    }
}

/// Tries the credentials in their order as a pull does: up to the first that is granted, and not
/// beyond one that stops.
async fn try_all(client: &Client, reference: &Reference, explained: &Explanation) -> Vec<Tried> {
    let mut tried = Vec::new();
    let mut over = false;
    for source in &explained.sources {
        for candidate in &source.found.offered {
            let (result, taken) = if over {
                ("not tried: an earlier one decided".to_owned(), false)
            } else {
                let (result, taken, ends) =
                    try_one(client, reference, &reference.repository, candidate).await;
                over = ends;
                (result, taken)
            };
            tried.push(Tried {
                source: source.name,
                username: candidate.credential.username.clone(),
                from: candidate.source.clone(),
                result,
                taken,
            });
        }
    }
    tried
}

/// What the registry says of one, whether it is taken, and whether nothing else is tried.
async fn try_one(
    client: &Client,
    reference: &Reference,
    repository: &Repository,
    candidate: &Candidate,
) -> (String, bool, bool) {
    match client
        .check(&reference.registry, std::slice::from_ref(repository), candidate.clone())
        .await
    {
        Ok(Grant::Pulls(_)) => ("taken: it pulls this repository".into(), true, true),
        Ok(Grant::NotAsked) => {
            ("not needed: the registry allows anonymous access".into(), false, true)
        }
        Ok(Grant::Accepted) => ("taken: the registry knows it".into(), true, true),
        Ok(Grant::Known) => {
            ("valid, but not granted this repository: the next is tried".into(), false, false)
        }
        Err(error @ (RegistryError::NoRegistryScope { .. } | RegistryError::PushOnly { .. })) => {
            (format!("{error}: the next is tried"), false, false)
        }
        Err(error) => (format!("{error}: nothing else is tried"), false, true),
    }
}
