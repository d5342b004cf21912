//! Reading: all files of a ledger as jobs with their history.
//!
//! A ledger is read as a whole, or the records of some jobs that an index named; records of all writers are merged by their clocks, but those of one
//! writer never change places. Damaged lines and torn tails are passed over and counted: `verify`
//! names them.

use std::collections::BTreeMap;
use std::path::Path;

use super::batch::redact;
use super::body::{Body, EngineName};
use super::error::LedgerError;
use super::own::{Conversion, Recorded};
use super::personal::{Payload, Personal, load};
use super::record::{Content, Record, WriterId};
use super::segment::{Segment, list};
use crate::job::{
    Delivery, EngineKey, IntentId, JobId, JobRef, JobSpec, JobState, Name, Observation, Resources,
    RuntimeChoice, Tasks, Terms,
};
use crate::pin::Image;
use crate::worker::{Qualifier, Receipt, Start};

/// A ledger as it was when it was read.
#[derive(Clone, Debug, Default)]
pub struct View {
    jobs: BTreeMap<JobId, JobRecord>,
    /// Tasks of arrays that were named, by the words that named them.
    tasks: BTreeMap<String, JobRecord>,
    /// Lines that are not what was written; [`verify`](super::verify()) names them.
    pub damaged: usize,
    /// Sound records that this program does not understand, or only in part: a newer one wrote them.
    pub newer: usize,
    /// What this user converted, oldest first.
    pub conversions: Vec<Conversion>,
    /// Records of submissions whose intent is not here.
    pub orphans: usize,
}

/// One job.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Its submissions in order; at least one.
    pub submissions: Vec<Submission>,
}

/// One submission of a job and all that followed.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What further records of it need.
    pub entry: Recorded,
    /// Which task of an array it is; `None` for a job that is none, and for the whole.
    pub task: Option<u32>,
    /// All tasks of the array of which it is one.
    pub(super) array: Option<Tasks>,
    /// When it was recorded.
    pub time: jiff::Timestamp,
    /// The kind of engine.
    pub backend: Name,
    /// The image.
    pub image: Image,
    /// How it gets to the worker. The path is empty once the payload is erased.
    pub delivery: Delivery,
    /// The runtime that was asked for.
    pub runtime: RuntimeChoice,
    /// What it asked of the engine.
    pub resources: Resources,
    /// Which job it repeats.
    pub rerun_of: Option<JobId>,
    /// Command, variables, names and paths, if they were not erased.
    pub personal: Payload,
    /// The terms that are not personal.
    pub terms: Terms,
    /// The engine's job in which it was started.
    pub enclosing: Option<EngineName>,
    /// Whether the intent was read as a whole; a newer program's may say what this one cannot read.
    pub whole: bool,
    /// What became of the submission.
    pub outcome: Outcome,
    /// Receipts in the order in which they were recorded.
    pub receipts: Vec<ReceiptRecord>,
    /// The last observation that says something; `Unknown` does not hide what was known.
    pub seen: Option<Observation>,
    /// Whether the engine was asked to end it.
    pub cancelled: bool,
    /// Everything after the intent, in order.
    pub history: Vec<Event>,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is recorded: the process that submitted ended, or is still at it.
    Open,
    /// The engine took it. The owner is empty once the payload is erased.
    Submitted(EngineKey),
    /// The engine refused it; why is empty once the payload is erased.
    Refused(String),
    /// Nobody can say; why is empty once the payload is erased.
    Uncertain(String),
}

/// A receipt as recorded. What was erased is empty in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRecord {
    /// When it was recorded.
    pub time: jiff::Timestamp,
    /// The receipt.
    pub receipt: Receipt,
    /// What keeps its *Match* from being a plain one, as recorded.
    pub qualifiers: Vec<Qualifier>,
}

/// One record after the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The writer's clock.
    pub time: jiff::Timestamp,
    /// Who wrote it.
    pub writer: WriterId,
    /// The sequence number within its writer, from 1.
    pub sequence: u64,
    /// What happened.
    pub body: Body,
    /// Whether the record was read as a whole.
    pub whole: bool,
    /// The text that stands in its payload: a reason, a note; foreign, and empty once erased.
    pub text: Option<String>,
}

