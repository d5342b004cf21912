//! Several images are resolved at once: references together, everything else one after the other.
//!
//! ```text
//! words --Words::read--> What each, or its own error --resolve_each--> Resolution each, in the order asked
//! ```
//!
//! One that fails does not end the others.

use std::collections::BTreeMap;

use super::build::Build;
use super::error::AcquireError;
use super::obtain::of_hub;
use super::surroundings::{Surroundings, block_on};
use super::what::What;
use super::{clone, published};
use crate::failure::Report;
use crate::lock::SIF_SCHEME;
use crate::oci::{HubName, Platform, Reference, Registry, Sha256Digest, SifDigest};
use crate::pin::{Pin, Resolved};
use crate::registry::Client;
use crate::resolve::origin::{self, BuiltImage};
use crate::resolve::{self, labels};
use crate::text::one_line;

/// An image with its digest.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// One in a registry.
    Image {
        /// With what the registry says of it.
        resolved: Box<Resolved>,
        /// Of an artifact: the SIF's own digest.
        sif: Option<SifDigest>,
    },
    /// A SIF of a hub, with its digest.
    Hub {
        /// As it can be typed again.
        name: HubName,
        /// Bytes.
        size: u64,
    },
}

impl From<Resolved> for Resolution {
    fn from(resolved: Resolved) -> Self {
        Self::Image { resolved: Box::new(resolved), sif: None }
    }
}

impl Resolution {
    /// As it can be typed again.
    #[must_use]
    pub fn reference(&self) -> String {
        match self {
            Self::Image { resolved, sif } => {
                let scheme = if sif.is_some() { SIF_SCHEME } else { "" };
                format!("{scheme}{}", resolved.pin.reference())
            }
            Self::Hub { name, .. } => name.to_string(),
        }
    }

    /// The text of a dotenv report.
    #[must_use]
    pub fn dotenv(&self) -> String {
        match self {
            Self::Image { resolved, .. } => origin::dotenv(resolved),
            Self::Hub { name, .. } => {
                let digest = name.sif.map(|sif| sif.to_string()).unwrap_or_default();
                format!("MOORLINE_IMAGE={name}\nMOORLINE_DIGEST={digest}\n")
            }
        }
    }

    /// What a user should know of an image although it was found. What CI built has its own warnings.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Self::Image { resolved, .. } = self else { return Vec::new() };
        let mut warnings = Vec::new();
        if resolved.tag_points_here == Some(false) {
            let asked = &resolved.pin.asked;
            warnings.push(format!("{asked}: the tag points to another image now"));
        }
        // what CI built has these among its own warnings
        let origin = resolved.pin.origin.as_ref();
        if origin.is_none_or(|origin| !origin.evidence.contains_key("image")) {
            let contradictions = labels::contradictions(resolved);
            warnings.extend(contradictions.iter().map(|text| one_line(text)));
        }
        warnings
    }

    /// The pin of an image that a SIF can lie beside.
    fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Image { resolved, sif: None } => Some(&resolved.pin),
            _ => None,
        }
    }
}

/// What words mean, each with its own error.
#[derive(Debug)]
pub struct Words(Vec<Result<What, Report>>);

impl Words {
    /// Reads them. A SIF file is an error: it needs no resolving.
    #[must_use]
    pub fn read(here: &dyn Surroundings, words: &[String]) -> Self {
        Self(words.iter().map(|word| pinnable(here, word)).collect())
    }

    /// Whether one of them means an image.
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.0.iter().any(Result::is_ok)
    }

    /// The registries of those that mean an image.
    pub fn registries(&self, here: &dyn Surroundings) -> Vec<Option<Registry>> {
        self.0.iter().flatten().map(|what| what.registry(here)).collect()
    }

    /// Resolves them, in their order.
    ///
    /// # Errors
    /// When nobody can be asked at all.
    pub fn resolve(
        self,
        here: &dyn Surroundings,
        platform: &Platform,
    ) -> Result<Vec<Result<Resolution, Report>>, Report> {
        let asked: Vec<_> =
            self.0.iter().flatten().map(|what| (what.clone(), platform.clone())).collect();
        let mut found = resolve_each(here, &asked)?.into_iter();
        let answer = |word: Result<What, Report>| {
            word.and_then(|_| found.next().unwrap_or_else(|| Err(AcquireError::NoAnswer.into())))
        };
        Ok(self.0.into_iter().map(answer).collect())
    }
}

