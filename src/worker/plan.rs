//! The plan: what a worker runs, as JSON beside the script.
//!
//! It holds the user's text (arguments, variables, mounts), so that the script and the engine's
//! files need hold none. The script carries its SHA-256.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Getting;
use crate::job::{CallFilter, IntentId, JobSpec, Name, Nonce, StagedRuntime};
use crate::oci::Digest;

/// The version of this document.
///
/// 3: the way of the image to the worker stands apart from the image.
pub const PLAN_SCHEMA: u32 = 3;
/// The last one in which an image held its place.
const PLACE_IN_IMAGE: u32 = 2;

/// Everything a worker needs besides the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_SCHEMA`].
    pub schema: u32,
    /// Which submission this is.
    pub intent: IntentId,
    /// Comes back in the receipt.
    pub nonce: Nonce,
    /// What to run; holds the job's id and its pinned image.
    pub job: JobSpec,
    /// The host directory that is bound to `/work_dir`; a relative path lies beside the plan's own directory.
    pub workdir: PathBuf,
    /// Where a node may unpack images; `None` means the job's own temporary directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_cache: Option<PathBuf>,
    /// The runtimes that `auto` tries, in this order; empty means all that there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtimes: Vec<Name>,
    /// Whether the program runs behind the filter of system calls; `None` means `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<CallFilter>,
    /// A store whose images may be mounted by the kernel (site configuration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_store: Option<PathBuf>,
    /// `[limits]` of the configuration that are not the program's own: they hold for an image that
    /// is unpacked. A name that is unknown here bounds nothing here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    /// Directories that no container may see: of the jobs, the ledger, the store, the configuration
    /// and the credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hide: Vec<PathBuf>,
    /// SHA-256 of the worker's program, which the script compares; `None` below `run`, which starts itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Digest>,
    /// The kind of engine that held the job until its key was beside this plan: the worker starts the program
    /// only in the job of that key. `None` means that nobody wrote a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_record: Option<String>,
    /// The variable in which a task of an array finds its number on the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_from: Option<String>,
    /// How the image gets to the node where it is not read at a place, and what the node keeps.
    #[serde(default, skip_serializing_if = "Getting::is_usual")]
    pub getting: Getting,
    /// Runtimes that the submitter added, which this job may come to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<StagedRuntime>,
    /// The socket of the submitter's ssh agent, for a job of this machine that may ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<PathBuf>,
}

/// A plan that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON, or not this document.
    #[error("the job's plan is malformed: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("the job's plan has schema {0}; this moorline reads up to {PLAN_SCHEMA}")]
    Newer(u32),
}

impl Plan {
    /// A plan with nothing but what each has; the rest is as it is when nobody says anything.
    #[must_use]
    pub fn plain((intent, nonce): (IntentId, Nonce), job: JobSpec, workdir: PathBuf) -> Self {
        Self {
            schema: PLAN_SCHEMA,
            intent,
            nonce,
            job,
            workdir,
            node_cache: None,
            runtimes: Vec::new(),
            filter: None,
            site_store: None,
            limits: BTreeMap::new(),
            hide: Vec::new(),
            worker: None,
            on_record: None,
            task_from: None,
            getting: Getting::default(),
            added: Vec::new(),
            agent: None,
        }
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// When the bytes are no plan, or a newer one.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = serde_json::from_slice(bytes)?;
        if schema > PLAN_SCHEMA {
            return Err(PlanError::Newer(schema));
        }
        let mut value: serde_json::Value = serde_json::from_slice(bytes)?;
        if schema <= PLACE_IN_IMAGE
            && let Some(place) = value.pointer("/job/image/place").cloned()
        {
            value["job"]["delivery"] = serde_json::json!({ "kind": "shared", "place": place });
        }
        Ok(serde_json::from_value(value)?)
    }

    /// The bytes to write.
    ///
    /// # Errors
    /// Only when a path is not UTF-8.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}
