//! From "what CI built" to a pin with its origin: the facts give places, the registry says what is
//! there, the image's labels confirm or contradict.
//!
//! ```text
//!  facts --places--> registry --> one image: pin + origin
//!                             --> several:   an error that lists them
//!                             --> none:      an error that lists where was looked
//! ```
//!
//! Not promised: that a tag holds what its commit's pipeline built. A label is the image's own word,
//! a tag that of whoever may push; `Origin::evidence` says which of them there was.

use std::collections::BTreeMap;

use crate::failure::{Failure, Kind};
use crate::gitlab::{self, CiJob, Handed};
use crate::oci::{Digest, Platform, Reference, Registry, Repository};
use crate::pin::{Origin, Resolved};
use crate::registry::{Client, RegistryError};

pub use super::facts::{AskedBuild, FactsError, Which};
use super::facts::{Facts, learn, of_job};
use super::labels::{
    REVISION, SOURCE, Words, contradictions, is_below, is_commit, same_commit, source_of,
};
use super::{ResolveError, resolve, resolve_many};

/// Repositories that are looked at without `--repository`.
const MOST_REPOSITORIES: usize = 20;

/// Why there is no pin for a build.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OriginError {
    /// The build itself is not known.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The registry.
    #[error(transparent)]
    Resolve(Box<ResolveError>),
    /// Several images are it.
    #[error("{what} is ambiguous; it can be: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        what: String,
        /// Each candidate's tag and digest.
        candidates: Vec<String>,
    },
    /// None is.
    #[error("the registry has no image of {what}; searched: {}", .looked_at.join(", "))]
    NoImage {
        /// What was asked for.
        what: String,
        /// The references.
        looked_at: Vec<String>,
    },
    /// A handed-over digest of another project.
    #[error("the digest file names {named}, which is not below {expected}")]
    Foreign {
        /// What it names.
        named: Reference,
        /// The project's own repository.
        expected: String,
    },
    /// No repository of that name can be.
    #[error("{0:?} is not a repository below a project")]
    Repository(String),
}

impl From<ResolveError> for OriginError {
    fn from(error: ResolveError) -> Self {
        Self::Resolve(Box::new(error))
    }
}

impl Failure for OriginError {
    fn kind(&self) -> Kind {
        match self {
            Self::Facts(error) => error.kind(),
            Self::Resolve(error) => error.kind(),
            Self::Ambiguous { .. } | Self::Repository(_) => Kind::Usage,
            Self::NoImage { .. } => Kind::NotFound,
            Self::Foreign { .. } => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Facts(error) => return error.hint(),
            Self::Resolve(error) => return error.hint(),
            Self::Ambiguous { .. } => {
                "choose one with --repository NAME, or name it by its reference".into()
            }
            Self::NoImage { .. } => "the pipeline may not have pushed yet, a cleanup policy may \
                have deleted the tag, or the project uses other tags: then name the image by its \
                reference"
                .into(),
            Self::Foreign { .. } => {
                "a pipeline hands over its own images; take the file of this project's build job"
                    .into()
            }
            Self::Repository(_) => "write it as GitLab shows it below the project's path".into(),
        })
    }
}

/// Whom to ask.
pub struct Search<'a> {
    /// The registry's client.
    pub registry: &'a Client,
    /// GitLab's API, when there is a token for it.
    pub api: Option<&'a gitlab::Client>,
    /// The registry's name.
    pub host: &'a Registry,
    /// GitLab's host, to compare labels with.
    pub gitlab_host: Option<&'a str>,
    /// The job that this process runs in.
    pub ci: Option<&'a CiJob>,
    /// The platform.
    pub platform: &'a Platform,
}

/// A pin with its origin.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// The image; its pin has an origin.
    pub resolved: Resolved,
    /// What was not asked, and other tags that were not taken.
    pub notes: Vec<String>,
    /// Where the image's labels contradict what was asked for.
    pub warnings: Vec<String>,
}

