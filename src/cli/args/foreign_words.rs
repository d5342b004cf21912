//! Words and flags of other tools: what to write here instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Verbs of docker, podman, apptainer, batch engines and Ganga.
const VERBS: [(&[&str], &str); 14] = [
    (&["ps", "squeue", "condor_q", "qstat", "bjobs", "list", "ls"], "moorline jobs"),
    (&["images", "image"], "moorline cache ls lists the images of the store"),
    (&["kill", "stop", "rm", "scancel", "condor_rm", "qdel", "bkill"], "moorline cancel JOB"),
    (&["sbatch", "condor_submit", "qsub", "bsub"], "moorline submit IMAGE COMMAND"),
    (&["srun", "start", "exec-run"], "moorline run IMAGE COMMAND"),
    (&["sh", "bash", "enter"], "moorline shell IMAGE"),
    (&["log", "tail", "peek", "attach"], "moorline logs JOB"),
    (&["cp", "get", "download", "output", "condor_transfer_data"], "moorline fetch JOB"),
    (&["top", "stat", "info"], "moorline status JOB"),
    (&["history", "sacct", "report", "provenance"], "moorline audit job JOB"),
    (&["build", "sif"], "moorline convert IMAGE -o FILE.sif"),
    (&["push"], "moorline convert IMAGE --push REGISTRY/GROUP/PROJECT"),
    (&["prune", "clean"], "moorline cache prune"),
    (&["resubmit", "restart", "retry"], "moorline rerun JOB"),
];

/// Flags of docker, podman, apptainer and batch engines on `run`, `shell` and `submit`.
const FLAGS: [(&[&str], &str); 10] = [
    (&["--volume", "--bind", "-B"], "write --mount SRC:DST[:ro]"),
    (&["-e"], "write --env NAME=VALUE"),
    (
        &["-i", "-t", "-it", "-ti", "--interactive", "--tty"],
        "leave it out: on a terminal the program has a terminal",
    ),
    (&["--rm"], "leave it out: nothing of a container stays after the job"),
    (
        &["-w", "--workdir", "--pwd"],
        "the job starts in /work_dir: the current directory with run, --workdir DIR with submit",
    ),
    (&["-u", "--user"], "leave it out: the program runs as you"),
    (&["--nv", "--rocm", "--gpus"], "write --gpu"),
    (&["-p", "--partition"], "write --queue NAME"),
    (&["-c", "--cpus-per-task", "-n", "--ntasks"], "write --cpus N"),
    (&["--mem", "-m"], "write --memory 4G"),
];

/// `job,state`
fn is_fields(word: &str) -> bool {
    word.contains(',')
        && word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | ',' | '.'))
}

/// What to write instead, when clap did not know a word.
pub fn hint(error: &clap::Error) -> Option<&'static str> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let (table, word): (&[(&[&str], &str)], &str) = match error.kind() {
        ErrorKind::InvalidSubcommand => (&VERBS, word(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => (&FLAGS, word(ContextKind::InvalidArg)?),
        _ => return None,
    };
    // `--json id,state`
    if error.kind() == ErrorKind::UnknownArgument && is_fields(word) {
        return Some("fields of a document follow =: --json=job,state");
    }
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    table.iter().find(|(words, _)| words.contains(&name)).map(|(_, hint)| *hint)
}
