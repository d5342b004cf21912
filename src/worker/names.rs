//! Names of files in a job's directory.

use std::path::{Path, PathBuf};

/// The plan's file name in `control/`.
pub const PLAN_FILE: &str = "plan.json";
/// The script's file name in `control/`.
pub const SCRIPT_FILE: &str = "job.sh";
/// The Kerberos tickets of a job that asked for them; gone when it has ended.
pub const TICKETS_FILE: &str = "krb5cc";
/// Beside `control/` of a job whose files an engine brings: what comes back besides the working directory.
pub const RETURNED: &str = "returned";
/// Beside `control/` of an array: a directory for each of its tasks.
pub const TASKS: &str = "tasks";
/// How receipts' names begin in `control/`.
pub const RECEIPT_PREFIX: &str = "receipt-";

/// The directory of a job, or of one of its tasks: that of its output and of what the worker returns.
#[must_use]
pub fn task_dir(job: &Path, task: Option<u32>) -> PathBuf {
    task.map_or_else(|| job.to_owned(), |task| job.join(TASKS).join(task.to_string()))
}
