//! The one flow over an engine's commands: submit, complete the key, release, observe in bulk, cancel, find.
//!
//! ```text
//! submit   write its files, run its command        -> taken | refused | unreachable | uncertain
//!          ask for what the key lacks              never an error: the engine has the job
//! status   500 jobs a question; the next one is only asked for what is still open  (answers.rs)
//!          a command that nobody answered in time is not run again: whoever asks again later makes a new `Engine`
//! cancel   only a job that the engine knows to be this one
//! find     everybody who could know is asked; "no" only when all of them said no
//! ```
//!
//! What the commands and their answers mean is the dialect's.

mod answers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::dialect::{Dialect, Missing, Question, Row, Taken};
use super::driver::{Driver, Environment, printable};
use super::{Backend, BackendError, Facts, Order, Seen, Submission};
use crate::files;
use crate::job::{EngineKey, IntentId, JobId, JobState, Tasks};
use answers::Answers;

/// Jobs in one question; keeps the command line far below its limit.
const CHUNK: usize = 500;

/// Arrays in one question: an answer may have a line for each task.
const ARRAYS: usize = 20;

/// A command that took so long to say that nobody answers is not run again.
const SLOW: Duration = Duration::from_secs(1);

/// How long a question may take. Engines' own patience with a controller is some 10 s, twice with a second
/// one; whoever asked wants to see what is known here.
const QUESTION: Duration = Duration::from_secs(30);

/// How long a submission may take.
const SUBMISSION: Duration = Duration::from_secs(120);

/// An engine that is used through its commands.
#[derive(Clone)]
pub struct Engine {
    dialect: &'static dyn Dialect,
    driver: Driver,
    /// Commands that nobody answered in time, and what they said.
    silent: RefCell<BTreeMap<String, String>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(&self.facts().name).finish()
    }
}

impl Engine {
    /// Asks nobody yet.
    pub(super) fn new(dialect: &'static dyn Dialect, environment: Environment) -> Self {
        let facts = dialect.facts();
        let driver =
            Driver { engine: facts.name, own: facts.environment, environment, limit: SUBMISSION };
        Self { dialect, driver, silent: RefCell::default() }
    }

    /// Another time limit for each of its commands.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.driver.limit = limit;
        self
    }

    fn name(&self) -> &'static str {
        self.dialect.facts().name
    }

    fn ask(&self, question: &Question) -> Result<String, BackendError> {
        let limit = self.driver.limit.min(QUESTION);
        let driver = Driver { limit, ..self.driver.clone() };
        let env: Vec<(String, String)> =
            question.env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (program, args) = split(&question.argv)?;
        if let Some(said) = self.silent.borrow().get(program) {
            return Err(BackendError::Unreachable { engine: self.name(), said: said.clone() });
        }
        let began = Instant::now();
        let answer = driver.ask(program, args, &env).map_err(|error| match error {
            BackendError::Failed { said, .. } if self.dialect.is_unreachable(&said) => {
                BackendError::Unreachable { engine: self.name(), said }
            }
            error => error,
        });
        if let Err(BackendError::Unreachable { said, .. }) = &answer
            && began.elapsed() >= SLOW.min(limit)
        {
            self.silent.borrow_mut().insert(program.to_owned(), said.clone());
        }
        answer
    }

    fn rows(&self, question: &Question) -> Result<Vec<Row>, BackendError> {
        match self.ask(question) {
            Ok(text) => Ok(self.dialect.rows(question, &text)),
            Err(BackendError::Failed { said, .. }) if self.dialect.is_none(&said) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }

    /// From here on the engine has the job: what cannot be asked is filled in, never an error.
    fn key(&self, id: String, known: Missing, owner: String) -> EngineKey {
        let mut known = known;
        for question in self.dialect.complete(&id) {
            if known.cluster.is_some() && known.submitted.is_some() {
                break;
            }
            if let Ok(text) = self.ask(&question) {
                let more = self.dialect.completed(&question, &text, &id);
                known.cluster = known.cluster.or(more.cluster);
                known.submitted = known.submitted.or(more.submitted);
            }
        }
        let submitted =
            known.submitted.and_then(|second| jiff::Timestamp::from_second(second).ok());
        EngineKey {
            kind: self.name().to_owned(),
            cluster: known.cluster,
            id,
            submitted_at: submitted.unwrap_or_else(jiff::Timestamp::now),
            owner,
        }
    }

    fn observe(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        let asked: Vec<&EngineKey> =
            jobs.iter().filter(|job| self.dialect.is_id(&job.id)).collect();
        let mut answers = Answers::of(self.name());
        if !asked.is_empty() {
            for question in self.dialect.status(&asked) {
                if asked.iter().all(|job| answers.settle(job)) {
                    break;
                }
                answers.add(question.whom, self.rows(&question));
            }
        }
        answers.all_silent()?;
        let seen = |job: &EngineKey| {
            if self.dialect.is_id(&job.id) { answers.say(job) } else { self.no_id() }
        };
        Ok(jobs.iter().map(seen).collect())
    }

    fn observe_arrays(
        &self,
        arrays: &[(EngineKey, Tasks)],
    ) -> Result<Vec<Vec<(Tasks, Seen)>>, BackendError> {
        let asked: Vec<&(EngineKey, Tasks)> =
            arrays.iter().filter(|(job, _)| self.dialect.is_id(&job.id)).collect();
        let keys: Vec<&EngineKey> = asked.iter().map(|(job, _)| job).collect();
        let mut answers = Answers::of(self.name());
        if !keys.is_empty() {
            for question in self.dialect.status(&keys) {
                answers.add(question.whom, self.rows(&question));
                if asked.iter().all(|(job, tasks)| answers.settle_tasks(job, tasks)) {
                    break;
                }
            }
        }
        answers.all_silent()?;
        let say = |(job, tasks): &(EngineKey, Tasks)| {
            if self.dialect.is_id(&job.id) {
                answers.say_tasks(job, tasks)
            } else {
                vec![(tasks.clone(), self.no_id())]
            }
        };
        Ok(arrays.iter().map(say).collect())
    }

    fn no_id(&self) -> Seen {
        Seen::unknown(&format!("this is not a job id of {}", self.name()))
    }
}

