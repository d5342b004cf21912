//! What the answers to one round of questions say together of each job.
//!
//! ```text
//! the accounting says that it ended          that
//! the queue knows it                         its word
//! the queue is silent                        the accounting's last word, marked as old; else unknown
//! the queue does not know it                 the accounting's last word; else unknown, or a word on why
//! ```

use super::super::dialect::{Row, Whom};
use crate::backend::{BackendError, Seen};
use crate::job::EngineKey;

/// The clock of a submitting machine and the engine's may differ by this much and a job is still taken for
/// the one that the key names. An id that is issued again so soon is not told apart.
const SAME_JOB_SECONDS: i64 = 120;

type Answer = Result<Vec<Row>, BackendError>;

/// The answers so far.
#[derive(Debug)]
pub(super) struct Answers {
    engine: &'static str,
    queue: Option<Answer>,
    accounting: Option<Answer>,
}

impl Answers {
    pub fn of(engine: &'static str) -> Self {
        Self { engine, queue: None, accounting: None }
    }

    pub fn add(&mut self, whom: Whom, answer: Answer) {
        match whom {
            Whom::Accounting => self.accounting = Some(answer),
            Whom::Queue | Whom::Other => self.queue = Some(answer),
        }
    }

    /// Whether nobody else needs to be asked for a job.
    pub fn settle(&self, job: &EngineKey) -> bool {
        let ended =
            latest(job, rows(self.accounting.as_ref())).is_some_and(|r| r.seen.state.is_final());
        ended || latest(job, rows(self.queue.as_ref())).is_some()
    }

    /// An error when all that were asked were silent: the queue's, who knows best.
    pub fn all_silent(&mut self) -> Result<(), BackendError> {
        let is_silent = |answer: &Option<Answer>| !matches!(answer, Some(Ok(_)));
        if !is_silent(&self.queue) || !is_silent(&self.accounting) {
            return Ok(());
        }
        let mut errors = [self.queue.take(), self.accounting.take()].into_iter().flatten();
        errors.find_map(Result::err).map_or(Ok(()), Err)
    }

    /// What they say together.
    pub fn say(&self, job: &EngineKey) -> Seen {
        let accounted = latest(job, rows(self.accounting.as_ref()));
        if let Some(row) = accounted.filter(|row| row.seen.state.is_final()) {
            return seen(row);
        }
        let engine = self.engine;
        match (latest(job, rows(self.queue.as_ref())), &self.queue) {
            (Some(row), _) => seen(row),
            // an old word, or none: the queue could know better
            (None, Some(Err(error))) => Seen {
                silent: Some(error.why()),
                ..accounted.map_or(Seen::unknown(&error.why()), seen)
            },
            (None, _) => match (accounted, &self.accounting) {
                (Some(row), _) => seen(row),
                // where there is no accounting this is for ever: the queue forgets what has ended
                (None, Some(Err(error))) => Seen::unknown(&format!(
                    "{engine} no longer has this job in its queue, and its accounting said: {}",
                    error.why()
                )),
                (None, _) => Seen::unknown(&format!("{engine} does not know this job")),
            },
        }
    }
}

fn rows(answer: Option<&Answer>) -> &[Row] {
    answer.and_then(|answer| answer.as_deref().ok()).unwrap_or_default()
}

fn seen(row: &Row) -> Seen {
    Seen { held: row.held, ..row.seen.clone().into() }
}