/// Whether payloads are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// Each one.
    Loaded,
    /// None: names, commands and reasons are not to be shown.
    Left,
}

impl View {
    /// Reads a ledger; one that does not exist is empty.
    ///
    /// # Errors
    /// When a file cannot be read. Damage in a file is no error: it is counted.
    pub fn read(dir: &Path) -> Result<Self, LedgerError> {
        let mut records = Vec::new();
        let mut damaged = 0;
        for name in list(dir)?.segments {
            for line in Segment::read(dir, name)?.lines {
                match line.record {
                    Ok(record) => records.push(record),
                    Err(_) => damaged += 1,
                }
            }
        }
        Ok(Self { damaged, ..Self::of_records(dir, records, Payloads::Loaded)? })
    }

    /// The jobs of some records of a ledger; those of one writer in the order in which they stand.
    ///
    /// # Errors
    /// When a payload cannot be read.
    pub(super) fn of_records(
        dir: &Path,
        records: Vec<Record<Content>>,
        payloads: Payloads,
    ) -> Result<Self, LedgerError> {
        let mut view = Self::default();
        let mut events = view.events(records);
        // intents first: another host's clock may stand behind that of the one that submitted
        events.sort_by_key(|(order, event)| {
            (!matches!(event.body, Body::Intent { .. }), *order, event.writer, event.sequence)
        });
        let mut owners = BTreeMap::new();
        for (_, event) in events {
            view.take((dir, payloads), event, &mut owners)?;
        }
        Ok(view)
    }

    /// All understood records, each with the time that it counts as: never before its writer's
    /// record before it.
    fn events(&mut self, mut records: Vec<Record<Content>>) -> Vec<(jiff::Timestamp, Event)> {
        // stable: lines of one file keep their places
        records.sort_by_key(|record| (record.writer, record.segment));
        let mut events = Vec::new();
        let mut latest: Option<(WriterId, jiff::Timestamp)> = None;
        for record in records {
            let order = match latest {
                Some((writer, before)) if writer == record.writer => before.max(record.time),
                _ => record.time,
            };
            latest = Some((record.writer, order));
            let (body, whole) = match record.body {
                Content::Known(body) => (body, true),
                Content::Partly { body, .. } => {
                    self.newer += 1;
                    (body, false)
                }
                Content::Foreign { .. } => {
                    self.newer += 1;
                    continue;
                }
            };
            let Record { time, writer, sequence, .. } = record;
            events.push((order, Event { time, writer, sequence, body, whole, text: None }));
        }
        events
    }

    fn take(
        &mut self,
        (dir, payloads): (&Path, Payloads),
        mut event: Event,
        owners: &mut BTreeMap<IntentId, JobId>,
    ) -> Result<(), LedgerError> {
        if let Body::Converted { manifest, recipe, sif, tree } = event.body {
            self.conversions.push(Conversion { manifest, recipe, sif, tree });
            return Ok(());
        }
        let Some(intent) = event.body.intent() else { return Ok(()) };
        let payload = match payloads {
            Payloads::Loaded => event.body.personal().map(|hash| load(dir, intent, hash)),
            Payloads::Left => Some(Ok(Payload::Left)),
        };
        let payload = payload.transpose()?;
        if let Body::Intent { .. } = event.body {
            // the same record in two files (a copied ledger) is one submission
            if !owners.contains_key(&intent)
                && let Some(submission) = Submission::of(&event, payload)
            {
                owners.insert(intent, submission.entry.job);
                let id = submission.entry.job;
                let job = self.jobs.entry(id);
                let job = job.or_insert_with(|| JobRecord { id, submissions: Vec::new() });
                job.submissions.push(submission);
            }
            return Ok(());
        }
        let submission = owners
            .get(&intent)
            .and_then(|job| self.jobs.get_mut(job))
            .and_then(|job| job.submissions.iter_mut().find(|s| s.entry.intent == intent));
        let Some(submission) = submission else {
            self.orphans += 1;
            return Ok(());
        };
        let personal = match payload {
            Some(Payload::Present(personal)) => *personal,
            _ => Personal::default(),
        };
        event.text.clone_from(&personal.text);
        submission.add(event, personal);
        Ok(())
    }

