//! Words and flags of other tools: what to write here instead.
//!
//! A flag has a meaning with a verb: `-n` is a number of lines, of rows or of cores. So each row names the verbs that it
//! is for, and a verb that has no row for a flag says nothing.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Verbs of docker, podman, apptainer, batch engines and Ganga.
const VERBS: [(&[&str], &str); 18] = [
    (&["ps", "squeue", "condor_q", "qstat", "bjobs", "list", "ls"], "moorline jobs"),
    (&["images", "image"], "moorline cache ls lists the images of the store"),
    (&["rmi", "remove", "delete"], "moorline cache prune removes what no job needs"),
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
    (&["search"], "moorline tags REGISTRY/GROUP/PROJECT lists the tags of an image"),
    (&["prune", "clean"], "moorline cache prune"),
    (&["resubmit", "restart", "retry"], "moorline rerun JOB"),
    (&["version"], "moorline --version"),
    (&["settings", "env"], "moorline config show"),
];

const STARTS: &[&str] = &["run", "exec", "shell", "submit"];
const HERE: &[&str] = &["run", "exec", "shell"];
const SUBMIT: &[&str] = &["submit"];
const CONVERT: &[&str] = &["convert", "pull"];

/// Verbs, flags that people bring along to them, and what to write.
type Row = (&'static [&'static str], &'static [&'static str], &'static str);

const NO_LIMITS: &str = "leave it out: it runs on this machine as it is; moorline submit takes --cpus, --memory and --time";
const IS_SO: &str =
    "leave it out: a job has no home, no variables and no processes of this machine";
const SCRATCH: &str = "leave it out: /tmp and /work_dir are writable; --scratch 1G lets the program write elsewhere, too";
const OWN_FILES: &str = "leave it out: a job's output is kept beside it, moorline logs JOB prints it; --output GLOB \
                         names files of the job that are its output";