impl Search<'_> {
    /// The image of a build.
    ///
    /// # Errors
    /// As [`OriginError`] says; several different images are [`OriginError::Ambiguous`].
    pub async fn built(&self, asked: &AskedBuild) -> Result<BuiltImage, OriginError> {
        let facts = learn(asked, self.api, self.ci).await?;
        self.pick(facts, asked.repository.as_deref()).await
    }

    /// The image that the pipeline of the running job built, by its tags.
    ///
    /// # Errors
    /// As [`Search::built`].
    pub async fn of_this_job(
        &self,
        job: &CiJob,
        repository: Option<&str>,
    ) -> Result<BuiltImage, OriginError> {
        self.pick(of_job(job), repository).await
    }

    /// The image whose digest a build job handed over. The registry is asked for it, and what the
    /// file names must be of the project.
    ///
    /// # Errors
    /// [`OriginError::Foreign`] for another project's image, else as the registry says.
    pub async fn handed(
        &self,
        handed: &Handed,
        project: &str,
        repository: Option<&str>,
    ) -> Result<BuiltImage, OriginError> {
        let own = below(project, repository.unwrap_or_default())?;
        let mut asked = Reference {
            registry: self.host.clone(),
            repository: own.clone(),
            tag: None,
            digest: Some(handed.digest),
        };
        if let Some(named) = &handed.named {
            let inside = named.repository == own
                || repository.is_none() && is_below(named.repository.as_str(), own.as_str());
            if named.registry != *self.host || !inside {
                let expected = format!("{}/{own}", self.host);
                return Err(OriginError::Foreign { named: named.clone(), expected });
            }
            asked.repository = named.repository.clone();
        }
        let resolved = resolve(self.registry, &asked, self.platform).await?;
        let job = self.ci.filter(|job| job.project == project.to_lowercase());
        let mut facts = job.map(of_job).unwrap_or_default();
        if job.is_none() {
            facts.origin.project = Some(project.to_lowercase());
            facts.origin.evidence.insert("project".into(), "convention".into());
        }
        Ok(self.confirm(resolved, facts.origin, "digest-file", facts.notes))
    }

    /// Asks the registry for every place and takes the first group's one image.
    async fn pick(
        &self,
        facts: Facts,
        repository: Option<&str>,
    ) -> Result<BuiltImage, OriginError> {
        let project = facts.origin.project.clone().unwrap_or_default();
        let what = described(&facts.origin);
        let tiers = self.references(&facts, &project, repository)?;
        let questions: Vec<(Reference, Platform)> =
            tiers.iter().flatten().map(|r| (r.clone(), self.platform.clone())).collect();
        let mut answers = resolve_many(self.registry, &questions).await.into_iter();
        let mut images: Vec<Vec<Resolved>> = Vec::new();
        let mut closed: Option<ResolveError> = None;
        for (at, tier) in tiers.iter().enumerate() {
            let mut found = Vec::new();
            for answer in answers.by_ref().take(tier.len()) {
                match answer {
                    Ok(resolved) if at > 0 && facts.one_commit => {
                        found.extend(Some(resolved).filter(|r| is_from(r, &facts.origin)));
                    }
                    Ok(resolved) => found.push(resolved),
                    Err(error) if is_absent(&error) => closed = closed.or(closing(error)),
                    Err(error) => return Err(error.into()),
                }
            }
            images.push(found);
        }
        let mut images = images.into_iter().skip_while(Vec::is_empty);
        let Some(first) = images.next() else {
            // a project that cannot be seen is another matter than a tag that is not there
            if let Some(error) = closed.filter(|_| facts.repositories.is_none()) {
                return Err(error.into());
            }
            let looked_at = questions.iter().map(|(r, _)| r.to_string()).collect();
            return Err(OriginError::NoImage { what, looked_at });
        };
        let mut first = first.into_iter();
        let Some(chosen) = first.next() else {
            return Err(OriginError::NoImage { what, looked_at: Vec::new() });
        };
        let shown = |r: &Resolved| format!("{}@{}", r.pin.asked, r.pin.manifest);
        let others: Vec<String> = first
            .filter(|other| other.pin.manifest != chosen.pin.manifest)
            .map(|other| shown(&other))
            .collect();
        if !others.is_empty() {
            let candidates = [vec![shown(&chosen)], others].concat();
            return Err(OriginError::Ambiguous { what, candidates });
        }
        let mut notes = facts.notes;
        for other in images.flatten().filter(|o| o.pin.manifest != chosen.pin.manifest) {
            notes.push(format!("{} is another image now", other.pin.asked));
        }
        Ok(self.confirm(chosen, facts.origin, "convention", notes))
    }

    /// The references of each group of places, in every repository that is looked at.
    fn references(
        &self,
        facts: &Facts,
        project: &str,
        repository: Option<&str>,
    ) -> Result<Vec<Vec<Reference>>, OriginError> {
        let listed: Option<Vec<Repository>> = facts.repositories.as_ref().map(|rows| {
            let paths = rows.iter().filter(|row| is_below(&row.path, project));
            paths.filter_map(|row| row.path.parse().ok()).collect()
        });
        if let Some(listed) = listed.as_ref().filter(|l| l.len() > MOST_REPOSITORIES) {
            let candidates = listed.iter().map(|path| format!("{}/{path}", self.host)).collect();
            return Err(OriginError::Ambiguous { what: described(&facts.origin), candidates });
        }
        let mut tiers = Vec::new();
        for tier in &facts.tiers {
            let mut references: Vec<Reference> = Vec::new();
            for place in tier {
                let repositories = match (&listed, repository) {
                    (_, Some(name)) if place.below.is_empty() => vec![below(project, name)?],
                    (_, Some(_)) => continue,
                    // the list holds the place below as a repository of its own
                    (Some(listed), None) if place.below.is_empty() => listed.clone(),
                    (Some(listed), None) => {
                        let own = below(project, &place.below)?;
                        listed.iter().filter(|path| **path == own).cloned().collect()
                    }
                    (None, None) => vec![below(project, &place.below)?],
                };
                for repository in repositories {
                    let reference = Reference {
                        registry: self.host.clone(),
                        repository,
                        tag: Some(place.tag.clone()),
                        digest: None,
                    };
                    if !references.contains(&reference) {
                        references.push(reference);
                    }
                }
            }
            tiers.push(references);
        }
        Ok(tiers)
    }

    /// Compares with the image's labels, and fills the pin's origin.
    fn confirm(
        &self,
        mut resolved: Resolved,
        mut origin: Origin,
        how: &str,
        notes: Vec<String>,
    ) -> BuiltImage {
        let mut warnings = contradictions(&resolved);
        let words = Words::of(&resolved);
        let also = |field: &str, place: &str, evidence: &mut BTreeMap<String, String>| {
            let known = evidence.entry(field.into()).or_default();
            *known = if known.is_empty() { place.into() } else { format!("{known}, {place}") };
        };
        origin.evidence.insert("image".into(), how.into());
        if let Some((revision, place)) = words.said(REVISION) {
            let revision = revision.to_lowercase();
            match &origin.commit {
                Some(commit) if same_commit(commit, &revision) => {
                    if commit.len() < revision.len() {
                        origin.commit = Some(revision);
                    }
                    also("commit", place, &mut origin.evidence);
                }
                Some(commit) => warnings.push(format!(
                    "{}: asked for commit {commit}, and the image's {place} {REVISION} says {revision:.80}",
                    resolved.pin.asked
                )),
                None if is_commit(&revision) => {
                    origin.commit = Some(revision);
                    also("commit", place, &mut origin.evidence);
                }
                None => {}
            }
        }
        if let (Some((source, place)), Some(project)) = (words.said(SOURCE), &origin.project) {
            match source_of(source) {
                Some((host, path))
                    if path == *project && self.gitlab_host.is_none_or(|own| own == host) =>
                {
                    also("project", place, &mut origin.evidence);
                }
                _ => warnings.push(format!(
                    "{}: asked for project {project}, and the image's {place} {SOURCE} says {source:.200}",
                    resolved.pin.asked
                )),
            }
        }
        resolved.pin.origin = Some(origin);
        BuiltImage { resolved, notes, warnings }
    }
}

