//! SIFs that lie beside their images: decides whether to look for one, takes it, and reports one that is not used.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::surroundings::{Surroundings, block_on};
use crate::failure::{Failure, Kind, Report};
use crate::oci::SifDigest;
use crate::pin::{Pin, Recipe};
use crate::registry::Client;
use crate::sign::PublicKey;
use crate::stage::convert::default_recipe;
use crate::stage::published::{self, Published};
use crate::stage::{StageError, Staged};
use crate::store::Store;
use crate::text::one_line;

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
pub fn keys(here: &dyn Surroundings) -> Option<Vec<PublicKey>> {
    let set = &here.config().registry_sifs;
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
    here: &dyn Surroundings,
    pin: &Pin,
    recipe: &Recipe,
    client: &Client,
    store: &Store,
) -> Result<Taken, Report> {
    let Some(keys) = keys(here) else { return Ok(Taken::No(None)) };
    let place = (&pin.registry, &pin.repository);
    let found = match block_on(here, published::look(place, &pin.manifest, recipe, &keys, client))?
    {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Taken::No(None)),
        Err(error) => return refused(here, error),
    };
    let signed_by = match &found.signed_by {
        Ok(key) => key,
        Err(why) => {
            let (place, digest) = (name(pin, &found), found.digest());
            return Ok(Taken::No(Some(Unused { place, digest, why: why.clone() })));
        }
    };
    here.say(&format!("taking the SIF beside the image, signed by {signed_by}"));
    let show = here.show();
    let taken = block_on(here, published::take(&found, pin, recipe, client, store, &show))?;
    // the bar of a download that broke off goes before anything is said
    drop(show);
    match taken {
        Ok(staged) => Ok(Taken::Yes(Box::new(staged))),
        Err(error) => refused(here, error),
    }
}

/// What lies beside each image, as `resolve --sif` tells it; `null` where there is nothing.
///
/// # Errors
/// When there is no client.
pub fn beside(here: &dyn Surroundings, pins: &[Option<&Pin>]) -> Result<Vec<Value>, Report> {
    let set = &here.config().registry_sifs.keys;
    let keys: Vec<PublicKey> = set.iter().map(|value| value.value).collect();
    let (client, recipe) = (here.client()?, default_recipe());
    let look = async |pin: &Pin| {
        let place = (&pin.registry, &pin.repository);
        published::look(place, &pin.manifest, &recipe, &keys, &client).await
    };
    let asked = pins.iter().map(async |pin| match pin {
        Some(pin) => Some((*pin, look(pin).await)),
        None => None,
    });
    let answers = block_on(here, join_all(asked))?;
    Ok(answers.into_iter().map(|answer| answer.map_or(Value::Null, |a| tell(here, a))).collect())
}

fn tell(
    here: &dyn Surroundings,
    (pin, found): (&Pin, Result<Option<Published>, StageError>),
) -> Value {
    let image = pin.reference();
    match found {
        Err(error) => {
            here.warn(&format!("{image}: {}", one_line(&error.to_string())));
            Value::Null
        }
        Ok(None) => {
            here.say(&format!("{image}: no SIF lies beside it"));
            Value::Null
        }
        Ok(Some(found)) => {
            let name = name(pin, &found);
            let (signed_by, why) = match &found.signed_by {
                Ok(key) => (Some(key.to_string()), None),
                Err(why) => (None, Some(why.clone())),
            };
            here.say(&match &why {
                None => format!("{image}: a SIF lies beside it, {name}"),
                Some(why) => {
                    format!("{image}: the SIF beside it is not used: {}", one_line(why))
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
pub fn still_trusted(here: &dyn Surroundings, staged: &Staged) {
    let keys = &here.config().registry_sifs.keys;
    let Some(key) = staged.signed_by else { return };
    if !keys.iter().any(|value| value.value == key) {
        let place = staged.place.display();
        here.warn(&format!(
            "{place} was taken on the word of {key}, which is not a key of [registry_sifs] now; \
             moorline verify {place} makes it again"
        ));
    }
}

/// A fault of the registry or of its SIF is only a warning, and the image is converted; a fault of the own
/// store or configuration is an error.
fn refused(here: &dyn Surroundings, error: StageError) -> Result<Taken, Report> {
    if matches!(error, StageError::Store(_) | StageError::File { .. })
        || matches!(error.kind(), Kind::NoSpace | Kind::Configuration)
    {
        return Err(error.into());
    }
    let why = one_line(&error.to_string());
    here.warn(&format!("the SIF beside the image is not used, the image is converted here: {why}"));
    Ok(Taken::No(None))
}

/// As it can be typed.
fn name(pin: &Pin, found: &Published) -> String {
    format!("oras://{}/{}@{}", pin.registry, pin.repository, found.artifact)
}

impl Unused {
    /// After the conversion: nothing is to be said when it is what the image converts to.
    pub(super) fn compare(&self, here: &dyn Surroundings, made: &SifDigest) {
        let Self { place, digest, why } = self;
        if digest == made {
            tracing::debug!(%place, %why, "the same as the SIF that was made here");
            return;
        }
        here.warn(&format!(
            "the SIF beside the image was not used: {}; it is {digest} ({place}), the image was converted \
             here to {made}",
            one_line(why)
        ));
    }
}
