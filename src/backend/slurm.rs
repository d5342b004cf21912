//! Slurm, through `sbatch`, `sacct`, `squeue`, `scancel` and `scontrol`.
//!
//! ```text
//! submit   sbatch --parsable     argv.rs; then squeue for the time that the controller gave it
//! release  scontrol release      of a job that was submitted with --hold
//! status   sacct -P              accounting: keeps ended jobs; lags a little, may be absent
//!          squeue                the controller: knows new jobs, forgets ended ones (MinJobAge)
//! find     squeue, sacct         by the comment, which SubmitLine keeps as it was typed
//! cancel   scancel
//! ```
//!
//! Their JSON is not used: its shape and the meaning of its values changed between 22.05 and 26.05.
//! Works with Slurm 20.11 (the first with `SubmitLine`) and later.
//!
//! Source: the manual pages of these commands, and what a real 22.05 answered (parse.rs's tests).

mod argv;
mod facts;
mod parse;
mod state;

use std::ops::RangeInclusive;
use std::time::Duration;

use self::facts::{FACTS, is_id};
use super::dialect::{Dialect, Missing, Question, Row, Taken, Whom};
use super::driver::{Ended, Finished};
use super::{BackendError, Facts, Order, Submission};
use crate::job::{EngineKey, IntentId, Tasks};

/// The dialect.
pub(super) struct Slurm;

/// How far back `find` looks in the accounting.
const FIND_SINCE: &str = "now-30days";

/// Times as seconds since 1970, whatever the time zone; lists of tasks as a whole.
const SECONDS: &[(&str, &str)] = &[("SLURM_TIME_FORMAT", "%s"), ("SLURM_BITSTR_LEN", "0")];

fn ask(whom: Whom, argv: &[&str]) -> Question {
    Question { env: SECONDS, ..Question::new(whom, argv.iter().copied()) }
}

fn queue(ids: &str) -> Question {
    let fields = format!("--Format={}", parse::SQUEUE_FIELDS);
    let jobs = format!("--jobs={ids}");
    ask(Whom::Queue, &["squeue", "--noheader", "--states=all", &jobs, &fields])
}

fn configuration() -> Question {
    ask(Whom::Other, &["scontrol", "show", "config"])
}

/// A value of the configuration.
fn setting<'t>(text: &'t str, wanted: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == wanted).then(|| value.trim())
    })
}

fn list(keys: &[&EngineKey]) -> String {
    keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(",")
}

impl Dialect for Slurm {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn submit(&self, order: &Order) -> Result<Submission, BackendError> {
        argv::sbatch(order)
    }

    fn taken(&self, _: &Order, answer: &Finished) -> Taken {
        taken(answer.ended, &answer.stdout, &answer.said())
    }

    fn complete(&self, id: &str) -> Vec<Question> {
        vec![queue(id), configuration()]
    }

    fn completed(&self, question: &Question, text: &str, id: &str) -> Missing {
        if question.whom == Whom::Other {
            let cluster = setting(text, "ClusterName").map(str::to_owned);
            return Missing { cluster, submitted: None };
        }
        let row = parse::squeue(text).into_iter().find(|row| row.id == id);
        Missing { cluster: None, submitted: row.map(|row| row.submit) }
    }

    fn status(&self, keys: &[&EngineKey]) -> Vec<Question> {
        let ids = list(keys);
        let fields = format!("--format={}", parse::SACCT_FIELDS);
        let jobs = format!("--jobs={ids}");
        let flags = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates"];
        // the accounting first: it alone knows old jobs, and most that are asked for have ended
        vec![ask(Whom::Accounting, &[&flags[..], &[&jobs, &fields]].concat()), queue(&ids)]
    }

    fn rows(&self, question: &Question, text: &str) -> Vec<Row> {
        let rows =
            if question.whom == Whom::Queue { parse::squeue(text) } else { parse::sacct(text) };
        rows.iter().map(parse::Line::row).collect()
    }

    fn is_none(&self, said: &str) -> bool {
        // With one id only, a job that the controller has forgotten is an error.
        said.contains("Invalid job id")
    }