/// The row that tells how it is with this very job: the same id, owner and submit time, or a later start of
/// it that the engine itself began.
fn latest<'a>(job: &EngineKey, rows: &'a [Row]) -> Option<&'a Row> {
    let ours = |row: &&Row| {
        let same = |cluster: &String| job.cluster.as_ref().is_none_or(|of| of == cluster);
        row.id == job.id && row.user == job.owner && row.cluster.as_ref().is_none_or(same)
    };
    let mut rows: Vec<&Row> = rows.iter().filter(ours).collect();
    rows.sort_by_key(|row| row.submit);
    let since = job.submitted_at.as_second();
    let first = rows.iter().position(|row| (row.submit - since).abs() <= SAME_JOB_SECONDS)?;
    let mut last = rows[first];
    for row in &rows[first + 1..] {
        if !last.may_return {
            break;
        }
        last = row;
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobState, Observation};

    fn key(id: &str, submitted: i64, owner: &str) -> EngineKey {
        EngineKey {
            kind: "engine".to_owned(),
            cluster: None,
            id: id.to_owned(),
            submitted_at: jiff::Timestamp::from_second(submitted).unwrap(),
            owner: owner.to_owned(),
        }
    }

    fn row(id: &str, submit: i64, user: &str, state: JobState, may_return: bool) -> Row {
        Row {
            id: id.to_owned(),
            cluster: None,
            submit,
            user: user.to_owned(),
            seen: Observation::of(state),
            may_return,
            held: false,
        }
    }

    #[test]
    fn a_number_issued_again_is_another_job() {
        use JobState::{Completed, Failed, Running};
        let rows = [
            row("7", 1000, "me", Completed, false),
            row("7", 900_000, "me", Failed, false),
            row("7", 950_000, "you", Running, false),
        ];
        let state =
            |submitted, owner| latest(&key("7", submitted, owner), &rows).map(|row| row.seen.state);
        assert_eq!(state(1000, "me"), Some(Completed));
        assert_eq!(state(1060, "me"), Some(Completed), "clocks differ a little");
        assert_eq!(state(900_000, "me"), Some(Failed));
        assert_eq!(state(950_000, "you"), Some(Running));
        assert_eq!(state(950_000, "me"), None);
        assert_eq!(state(500_000, "me"), None);
        let of = |cluster: &str| {
            let there = Row { cluster: Some("a".into()), ..rows[0].clone() };
            let job = EngineKey { cluster: Some(cluster.into()), ..key("7", 1000, "me") };
            latest(&job, &[there]).is_some()
        };
        assert!(of("a") && !of("b"), "another cluster's job");
    }

    #[test]
    fn a_job_that_began_anew_is_followed_to_its_last_start() {
        use JobState::{Completed, Failed};
        let rows = [
            row("7", 1000, "me", Failed, true),
            row("7", 5000, "me", Failed, true),
            row("7", 9000, "me", Completed, false),
            row("7", 900_000, "me", Failed, false),
        ];
        assert_eq!(latest(&key("7", 1000, "me"), &rows).unwrap().submit, 9000);
    }

    fn refused() -> Answer {
        Err(BackendError::Unreachable { engine: "engine", said: "connect failure".into() })
    }

    /// snakemake-executor-plugin-slurm#38: whoever does not answer has not said that a job is gone.
    #[test]
    fn silence_and_not_knowing_are_told_apart() {
        use JobState::{Failed, Running, Unknown};
        let job = key("7", 1000, "me");
        let says = |state| Ok(vec![row("7", 1000, "me", state, false)]);
        let answers = [
            (says(Failed), refused(), Failed, false),
            (says(Running), refused(), Running, true),
            (Ok(vec![]), refused(), Unknown, true),
            (Ok(vec![]), Ok(vec![]), Unknown, false),
            (refused(), Ok(vec![]), Unknown, false),
            (refused(), says(Running), Running, false),
        ];
        for (accounting, queue, state, silent) in answers {
            let said = format!("{accounting:?} {queue:?}");
            let mut answers = Answers::of("engine");
            answers.add(Whom::Accounting, accounting);
            answers.add(Whom::Queue, queue);
            answers.all_silent().unwrap();
            let seen = answers.say(&job);
            assert_eq!((seen.state, seen.silent.is_some()), (state, silent), "{said}");
        }
        let mut nobody = Answers::of("engine");
        nobody.add(Whom::Queue, refused());
        nobody.all_silent().unwrap_err();
    }
}
