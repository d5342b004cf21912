//! `HTCondor`, through `condor_submit`, `condor_q`, `condor_history`, `condor_release` and `condor_rm`.
//!
//! ```text
//! submit   condor_submit -terse FILE    a description in control/; then condor_q for time and schedd
//! release  condor_release               of a job that was submitted with `hold = true`
//! status   condor_q -json               the schedd: jobs that have not ended
//!          condor_history -json         its history file: jobs that left the queue
//! find     both, by the attribute MoorlineIntent
//! cancel   condor_rm
//! ```
//!
//! With `--delivery transfer` the description lists the job's `control/` and `work/`, the image and the worker:
//! they are brought when the job begins, after its key was written, and `work/` and `returned/` come back when it
//! has ended by itself. Of a job that is removed nothing comes back.
//!
//! An array is one cluster with a process for each task; the attribute `MoorlineTask` has its number.
//!
//! In a description `$(NAME)` is replaced and a backslash joins lines: a `$` is written `$(DOLLAR)`, and a path
//! that cannot be said is refused. A job that lost its machine is not started again, and one that the
//! pool holds because it cannot be run is removed: both have failed then.
//!
//! Works with `HTCondor` 10 and later. Source: the manual pages, "Job `ClassAd` Attributes" and its table of hold
//! reason codes, and what a real 23.9 answered (the tests below).

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::dialect::{Dialect, Missing, Question, Row, Taken, Whom, anywhere};
use super::driver::{Ended, Finished, printable};
use super::facts::{ArrayFacts, Facts, Part};
use super::{BackendError, Order, Sent, Submission};
use crate::job::{EngineKey, IntentId, JobState, Observation, Resources, Tasks};
use crate::worker::{RETURNED, SCRIPT_FILE, TASKS, exit};

/// The dialect.
pub(super) struct HtCondor;

/// The variable that the description sets to the job's id; of an array, to the cluster's.
const OWN_ID: &str = "CONDOR_JOB_ID";
/// The variable that it sets to a task's number.
const TASK: &str = "CONDOR_TASK_ID";

static FACTS: Facts = Facts {
    name: "htcondor",
    example: "12.0",
    again: None,
    here: false,
    commands: &["condor_submit", "condor_q", "condor_history", "condor_release", "condor_rm"],
    // which pool and which schedd are meant; and the path of a ticket cache
    environment: &[
        "CONDOR_CONFIG",
        "_CONDOR_COLLECTOR_HOST",
        "_CONDOR_SCHEDD_HOST",
        "_CONDOR_SCHEDD_NAME",
        "KRB5CCNAME",
    ],
    families: &["CONDOR_", "_CONDOR_"],
    hints: &[],
    in_a_job: Some("_CONDOR_JOB_AD"),
    own_id: Some(OWN_ID),
    in_receipt: &[OWN_ID, TASK],
    for_program: &[OWN_ID, TASK],
    can_hold: true,
    array: Some(ArrayFacts {
        variable: TASK,
        own_id: Some(OWN_ID),
        at_once: false,
        name: task_name,
        split: task_of,
    }),
    visible_after: Duration::ZERO,
    transfers: true,
};

/// A task is a process of the cluster: `12.6` is the seventh.
fn task_name(cluster: &str, tasks: &Tasks, task: u32) -> String {
    tasks.place_of(task).map_or_else(|| cluster.to_owned(), |place| format!("{cluster}.{place}"))
}

fn task_of(id: &str) -> Option<(&str, Part)> {
    let (cluster, process) = id.split_once('.').filter(|_| is_id(id))?;
    Some((cluster, Part::Place(process.parse().ok()?)))
}

/// The description's name in the control directory.
const DESCRIPTION: &str = "submit.condor";

/// How far back `find` looks in the history: a job that left the queue earlier ends the search.
const FIND_SINCE: &str = "EnteredCurrentStatus < time() - 2592000";

/// Codes of holds that somebody asked for; all others are faults of the job or the pool.
const HELD_BY_OWNER: i64 = 1;
const SUBMITTED_ON_HOLD: i64 = 15;
/// Codes of holds because a limit was met: memory, durations.
const LIMITS: [i64; 3] = [34, 46, 47];

const ATTRIBUTES: &str = "ClusterId,ProcId,Owner,QDate,GlobalJobId,JobStatus,ExitBySignal,ExitCode,\
                          ExitSignal,HoldReason,HoldReasonCode,LastHoldReason,LastHoldReasonCode,\
                          RemoveReason,EnteredCurrentStatus,JobCurrentStartDate,MoorlineLimit,\
                          MoorlineTask";