    /// All jobs, oldest first.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &JobRecord> {
        self.jobs.values()
    }

    /// Lets one task of an array be found by a name; `false` when there is no such job or task.
    pub fn name_task(&mut self, name: &str, which: JobRef) -> bool {
        let task = which.task.and_then(|task| self.jobs.get(&which.job)?.of_task(task));
        task.is_some_and(|task| {
            self.tasks.insert(name.to_owned(), task);
            true
        })
    }

    /// The task that was named so.
    pub(super) fn named_task(&self, name: &str) -> Option<&JobRecord> {
        self.tasks.get(name)
    }

    /// The job, or the task that [`Self::name_task`] was told of by its whole name.
    #[must_use]
    pub fn which(&self, which: JobRef) -> Option<&JobRecord> {
        match which.task {
            None => self.job(which.job),
            Some(_) => self.tasks.get(&which.to_string()),
        }
    }

    /// The job with exactly this id.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<&JobRecord> {
        self.jobs.get(&id)
    }
}

impl JobRecord {
    /// The last submission: the one that counts for state and logs.
    ///
    /// # Panics
    /// Never: a job is only made from a submission.
    #[must_use]
    pub fn last(&self) -> &Submission {
        self.submissions.last().expect("a job has a submission")
    }

    /// The state of the last submission.
    #[must_use]
    pub fn state(&self) -> JobState {
        self.last().state()
    }

    /// The engine's key of the last submission.
    #[must_use]
    pub fn key(&self) -> Option<&EngineKey> {
        self.last().key()
    }
}

impl Submission {
    fn of(event: &Event, payload: Option<Payload>) -> Option<Self> {
        let Body::Intent {
            job,
            intent,
            nonce,
            backend,
            image,
            runtime,
            resources,
            rerun_of,
            terms,
            delivery,
            enclosing,
            ..
        } = event.body.clone()
        else {
            return None;
        };
        let personal = payload.unwrap_or(Payload::Erased);
        let place = match &personal {
            Payload::Present(known) => known.place.clone(),
            _ => None,
        };
        Some(Self {
            entry: Recorded { job, intent, nonce },
            task: None,
            array: None,
            time: event.time,
            backend,
            image: *image,
            delivery: Delivery::recorded(delivery, place),
            runtime,
            resources,
            rerun_of,
            personal,
            terms,
            enclosing,
            whole: event.whole,
            outcome: Outcome::Open,
            receipts: Vec::new(),
            seen: None,
            cancelled: false,
            history: Vec::new(),
        })
    }

    fn add(&mut self, event: Event, personal: Personal) {
        let text = event.text.clone().unwrap_or_default();
        match &event.body {
            Body::Submitted { engine, .. } => {
                let engine = engine.clone();
                self.outcome = Outcome::Submitted(EngineKey {
                    kind: engine.kind.to_string(),
                    cluster: engine.cluster,
                    id: engine.id,
                    submitted_at: engine.submitted_at,
                    owner: personal.owner.unwrap_or_default(),
                });
            }
            // an engine's key, once known, is not unknown again
            Body::Refused { .. } if self.key().is_none() => self.outcome = Outcome::Refused(text),
            Body::Uncertain { .. } if self.key().is_none() => {
                self.outcome = Outcome::Uncertain(text);
            }
            // of some tasks: no word on the whole
            Body::Observed { tasks: Some(_), .. } => {}
            Body::Observed { state, exit_code, engine_state, .. } => {
                if *state != JobState::Unknown || self.seen.is_none() {
                    self.seen = Some(Observation {
                        state: *state,
                        exit_code: *exit_code,
                        engine_state: engine_state.clone(),
                        reason: event.text.clone(),
                    });
                }
            }
            Body::Receipt { receipt, qualifiers, .. } => {
                let mut receipt = (**receipt).clone();
                receipt.skipped_mounts = personal.skipped_mounts;
                receipt.notes = personal.notes;
                let conditions = &mut receipt.conditions;
                conditions.covers = personal.covers;
                conditions.passed_over = personal.passed_over;
                conditions.options = personal.options;
                conditions.outputs = personal.outputs;
                conditions.keys = personal.keys;
                conditions.program = personal.program;
                conditions.user = personal.account;
                conditions.argv = personal.argv;
                conditions.mounts = personal.made_mounts;
                if let Start::Refused { why } = &mut receipt.start {
                    *why = text;
                }
                let qualifiers = qualifiers.clone();
                self.receipts.push(ReceiptRecord { time: event.time, receipt, qualifiers });
            }
            Body::Cancelled { tasks: None, .. } => self.cancelled = true,
            Body::Cancelled { .. }
            | Body::Intent { .. }
            | Body::Held { .. }
            | Body::Released { .. }
            | Body::Refused { .. }
            | Body::Uncertain { .. }
            | Body::Note { .. }
            | Body::Policy { .. }
            | Body::Converted { .. }
            | Body::Other { .. } => {}
        }
        self.history.push(event);
    }