fn split(argv: &[String]) -> Result<(&str, &[String]), BackendError> {
    argv.split_first().map(|(program, args)| (program.as_str(), args)).ok_or_else(|| {
        let source = std::io::Error::other("there is no command");
        BackendError::Io { what: "asking an engine".to_owned(), source }
    })
}

impl Backend for Engine {
    fn facts(&self) -> &'static Facts {
        self.dialect.facts()
    }

    fn plan(&self, order: &Order) -> Result<Submission, BackendError> {
        if let (Some(tasks), None) = (&order.tasks, &self.facts().array) {
            return Err(BackendError::Array {
                engine: self.name(),
                what: format!("the tasks {tasks}"),
                why: "it has no arrays",
                hint: "submit each task as a job of its own",
            });
        }
        if let (Some(at_once), Some(array)) = (order.at_once, &self.facts().array)
            && !array.at_once
        {
            return Err(BackendError::Array {
                engine: self.name(),
                what: format!("{at_once} tasks at once"),
                why: "it cannot be told how many tasks run at once",
                hint: "leave out the % and what follows",
            });
        }
        if order.sent.is_some() && !self.facts().transfers {
            return Err(BackendError::Unfit {
                engine: self.name(),
                what: "files that it is to bring to the worker".to_owned(),
                why: "it brings none".to_owned(),
            });
        }
        self.dialect.submit(order)
    }

    fn submit(&self, order: &Order) -> Result<EngineKey, BackendError> {
        let engine = self.name();
        let plan = self.plan(order)?;
        for (path, text) in &plan.files {
            files::create(path, 0o400, text.as_bytes()).map_err(|source| BackendError::Io {
                what: format!("writing {}", path.display()),
                source,
            })?;
        }
        let (program, args) = split(&plan.argv)?;
        let answer = self.driver.run(program, args, &plan.env, &plan.cwd)?;
        let taken = self.dialect.taken(order, &answer);
        if !matches!(taken, Taken::Yes { .. } | Taken::Maybe(_)) {
            // the same order may be given again
            for (path, _) in &plan.files {
                let _ = std::fs::remove_file(path);
            }
        }
        match taken {
            Taken::Yes { id, cluster } => {
                let known = Missing { cluster, submitted: None };
                Ok(self.key(id, known, self.driver.account()))
            }
            Taken::No(said) => {
                let mut hints = self.facts().hints.iter();
                let hint = hints.find(|(words, _)| said.contains(words)).map(|(_, hint)| *hint);
                Err(BackendError::Refused { engine, said, hint })
            }
            Taken::Unreachable(said) => Err(BackendError::Unreachable { engine, said }),
            Taken::Maybe(said) => Err(BackendError::Uncertain { engine, said }),
        }
    }

    fn release(&self, job: &EngineKey) -> Result<(), BackendError> {
        if !self.dialect.is_id(&job.id) {
            let said = format!("{job}: not an id of its");
            return Err(BackendError::Refused { engine: self.name(), said, hint: None });
        }
        for question in self.dialect.release(&[job]) {
            match self.ask(&question) {
                Err(BackendError::Failed { said, .. }) if self.dialect.is_released(&said) => {}
                answer => drop(answer?),
            }
        }
        Ok(())
    }

    fn ready(&self) -> Result<String, BackendError> {
        let said = self.ask(&self.dialect.ready())?;
        let ready = self.dialect.is_ready(&said);
        let said = printable(&said);
        if ready { Ok(said) } else { Err(BackendError::Unreachable { engine: self.name(), said }) }
    }

    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        let mut all = Vec::with_capacity(jobs.len());
        let (mut answered, mut silent) = (jobs.is_empty(), None);
        for chunk in jobs.chunks(CHUNK) {
            match self.observe(chunk) {
                Ok(seen) => {
                    answered = true;
                    all.extend(seen);
                }
                // what was said of the others counts
                Err(error) => {
                    all.extend(chunk.iter().map(|_| Seen::silent(error.why())));
                    silent = silent.or(Some(error));
                }
            }
        }
        silent.filter(|_| !answered).map_or(Ok(all), Err)
    }

    fn cancel(&self, job: &EngineKey) -> Result<(), BackendError> {
        let seen = self.observe(std::slice::from_ref(job))?;
        let seen = seen.first().cloned().unwrap_or_else(|| Seen::unknown("no answer"));
        match seen.state {
            state if state.is_final() => Ok(()),
            // Not knowing the job, its number may be another's by now.
            JobState::Unknown => Err(BackendError::Failed {
                engine: self.name(),
                command: "cancelling".to_owned(),
                said: format!("{job}: {}", seen.silent.or(seen.reason).unwrap_or_default()),
            }),
            _ => self.dialect.cancel(&[job]).iter().try_for_each(|q| self.ask(q).map(drop)),
        }
    }

    fn status_of_tasks(
        &self,
        job: &EngineKey,
        tasks: &Tasks,
    ) -> Result<Vec<(Tasks, Seen)>, BackendError> {
        let answer = self.observe_arrays(&[(job.clone(), tasks.clone())])?;
        Ok(answer.into_iter().next().unwrap_or_default())
    }

    fn status_of_arrays(&self, arrays: &[(EngineKey, Tasks)]) -> Vec<Vec<(Tasks, Seen)>> {
        let silent = |chunk: &[(EngineKey, Tasks)], why: String| {
            let of =
                |(_, tasks): &(EngineKey, Tasks)| vec![(tasks.clone(), Seen::silent(why.clone()))];
            chunk.iter().map(of).collect()
        };
        let of = |chunk| self.observe_arrays(chunk).unwrap_or_else(|e| silent(chunk, e.why()));
        arrays.chunks(ARRAYS).flat_map(of).collect()
    }

    fn cancel_tasks(&self, job: &EngineKey, tasks: &Tasks) -> Result<(), BackendError> {
        let (mut open, mut lost) = (Vec::new(), None);
        for (tasks, seen) in self.status_of_tasks(job, tasks)? {
            match seen.state {
                state if state.is_final() => {}
                // not knowing them, their number may be another's by now
                JobState::Unknown => lost = Some((tasks, seen)),
                _ => open.extend(tasks.numbers()),
            }
        }
        if let Some(open) = Tasks::of(open) {
            for question in self.dialect.cancel_tasks(job, &open) {
                self.ask(&question)?;
            }
        }
        let Some((tasks, seen)) = lost else { return Ok(()) };
        Err(BackendError::Failed {
            engine: self.name(),
            command: "cancelling".to_owned(),
            said: format!("{tasks} of {job}: {}", seen.silent.or(seen.reason).unwrap_or_default()),
        })
    }

    fn find(&self, _: &JobId, intent: &IntentId) -> Result<Vec<EngineKey>, BackendError> {
        let owner = self.driver.account();
        let (mut found, mut silent): (Vec<Row>, Option<BackendError>) = (vec![], None);
        for question in self.dialect.find(intent) {
            match self.ask(&question) {
                Ok(text) => {
                    for row in self.dialect.found(&question, &text, &owner, intent) {
                        if found.iter().all(|known| known.id != row.id) {
                            found.push(row);
                        }
                    }
                }
                // the first one to be silent is the one who knows best
                Err(error) => silent = silent.or(Some(error)),
            }
        }
        if let (true, Some(error)) = (found.is_empty(), silent) {
            return Err(error);
        }
        // numbers of one second: the smaller one is the older one
        found.sort_by_key(|row| (row.submit, row.id.len(), row.id.clone()));
        let key = |row: Row| {
            let known = Missing { cluster: row.cluster, submitted: Some(row.submit) };
            self.key(row.id, known, owner.clone())
        };
        Ok(found.into_iter().map(key).collect())
    }

    fn grace(&self) -> Option<Duration> {
        let text = self.ask(&self.dialect.grace()?).ok()?;
        self.dialect.grace_in(&text)
    }
}