/// What we read of a job; the texts are foreign.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ad {
    cluster_id: u64,
    proc_id: u64,
    owner: String,
    #[serde(rename = "QDate")]
    queued: i64,
    global_job_id: String,
    job_status: i64,
    exit_by_signal: bool,
    exit_code: Option<i32>,
    exit_signal: Option<i32>,
    hold_reason: Option<String>,
    hold_reason_code: Option<i64>,
    last_hold_reason: Option<String>,
    last_hold_reason_code: Option<i64>,
    remove_reason: Option<String>,
    entered_current_status: i64,
    job_current_start_date: Option<i64>,
    moorline_limit: Option<i64>,
    moorline_task: Option<u32>,
}

impl Ad {
    fn row(&self, whom: Whom) -> Row {
        let seen = self.seen(whom);
        Row {
            id: match self.moorline_task {
                None => format!("{}.{}", self.cluster_id, self.proc_id),
                Some(_) => self.cluster_id.to_string(),
            },
            tasks: self.moorline_task.map(Tasks::one),
            // SCHEDD#CLUSTER.PROC#TIME
            cluster: self.global_job_id.split_once('#').map(|(schedd, _)| schedd.to_owned()),
            submit: self.queued,
            user: self.owner.clone(),
            held: self.job_status == 5 && self.hold_reason_code == Some(SUBMITTED_ON_HOLD),
            seen,
            may_return: false,
        }
    }

    /// Source: the attribute `JobStatus`.
    fn seen(&self, whom: Whom) -> Observation {
        let text = |text: &Option<String>| text.as_deref().map(printable);
        let say = |state, word: &str, exit_code, reason| Observation {
            state,
            exit_code,
            engine_state: Some(word.to_owned()),
            reason,
        };
        match self.job_status {
            1 => say(JobState::Submitted, "IDLE", None, None),
            2 => say(JobState::Running, "RUNNING", None, None),
            // in the queue: its processes are being ended
            3 if whom == Whom::Queue => {
                say(JobState::Running, "REMOVED", None, text(&self.remove_reason))
            }
            3 => {
                let (state, code, reason) = self.removed();
                say(state, "REMOVED", code, reason.map(|reason| printable(&reason)))
            }
            4 => {
                let code = match (self.exit_by_signal, self.exit_signal, self.exit_code) {
                    (true, Some(signal), _) => Some(128 + signal),
                    (false, _, code) => code,
                    (true, None, _) => None,
                };
                let state = if code == Some(0) { JobState::Completed } else { JobState::Failed };
                say(state, "COMPLETED", code, None)
            }
            5 => say(JobState::Submitted, "HELD", None, text(&self.hold_reason)),
            6 => say(JobState::Running, "TRANSFERRING_OUTPUT", None, None),
            7 => say(JobState::Running, "SUSPENDED", None, None),
            other => say(JobState::Unknown, &other.to_string(), None, None),
        }
    }

    /// Why it left the queue without an end of its own.
    fn removed(&self) -> (JobState, Option<i32>, Option<String>) {
        let why = self.remove_reason.clone().unwrap_or_default();
        if !why.contains("PeriodicRemove") {
            return (JobState::Killed, None, Some(why).filter(|why| !why.is_empty()));
        }
        let asked_for = |code| [HELD_BY_OWNER, SUBMITTED_ON_HOLD].contains(&code);
        if let Some(code) = self.last_hold_reason_code.filter(|code| !asked_for(*code)) {
            let limit = LIMITS.contains(&code).then_some(exit::LIMIT);
            return (JobState::Failed, limit, self.last_hold_reason.clone());
        }
        let ran = self.job_current_start_date.map(|start| self.entered_current_status - start);
        match (ran, self.moorline_limit) {
            (Some(ran), Some(limit)) if ran >= limit => {
                (JobState::Failed, Some(exit::LIMIT), Some("its wall time was over".to_owned()))
            }
            _ => {
                let why = "it lost its machine, and is not started again";
                (JobState::Failed, None, Some(why.to_owned()))
            }
        }
    }
}

