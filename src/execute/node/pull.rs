//! The image from its registry, by a process of its own: this one has no threads and no HTTP, and the credential is in the
//! other's memory alone.
//!
//! ```text
//! worker: in the node's images?  yes -> use it; nobody is asked
//!         no -> /proc/self/exe worker-pull CONTROL --plan-sha256 HEX --store BASE/moorline-UID/images
//!                 the lease of the store: one pulls, the others wait
//!                 {"path": "...", "fetched": true}   or   {"kind": "denied", "why": "...", "hint": "..."}
//! ```
//!
//! `control/registry-credential` goes when the image is there or cannot be had, unless this attempt was told to end and may
//! be repeated (`worker.rs`).

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};

use super::images::{Images, remove_unused};
use crate::execute::ExecuteError;
use crate::execute::attend::still_wanted;
use crate::execute::verbs::PULL;
use crate::failure::Kind;
use crate::worker::{CREDENTIAL_FILE, Plan};

/// Between two looks whether the job is still wanted.
const PAUSE: Duration = Duration::from_millis(200);
/// Longer answers are none.
const MOST_ANSWER: u64 = 1 << 20;

/// Variables that the puller gets: where its temporary files go, and which proxies and certificates the machine has.
const VARIABLES: [&str; 14] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What a puller says at its end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pulled {
    /// The SIF is there.
    There {
        /// Where.
        path: PathBuf,
        /// Its length when this puller got it from the registry; `None` when it was there already.
        #[serde(default)]
        fetched: Option<u64>,
    },
    /// It could not be had.
    Failed {
        /// The kind of failure, by its word in JSON.
        kind: String,
        /// Why.
        why: String,
        /// What to try.
        hint: Option<String>,
    },
}

/// The SIF of a job that pulls, and how many bytes of it this job got from the registry.
///
/// # Errors
/// When the registry does not give it, there is no room, or the job is to end.
pub(in crate::execute) fn pull(
    images: &Images,
    plan: &Plan,
    (control, plan_sha256): (&Path, &str),
) -> Result<(PathBuf, Option<u64>), ExecuteError> {
    match images.find(&plan.job.image) {
        Some(found) => Ok((found, None)),
        None => by_another_process(images, (control, plan_sha256)),
    }
}

/// Takes the credential away.
pub(in crate::execute) fn forget_credential(control: &Path) {
    // there is none, mostly; where it fails it stays what it is, readable by its user alone
    let _ = std::fs::remove_file(control.join(CREDENTIAL_FILE));
}

/// Takes a SIF away that is not what it should be; says whether it is gone.
pub(in crate::execute) fn forget(path: &Path) -> bool {
    let _ = remove_unused(path);
    !path.exists()
}

fn by_another_process(
    images: &Images,
    (control, plan_sha256): (&Path, &str),
) -> Result<(PathBuf, Option<u64>), ExecuteError> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(PULL)
        .arg(control)
        .args(["--plan-sha256", plan_sha256, "--store"])
        .arg(images.store.root())
        .env_clear()
        .envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child =
        command.spawn().map_err(|error| ExecuteError::starting("starting the puller", error))?;
    let said = answer(&mut child);
    if said.is_err() {
        // what it wrote is swept away by the next one
        let _ = child.kill();
    }
    let ended = child.wait().map_err(ExecuteError::io("waiting for the puller"))?;
    let failed = |kind, why, hint| Err(ExecuteError::Pull { kind, why, hint });
    match serde_json::from_slice(&said?) {
        Ok(Pulled::There { path, fetched }) if ended.success() => Ok((path, fetched)),
        Ok(Pulled::Failed { kind, why, hint }) => {
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
            failed(kind.unwrap_or(Kind::Network), why, hint)
        }
        _ => failed(
            Kind::Network,
            format!("the puller ended with {ended} and without an answer"),
            None,
        ),
    }
}

/// What it says until it closes its end, as long as the job is wanted.
fn answer(child: &mut Child) -> Result<Vec<u8>, ExecuteError> {
    let reading = || ExecuteError::io("reading what the puller says");
    let Some(mut pipe) = child.stdout.take() else { return Ok(Vec::new()) };
    let pause = Timespec::try_from(PAUSE).ok();
    let (mut said, mut part) = (Vec::new(), [0; 4096]);
    loop {
        still_wanted()?;
        let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
        match rustix::event::poll(&mut ready, pause.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(reading()(error.into())),
        }
        match pipe.read(&mut part) {
            Ok(0) => return Ok(said),
            Ok(length) if (said.len() + length) as u64 <= MOST_ANSWER => {
                said.extend_from_slice(&part[..length]);
            }
            Ok(_) => return Ok(Vec::new()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(reading()(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_are_read() {
        let there = Pulled::There { path: "/a.sif".into(), fetched: Some(7) };
        let text = serde_json::to_string(&there).unwrap();
        assert_eq!(text, r#"{"path":"/a.sif","fetched":7}"#);
        assert!(matches!(serde_json::from_str(&text), Ok(Pulled::There { fetched: Some(7), .. })));
        let text = r#"{"kind":"denied","why":"no","hint":null}"#;
        assert!(matches!(serde_json::from_str(text), Ok(Pulled::Failed { hint: None, .. })));
    }
}
