//! What others must know of this engine, and what its ids look like.

use crate::backend::Facts;

pub(super) static FACTS: Facts = Facts {
    name: "slurm",
    example: "123",
    again: None,
    here: false,
    commands: &["sbatch", "squeue", "sacct", "scancel", "scontrol"],
    // which cluster is meant; and a path, which sites need whose submission forwards Kerberos tickets
    environment: &["SLURM_CONF", "KRB5CCNAME"],
    families: &["SLURM_", "SBATCH_", "SRUN_"],
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
    transfers: false,
};

/// Whether this is a number of a job.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())
}