/// `condor_q` prints nothing at all where there is no job. An ad that is none is left out.
fn ads(text: &str) -> Vec<Ad> {
    let all: Vec<serde_json::Value> = serde_json::from_str(text.trim()).unwrap_or_default();
    let read = |ad| serde_json::from_value::<Ad>(ad).ok();
    all.into_iter().filter_map(read).filter(|ad| ad.cluster_id > 0).collect()
}

fn ids<'k>(keys: &[&'k EngineKey]) -> impl Iterator<Item = &'k str> {
    keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().into_iter()
}

fn ask<'a>(whom: Whom, command: &[&'a str], more: impl Iterator<Item = &'a str>) -> Question {
    Question::new(whom, command.iter().copied().chain(more))
}

impl Dialect for HtCondor {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn submit(&self, order: &Order) -> Result<Submission, BackendError> {
        let file = order.dir.join("control").join(DESCRIPTION);
        // the file's own name is an argument, in which nothing is replaced
        let name = plain(&file)?;
        let argv = ["condor_submit", "-terse", &name].map(str::to_owned).to_vec();
        let files = vec![(file, description(order)?)];
        Ok(Submission { argv, env: vec![], cwd: anywhere(), files })
    }

    fn taken(&self, order: &Order, answer: &Finished) -> Taken {
        let said = answer.said();
        // "12.0 - 12.0", of an array "12.0 - 12.399"
        let line = answer.stdout.lines().next_back().unwrap_or_default();
        let id = line.split(" - ").next().unwrap_or_default().trim();
        let id = match (&order.tasks, task_of(id)) {
            (Some(_), Some((cluster, _))) => cluster,
            _ => id,
        };
        match answer.ended {
            Ended::Exit(0) if is_id(id) => Taken::Yes { id: id.to_owned(), cluster: None },
            Ended::Exit(0) => {
                let line: String = line.chars().take(80).collect();
                Taken::Maybe(format!("condor_submit printed no job id but {line:?}"))
            }
            Ended::Exit(_) if is_id(id) || is_ambiguous(&said) => Taken::Maybe(said),
            Ended::Exit(_) if self.is_unreachable(&said) => Taken::Unreachable(said),
            Ended::Exit(_) => Taken::No(said),
            Ended::Signal(_) | Ended::TimedOut => Taken::Maybe(said),
        }
    }

    fn complete(&self, id: &str) -> Vec<Question> {
        let argv = ["condor_q", "-json", "-attributes", ATTRIBUTES];
        vec![ask(Whom::Queue, &argv, std::iter::once(id))]
    }

    fn completed(&self, question: &Question, text: &str, id: &str) -> Missing {
        let row = self.rows(question, text).into_iter().find(|row| row.id == id);
        row.map_or_else(Missing::default, |row| Missing {
            cluster: row.cluster,
            submitted: Some(row.submit),
        })
    }

    fn status(&self, keys: &[&EngineKey]) -> Vec<Question> {
        // the history is searched from its end: not beyond the oldest of these jobs, nor further than to
        // the last of them
        let oldest = keys.iter().map(|key| key.submitted_at.as_second()).min().unwrap_or_default();
        let since = format!("EnteredCurrentStatus < {}", oldest - 3600);
        // of an array nobody knows here how many have left the queue
        let whole = keys.iter().any(|key| !key.id.contains('.'));
        let most = if whole { 10_000_000 } else { keys.len() }.to_string();
        let queue = ["condor_q", "-json", "-attributes", ATTRIBUTES];
        let history = ["condor_history", "-json", "-attributes", ATTRIBUTES];
        let bounds = ["-since", &since, "-limit", &most];
        // the queue first: what left it is in the history by then
        vec![
            ask(Whom::Queue, &queue, ids(keys)),
            ask(Whom::Accounting, &[&history[..], &bounds].concat(), ids(keys)),
        ]
    }

    fn rows(&self, question: &Question, text: &str) -> Vec<Row> {
        ads(text).iter().map(|ad| ad.row(question.whom)).collect()
    }

    fn is_unreachable(&self, said: &str) -> bool {
        [
            "Can't find address",
            "Failed to connect",
            "Failed to fetch ads",
            "SECMAN:",
            "CEDAR:",
            "Can't connect to",
        ]
        .iter()
        .any(|words| said.contains(words))
    }

    fn is_id(&self, text: &str) -> bool {
        is_id(text)
    }

    fn release(&self, keys: &[&EngineKey]) -> Vec<Question> {
        vec![ask(Whom::Other, &["condor_release"], ids(keys))]
    }