/// Flags of docker, podman, apptainer and batch engines. The first row that fits counts.
const FLAGS: [Row; 45] = [
    (STARTS, &["--volume", "--bind", "-B"], "write --mount SRC:DST[:ro]"),
    (STARTS, &["--env-file"], "write --env NAME=VALUE for each variable"),
    (HERE, &["-e"], "write --env NAME=VALUE"),
    (
        SUBMIT,
        &["-e", "--error"],
        "write --env NAME=VALUE for a variable; moorline logs --stderr JOB prints what a job writes to stderr",
    ),
    (
        HERE,
        &["-i", "-t", "-it", "-ti", "--interactive", "--tty"],
        "leave it out: on a terminal the program has a terminal",
    ),
    (SUBMIT, &["-t"], "write --time 2h for the wall time; a job has no terminal, moorline run has"),
    (
        SUBMIT,
        &["-i", "-it", "-ti", "--interactive", "--tty"],
        "leave it out: a job has no terminal; moorline run and moorline shell have",
    ),
    (STARTS, &["--rm"], "leave it out: nothing of a container stays after the job"),
    (
        STARTS,
        &["-w", "--workdir", "--pwd", "--cwd"],
        "the job starts in /work_dir: the current directory with run, --workdir DIR with submit",
    ),
    (SUBMIT, &["-D", "--chdir"], "write --workdir DIR"),
    (
        STARTS,
        &["-u", "--user", "--userns", "-f", "--fakeroot"],
        "leave it out: the program runs as you",
    ),
    (STARTS, &["--nv", "--rocm", "--gpus", "--gres", "--device", "-G"], "write --gpu"),
    (
        HERE,
        &["-p", "--publish"],
        "leave it out: the program has this machine's network and its ports",
    ),
    (SUBMIT, &["--publish"], "leave it out: the program has the machine's network and its ports"),
    (SUBMIT, &["-p", "--partition", "-q", "--qos"], "write --queue NAME"),
    (
        HERE,
        &["--partition", "--queue", "--account", "--time", "--array"],
        "that is for jobs of an engine: moorline submit takes it",
    ),
    (SUBMIT, &["-c", "--cpus-per-task", "-n", "--ntasks"], "write --cpus N"),
    (SUBMIT, &["--mem", "-m", "--mem-per-cpu"], "write --memory 4G"),
    (&["shell"], &["-c"], "write moorline run IMAGE sh -c COMMAND"),
    (
        HERE,
        &["-c", "--cpus", "--cpus-per-task", "-n", "--ntasks", "--mem", "-m", "--memory"],
        NO_LIMITS,
    ),
    (SUBMIT, &["-J", "--job-name"], "write --name TEXT"),
    (SUBMIT, &["-A"], "write --account NAME"),
    (SUBMIT, &["-a"], "write --array 1-400"),
    (SUBMIT, &["-o"], OWN_FILES),
    (SUBMIT, &["-W"], "write --wait"),
    (
        SUBMIT,
        &["-d", "--dependency"],
        "wait for the other job first: moorline wait JOB && moorline submit ...",
    ),
    (HERE, &["-d", "--detach"], "write moorline submit IMAGE COMMAND: it returns at once"),
    (SUBMIT, &["--detach"], "leave it out: submit returns at once; moorline wait JOB waits"),
    (
        SUBMIT,
        &["-N", "--nodes", "--ntasks-per-node"],
        "leave it out: a job runs on one machine; --array 1-400 makes many",
    ),
    (
        SUBMIT,
        &["--mail-type", "--mail-user"],
        "leave it out; moorline wait JOB returns when the job has ended",
    ),
    (SUBMIT, &["--export"], "write --env NAME for each variable that the program needs"),
    (
        SUBMIT,
        &["--constraint", "-C", "--exclusive", "--nodelist", "--exclude", "--licenses"],
        "leave it out: Moorline writes the engine's script; --queue NAME chooses among the site's machines",
    ),
    (
        STARTS,
        &[
            "--no-home",
            "--cleanenv",
            "--contain",
            "--containall",
            "--no-mount",
            "--no-init",
            "--pid",
            "--ipc",
        ],
        IS_SO,
    ),
    (
        STARTS,
        &["-C", "--home", "-H"],
        "leave it out: a job has no home of this machine; HOME is /work_dir, --mount SRC:DST brings a directory",
    ),
    (STARTS, &["--net"], "write --network none for a network of its own"),
    (
        STARTS,
        &["--read-only"],
        "leave it out: the image is read-only, unless --scratch SIZE is given",
    ),
    (STARTS, &["--writable", "--writable-tmpfs", "--overlay", "-o", "--tmpfs"], SCRATCH),
    (
        STARTS,
        &["--privileged", "--cap-add", "--cap-drop", "--security-opt", "--shm-size", "--ulimit"],
        "leave it out: the program has your rights and no more, and the limits of this machine",
    ),
    (
        &["login"],
        &["-p", "--password"],
        "leave it out: moorline asks for the secret; printf %s \"$TOKEN\" | moorline login ... --password-stdin takes it from a pipe",
    ),
    (&["jobs"], &["-n", "--limit", "--tail", "-l"], "write --last N"),
    (
        &["jobs"],
        &["-u", "--user", "-a", "--all", "--me"],
        "leave it out: these are all jobs of your ledger; --last N shows more of them",
    ),
    (&["jobs"], &["-t", "--states", "-s", "--filter"], "write --state STATE"),
    (&["tags"], &["-n", "--limit"], "write --last N"),
    (
        &["logs"],
        &["-f", "--follow", "-n", "--tail"],
        "moorline logs JOB prints what is there so far, moorline wait JOB waits for the end; | tail -n N shows the last lines",
    ),
    (CONVERT, &["--arch"], "write --platform linux/ARCH"),
];

/// `job,state`
fn is_fields(word: &str) -> bool {
    word.contains(',')
        && word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | ',' | '.'))
}

/// The verb among the arguments, as it was typed.
fn verb(words: &[String]) -> Option<&str> {
    let known = |word: &&String| FLAGS.iter().any(|(verbs, ..)| verbs.contains(&word.as_str()));
    words.iter().find(known).map(String::as_str)
}

