//! The job that this process runs in, from GitLab CI's own variables, which are passed in.
//!
//! Source: GitLab's "Predefined CI/CD variables reference".

use crate::oci::{Reference, Registry};

/// What a job knows of itself. Every field is foreign text as far as a fork's merge request can set
/// it (branch names); nothing here is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CiJob {
    /// `CI_PROJECT_PATH`, in lower case as registries write it.
    pub project: String,
    /// `CI_REGISTRY_IMAGE`: the project's own repository; it has neither tag nor digest.
    pub image: Reference,
    /// `CI_COMMIT_SHA`.
    pub commit: String,
    /// `CI_COMMIT_REF_NAME`.
    pub git_ref: Option<String>,
    /// `CI_COMMIT_TAG`: the ref is a tag.
    pub is_tag: bool,
    /// `CI_DEFAULT_BRANCH` is the ref.
    pub is_default: bool,
    /// `CI_PIPELINE_ID`.
    pub pipeline: Option<u64>,
}

impl CiJob {
    /// Reads the variables; `None` outside GitLab CI: other systems set `CI` as well, and only
    /// GitLab's has `CI_PROJECT_PATH`.
    ///
    /// # Errors
    /// Names the variable that is missing or malformed.
    pub fn read<'e>(get: impl Fn(&str) -> Option<&'e str>) -> Result<Option<Self>, String> {
        let Some(project) = get("CI_PROJECT_PATH").filter(|_| get("CI") == Some("true")) else {
            return Ok(None);
        };
        let project = project.to_lowercase();
        let need = |name: &str| get(name).ok_or_else(|| format!("{name} is not set"));
        let image = need("CI_REGISTRY_IMAGE")
            .map_err(|e| format!("{e}: the project's container registry may be switched off"))?;
        let image: Reference =
            image.parse().map_err(|e| format!("CI_REGISTRY_IMAGE {image:?}: {e}"))?;
        if image.tag.is_some() || image.digest.is_some() {
            return Err(format!("CI_REGISTRY_IMAGE {image} has a tag or digest"));
        }
        let git_ref = get("CI_COMMIT_REF_NAME").map(str::to_owned);
        let default = get("CI_DEFAULT_BRANCH");
        let is_tag = get("CI_COMMIT_TAG").is_some();
        Ok(Some(Self {
            project,
            image,
            commit: need("CI_COMMIT_SHA")?.to_lowercase(),
            is_tag,
            is_default: !is_tag && default.is_some() && git_ref.as_deref() == default,
            git_ref,
            pipeline: get("CI_PIPELINE_ID").and_then(|id| id.parse().ok()),
        }))
    }

    /// The registry of the project's images.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.image.registry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &'static str)]) -> Result<Option<CiJob>, String> {
        CiJob::read(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| *v))
    }

    #[test]
    fn a_job_knows_itself() {
        let all = [
            ("CI", "true"),
            ("CI_PROJECT_PATH", "Group/Project"),
            ("CI_REGISTRY_IMAGE", "r.example:5050/group/project"),
            ("CI_COMMIT_SHA", "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"),
            ("CI_COMMIT_REF_NAME", "main"),
            ("CI_DEFAULT_BRANCH", "main"),
            ("CI_PIPELINE_ID", "4711"),
        ];
        let job = read(&all).unwrap().unwrap();
        assert_eq!(job.project, "group/project");
        assert_eq!(job.registry().as_str(), "r.example:5050");
        assert!(job.is_default && !job.is_tag);
        assert_eq!(job.pipeline, Some(4711));
        assert_eq!(read(&all[1..]).unwrap(), None);
        assert_eq!(read(&all[..1]).unwrap(), None);
        assert_eq!(read(&all[..3]).unwrap_err(), "CI_COMMIT_SHA is not set");
        assert!(read(&all[..2]).unwrap_err().contains("switched off"));
    }
}
