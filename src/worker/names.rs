//! Names of files in a job's `control/`.

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
/// How receipts' names begin in `control/`.
pub const RECEIPT_PREFIX: &str = "receipt-";
