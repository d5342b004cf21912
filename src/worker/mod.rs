//! The worker side's formats: the plan that travels with a job, the script that the engine starts,
//! the receipt that comes back, and the exit codes that are not the program's own.
//!
//! Floor 3: text in, text out. What acts on them is `execute` (floor 5).
//!
//! ```text
//! JOBS_DIR/ID/                     0700
//!   work/                          bound to /work_dir
//!   stdout  stderr                 of the job
//!   control/                       0700, never inside the container
//!     job.sh                       the script (script.rs)
//!     plan.json                    what to run (plan.rs), read-only
//!     inputs/NAME                  files of the submitter, as they were (job::Input)
//!     krb5cc                       Kerberos tickets, 0600, until the job has ended
//!     registry-credential          a deploy token for a worker that pulls, 0600, until it has pulled
//!     authorities.pem              certificates that a worker which pulls trusts as well
//!     image-config.json            the image's configuration, where its tree is published without it
//!     added/HEX                    files of runtimes that the submitter added, where nodes do not see the store
//!     x509up                       a grid proxy, likewise
//!     receipt-ATTEMPT.json         what ran (receipt.rs), written by temp file and rename
//!   image.sif                      a copy of the user's file, where nodes do not see that
//!   returned/receipt-ATTEMPT.json  of a job whose files the engine brings
//!   tasks/7/                       of an array, for each task: work/, stdout, stderr, returned/receipt-ATTEMPT.json
//! JOBS_DIR/bin/SHA256/moorline     the worker's program, hash-checked by the script
//! ```
//!
//! Where the engine brings the files, the worker has a directory with `control/`, `work/`, the image and
//! `moorline` in it; `work/` and `returned/` come back.

mod conditions;
mod contradiction;
mod declared;
pub mod exit;
mod getting;
mod names;
mod plan;
mod receipt;
pub mod script;

pub use conditions::{
    Conditions, Cover, Gpu, Gpus, Hides, MountMade, MountNote, Output, Qualifier, RuntimeProgram,
    ServedImage, SizeLimit, WorkerUser, WritableLayer,
};
pub use contradiction::{Contradiction, contradicts};
pub use declared::{Declared, OUTPUT_NOTE};
pub use getting::{Getting, Pull};
pub use names::{
    ADDED_FOLDER, AUTHORITIES_FILE, CONFIG_FILE, CREDENTIAL_FILE, MOST_OUTPUT_BYTES, OUTPUT_BYTES,
    PLAN_FILE, PROXY_FILE, RECEIPT_PREFIX, RETURNED, SCRIPT_FILE, TASKS, TICKETS_FILE, task_dir,
};
pub use plan::{PLAN_SCHEMA, Plan, PlanError};
pub use receipt::{RECEIPT_SCHEMA, Receipt, ReceiptError, Start};
