//! The words by which a build is asked for: `--project`, `--ref`, `--commit` and their like, as job
//! files, `[images]` and `moorline.lock` hold them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What CI built, in the words of the flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// `group/project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// A branch or tag.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// A commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// A pipeline's number, or `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// A job's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// A merge request's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mr: Option<u64>,
    /// A release's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The image below the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

impl Built {
    /// The keys, which are the long flags.
    pub const KEYS: [&str; 8] =
        ["project", "ref", "commit", "pipeline", "job", "mr", "release", "repository"];

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a build was selected, and not just a project.
    #[must_use]
    pub fn selects(&self) -> bool {
        self.git_ref.is_some()
            || self.commit.is_some()
            || self.pipeline.is_some()
            || self.job.is_some()
            || self.mr.is_some()
            || self.release.is_some()
    }

    /// Two words that cannot stand together: one commit may be named in one way.
    #[must_use]
    pub fn conflict(&self) -> Option<(&'static str, &'static str)> {
        let said = [
            ("ref", self.git_ref.is_some()),
            ("pipeline", self.pipeline.is_some()),
            ("job", self.job.is_some()),
        ];
        let alone = [
            ("commit", self.commit.is_some()),
            ("mr", self.mr.is_some()),
            ("release", self.release.is_some()),
        ];
        let mut alone = alone.into_iter().filter(|(_, there)| *there).map(|(name, _)| name);
        let first = alone.next()?;
        let other = said.into_iter().find(|(_, there)| *there).map(|(name, _)| name);
        alone.next().or(other).map(|other| (first, other))
    }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mr = self.mr.map(|iid| iid.to_string());
        let words = [
            &self.project,
            &self.git_ref,
            &self.commit,
            &self.pipeline,
            &self.job,
            &mr,
            &self.release,
            &self.repository,
        ];
        let mut said =
            Self::KEYS.iter().zip(words).filter_map(|(key, word)| Some((key, word.as_ref()?)));
        if let Some((key, word)) = said.next() {
            write!(f, "--{key} {word}")?;
        }
        said.try_for_each(|(key, word)| write!(f, " --{key} {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let text = |t: &str| Some(t.to_owned());
        let all = Built {
            project: text("g/p"),
            git_ref: text("main"),
            pipeline: text("latest"),
            job: text("build"),
            ..Built::default()
        };
        assert_eq!(all.to_string(), "--project g/p --ref main --pipeline latest --job build");
        assert_eq!(all.conflict(), None);
        assert!(all.selects() && !all.is_empty() && Built::default().is_empty());
        let commit = text("1a2b3c4d");
        assert_eq!(Built { commit, ..all.clone() }.conflict(), Some(("commit", "ref")));
        let two = Built { mr: Some(7), release: text("v1"), ..Built::default() };
        assert_eq!(two.conflict(), Some(("mr", "release")));
    }
}