/// What a word means, if that can be pinned.
fn pinnable(here: &dyn Surroundings, word: &str) -> Result<What, Report> {
    match What::parse(here, word)? {
        What::File(_) => Err(AcquireError::NeedsNone { what: one_line(word) }.into()),
        what @ What::Archive(_) => Ok(What::Reference(what.into_reference(word)?)),
        what => Ok(what),
    }
}

/// Resolves each image for its platform, in their order. Files and archives have no answer.
///
/// # Errors
/// When nobody can be asked at all.
pub(super) fn resolve_each(
    here: &dyn Surroundings,
    asked: &[(What, Platform)],
) -> Result<Vec<Result<Resolution, Report>>, Report> {
    let client = here.client()?;
    let references: Vec<(Reference, Platform)> = asked
        .iter()
        .filter_map(|(what, platform)| match what {
            What::Reference(reference) => Some((reference.clone(), platform.clone())),
            _ => None,
        })
        .collect();
    let mut answers = block_on(here, resolve::resolve_many(&client, &references))?.into_iter();
    let one = |(what, platform): &(What, Platform)| match what {
        What::Reference(_) => match answers.next() {
            Some(answer) => answer.map(Resolution::from).map_err(Report::from),
            None => Err(AcquireError::NoAnswer.into()),
        },
        What::Built(build) => Ok(build.find(here, platform)?.resolved.into()),
        What::Oras(reference) => artifact(here, &client, reference, platform),
        What::Hub(name) => {
            let (name, staged) = of_hub(here, name, None)?;
            Ok(Resolution::Hub { name, size: staged.size })
        }
        What::File(_) | What::Archive(_) => Err(AcquireError::NoAnswer.into()),
    };
    Ok(asked.iter().map(one).collect())
}

/// A SIF that lies in a registry.
fn artifact(
    here: &dyn Surroundings,
    client: &Client,
    asked: &Reference,
    platform: &Platform,
) -> Result<Resolution, Report> {
    let (pin, sif) = block_on(here, resolve::artifact::artifact(client, asked, platform))??;
    let tag_points_here = asked.digest.is_none().then_some(true);
    let (size, labels, annotations) = (sif.size, BTreeMap::new(), BTreeMap::new());
    let resolved = Resolved { pin, size, created: None, labels, annotations, tag_points_here };
    let sif = Some(SifDigest::from_bytes(*sif.digest.bytes()));
    Ok(Resolution::Image { resolved: Box::new(resolved), sif })
}

/// The image that CI built, where a build was named or this is a place that has one.
///
/// # Errors
/// When nothing was named outside CI and of a clone, and as [`Build::find`].
pub fn resolve_built(
    here: &dyn Surroundings,
    build: &Build,
    platform: &Platform,
) -> Result<BuiltImage, Report> {
    if !build.is_named() && here.ci_job()?.is_none() && clone::remote(here)?.is_none() {
        return Err(AcquireError::NoBuild.into());
    }
    build.find(here, platform)
}

/// What lies beside each image, as JSON; `null` where there is nothing. What is found is said.
///
/// # Errors
/// When there is no client.
pub fn beside(
    here: &dyn Surroundings,
    answers: &[Result<Resolution, Report>],
) -> Result<Vec<serde_json::Value>, Report> {
    let pins: Vec<Option<&Pin>> =
        answers.iter().map(|answer| answer.as_ref().ok().and_then(Resolution::pin)).collect();
    published::beside(here, &pins)
}