    fn is_released(&self, said: &str) -> bool {
        // it waits, runs, or has left the queue
        said.contains("not held to be released") || said.contains("not found")
    }

    fn cancel(&self, keys: &[&EngineKey]) -> Vec<Question> {
        vec![ask(Whom::Other, &["condor_rm"], ids(keys))]
    }

    fn cancel_tasks(&self, key: &EngineKey, tasks: &Tasks) -> Vec<Question> {
        let all: Vec<u32> = tasks.numbers().collect();
        // the number is looked for, since a process may have another place than its task
        let one = |task: &u32| format!("MoorlineTask == {task}");
        let ask = |some: &[u32]| {
            let which = some.iter().map(one).collect::<Vec<_>>().join(" || ");
            let of = format!("ClusterId == {} && ({which})", key.id);
            Question::new(Whom::Other, ["condor_rm", "-constraint", of.as_str()])
        };
        all.chunks(500).map(ask).collect()
    }

    fn find(&self, intent: &IntentId) -> Vec<Question> {
        let is = format!("MoorlineIntent == \"{intent}\"");
        let json = ["-json", "-attributes", ATTRIBUTES, "-constraint", &is];
        let history = ["-since", FIND_SINCE];
        vec![
            ask(Whom::Queue, &["condor_q"], json.into_iter()),
            ask(Whom::Accounting, &["condor_history"], json.into_iter().chain(history)),
        ]
    }

    fn found(&self, question: &Question, text: &str, owner: &str, _: &IntentId) -> Vec<Row> {
        self.rows(question, text).into_iter().filter(|row| row.user == owner).collect()
    }

    fn ready(&self) -> Question {
        Question::new(Whom::Other, ["condor_q", "-totals"])
    }

    fn is_ready(&self, text: &str) -> bool {
        text.contains("Schedd:")
    }
}

fn is_id(text: &str) -> bool {
    let number = |text: &str| {
        !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())
    };
    match text.split_once('.') {
        Some((cluster, process)) => number(cluster) && number(process),
        // of an array
        None => number(text),
    }
}

/// Whether the schedd may have the job although `condor_submit` failed: the words of its own sources for a
/// transaction whose end was not confirmed.
fn is_ambiguous(said: &str) -> bool {
    ["Failed to commit", "Failed to end transaction", "Failed to disconnect"]
        .iter()
        .any(|words| said.contains(words))
}

