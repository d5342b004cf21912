//! Names of files in a job's directory, and of the limit that a worker has of its own.

use std::path::{Path, PathBuf};

/// The plan's file name in `control/`.
pub const PLAN_FILE: &str = "plan.json";
/// The script's file name in `control/`.
pub const SCRIPT_FILE: &str = "job.sh";
/// The Kerberos tickets of a job that asked for them; gone when it has ended.
pub const TICKETS_FILE: &str = "krb5cc";
/// The grid proxy of a job that asked for it; gone when it has ended.
pub const PROXY_FILE: &str = "x509up";
/// Beside `control/` of a job whose files an engine brings: what comes back besides the working directory.
pub const RETURNED: &str = "returned";
/// Beside `control/` of an array: a directory for each of its tasks.
pub const TASKS: &str = "tasks";
/// How receipts' names begin in `control/`.
pub const RECEIPT_PREFIX: &str = "receipt-";
/// A deploy token for a worker that pulls: user name and secret, a line each. Gone when it has pulled.
pub const CREDENTIAL_FILE: &str = "registry-credential";
/// Certificates that a worker which pulls trusts besides those of its machine, PEM.
pub const AUTHORITIES_FILE: &str = "authorities.pem";
/// The folder of `control/` with the files of runtimes that the submitter added, where workers do not see the store.
pub const ADDED_FOLDER: &str = "added";
/// The image's configuration, for an image whose tree is published without it.
pub const CONFIG_FILE: &str = "image-config.json";
/// The key of `[limits]` that bounds how many bytes of declared outputs are hashed when a job has ended.
pub const OUTPUT_BYTES: &str = "output_bytes";
/// Its default: a minute or two, and more than most jobs leave.
pub const MOST_OUTPUT_BYTES: u64 = 1 << 36;

/// The directory of a job, or of one of its tasks: that of its output and of what the worker returns.
#[must_use]
pub fn task_dir(job: &Path, task: Option<u32>) -> PathBuf {
    task.map_or_else(|| job.to_owned(), |task| job.join(TASKS).join(task.to_string()))
}
