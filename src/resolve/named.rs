//! The document that a reference names in its registry.

use super::{ResolveError, not_an_image};
use crate::oci::Reference;
use crate::registry::{Client, Fetched, Wanted};

/// Fetches it, and says what was asked for: the tag `latest` where the reference has neither tag nor digest.
///
/// # Errors
/// When the registry does not give it.
pub(super) async fn named(
    client: &Client,
    reference: &Reference,
) -> Result<(Reference, Fetched), ResolveError> {
    let mut asked = reference.clone();
    if asked.tag.is_none() && asked.digest.is_none() {
        asked.tag = "latest".parse().ok();
    }
    let wanted = match (&asked.digest, &asked.tag) {
        (Some(digest), _) => Wanted::Digest(*digest),
        (None, Some(tag)) => Wanted::Tag(tag.clone()),
        (None, None) => return Err(not_an_image(&asked, "neither tag nor digest".into())),
    };
    match client.manifest(&asked.registry, &asked.repository, &wanted).await {
        Ok(fetched) => Ok((asked, fetched)),
        Err(reason) => Err(ResolveError::Registry { asked: asked.into(), reason }),
    }
}