/// The word behind a flag, where it has one.
fn behind<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == flag)?;
    words.get(at + 1).map(String::as_str)
}

/// What to write instead, when clap did not know a word; `words` are the arguments.
pub fn hint(error: &clap::Error, words: &[String]) -> Option<&'static str> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = word(ContextKind::InvalidSubcommand)?;
            VERBS.iter().find(|(words, _)| words.contains(&word)).map(|(_, hint)| *hint)
        }
        ErrorKind::UnknownArgument => of_flag(word(ContextKind::InvalidArg)?, words),
        _ => None,
    }
}

fn of_flag(word: &str, words: &[String]) -> Option<&'static str> {
    // `--json id,state`
    if is_fields(word) {
        return Some("fields of a document follow =: --json=job,state");
    }
    let verb = verb(words)?;
    // apptainer has the file in front of the image
    let is_sif = |word: &String| word.to_ascii_lowercase().ends_with(".sif");
    if CONVERT.contains(&verb) && !word.starts_with('-') && words.iter().any(is_sif) {
        return Some("write the file behind -o: moorline convert IMAGE -o FILE.sif");
    }
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    // a port, and no partition
    let name = match name {
        "-p" if behind(words, name).is_some_and(|value| value.contains(':')) => "--publish",
        name => name,
    };
    let fits = |(verbs, flags, _): &&Row| verbs.contains(&verb) && flags.contains(&name);
    FLAGS.iter().find(fits).map(|(.., hint)| *hint)
}

/// Takes proposals of clap's away that do not help: a flag as the program's name, and verbs that are not shown.
pub fn without_bad_tips(mut error: clap::Error, hinted: bool) -> clap::Error {
    let is_plain = |tip: &clap::builder::StyledStr| !tip.to_string().contains("as a value");
    if let Some(ContextValue::StyledStrs(tips)) = error.remove(ContextKind::Suggested) {
        let left: Vec<_> = tips.into_iter().filter(|tip| !hinted && is_plain(tip)).collect();
        if !left.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(left));
        }
    }
    if let Some(ContextValue::Strings(verbs)) = error.remove(ContextKind::SuggestedSubcommand) {
        let hidden = ["worker", "supervise", "worker-pull"];
        let shown = |verb: &String| !hinted && !hidden.contains(&verb.as_str());
        let left: Vec<_> = verbs.into_iter().filter(shown).collect();
        if !left.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(left));
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str, flag: &str) -> Option<&'static str> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        of_flag(flag, &words)
    }

    #[test]
    fn a_flag_means_what_the_verb_makes_of_it() {
        for (line, flag, begin) in [
            ("submit -t 2h x", "-t", "write --time"),
            ("run -t x", "-t", "leave it out: on a terminal"),
            ("run -p 80:80 x", "-p", "leave it out: the program has this machine's network"),
            ("submit -p 80:80 x", "-p", "leave it out: the program has the machine's network"),
            ("submit -p short x", "-p", "write --queue"),
            ("run -m 4G x", "-m", "leave it out: it runs on this machine"),
            ("submit -m 4G x", "-m", "write --memory"),
            ("jobs -n 5", "-n", "write --last"),
            ("tags -n 5 x", "-n", "write --last"),
            ("login -u x -p y r", "-p", "leave it out: moorline asks"),
            ("run --no-home x", "--no-home", "leave it out: a job has no home"),
            ("submit --dependency=afterok:1 x", "--dependency=afterok:1", "wait for the other job"),
            ("pull image.sif docker://x", "docker://x", "write the file behind -o"),
        ] {
            let said = said(line, flag).unwrap_or_else(|| panic!("{line}"));
            assert!(said.starts_with(begin), "{line}: {said}");
        }
        for (line, flag) in [("doctor -n 5", "-n"), ("jobs -p", "-p"), ("cancel -u x", "-u")] {
            assert_eq!(said(line, flag), None, "{line}");
        }
    }
}