/// The description: identifiers, numbers and paths only.
fn description(order: &Order) -> Result<String, BackendError> {
    let control = order.dir.join("control");
    let Resources { cpus, memory_mib, time_seconds, queue, account } = &order.resources;
    if let Some(queue) = queue {
        return Err(unfit(&format!("the queue {queue:?}"), "its pools have no queues"));
    }
    // in quotes with quotes inside: "'ONE ARGUMENT' 'ANOTHER'"
    let argument = |of: &Path| Ok::<_, BackendError>(path(of)?.replace('\'', "''"));
    let arguments = match &order.sent {
        None => [argument(&control.join(SCRIPT_FILE))?, argument(&control)?],
        // below the job's directory on the worker, which is the current one
        Some(_) => [format!("control/{SCRIPT_FILE}"), "control".to_owned()],
    };
    let mut lines = vec![
        "universe = vanilla".to_owned(),
        // the script need not be executable where it lies
        "executable = /bin/sh".to_owned(),
        "transfer_executable = false".to_owned(),
        format!("arguments = \"'{}' '{}'\"", arguments[0], arguments[1]),
        "input = /dev/null".to_owned(),
        format!("output = {}", output(order, "stdout")?),
        format!("error = {}", output(order, "stderr")?),
        "getenv = PATH".to_owned(),
        match order.tasks {
            None => format!("environment = \"{OWN_ID}=$(ClusterId).$(ProcId)\""),
            Some(_) => format!("environment = \"{OWN_ID}=$(ClusterId) {TASK}=$(MoorlineNumber)\""),
        },
        "notification = never".to_owned(),
        format!("batch_name = moorline-{}", order.job),
        format!("+MoorlineIntent = \"{}\"", order.intent),
        format!("+MoorlineDigest = \"{}\"", digest(&order.digest)?),
        format!("hold = {}", order.hold),
        "requirements = (NumJobStarts =?= 0)".to_owned(),
    ];
    lines.extend(files(order)?);
    lines.extend(cpus.map(|n| format!("request_cpus = {n}")));
    lines.extend(memory_mib.map(|n| format!("request_memory = {n}")));
    if let Some(account) = account {
        let account =
            Resources::identifier(account).map_err(|e| unfit("the account", &e.to_string()))?;
        lines.push(format!("accounting_group = {account}"));
    }
    let lost = "(JobStatus == 1 && NumJobStarts > 0)";
    let faulty = format!(
        "(JobStatus == 5 && HoldReasonCode =!= {HELD_BY_OWNER} && HoldReasonCode =!= {SUBMITTED_ON_HOLD})"
    );
    let mut remove = format!("{lost} || {faulty}");
    if let Some(seconds) = time_seconds {
        lines.push(format!("+MoorlineLimit = {seconds}"));
        remove += &format!(" || (JobStatus == 2 && time() - JobCurrentStartDate >= {seconds})");
    }
    lines.push(format!("periodic_remove = {remove}"));
    match &order.tasks {
        None => lines.push("queue".to_owned()),
        Some(tasks) => {
            lines.push("+MoorlineTask = $(MoorlineNumber)".to_owned());
            lines.push("queue MoorlineNumber from (".to_owned());
            lines.extend(tasks.numbers().map(|task| task.to_string()));
            lines.push(")".to_owned());
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// The directory that what the job leaves comes to: the job's, or its task's.
fn own_dir(order: &Order) -> Result<String, BackendError> {
    match order.tasks {
        None => path(&order.dir),
        Some(_) => Ok(format!("{}/$(MoorlineNumber)", path(&order.dir.join(TASKS))?)),
    }
}

fn output(order: &Order, name: &str) -> Result<String, BackendError> {
    Ok(format!("{}/{name}", own_dir(order)?))
}

/// Where the job's files are, and who brings them there.
fn files(order: &Order) -> Result<Vec<String>, BackendError> {
    let own = format!("initialdir = {}", own_dir(order)?);
    let Some(Sent { image, worker }) = &order.sent else {
        let work = match order.tasks {
            None => format!("initialdir = {}", path(&order.dir.join("work"))?),
            Some(_) => own,
        };
        return Ok(vec![work, "should_transfer_files = NO".to_owned()]);
    };
    // directories without a slash at the end keep their names
    let ours = [order.dir.join("control"), order.dir.join("work")];
    let sent = ours.iter().chain(image).chain([worker]);
    let sent = sent.map(|file| listed(file)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![
        own,
        "should_transfer_files = YES".to_owned(),
        "when_to_transfer_output = ON_EXIT".to_owned(),
        format!("transfer_input_files = {}", sent.join(", ")),
        format!("transfer_output_files = work, {RETURNED}"),
    ])
}

/// A path as it stands in a list of files.
fn listed(file: &Path) -> Result<String, BackendError> {
    let text = path(file)?;
    // names with such an end are addresses to HTCondor: URL://
    if text.contains(',') || text.contains("://") || text.starts_with(' ') || text.ends_with(' ') {
        let why = "in a list of files it cannot have a comma, an address or a space at an end";
        return Err(unfit(&format!("the path {}", file.display()), why));
    }
    Ok(text)
}

fn unfit(what: &str, why: &str) -> BackendError {
    BackendError::Unfit { engine: FACTS.name, what: what.to_owned(), why: why.to_owned() }
}

/// A path as it stands in a description.
fn path(path: &Path) -> Result<String, BackendError> {
    Ok(plain(path)?.replace('$', "$(DOLLAR)"))
}

/// A path that means itself.
fn plain(path: &Path) -> Result<String, BackendError> {
    let what = || format!("the path {}", path.display().to_string().escape_debug());
    let text = path.to_str().ok_or_else(|| unfit(&what(), "it is not UTF-8"))?;
    if !text.starts_with('/') {
        return Err(unfit(&what(), "it is not absolute"));
    }
    // `$$(X)` would be replaced once more, by the machine that runs the job
    if text.contains(|c: char| c.is_control() || c == '\\' || c == '"') || text.contains("$$") {
        let why = "it has a control character, a backslash, a double quote or two dollar signs";
        return Err(unfit(&what(), why));
    }
    Ok(text.to_owned())
}

fn digest(text: &str) -> Result<&str, BackendError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b':';
    if text.len() <= 160 && text.bytes().all(good) {
        return Ok(text);
    }
    Err(unfit("the digest", &format!("{text:?} is none")))
}

#[cfg(test)]
mod tests;