    /// The same without history and receipts.
    pub(super) fn without_records(&self) -> Self {
        Self {
            entry: self.entry,
            task: self.task,
            array: self.array.clone(),
            time: self.time,
            backend: self.backend,
            image: self.image.clone(),
            delivery: self.delivery.clone(),
            runtime: self.runtime,
            resources: self.resources.clone(),
            rerun_of: self.rerun_of,
            personal: self.personal.clone(),
            terms: self.terms.clone(),
            enclosing: self.enclosing.clone(),
            whole: self.whole,
            outcome: self.outcome.clone(),
            receipts: Vec::new(),
            seen: self.seen.clone(),
            cancelled: self.cancelled,
            history: Vec::new(),
        }
    }

    /// The engine's key, once it is known.
    #[must_use]
    pub fn key(&self) -> Option<&EngineKey> {
        match &self.outcome {
            Outcome::Submitted(key) => Some(key),
            _ => None,
        }
    }

    /// The state as far as it is recorded: a receipt of this submission settles it.
    #[must_use]
    pub fn state(&self) -> JobState {
        self.settled().state
    }

    /// The job again, to be repeated or looked at; `None` once the payload is erased, and for one of which
    /// this program cannot read all.
    #[must_use]
    pub fn spec(&self) -> Option<JobSpec> {
        let Payload::Present(personal) = &self.personal else { return None };
        if !self.whole {
            return None;
        }
        let Personal { name, command, env, mounts, options, workdir, inputs, declared, .. } =
            (**personal).clone();
        Some(JobSpec {
            id: self.entry.job,
            name,
            image: self.image.clone(),
            delivery: self.delivery.clone(),
            command,
            mounts,
            env,
            runtime: self.runtime,
            options,
            resources: self.resources.clone(),
            workdir,
            rerun_of: self.rerun_of,
            terms: Terms { inputs, outputs: declared, ..self.terms.clone() },
        })
    }

    /// Whether this receipt is recorded already (what was erased is not compared).
    #[must_use]
    pub fn knows_receipt(&self, receipt: &Receipt) -> bool {
        let (public, _) = redact(receipt);
        self.receipts.iter().any(|known| redact(&known.receipt).0 == public)
    }

    /// Whether the last observation said the same (an erased reason is not compared).
    #[must_use]
    pub fn knows_observation(&self, seen: &Observation) -> bool {
        let last = self.history.iter().rev().find_map(|event| match &event.body {
            Body::Observed { tasks, state, exit_code, engine_state, personal, .. }
                if tasks.is_none() || self.task.is_some() =>
            {
                Some((*state, *exit_code, engine_state.clone(), personal.is_some(), &event.text))
            }
            _ => None,
        });
        last.is_some_and(|(state, exit_code, engine_state, has_reason, reason)| {
            (state, exit_code, engine_state)
                == (seen.state, seen.exit_code, seen.engine_state.clone())
                && has_reason == seen.reason.is_some()
                && (reason.is_none() || *reason == seen.reason)
        })
    }
}
