//! `convert --push REF`: the SIF beside its image in the registry.

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::show::output::{self, CliError, Report};
use crate::cli::show::progress::sending;
use crate::lock::SIF_SCHEME;
use crate::oci::{Digest, Reference};
use crate::pin::{Pin, Recipe};
use crate::sign::SigningKey;
use crate::stage::published::give;
use crate::store::StoredSif;

/// Where `--push` leads; read before anything is done.
///
/// # Errors
/// When it is no reference, or one by digest: what is pushed gets its digest only then.
pub fn target(context: &Context, text: &str) -> Result<Reference, Report> {
    let shown = output::cell(text);
    let plain = text.strip_prefix(SIF_SCHEME).unwrap_or(text);
    let to = Reference::parse(plain, context.default_registry())
        .map_err(|error| CliError::usage(format!("--push {shown}: {error}")))?;
    if to.digest.is_some() {
        return Err(CliError::usage(format!("--push {shown}: nothing can be pushed to a digest"))
            .with_hint("name the image's repository: --push registry/group/project")
            .into());
    }
    Ok(to)
}

/// Sends the SIF and says where it is.
///
/// # Errors
/// As the registry says; 4 when no credential may write there.
pub fn push(
    context: &Context,
    to: &Reference,
    sif: &StoredSif,
    (manifest, pin): (&Digest, Option<&Pin>),
    recipe: &Recipe,
    key: Option<&SigningKey>,
) -> Result<Value, Report> {
    let client = context.client()?;
    let (registry, repository) = (&to.registry, &to.repository);
    let place = format!("{registry}/{repository}");
    if key.is_none() {
        context.voice.say(
            "pushing without a signature: others convert the image all the same; --signing-key FILE signs",
        );
    }
    if pin.is_some_and(|pin| pin.registry != *registry || pin.repository != *repository) {
        context.voice.say(format!(
            "{place} is not where the image lies: there the SIF is not found by itself"
        ));
    }
    let sent = sending(context.voice, sif.size);
    let at = (registry, repository);
    let given = give(at, to.tag.as_ref(), sif, manifest, recipe, key, &client, &sent);
    let given = context.block_on(given)??;
    drop(sent);
    let how = if given.sent { "pushed" } else { "pushed (the SIF was there already)" };
    for tag in &given.tags {
        context.voice.say(format!("{how} {SIF_SCHEME}{place}:{tag}"));
    }
    Ok(json!({
        "reference": format!("{SIF_SCHEME}{place}@{}", given.artifact),
        "tags": given.tags,
        "signed_by": given.signed_by,
        "sent": given.sent,
    }))
}
