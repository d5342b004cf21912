//! How an image is converted, and what came of it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::convert::Counters;
use crate::layer::Limits;
use crate::pin::{Image, Recipe};
use crate::sign::PublicKey;

/// How an image is converted.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// What decides the bytes.
    pub recipe: &'a Recipe,
    /// How many threads compress; changes no byte.
    pub threads: NonZeroUsize,
    /// What foreign layers may ask for at most; changes no byte.
    pub limits: Limits,
}

/// An image in the store, and how it came there.
#[derive(Debug)]
pub struct Staged {
    /// What a job is made from.
    pub image: Image,
    /// Where its SIF lies.
    pub place: PathBuf,
    /// The length of the SIF in bytes.
    pub size: u64,
    /// Whether it was there already.
    pub known: bool,
    /// What the conversion could not keep (for example POSIX ACLs).
    pub warnings: Vec<String>,
    /// What was done, unless it was there already.
    pub done: Option<Done>,
    /// On whose word it was taken, from the site's store or from beside its image in the registry, now or
    /// earlier; `None` when it was made here.
    pub signed_by: Option<PublicKey>,
}

/// What a conversion did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// SIFs that were downloaded, and nothing converted.
    pub sifs_fetched: u64,
    /// Layers that were downloaded.
    pub layers_fetched: u64,
    /// The rest.
    #[serde(flatten)]
    pub counters: Counters,
}
