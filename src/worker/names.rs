//! Names of files in a job's `control/`.

/// The plan's file name in `control/`.
pub const PLAN_FILE: &str = "plan.json";
/// The script's file name in `control/`.
pub const SCRIPT_FILE: &str = "job.sh";
/// The Kerberos tickets of a job that asked for them; gone when it has ended.
pub const TICKETS_FILE: &str = "krb5cc";
/// Beside `control/` of a job whose files an engine brings: what comes back besides the working directory.
pub const RETURNED: &str = "returned";
/// How receipts' names begin in `control/`.
pub const RECEIPT_PREFIX: &str = "receipt-";
/// A deploy token for a worker that pulls: user name and secret, a line each. Gone when it has pulled.
pub const CREDENTIAL_FILE: &str = "registry-credential";
/// Certificates that a worker which pulls trusts besides those of its machine, PEM.
pub const AUTHORITIES_FILE: &str = "authorities.pem";
/// The image's configuration, for an image whose tree is published without it.
pub const CONFIG_FILE: &str = "image-config.json";
