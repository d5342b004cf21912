//! Under which conditions an attempt ran: the part of a receipt that says what decided the result besides the image.
//! All of it is optional; an absent field means that the worker did not say.

use serde::{Deserialize, Serialize};

use crate::job::{CallFilter, Name, Network};
use crate::oci::{Digest, TreeRoot};

/// The conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// The release of the worker's kernel, as `uname -r` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Who ran the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<WorkerUser>,
    /// The words that were started in the container, as far as a receipt holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    /// Directories and files of the worker that the container showed: the job's mounts and its working directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountMade>,
    /// Which task of the job this was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// The hosts of a task that has several, this worker's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// How many ranks the task had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<u32>,
    /// The program of a runtime that is not our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<RuntimeProgram>,
    /// Flags that it was given by the user, one word each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// What the runtime rewrote in the image before the program started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// Mounts of the user's that lie over something of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<Cover>,
    /// Mounts of the machine below a bound path that could not be shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<MountNote>,
    /// The network that the program saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Whether the runtime kept jobs, ledger, store and credentials out of the container's sight:
    /// `yes` or `no`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hides: Option<Hides>,
    /// Whether our own container's program ran behind the filter of system calls: `on` or `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<CallFilter>,
    /// How the image got to this worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Name>,
    /// Bytes that were moved for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<u64>,
    /// SHA-256 of the worker's own program. Below `run` the worker read it; else it is the one that the job's
    /// script compared before it started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Digest>,
    /// Kernel keys of the caller that the program could use, by their descriptions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What the image's server did, where each block was checked when the program read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<ServedImage>,
    /// The layer over the image into which the program could write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<WritableLayer>,
    /// The graphics processors that it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpus>,
    /// The largest resident set of any one process of the job, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// CPU time of all its processes, in user and kernel mode, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Files that it left: the declared ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// The signal by which the worker was told to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<i32>,
    /// The signal that ended the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

crate::job::open_names! {
    /// Whether something was hidden.
    pub enum Hides {
        /// At every path that the mount table showed.
        Yes = "yes",
        /// The runtime cannot, or it is not known.
        No = "no",
    }
}

/// Who ran the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerUser {
    /// The real uid.
    pub uid: u32,
    /// Its name on the worker; none where nobody knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A mount that the container had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountMade {
    /// The path on the worker, links resolved.
    pub source: String,
    /// The path in the container, as it was asked for.
    pub target: String,
    /// Whether it was read-only.
    pub ro: bool,
}

/// The program of a foreign runtime, as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeProgram {
    /// Its path, links resolved.
    pub path: String,
    /// The uid that owns it.
    pub owner: u32,
    /// What it says of itself; foreign text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its bytes, where they could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// What the image's server did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedImage {
    /// The root of the hash tree.
    pub tree: TreeRoot,
    /// Blocks that were read and right, each time that they were.
    pub read: u64,
    /// Blocks that were not what the tree says; the program got errors for them.
    pub refused: u64,
    /// Reads that the machine did not carry out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde passes it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A layer over the image. What the program wrote into it covers files of the image, and goes with the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritableLayer {
    /// How much was asked for, in bytes.
    pub size: u64,
    /// Who sees to it that it does not grow beyond that.
    pub limit: SizeLimit,
    /// What it held when the job had ended, in bytes of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

crate::job::open_names! {
    /// How the size of a layer is limited.
    pub enum SizeLimit {
        /// The worker looks now and then, and ends the job: it may be larger for a moment.
        Watched = "watched",
        /// Not at all.
        None = "none",
    }
}

/// Graphics processors of the machine, and what their driver says of itself: foreign text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// `nvidia` or `amd`.
    pub kind: String,
    /// The version of the driver in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Those that the job could use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Gpu>,
}

/// A graphics processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its own name, which is the same on each start of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A mount over something of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// The path in the container.
    pub target: String,
    /// The path on the worker.
    pub source: String,
}

/// A file that a job left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Below the working directory; what is not UTF-8 in it is replaced by U+FFFD.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Its bytes, when the job declared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

crate::job::open_names! {
    /// Why a *Match* is not a plain one.
    pub enum Qualifier {
        /// A mount lay over files of the image.
        Mount = "mount",
        /// The program could change files of the image.
        Writable = "writable",
        /// The runtime rewrote files of the image before the program started.
        Modified = "modified",
        /// The runtime was given options.
        Option = "option",
        /// A program that is not ours ran the image and is believed.
        RuntimeBelieved = "runtime-believed",
        /// The image was measured by an earlier job of this user.
        MeasuredEarlier = "measured-earlier",
        /// Only the name under which a site publishes the image was looked at.
        PathOnly = "path-only",
    }
}

/// A mount that the worker did not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountNote {
    /// The path on the worker.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Why it was skipped.
    pub why: String,
}
