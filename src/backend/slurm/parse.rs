//! What `sacct -P` and `squeue` print.
//!
//! ```text
//! JobID|Submit|User|State|ExitCode|Reason           sacct    6|1795469378|alice|FAILED|3:0|None
//! ...|exit_code|Reason|                             squeue   6|1795469378|alice|FAILED|768|NonZeroExitCode|
//! JobID of an array                                          6_7, and of tasks that wait 6_[8-400%50]
//! ```
//!
//! Status asks for no text that a user could write: the fields are numbers, account names and
//! Slurm's own words. `find` must read comments and command lines; they come last, are raw, and
//! may hold `|` and line breaks, so a line counts only with a well-formed start.

use crate::backend::dialect::Row;
use crate::backend::driver::printable;
use crate::job::{IntentId, JobState, Observation, Tasks};

use super::state::{Meaning, meaning};

/// For `sacct --format`.
pub(super) const SACCT_FIELDS: &str = "JobID,Submit,User,State,ExitCode,Reason";
/// For `squeue --Format`; its exit code is what `wait` gave.
pub(super) const SQUEUE_FIELDS: &str =
    "JobArrayID:|,SubmitTime:|,UserName:|,State:|,exit_code:|,Reason:|";
/// For `sacct --format` when looking for a comment.
pub(super) const SACCT_FIND_FIELDS: &str = "JobID,Submit,User,SubmitLine,Comment";
/// For `squeue --format` when looking for a comment.
pub(super) const SQUEUE_FIND_FIELDS: &str = "%F|%V|%u|%k";

/// One start of one job, as a line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub id: String,
    /// The tasks that it speaks of, of an array.
    pub tasks: Option<Tasks>,
    /// Seconds since 1970.
    pub submit: i64,
    pub user: String,
    /// Without the `by 1001` of `CANCELLED by 1001`.
    pub word: String,
    /// As a shell would give it.
    pub exit: Option<i32>,
    pub reason: Option<String>,
    /// The account number of `CANCELLED by 1001`.
    pub by: Option<u32>,
}

/// Slurm's words for why a job *ended* (`slurm.h`, `job_state_reason`). All others say why it waits,
/// and Slurm keeps showing the last of those: a pending job that was cancelled still has "Resources".
const ENDS: [&str; 14] = [
    "NodeDown",
    "PartitionDown",
    "BadConstraints",
    "SystemFailure",
    "JobLaunchFailure",
    "NonZeroExitCode",
    "RaisedSignal",
    "TimeLimit",
    "InactiveLimit",
    "OutOfMemory",
    "InvalidAccount",
    "InvalidQOS",
    "DependencyNeverSatisfied",
    "DeadLine",
];

/// Why a job waits that its owner holds; `sbatch --hold` is such a hold too.
const HELD: &str = "JobHeldUser";

impl Line {
    fn meaning(&self) -> Meaning {
        meaning(&self.word)
    }

    pub fn state(&self) -> JobState {
        self.meaning().state
    }

    /// What the flow needs of it.
    pub fn row(&self) -> Row {
        let held = self.state() == JobState::Submitted && self.reason.as_deref() == Some(HELD);
        Row {
            id: self.id.clone(),
            tasks: self.tasks.clone(),
            cluster: None,
            submit: self.submit,
            user: self.user.clone(),
            seen: self.observation(),
            may_return: self.meaning().may_return,
            held,
        }
    }

    pub fn observation(&self) -> Observation {
        let Meaning { state, code, .. } = self.meaning();
        let exit_code = match state {
            JobState::Completed => Some(0),
            // "0:0" of a job that did not complete is no code.
            JobState::Failed | JobState::Killed => code.or(self.exit.filter(|code| *code != 0)),
            _ => None,
        };
        Observation {
            state,
            exit_code,
            engine_state: Some(self.word.clone()),
            reason: self.why(state),
        }
    }

    /// Why it waits, or why it ended; never the one for the other.
    fn why(&self, state: JobState) -> Option<String> {
        let ends = |reason: &&String| {
            // newer ones add details: "RaisedSignal:9(Killed)"
            let word = reason.split(|c: char| !c.is_ascii_alphanumeric()).next();
            ENDS.iter().any(|end| word == Some(end))
        };
        match state {
            JobState::Killed => self.by.map(|uid| format!("cancelled by uid {uid}")),
            state if state.is_final() => self.reason.as_ref().filter(ends).cloned(),
            _ => self.reason.clone(),
        }
    }
}

/// The rows of `sacct`; lines that are none are left out.
pub(super) fn sacct(text: &str) -> Vec<Line> {
    text.lines().filter_map(|line| row(line, colon)).collect()
}

/// The rows of `squeue`; lines that are none are left out.
pub(super) fn squeue(text: &str) -> Vec<Line> {
    text.lines()
        .filter_map(|line| row(line.strip_suffix('|').unwrap_or(line), wait_status))
        .collect()
}

fn row(line: &str, code: fn(&str) -> Option<i32>) -> Option<Line> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let [id, submit, user, state, exit, reason] = fields[..] else { return None };
    let mut words = state.split_whitespace();
    let word = words.next()?.trim_end_matches('+');
    let by = words.next().filter(|by| *by == "by").and_then(|_| words.next()?.parse().ok());
    let known = word.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    let (id, tasks) = super::facts::id_and_tasks(id)?;
    if user.is_empty() || !known {
        return None;
    }
    let reason = printable(reason);
    Some(Line {
        id: id.to_owned(),
        tasks,
        submit: submit.parse().ok()?,
        user: user.to_owned(),
        word: word.to_owned(),
        exit: code(exit),
        reason: Some(reason).filter(|r| !matches!(r.as_str(), "" | "None" | "(null)")),
        by,
    })
}

/// `CODE:SIGNAL`.
fn colon(text: &str) -> Option<i32> {
    let (code, signal) = text.split_once(':')?;
    let (code, signal): (u8, u8) = (code.parse().ok()?, signal.parse().ok()?);
    Some(shell(i32::from(code), i32::from(signal)))
}

/// A number as `wait` gives it: code in the second byte, signal in the low seven bits.
fn wait_status(text: &str) -> Option<i32> {
    let status: i32 = text.parse().ok()?;
    Some(shell((status >> 8) & 0xff, status & 0x7f))
}

fn shell(code: i32, signal: i32) -> i32 {
    if signal == 0 { code } else { 128 + signal }
}

/// The submissions of this account whose last fields hold the intent's tag. How they are is not asked here.
pub(super) fn find(text: &str, owner: &str, intent: &IntentId) -> Vec<Row> {
    let tag = super::argv::tag(intent);
    let one = |line: &str| {
        let mut fields = line.splitn(4, '|');
        let (id, submit, user) = (fields.next()?, fields.next()?, fields.next()?);
        let free = fields.next()?;
        let (id, _) = super::facts::id_and_tasks(id)?;
        let ours = user == owner && free.contains(&tag);
        let submit = submit.parse().ok().filter(|_| ours)?;
        Some(Row {
            id: id.to_owned(),
            tasks: None,
            cluster: None,
            submit,
            user: user.to_owned(),
            seen: Observation::of(JobState::Unknown),
            may_return: false,
            held: false,
        })
    };
    text.lines().filter_map(one).collect()
}
