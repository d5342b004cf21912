//! What the answers to one round of questions say together of each job.
//!
//! ```text
//! the accounting says that it ended          that
//! the queue knows it                         its word
//! the queue is silent                        the accounting's last word, marked as old; else unknown
//! the queue does not know it                 the accounting's last word; else unknown, or a word on why
//! ```

use super::super::dialect::{Row, Whom};
use std::collections::BTreeMap;

use crate::backend::{BackendError, Seen};
use crate::job::{EngineKey, Tasks};

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
        let (accounting, queue) = self.about(job);
        // of an array the accounting may not know each task yet
        let asked = self.queue.is_some() || accounting.iter().all(|row| row.tasks.is_none());
        asked && settles(job, &accounting, &queue)
    }

    /// The same for all of these tasks of an array.
    pub fn settle_tasks(&self, job: &EngineKey, tasks: &Tasks) -> bool {
        let (accounting, queue) = self.by_task(job, tasks);
        tasks.numbers().all(|task| settles(job, of_task(&accounting, task), of_task(&queue, task)))
    }

    /// The rows of a job, whichever of its tasks they speak of.
    fn about(&self, job: &EngineKey) -> (Vec<&Row>, Vec<&Row>) {
        let is = |row: &&Row| row.id == job.id;
        let accounting = rows(self.accounting.as_ref()).iter().filter(is).collect();
        (accounting, rows(self.queue.as_ref()).iter().filter(is).collect())
    }

    /// The rows of each task.
    fn by_task(&self, job: &EngineKey, tasks: &Tasks) -> (ByTask<'_>, ByTask<'_>) {
        let (accounting, queue) = self.about(job);
        (by_task(&accounting, tasks), by_task(&queue, tasks))
    }

    /// What they say together of each task of an array, the same together.
    pub fn say_tasks(&self, job: &EngineKey, tasks: &Tasks) -> Vec<(Tasks, Seen)> {
        let (accounting, queue) = self.by_task(job, tasks);
        let of = |task| self.judge(job, of_task(&accounting, task), of_task(&queue, task));
        Tasks::together(tasks.numbers().map(|task| (task, of(task))))
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
        let (accounting, queue) = self.about(job);
        // a task that has not ended is the array's word, whatever is accounted of the others
        let open = |row: &&Row| row.tasks.is_some() && !row.seen.state.is_final();
        if let Some(row) = latest(job, &queue).filter(open) {
            return seen(row);
        }
        // the accounting may not know each task, and the queue says nothing of the others
        if let (Some(Err(error)), true) =
            (&self.queue, accounting.iter().any(|r| r.tasks.is_some()))
        {
            return Seen::silent(error.why());
        }
        self.judge(job, &accounting, &queue)
    }

    fn judge(&self, job: &EngineKey, accounting: &[&Row], queue: &[&Row]) -> Seen {
        let accounted = latest(job, accounting);
        if let Some(row) = accounted.filter(|row| row.seen.state.is_final()) {
            return seen(row);
        }
        let engine = self.engine;
        match (latest(job, queue), &self.queue) {
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

/// The rows that speak of a task.
type ByTask<'r> = BTreeMap<u32, Vec<&'r Row>>;

fn by_task<'r>(rows: &[&'r Row], asked: &Tasks) -> ByTask<'r> {
    let mut all: ByTask<'r> = asked.numbers().map(|task| (task, Vec::new())).collect();
    for row in rows {
        // an engine's range may be wider than what is asked for
        for range in row.tasks.iter().flat_map(Tasks::ranges) {
            for (_, of) in all.range_mut(range.clone()) {
                of.push(row);
            }
        }
    }
    all
}

fn of_task<'a, 'r>(all: &'a ByTask<'r>, task: u32) -> &'a [&'r Row] {
    all.get(&task).map(Vec::as_slice).unwrap_or_default()
}

fn settles(job: &EngineKey, accounting: &[&Row], queue: &[&Row]) -> bool {
    let ended = latest(job, accounting).is_some_and(|row| row.seen.state.is_final());
    ended || latest(job, queue).is_some()
}

