//! What others must know of this engine, and what its ids look like.

use std::time::Duration;

use crate::backend::facts::{ArrayFacts, Facts, Part};
use crate::job::Tasks;

pub(super) static FACTS: Facts = Facts {
    name: "slurm",
    example: "123",
    again: None,
    here: false,
    commands: &["sbatch", "squeue", "sacct", "scancel", "scontrol"],
    // which cluster is meant; and a path, which sites need whose submission forwards Kerberos tickets
    environment: &["SLURM_CONF", "KRB5CCNAME"],
    families: &["SLURM_", "SBATCH_", "SRUN_"],
    // source: slurm_errno.c
    hints: &[
        (
            "Invalid job array specification",
            "the cluster has a limit: scontrol show config | grep MaxArraySize; submit several smaller arrays",
        ),
        ("invalid partition specified", "sinfo -s lists the partitions, for --queue"),
        (
            "Invalid account or account/partition",
            "sacctmgr show associations user=$USER lists yours, for --account",
        ),
        (
            "Requested time limit is invalid",
            "sinfo -s shows the longest time of each partition, for --time",
        ),
        (
            "Requested node configuration is not available",
            "no node has so much: ask for fewer --cpus or less --memory",
        ),
    ],
    in_a_job: Some("SLURM_JOB_ID"),
    own_id: Some("SLURM_JOB_ID"),
    in_receipt: &[
        "SLURM_JOB_ID",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_RESTART_COUNT",
        "SLURM_CLUSTER_NAME",
    ],
    // SLURM_JWT is a secret
    for_program: &[
        "SLURM_JOB_ID",
        "SLURM_JOB_NAME",
        "SLURM_JOB_NODELIST",
        "SLURM_JOB_PARTITION",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT",
        "SLURM_ARRAY_TASK_MIN",
        "SLURM_ARRAY_TASK_MAX",
        "SLURM_CPUS_PER_TASK",
        "SLURM_CPUS_ON_NODE",
        "SLURM_MEM_PER_NODE",
        "SLURM_NTASKS",
        "SLURM_NNODES",
        "SLURM_NODEID",
        "SLURM_PROCID",
        "SLURM_LOCALID",
    ],
    can_hold: true,
    array: Some(ArrayFacts {
        variable: "SLURM_ARRAY_TASK_ID",
        own_id: Some("SLURM_ARRAY_JOB_ID"),
        at_once: true,
        name,
        split,
    }),
    // the controller knows a job before it answers; the accounting is asked beside it
    visible_after: Duration::ZERO,
    transfers: false,
};

/// `123_7`
fn name(array: &str, _: &Tasks, task: u32) -> String {
    format!("{array}_{task}")
}

fn split(id: &str) -> Option<(&str, Part)> {
    let (array, task) = id.split_once('_').filter(|(array, _)| is_id(array))?;
    Some((array, Part::Number(task.parse().ok()?)))
}

/// An id and its tasks as Slurm prints them: `123`, `123_7`, `123_[8-400%50]`, `123_[1-9:2,12]`.
pub(super) fn id_and_tasks(text: &str) -> Option<(&str, Option<Tasks>)> {
    let Some((id, tasks)) = text.split_once('_') else {
        return is_id(text).then_some((text, None));
    };
    let tasks = tasks.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(tasks);
    let tasks = Tasks::parse_array(tasks).ok()?.0;
    is_id(id).then_some((id, Some(tasks)))
}

/// Whether this is a number of a job.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())
}
