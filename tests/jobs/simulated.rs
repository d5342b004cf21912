//! A simulated Slurm: scripts that stand for its commands, first in `PATH`. `sbatch` starts the job's
//! script for real, so that the worker writes a real receipt.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Home, read_json, until};

/// As Slurm's commands say it when no controller is there.
pub const NO_CONTROLLER: &str = "echo 'slurm_load_jobs error: Unable to contact slurm controller \
                                 (connect failure)' >&2; exit 1";
/// As `sacct` says it on a cluster without accounting.
pub const NO_ACCOUNTING: &str = "echo 'Slurm accounting storage is disabled' >&2; exit 1";
/// As `squeue` says it of a job that the controller has forgotten.
pub const FORGOTTEN: &str = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1";

/// The id of every job here.
pub const ID: u32 = 77;

pub struct Simulated {
    bin: PathBuf,
    account: String,
}

impl Simulated {
    pub fn new(home: &mut Home) -> Self {
        let bin = home.mkdir("simulated-slurm");
        let path = format!("{}:{}", bin.display(), home.env["PATH"]);
        home.env.insert("PATH".into(), path);
        let account = Command::new("id").arg("-un").output().unwrap().stdout;
        let account = String::from_utf8(account).unwrap().trim().to_owned();
        let simulated = Self { bin, account };
        simulated.command(
            "sbatch",
            &format!(
                "for word; do case $word in --chdir=*) cd \"${{word#*=}}\" ;; esac; script=$control; \
                 control=$word; done\n\
                 SLURM_JOB_ID={ID} setsid sh \"$script\" \"$control\" >../stdout 2>../stderr </dev/null &\necho {ID}"
            ),
        );
        simulated.command("scontrol", "exit 0");
        simulated.command("scancel", "exit 0");
        simulated.says("RUNNING", "0:0");
        simulated
    }

    pub fn command(&self, name: &str, body: &str) {
        let path = self.bin.join(name);
        // whole at once: another process may be running it
        let aside = self.bin.join(format!(".{name}"));
        fs::write(&aside, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(aside, path).unwrap();
    }

    /// Accounting and controller give this state and code of the job, as `sacct` writes the code.
    pub fn says(&self, state: &str, code: &str) {
        let now = "$(date +%s)";
        let account = &self.account;
        self.command("sacct", &format!("echo \"{ID}|{now}|{account}|{state}|{code}|None\""));
        self.command("squeue", &format!("echo \"{ID}|{now}|{account}|{state}|0|None|\""));
    }

    /// Neither answers.
    pub fn is_silent(&self) {
        self.command("sacct", NO_CONTROLLER);
        self.command("squeue", NO_CONTROLLER);
    }

    /// There is no accounting, and the controller knows the job no more.
    pub fn has_forgotten(&self) {
        self.command("sacct", NO_ACCOUNTING);
        self.command("squeue", FORGOTTEN);
    }
}

/// The only receipt of a job.
pub fn receipt(home: &Home, job: &str) -> Value {
    let paths = receipts(home, job);
    assert_eq!(paths.len(), 1);
    read_json(&paths[0])
}

/// The receipts beside a job, once there is one.
pub fn receipts(home: &Home, job: &str) -> Vec<PathBuf> {
    let control = home.job(job).join("control");
    until("a receipt", 60, || {
        let names = fs::read_dir(&control).unwrap().flatten();
        let found: Vec<PathBuf> = names
            .map(|entry| entry.path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("receipt-"))
            .collect();
        Some(found).filter(|found| !found.is_empty())
    })
}