/// `commit 1a2b of group/project`.
fn described(origin: &Origin) -> String {
    let project = origin.project.as_deref().unwrap_or_default();
    match (origin.pipeline, &origin.commit, &origin.git_ref) {
        (Some(id), Some(commit), _) => {
            format!("pipeline {id} (commit {commit:.8}) of {project}")
        }
        (_, Some(commit), _) => format!("commit {commit} of {project}"),
        (_, _, Some(name)) => format!("{name} of {project}"),
        _ => project.to_owned(),
    }
}

/// The repository of a name below a project; the whole path is accepted as well.
fn below(project: &str, name: &str) -> Result<Repository, OriginError> {
    let project = project.to_lowercase();
    let name = name.trim_matches('/');
    let path = if name.is_empty() || is_below(name, &project) {
        if name.is_empty() { project } else { name.to_owned() }
    } else {
        format!("{project}/{name}")
    };
    path.parse().map_err(|_| OriginError::Repository(path))
}

/// Nothing there, or nothing that may be seen.
fn is_absent(error: &ResolveError) -> bool {
    matches!(
        error,
        ResolveError::Registry {
            reason: RegistryError::Missing { .. } | RegistryError::NotGranted { .. },
            ..
        }
    )
}

fn closing(error: ResolveError) -> Option<ResolveError> {
    let not_granted =
        matches!(&error, ResolveError::Registry { reason: RegistryError::NotGranted { .. }, .. });
    not_granted.then_some(error)
}

/// Whether the image itself says that it was built from the origin's commit.
fn is_from(resolved: &Resolved, origin: &Origin) -> bool {
    let revision = Words::of(resolved).said(REVISION).map(|(text, _)| text.to_lowercase());
    let commit = origin.commit.as_deref();
    revision.zip(commit).is_some_and(|(revision, commit)| same_commit(commit, &revision))
}

/// What `MOORLINE_IMAGE` and `MOORLINE_DIGEST` are for later jobs: the text of a dotenv report.
#[must_use]
pub fn dotenv(resolved: &Resolved) -> String {
    let (image, digest): (_, Digest) = (resolved.pin.reference(), resolved.pin.manifest);
    format!("MOORLINE_IMAGE={image}\nMOORLINE_DIGEST={digest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_project() {
        let name = |name: &str| below("Group/Project", name).map(|r| r.to_string());
        assert_eq!(name("").unwrap(), "group/project");
        assert_eq!(name("sub/img").unwrap(), "group/project/sub/img");
        assert_eq!(name("group/project/img").unwrap(), "group/project/img");
        assert_eq!(name("group/projectile").unwrap(), "group/project/group/projectile");
        assert!(name("../x").is_err());
    }
}