fn rows(answer: Option<&Answer>) -> &[Row] {
    answer.and_then(|answer| answer.as_deref().ok()).unwrap_or_default()
}

fn seen(row: &Row) -> Seen {
    Seen { held: row.held, ..row.seen.clone().into() }
}

/// The row that tells how it is with this very job: the same id, owner and submit time, or a later start of
/// it that the engine itself began. Of an array as a whole it is a task that has not ended, if there is one.
fn latest<'a>(job: &EngineKey, rows: &[&'a Row]) -> Option<&'a Row> {
    let ours = |row: &&&Row| {
        let same = |cluster: &String| job.cluster.as_ref().is_none_or(|of| of == cluster);
        row.id == job.id && row.user == job.owner && row.cluster.as_ref().is_none_or(same)
    };
    let mut rows: Vec<&Row> = rows.iter().filter(ours).copied().collect();
    rows.sort_by_key(|row| (row.submit, row.tasks.is_some() && row.seen.state.is_final()));
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
            tasks: None,
            cluster: None,
            submit,
            user: user.to_owned(),
            seen: Observation::of(state),
            may_return,
            held: false,
        }
    }

    fn newest<'a>(job: &EngineKey, rows: &'a [Row]) -> Option<&'a Row> {
        latest(job, &rows.iter().collect::<Vec<_>>())
    }

    #[test]
    fn each_task_of_an_array_has_its_own_rows() {
        use JobState::{Completed, Failed, Running, Submitted, Unknown};
        let job = key("7", 1000, "me");
        let of = |tasks: &str, state| Row {
            tasks: Some(tasks.parse().unwrap()),
            ..row("7", 1000, "me", state, false)
        };
        let mut answers = Answers::of("engine");
        answers
            .add(Whom::Accounting, Ok(vec![of("1", Completed), of("2", Failed), of("3", Running)]));
        let tasks: Tasks = "1-9".parse().unwrap();
        assert!(!answers.settle_tasks(&job, &tasks));
        // the queue's range may be wider than what is asked for
        answers.add(Whom::Queue, Ok(vec![of("3", Running), of("4-6,8-20", Submitted)]));
        assert!(!answers.settle_tasks(&job, &tasks));
        let said: Vec<String> = answers
            .say_tasks(&job, &tasks)
            .into_iter()
            .map(|(tasks, seen)| format!("{tasks} {}", seen.state))
            .collect();
        let expected = ["1 completed", "2 failed", "3 running", "4-6,8-9 submitted", "7 unknown"];
        assert_eq!(said, expected);
        assert!(!answers.say(&job).state.is_final(), "some of it is open");
        let mut lags = Answers::of("engine");
        lags.add(Whom::Accounting, Ok(vec![of("1", Completed)]));
        assert!(!lags.settle(&job), "the accounting may not know the others yet");
        lags.add(Whom::Queue, Ok(vec![of("2", Running)]));
        assert_eq!(lags.say(&job).state, Running);
        let mut silent = Answers::of("engine");
        silent.add(Whom::Accounting, Ok(vec![of("1", Completed)]));
        silent.add(Whom::Queue, refused());
        assert!(silent.say(&job).silent.is_some(), "nobody knows the other tasks");
        assert!(answers.settle_tasks(&job, &"1-6".parse().unwrap()));
        assert_eq!(answers.say(&key("8", 1000, "me")).state, Unknown);
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
            |submitted, owner| newest(&key("7", submitted, owner), &rows).map(|row| row.seen.state);
        assert_eq!(state(1000, "me"), Some(Completed));
        assert_eq!(state(1060, "me"), Some(Completed), "clocks differ a little");
        assert_eq!(state(900_000, "me"), Some(Failed));
        assert_eq!(state(950_000, "you"), Some(Running));
        assert_eq!(state(950_000, "me"), None);
        assert_eq!(state(500_000, "me"), None);
        let of = |cluster: &str| {
            let there = Row { cluster: Some("a".into()), ..rows[0].clone() };
            let job = EngineKey { cluster: Some(cluster.into()), ..key("7", 1000, "me") };
            newest(&job, &[there]).is_some()
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
        assert_eq!(newest(&key("7", 1000, "me"), &rows).unwrap().submit, 9000);
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