    fn is_unreachable(&self, said: &str) -> bool {
        argv::is_unreachable(said)
    }

    fn is_id(&self, text: &str) -> bool {
        is_id(text)
    }

    fn release(&self, keys: &[&EngineKey]) -> Vec<Question> {
        vec![ask(Whom::Other, &["scontrol", "release", &list(keys)])]
    }

    fn is_released(&self, said: &str) -> bool {
        // of one that waits or runs it says nothing
        said.contains("Job has already finished")
    }

    fn cancel(&self, keys: &[&EngineKey]) -> Vec<Question> {
        let ids = keys.iter().map(|key| key.id.as_str());
        let argv: Vec<&str> = std::iter::once("scancel").chain(ids).collect();
        vec![ask(Whom::Other, &argv)]
    }

    fn cancel_tasks(&self, key: &EngineKey, tasks: &Tasks) -> Vec<Question> {
        // each range a word: a list of very many would be longer than a word may be
        let one =
            |range: &RangeInclusive<u32>| format!("{}_[{}-{}]", key.id, range.start(), range.end());
        let all: Vec<String> = tasks.ranges().iter().map(one).collect();
        let argv = |some: &[String]| [&["scancel".to_owned()], some].concat();
        all.chunks(500).map(|some| Question::new(Whom::Other, argv(some))).collect()
    }

    fn find(&self, _: &IntentId) -> Vec<Question> {
        let user = format!("--user={}", rustix::process::geteuid().as_raw());
        let fields = format!("--format={}", parse::SQUEUE_FIND_FIELDS);
        let queue = ask(Whom::Queue, &["squeue", "--noheader", "--states=all", &user, &fields]);
        let since = format!("--starttime={FIND_SINCE}");
        let fields = format!("--format={}", parse::SACCT_FIND_FIELDS);
        let flags = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates"];
        // Without accounting, "not in the queue" does not mean "never submitted"; and accounting lags,
        // so its "no" counts only when the controller says no too.
        vec![queue, ask(Whom::Accounting, &[&flags[..], &[&user, &since, &fields]].concat())]
    }

    fn found(&self, _: &Question, text: &str, owner: &str, intent: &IntentId) -> Vec<Row> {
        parse::find(text, owner, intent)
    }

    fn ready(&self) -> Question {
        ask(Whom::Other, &["scontrol", "ping"])
    }

    fn is_ready(&self, text: &str) -> bool {
        // one line for each controller: "Slurmctld(primary) at HOST is UP"
        text.lines().any(|line| line.trim_end().ends_with(" UP"))
    }

    fn grace(&self) -> Option<Question> {
        Some(configuration())
    }

    fn grace_in(&self, text: &str) -> Option<Duration> {
        // "30 sec"
        let value = setting(text, "KillWait")?;
        value.split_whitespace().next()?.parse().ok().map(Duration::from_secs)
    }
}

/// The id that `sbatch --parsable` printed: `ID` or `ID;CLUSTER`.
fn taken(ended: Ended, stdout: &str, said: &str) -> Taken {
    // A site's submit filter may print lines of its own before.
    let line = stdout.lines().next_back().unwrap_or_default().trim();
    let (id, cluster) = line.split_once(';').map_or((line, None), |(id, c)| (id, Some(c)));
    match ended {
        Ended::Exit(0) => {}
        // It printed an id and failed all the same, or its question or answer was lost.
        Ended::Exit(_) if is_id(id) || argv::is_ambiguous(said) => {
            return Taken::Maybe(said.to_owned());
        }
        Ended::Exit(_) if argv::is_unreachable(said) => {
            return Taken::Unreachable(said.to_owned());
        }
        Ended::Exit(_) => return Taken::No(said.to_owned()),
        Ended::Signal(_) | Ended::TimedOut => return Taken::Maybe(said.to_owned()),
    }
    if !is_id(id) {
        return Taken::Maybe(format!("sbatch printed no job id but {:?}", cut(line)));
    }
    let cluster = cluster.filter(|c| !c.is_empty()).map(str::to_owned);
    Taken::Yes { id: id.to_owned(), cluster }
}

fn cut(line: &str) -> String {
    line.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
