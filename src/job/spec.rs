//! What a job does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Delivery, EnvVar, JobId, Mount, Resources, RuntimeChoice, Terms};
use crate::pin::Image;

/// Everything that decides what a job does. There is no way to make one from a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The job's id.
    pub id: JobId,
    /// What the user calls it; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image.
    pub image: Image,
    /// How it gets to the worker.
    pub delivery: Delivery,
    /// Program and arguments; empty means the image's own.
    pub command: Vec<String>,
    /// Mounts in the order given, the default ones first.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Variables for the program, beside the image's own.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// Which runtime.
    #[serde(default)]
    pub runtime: RuntimeChoice,
    /// Extra flags for the container runtime, one word each.
    #[serde(default)]
    pub options: Vec<String>,
    /// What it needs of the engine.
    #[serde(default)]
    pub resources: Resources,
    /// The host directory that is bound to `/work_dir`; `None` means the job directory's `work/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<PathBuf>,
    /// Which job this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// How it is to be run.
    #[serde(flatten)]
    pub terms: Terms,
}

impl JobSpec {
    /// An image and a command, and everything else as it is when nobody says anything.
    #[must_use]
    pub fn plain(id: JobId, image: Image, delivery: Delivery, command: Vec<String>) -> Self {
        Self {
            id,
            name: None,
            image,
            delivery,
            command,
            mounts: Vec::new(),
            env: Vec::new(),
            runtime: RuntimeChoice::Auto,
            options: Vec::new(),
            resources: Resources::default(),
            workdir: None,
            rerun_of: None,
            terms: Terms::default(),
        }
    }
}
