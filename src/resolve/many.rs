//! Many references at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::{ResolveError, resolve};
use crate::oci::{Platform, Reference, Registry, Repository};
use crate::pin::Resolved;
use crate::registry::{Client, RegistryError};

/// References that are resolved at the same time in one call.
pub(super) const AT_ONCE: usize = 32;

/// Resolves many references, a bounded number at a time: the answers stand in the order of the
/// questions, repeated questions are asked once, one error does not lose the others.
pub async fn resolve_many(
    client: &Client,
    wanted: &[(Reference, Platform)],
) -> Vec<Result<Resolved, ResolveError>> {
    let mut unique: Vec<&(Reference, Platform)> = Vec::new();
    let mut place = std::collections::HashMap::new();
    for question in wanted {
        place.entry(question).or_insert_with(|| {
            unique.push(question);
            unique.len() - 1
        });
    }
    let mut repositories: BTreeMap<&Registry, Vec<Repository>> = BTreeMap::new();
    for (reference, _) in &unique {
        repositories.entry(&reference.registry).or_default().push(reference.repository.clone());
    }
    let mut broken: BTreeMap<&Registry, BTreeMap<Repository, RegistryError>> = BTreeMap::new();
    for (registry, repositories) in repositories {
        broken.insert(registry, client.announce(registry, &repositories).await);
    }
    let broken = &broken;
    let answers: Vec<Arc<Result<Resolved, ResolveError>>> = stream::iter(unique)
        .map(async |(reference, platform)| {
            let of_registry = broken.get(&reference.registry);
            Arc::new(match of_registry.and_then(|all| all.get(&reference.repository)) {
                Some(reason) => Err(ResolveError::Registry {
                    asked: reference.clone().into(),
                    reason: reason.clone(),
                }),
                None => resolve(client, reference, platform).await,
            })
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    wanted.iter().map(|question| (*answers[place[question]]).clone()).collect()
}
