//! Which jobs used this image?

use serde::Serialize;

use super::job::{UsedImage, answer};
use super::verdict::{Reason, Verdict};
use crate::job::{EngineKey, JobId, JobState};
use crate::ledger::index::ImageName;
use crate::ledger::{JobRecord, View};
use crate::oci::{Digest, Reference, Sha256Digest, Tag};
use crate::worker::Qualifier;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageQuery {
    /// A bare `sha256:...`, of whatever: index, manifest, configuration or SIF.
    Bytes([u8; 32]),
    /// A reference: its repository, and its digest or tag when it has one. A tag means what the
    /// users typed then, not where the tag points now.
    Reference(Reference),
}

/// By which name a job and an image were found to belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Matched {
    /// The platform's manifest is pinned.
    Manifest,
    /// The index was asked.
    Index,
    /// The configuration is pinned.
    Config,
    /// The SIF was asked for.
    Sif,
    /// The root of the SIF's hash tree is pinned.
    Tree,
    /// The tag or repository was typed.
    Reference,
    /// It was not asked for, but a worker measured it.
    Measured,
}

/// The jobs of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageAnswer {
    /// What was asked, as typed or with defaults filled in.
    pub asked: String,
    /// The jobs, oldest first.
    pub jobs: Vec<ImageUse>,
    /// Whether older jobs used it as well, which are not in this answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// One job that used it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageUse {
    /// The job.
    pub job: JobId,
    /// What the user called it, unless that was erased.
    pub name: Option<String>,
    /// Who submitted it, unless that was erased.
    pub user: Option<String>,
    /// When it was recorded.
    pub recorded_at: jiff::Timestamp,
    /// By which name the image was found.
    pub matched: Matched,
    /// The image that the job was pinned to.
    pub image: UsedImage,
    /// The engine's key of the submission that used it.
    pub engine: Option<EngineKey>,
    /// The job's state.
    pub state: JobState,
    /// The verdict on the job: whether it ran what it was pinned to. For [`Matched::Measured`]
    /// it is a mismatch: this image ran, and another was asked for.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The same, for people.
    pub why: String,
    /// What keeps a *Match* from being a plain one.
    pub qualified: Vec<Qualifier>,
}

impl ImageQuery {
    /// What an index is asked for; it may name further jobs, which [`audit_image`] leaves out.
    #[must_use]
    pub fn name(&self) -> ImageName {
        match self {
            Self::Bytes(bytes) => ImageName::Digest(*bytes),
            Self::Reference(Reference { registry, repository, tag, digest }) => {
                let (registry, repository) = (registry.clone(), repository.clone());
                match (digest, tag) {
                    (Some(digest), _) => ImageName::Pinned(registry, repository, *digest),
                    (None, Some(tag)) => {
                        ImageName::Tag(registry, repository, tag.as_str().to_owned())
                    }
                    (None, None) => ImageName::Repository(registry, repository),
                }
            }
        }
    }
}

/// Answers for one image.
#[must_use]
pub fn audit_image(view: &View, query: &ImageQuery) -> ImageAnswer {
    let asked = match query {
        ImageQuery::Bytes(bytes) => Digest::from_bytes(*bytes).to_string(),
        ImageQuery::Reference(reference) => reference.to_string(),
    };
    let jobs = view.jobs().filter_map(|job| image_use(job, query)).collect();
    ImageAnswer { asked, jobs, more: false }
}

fn image_use(job: &JobRecord, query: &ImageQuery) -> Option<ImageUse> {
    let answer = answer(job);
    let (submission, matched) = answer.submissions.iter().rev().find_map(|submission| {
        let measured = submission.attempts.iter().filter(|a| a.foreign.is_none());
        let measured: Vec<_> = measured
            .filter_map(|a| a.measured.as_deref()?.parse::<Digest>().ok())
            .map(|digest| *digest.bytes())
            .collect();
        matches(&submission.image, &measured, query).map(|matched| (submission, matched))
    })?;
    Some(ImageUse {
        job: job.id,
        name: answer.name.clone(),
        user: answer.user.clone(),
        recorded_at: submission.recorded_at,
        matched,
        image: submission.image.clone(),
        engine: submission.engine.clone(),
        state: answer.state,
        verdict: answer.verdict,
        reason: answer.reason,
        why: answer.why.clone(),
        qualified: answer.qualified.clone(),
    })
}

fn matches(image: &UsedImage, measured: &[[u8; 32]], query: &ImageQuery) -> Option<Matched> {
    match query {
        ImageQuery::Bytes(bytes) => {
            let named = [
                (image.manifest.map(|d| *d.bytes()), Matched::Manifest),
                (image.index.map(|d| *d.bytes()), Matched::Index),
                (image.config.map(|d| *d.bytes()), Matched::Config),
                (image.sif.map(|d| *d.bytes()), Matched::Sif),
                (image.tree.map(|d| *d.bytes()), Matched::Tree),
            ];
            let named = named.into_iter().find(|(digest, _)| *digest == Some(*bytes));
            named
                .map(|(_, matched)| matched)
                .or_else(|| measured.contains(bytes).then_some(Matched::Measured))
        }
        ImageQuery::Reference(wanted) => {
            let asked = image.asked.as_ref()?;
            if (&asked.registry, &asked.repository) != (&wanted.registry, &wanted.repository) {
                return None;
            }
            match (&wanted.digest, &wanted.tag) {
                (Some(digest), _) if image.manifest == Some(*digest) => Some(Matched::Manifest),
                (Some(digest), _) if image.index == Some(*digest) => Some(Matched::Index),
                (Some(_), _) => None,
                // no tag means latest, as when it was resolved
                (None, Some(tag)) => {
                    let typed = asked.tag.is_some() || asked.digest.is_none();
                    let same = asked.tag.as_ref().map_or("latest", Tag::as_str) == tag.as_str();
                    (typed && same).then_some(Matched::Reference)
                }
                (None, None) => Some(Matched::Reference),
            }
        }
    }
}
