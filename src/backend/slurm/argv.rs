//! The `sbatch` command line: identifiers, numbers and paths only; the script is copied by Slurm.

use std::path::Path;

use crate::backend::dialect::anywhere;
use crate::backend::{BackendError, Order, Submission};
use crate::job::{IntentId, Resources};
use crate::worker::{SCRIPT_FILE, TASKS};

/// What travels with a job so that it is found again.
pub(super) fn tag(intent: &IntentId) -> String {
    format!("moorline:{intent}:")
}

/// Builds the command line; see `docs/backends.md` for why each option is there.
///
/// # Errors
/// [`BackendError::Unfit`] for a path or name that Slurm would read as something else.
pub(super) fn sbatch(order: &Order) -> Result<Submission, BackendError> {
    let control = order.dir.join("control");
    // a task's output lies in a directory of its own
    let output = |name: &str| {
        let Some(_) = order.tasks else { return pattern(&order.dir.join(name)) };
        let (before, behind) = (order.dir.join(TASKS), Path::new("/").join(name));
        Ok(format!("{}/%a{}", pattern(&before)?, pattern(&behind)?))
    };
    let work = order.dir.join("work");
    let mut argv: Vec<String> = vec![
        "sbatch".into(),
        "--parsable".into(),
        format!("--job-name=moorline-{}", order.job),
        format!("--comment={}{}", tag(&order.intent), digest(&order.digest)?),
        "--export=PATH".into(),
        "--no-requeue".into(),
        "--nodes=1".into(),
        "--ntasks=1".into(),
        format!("--chdir={}", path(&work)?),
        "--input=/dev/null".into(),
        format!("--output={}", output("stdout")?),
        format!("--error={}", output("stderr")?),
        "--open-mode=truncate".into(),
    ];
    if let Some(tasks) = &order.tasks {
        let at_once = order.at_once.map(|most| format!("%{most}")).unwrap_or_default();
        argv.push(format!("--array={tasks}{at_once}"));
    }
    if order.hold {
        argv.push("--hold".into());
    }
    let Resources { cpus, memory_mib, time_seconds, queue, account } = &order.resources;
    argv.extend(cpus.map(|n| format!("--cpus-per-task={n}")));
    argv.extend(memory_mib.map(|n| format!("--mem={n}M")));
    argv.extend(time_seconds.map(|n| format!("--time={}", clock(n))));
    if let Some(queue) = queue {
        argv.push(format!("--partition={}", name("the queue", queue)?));
    }
    if let Some(account) = account {
        argv.push(format!("--account={}", name("the account", account)?));
    }
    argv.push(path(&control.join(SCRIPT_FILE))?);
    argv.push(path(&control)?);
    Ok(Submission { argv, env: vec![], cwd: anywhere(), files: vec![] })
}

fn unfit(what: impl Into<String>, why: impl Into<String>) -> BackendError {
    BackendError::Unfit { engine: super::facts::FACTS.name, what: what.into(), why: why.into() }
}

/// `D-HH:MM:SS`; Slurm rounds up to whole minutes.
fn clock(seconds: u64) -> String {
    let (minutes, s) = (seconds / 60, seconds % 60);
    let (hours, m) = (minutes / 60, minutes % 60);
    format!("{}-{:02}:{m:02}:{s:02}", hours / 24, hours % 24)
}

/// A path that means itself: absolute, UTF-8, without characters that could end a line or, with a
/// backslash, switch Slurm's `%` off for the whole name.
fn path(path: &Path) -> Result<String, BackendError> {
    let what = || format!("the path {}", path.display().to_string().escape_debug());
    let text = path.to_str().ok_or_else(|| unfit(what(), "it is not UTF-8"))?;
    if !text.starts_with('/') {
        return Err(unfit(what(), "it is not absolute"));
    }
    if text.contains(|c: char| c.is_control() || c == '\\') {
        return Err(unfit(what(), "it has a control character or a backslash"));
    }
    Ok(text.to_owned())
}

/// The same where Slurm replaces `%j` and the like: `%%` is one `%`.
fn pattern(file: &Path) -> Result<String, BackendError> {
    Ok(path(file)?.replace('%', "%%"))
}

fn name(what: &str, text: &str) -> Result<String, BackendError> {
    Resources::identifier(text).map_err(|error| unfit(what, error.to_string()))
}

fn digest(text: &str) -> Result<&str, BackendError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b':';
    if text.len() <= 160 && text.bytes().all(good) {
        return Ok(text);
    }
    Err(unfit("the digest", format!("{text:?} is none")))
}

/// Whether the controller may have taken the job although `sbatch` failed: the answer was lost.
///
/// The list is of Slurm's own messages (`slurm_errno.c`: the communication errors but for those of
/// the connection itself) and the kernel's for a connection that broke.
pub(super) fn is_ambiguous(said: &str) -> bool {
    [
        "Socket timed out",
        "Zero Bytes were transmitted or received",
        "Message receive failure",
        "Message send failure",
        "Communication shutdown failure",
        "Unexpected message received",
        "Unexpected message type",
        "Header lengths are longer than data received",
        "Protocol authentication error",
        "Insane message length",
        "Connection reset by peer",
        "Connection timed out",
        "Broken pipe",
        "Interrupted system call",
    ]
    .iter()
    .any(|words| said.contains(words))
}

/// Whether no controller (or, for `sacct`, no database) was reached, so that it cannot have taken a job.
pub(super) fn is_unreachable(said: &str) -> bool {
    [
        "Unable to contact slurm controller (connect failure)",
        "Could not establish a configuration source",
        "Unable to establish controller machine",
        "Problem talking to the database",
    ]
    .iter()
    .any(|words| said.contains(words))
}
