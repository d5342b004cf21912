//! The POSIX sh script that an engine starts on a worker, and the data file it reads when the
//! `moorline` binary is missing there.
//!
//! The script holds identifiers, digests and numbers only, so nothing that a user typed can be read
//! as a program by an engine or a shell. What the user typed is in `plan.json`, which the binary
//! reads, and once more in `runtime.sh`, where one encoder ([`quote`]) puts it between single quotes.
//!
//! ```text
//! job.sh CONTROL_DIR   (or $MOORLINE_CONTROL, or the script's own directory)
//!   CONTROL/../../bin/SHA256/moorline or ./moorline, hash-checked -> exec moorline worker CONTROL_DIR
//!   neither there -> . CONTROL/runtime.sh, hash-checked -> apptainer, singularity; docker for OCI images
//! ```

use std::fmt::Write;

use crate::job::{Access, IntentId, JobId, JobSpec, Need, Nonce};
use crate::oci::{Digest, Sha256Digest};
use crate::pin::Image;

use super::Plan;

/// What the script is made from.
#[derive(Clone, Debug)]
pub struct ScriptInput {
    /// The job.
    pub job: JobId,
    /// Which submission.
    pub intent: IntentId,
    /// Comes back in the receipt.
    pub nonce: Nonce,
    /// SHA-256 of `plan.json`.
    pub plan: Digest,
    /// SHA-256 of `runtime.sh`.
    pub runtime: Digest,
    /// SHA-256 of the `moorline` binary.
    pub binary: Digest,
    /// The manifest that the job is pinned to.
    pub pinned: Option<Digest>,
    /// The SIF that it runs.
    pub sif: Option<crate::oci::SifDigest>,
}

impl ScriptInput {
    /// Takes everything from the plan and its files' bytes.
    #[must_use]
    pub fn new(plan: &Plan, plan_bytes: &[u8], runtime_sh: &str, binary: Digest) -> Self {
        Self {
            job: plan.job.id,
            intent: plan.intent,
            nonce: plan.nonce,
            plan: Digest::of(plan_bytes),
            runtime: Digest::of(runtime_sh.as_bytes()),
            binary,
            pinned: plan.job.image.pin().map(|pin| pin.manifest),
            sif: plan.job.image.sif(),
        }
    }
}

/// The text of `job.sh`; the same for every job but for its identifiers.
#[must_use]
pub fn script(input: &ScriptInput) -> String {
    let hex = |d: Option<String>| d.unwrap_or_default();
    let mut text = format!(
        "#!/bin/sh\n\
         # Moorline job {job}: starts it on this worker. Made by a program; holds identifiers only.\n\
         job={job}\n\
         intent={intent}\n\
         nonce={nonce}\n\
         plan_sha256={plan}\n\
         runtime_sha256={runtime}\n\
         moorline_sha256={binary}\n\
         pinned_sha256={pinned}\n\
         sif_sha256={sif}\n",
        job = input.job,
        intent = input.intent,
        nonce = input.nonce,
        plan = input.plan.hex(),
        runtime = input.runtime.hex(),
        binary = input.binary.hex(),
        pinned = hex(input.pinned.map(|d| d.hex())),
        sif = hex(input.sif.map(|d| d.hex())),
    );
    text.push_str(include_str!("script.sh"));
    text
}

/// The text of `runtime.sh`: a function `job_run` in the words that `job.sh` defines.
///
/// An OCI image needs `reference`, the pinned reference that docker pulls.
#[must_use]
pub fn runtime_sh(plan: &Plan) -> String {
    let job = &plan.job;
    let mut text = String::from(
        "# Data of one Moorline job; read by job.sh. Not a program.\n# shellcheck shell=sh disable=SC1003,SC2016,SC2034,SC2154\n",
    );
    // writing to a String cannot fail
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = text.write_fmt(words);
        text.push('\n');
    };
    line(format_args!("runtime={}", job.runtime.name()));
    if let Some(mask) = job.terms.umask {
        line(format_args!("program_umask={:04o}", mask & 0o777));
    }
    line(format_args!("workdir={}", quote(&plan.workdir.to_string_lossy())));
    match &job.image {
        Image::Sif { place, .. } => {
            line(format_args!("image={}", quote(&place.to_string_lossy())));
        }
        Image::Oci { pin } => {
            line(format_args!("reference={}", quote(&pin.reference().to_string())));
        }
        // the script says that there is no image
        Image::Other { .. } => line(format_args!("image=")),
    }
    line(format_args!("verb={}", if job.command.is_empty() { "'run'" } else { "'exec'" }));
    line(format_args!("job_run() {{"));
    line(format_args!("    set --"));
    for m in &job.mounts {
        let verb = match m.need {
            Need::Silent => "mount_silent",
            Need::Optional => "mount_optional",
            Need::Required => "mount_required",
        };
        let access = if m.access == Access::Ro { "ro" } else { "rw" };
        line(format_args!(
            "    {verb} {} {} {access} && set -- \"$@\" \"$bind\" \"$bound\"",
            quote(&m.source),
            quote(&m.target)
        ));
    }
    for v in &job.env {
        line(format_args!(
            "    variable {} {} && set -- \"$@\" --env \"$variable\"",
            quote(&v.name),
            quote(&v.value)
        ));
    }
    if !job.options.is_empty() {
        line(format_args!("    set -- \"$@\"{}", words(&job.options)));
    }
    program(job, &mut line);
    line(format_args!("}}"));
    text
}

/// A given command replaces the image's entry point, as `apptainer exec` does.
fn program(job: &JobSpec, line: &mut impl FnMut(std::fmt::Arguments<'_>)) {
    match (&job.image, job.command.split_first()) {
        (Image::Sif { .. } | Image::Other { .. }, _) => {
            line(format_args!("    program \"$@\" \"$image\"{}", words(&job.command)));
        }
        (Image::Oci { .. }, None) => line(format_args!("    program \"$@\" \"$reference\"")),
        (Image::Oci { .. }, Some((first, rest))) => line(format_args!(
            "    program \"$@\" --entrypoint {} \"$reference\"{}",
            quote(first),
            words(rest)
        )),
    }
}

fn words(all: &[String]) -> String {
    all.iter().fold(String::new(), |text, word| text + " " + &quote(word))
}

/// The one encoder of the user's text for a shell: single quotes, in which nothing has a meaning but
/// the quote itself. Newlines stay, a NUL cannot be in an argument and is dropped.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        for (text, expected) in
            [("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$(x)`y`\\", r"'$(x)`y`\'")]
        {
            assert_eq!(quote(text), expected);
        }
    }
}
