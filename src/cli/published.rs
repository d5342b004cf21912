//! SIFs that lie beside their images: whether one is looked for, and what is said of one that is not used.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::context::Context;
use super::output::{self, Report};
use super::progress::progress;
use crate::failure::{Failure, Kind};
use crate::oci::SifDigest;
use crate::pin::{Image, Pin, Recipe};
use crate::registry::Client;
use crate::sign::PublicKey;
use crate::stage::convert::default_recipe;
use crate::stage::published::{self, Published};
use crate::stage::{Show, StageError, Staged};
use crate::store::Store;

/// One that was found and cannot be believed; whether that matters tells the conversion.
pub struct Unused {
    place: String,
    digest: SifDigest,
    why: String,
}

/// What came of looking for one.
pub enum Taken {
    /// It is in the store now.
    Yes(Box<Staged>),
    /// The image is to be converted.
    No(Option<Unused>),
}

/// The keys whose SIFs are used; `None` when nobody is to be asked: without a key none is used.
pub fn keys(context: &Context) -> Option<Vec<PublicKey>> {
    let set = &context.config.registry_sifs;
    let off = set.look_up.as_ref().is_some_and(|value| !value.value);
    let keys: Vec<_> = set.keys.iter().map(|value| value.value).collect();
    (!off && !keys.is_empty()).then_some(keys)
}

/// Takes the SIF of an image from beside it, when there is one that a configured key signed.
///
/// # Errors
/// When the store cannot be written. What is wrong with the registry or its SIF is said, and the image
/// is to be converted.
pub fn take(
    context: &Context,
    pin: &Pin,
    recipe: &Recipe,
    client: &Client,
    store: &Store,
) -> Result<Taken, Report> {
    let Some(keys) = keys(context) else { return Ok(Taken::No(None)) };
    let place = (&pin.registry, &pin.repository);
    let found =
        match context.block_on(published::look(place, &pin.manifest, recipe, &keys, client))? {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Taken::No(None)),
            Err(error) => return refused(error),
        };
    let signed_by = match &found.signed_by {
        Ok(key) => key,
        Err(why) => {
            let (place, digest) = (name(pin, &found), found.digest());
            return Ok(Taken::No(Some(Unused { place, digest, why: why.clone() })));
        }
    };
    context.voice.say(format!("taking the SIF beside the image, signed by {signed_by}"));
    let show: Show = Arc::new(progress(context.voice));
    let taken = context.block_on(published::take(&found, pin, recipe, client, store, &show))?;
    // the bar of a download that broke off goes before anything is said
    drop(show);
    match taken {
        Ok(staged) => Ok(Taken::Yes(Box::new(staged))),
        Err(error) => refused(error),
    }
}

/// What lies beside each image, as `resolve --sif` tells it; `null` where there is nothing.
///
/// # Errors
/// When there is no client.
pub fn beside(context: &Context, pins: &[Option<&Pin>]) -> Result<Vec<Value>, Report> {
    let set = &context.config.registry_sifs.keys;
    let keys: Vec<PublicKey> = set.iter().map(|value| value.value).collect();
    let (client, recipe) = (context.client()?, default_recipe());
    let look = async |pin: &Pin| {
        let place = (&pin.registry, &pin.repository);
        published::look(place, &pin.manifest, &recipe, &keys, &client).await
    };
    let asked = pins.iter().map(async |pin| match pin {
        Some(pin) => Some((*pin, look(pin).await)),
        None => None,
    });
    let answers = context.block_on(join_all(asked))?;
    Ok(answers.into_iter().map(|answer| answer.map_or(Value::Null, |a| tell(context, a))).collect())
}

fn tell(context: &Context, (pin, found): (&Pin, Result<Option<Published>, StageError>)) -> Value {
    let image = pin.reference();
    match found {
        Err(error) => {
            output::warn(format!("{image}: {}", output::cell(&error.to_string())));
            Value::Null
        }
        Ok(None) => {
            context.voice.say(format!("{image}: no SIF lies beside it"));
            Value::Null
        }
        Ok(Some(found)) => {
            let name = name(pin, &found);
            let (signed_by, why) = match &found.signed_by {
                Ok(key) => (Some(key.to_string()), None),
                Err(why) => (None, Some(why.clone())),
            };
            context.voice.say(match &why {
                None => format!("{image}: a SIF lies beside it, {name}"),
                Some(why) => {
                    format!("{image}: the SIF beside it is not used: {}", output::cell(why))
                }
            });
            json!({
                "reference": name, "digest": found.digest(), "size": found.sif.size,
                "signed_by": signed_by, "why": why,
            })
        }
    }
}

/// Says when a SIF of the own store was taken on the word of a key that is configured no longer.
pub fn still_trusted(context: &Context, staged: &Staged) {
    let keys = &context.config.registry_sifs.keys;
    let (Some(key), Image::Sif { place, .. }) = (staged.signed_by, &staged.image) else { return };
    if !keys.iter().any(|value| value.value == key) {
        let place = place.display();
        output::warn(format!(
            "{place} was taken on the word of {key}, which is no key of [registry_sifs] now; \
             moorline verify {place} makes it again"
        ));
    }
}

/// What is wrong there is no reason not to convert; what is wrong here is.
fn refused(error: StageError) -> Result<Taken, Report> {
    if matches!(error, StageError::Store(_) | StageError::File { .. })
        || matches!(error.kind(), Kind::NoSpace | Kind::Configuration)
    {
        return Err(error.into());
    }
    let why = output::cell(&error.to_string());
    output::warn(format!(
        "the SIF beside the image is not used, the image is converted here: {why}"
    ));
    Ok(Taken::No(None))
}

/// As it can be typed.
fn name(pin: &Pin, found: &Published) -> String {
    format!("oras://{}/{}@{}", pin.registry, pin.repository, found.artifact)
}

impl Unused {
    /// After the conversion: nothing is to be said when it is what the image converts to.
    pub fn compare(&self, made: &SifDigest) {
        let Self { place, digest, why } = self;
        if digest == made {
            tracing::debug!(%place, %why, "the same as the SIF that was made here");
            return;
        }
        output::warn(format!(
            "the SIF beside the image was not used: {}; it is {digest} ({place}), the image was converted \
             here to {made}",
            output::cell(why)
        ));
    }
}
