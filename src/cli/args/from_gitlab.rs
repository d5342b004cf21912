//! The flags that name an image by what GitLab's CI built.

use std::path::PathBuf;

use clap::Args;

use crate::acquire::Build;
use crate::pin::Built;

/// Set on each flag: a heading for what comes next would hold the flags of the verb as well.
const HEADING: &str = "From GitLab, instead of IMAGE";

/// Which build's image.
#[derive(Debug, Default, Clone, Args)]
pub struct FromGitlab {
    /// The project; left out: in CI the running job's own, else that of the clone around you
    #[arg(help_heading = HEADING, long, value_name = "GROUP/PROJECT")]
    pub project: Option<String>,
    /// What the newest pipeline of this branch or tag built
    #[arg(help_heading = HEADING, long = "ref", value_name = "BRANCH|TAG", conflicts_with_all = ["commit", "mr", "release"])]
    pub git_ref: Option<String>,
    /// What was built from this commit
    #[arg(help_heading = HEADING, long, value_name = "SHA", conflicts_with_all = ["mr", "release"])]
    pub commit: Option<String>,
    /// What this pipeline built; latest: the newest successful one, of --ref or the default branch
    #[arg(help_heading = HEADING, long, value_name = "ID|latest", conflicts_with_all = ["commit", "mr", "release"])]
    pub pipeline: Option<String>,
    /// What the newest successful pipeline with this successful job built
    #[arg(help_heading = HEADING, long, value_name = "NAME", conflicts_with_all = ["commit", "mr", "release"])]
    pub job: Option<String>,
    /// What the newest pipeline of this merge request built
    #[arg(help_heading = HEADING, long, value_name = "IID", conflicts_with = "release")]
    pub mr: Option<u64>,
    /// What was built for this release
    #[arg(help_heading = HEADING, long, value_name = "TAG")]
    pub release: Option<String>,
    /// The image below the project, when it has several
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    pub repository: Option<String>,
    /// The digest that a build job wrote: kaniko, buildah, podman, buildx metadata
    #[arg(help_heading = HEADING, long, value_name = "FILE", conflicts_with_all = ["git_ref", "commit", "pipeline", "job", "mr", "release"])]
    pub digest_file: Option<PathBuf>,
}

impl From<Built> for FromGitlab {
    fn from(built: Built) -> Self {
        let Built { project, git_ref, commit, pipeline, job, mr, release, repository } = built;
        Self { project, git_ref, commit, pipeline, job, mr, release, repository, digest_file: None }
    }
}

impl FromGitlab {
    /// Takes from a job file what no flag said. A build that a flag selects is instead of the
    /// file's, whichever word the file has for it.
    pub fn fill(&mut self, file: Built) {
        let own = self.build().built.selects() || self.digest_file.is_some();
        let filed = Self::from(file);
        self.project = self.project.take().or(filed.project);
        self.repository = self.repository.take().or(filed.repository);
        if !own {
            let (project, repository) = (self.project.take(), self.repository.take());
            *self = Self { project, repository, ..filed };
        }
    }

    /// As a build that can be looked for.
    pub fn build(&self) -> Build {
        let Self { project, git_ref, commit, pipeline, job, mr, release, repository, digest_file } =
            self.clone();
        let built = Built { project, git_ref, commit, pipeline, job, mr, release, repository };
        Build { built, digest_file }
    }

    /// Whether any of the flags was given.
    pub fn is_named(&self) -> bool {
        self.build().is_named()
    }
}
