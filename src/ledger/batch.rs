//! Several records by one append: their payloads' names by one sync of the directory, their lines by another.
//!
//! ```text
//! let mut batch = ledger.batch();
//! batch.observed(&entry, &seen)?;      payload's bytes on the disk, its name not yet
//! batch.receipt(&entry, &receipt)?;
//! batch.write()?;                      sync of personal/, lines, sync of the segment
//! ```
//!
//! What is dropped without [`Batch::write`] leaves payloads that no record commits to; `verify` names them.

use std::path::Path;

use super::body::{Body, EngineName};
use super::error::LedgerError;
use super::hash::RecordHash;
use super::personal::{self, Personal};
use super::{Conversion, Intent, Ledger, Recorded};
use crate::job::{EngineKey, Observation, Tasks, Terms};
use crate::worker::{Receipt, Start};

/// See the module.
#[derive(Debug)]
#[must_use = "nothing is recorded before it is written"]
pub struct Batch<'l> {
    ledger: &'l Ledger,
    bodies: Vec<Body>,
    payloads: bool,
}

impl<'l> Batch<'l> {
    /// Nothing yet.
    pub(super) fn new(ledger: &'l Ledger) -> Self {
        Self { ledger, bodies: Vec::new(), payloads: false }
    }

    /// Records all of it.
    ///
    /// # Errors
    /// When the records are not on the disk.
    pub fn write(self) -> Result<(), LedgerError> {
        if self.payloads {
            personal::settle(&self.ledger.dir)?;
        }
        self.ledger.append_all(&self.bodies)
    }

    fn store(&mut self, entry: &Recorded, personal: &Personal) -> Result<RecordHash, LedgerError> {
        self.payloads = true;
        personal::store(&self.ledger.dir, entry.intent, personal)
    }

    fn text(&mut self, entry: &Recorded, text: &str) -> Result<RecordHash, LedgerError> {
        self.store(entry, &Personal { text: Some(text.to_owned()), ..Personal::default() })
    }

    /// As [`Ledger::intend_with_notes`].
    ///
    /// # Errors
    /// When the payload cannot be written.
    pub fn intend(&mut self, intent: &Intent, notes: &[String]) -> Result<Recorded, LedgerError> {
        let Intent { spec, intent, nonce, backend, enclosing, plan, user, host } = intent;
        let entry = Recorded { job: spec.id, intent: *intent, nonce: *nonce };
        let personal = Personal {
            user: Some(user.clone()),
            host: Some(host.clone()),
            name: spec.name.clone(),
            command: spec.command.clone(),
            env: spec.env.clone(),
            mounts: spec.mounts.clone(),
            options: spec.options.clone(),
            workdir: spec.workdir.clone(),
            // it holds the name of a home directory as a rule
            place: spec.delivery.place().map(Path::to_owned),
            plan: Some(*plan),
            notes: notes.to_vec(),
            inputs: spec.terms.inputs.clone(),
            declared: spec.terms.outputs.clone(),
            ..Personal::default()
        };
        let personal = self.store(&entry, &personal)?;
        self.bodies.push(Body::Intent {
            job: spec.id,
            intent: *intent,
            nonce: *nonce,
            backend: *backend,
            image: Box::new(spec.image.clone()),
            runtime: spec.runtime,
            resources: spec.resources.clone(),
            rerun_of: spec.rerun_of,
            terms: Terms { inputs: Vec::new(), outputs: Vec::new(), ..spec.terms.clone() },
            delivery: Some(spec.delivery.name()),
            enclosing: enclosing.clone(),
            personal,
        });
        Ok(entry)
    }

    /// As [`Ledger::submitted`].
    ///
    /// # Errors
    /// When the payload cannot be written.
    pub fn submitted(&mut self, entry: &Recorded, key: &EngineKey) -> Result<(), LedgerError> {
        let EngineKey { kind, cluster, id, submitted_at, owner } = key.clone();
        let kind = kind.parse()?;
        let personal = Personal { owner: Some(owner), ..Personal::default() };
        let personal = self.store(entry, &personal)?;
        self.bodies.push(Body::Submitted {
            job: entry.job,
            intent: entry.intent,
            engine: EngineName { kind, cluster, id, submitted_at },
            personal,
        });
        Ok(())
    }

    /// As [`Ledger::observed`].
    ///
    /// # Errors
    /// When the payload cannot be written.
    pub fn observed(&mut self, entry: &Recorded, seen: &Observation) -> Result<(), LedgerError> {
        self.observe(entry, None, seen)
    }

    /// The same of some tasks of an array.
    ///
    /// # Errors
    /// When the payload cannot be written.
    pub fn observed_of(
        &mut self,
        entry: &Recorded,
        tasks: &Tasks,
        seen: &Observation,
    ) -> Result<(), LedgerError> {
        self.observe(entry, Some(tasks.clone()), seen)
    }

    fn observe(
        &mut self,
        entry: &Recorded,
        tasks: Option<Tasks>,
        seen: &Observation,
    ) -> Result<(), LedgerError> {
        let personal = seen.reason.as_deref().map(|why| self.text(entry, why)).transpose()?;
        self.bodies.push(Body::Observed {
            job: entry.job,
            intent: entry.intent,
            tasks,
            state: seen.state,
            exit_code: seen.exit_code,
            engine_state: seen.engine_state.clone(),
            personal,
        });
        Ok(())
    }

    /// As [`Ledger::receipt`].
    ///
    /// # Errors
    /// When the payload cannot be written.
    pub fn receipt(&mut self, entry: &Recorded, receipt: &Receipt) -> Result<bool, LedgerError> {
        let matched = entry.wrote(receipt);
        let (public, personal) = redact(receipt);
        let personal = personal.map(|personal| self.store(entry, &personal)).transpose()?;
        self.bodies.push(Body::Receipt {
            job: entry.job,
            intent: entry.intent,
            matched,
            receipt: Box::new(public),
            qualifiers: receipt.qualifiers(),
            personal,
        });
        Ok(matched)
    }
}

impl Ledger {
    /// Several records by one append.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Records that a job is about to be given to an engine.
    ///
    /// # Errors
    /// When the record is not on the disk; then the engine must not be asked.
    pub fn intend(&self, intent: &Intent) -> Result<Recorded, LedgerError> {
        self.intend_with_notes(intent, &[])
    }

    /// The same with notes on where the job's settings come from; they go to the erasable payload.
    ///
    /// # Errors
    /// As [`Ledger::intend`].
    pub fn intend_with_notes(
        &self,
        intent: &Intent,
        notes: &[String],
    ) -> Result<Recorded, LedgerError> {
        let mut batch = self.batch();
        let entry = batch.intend(intent, notes)?;
        batch.write()?;
        Ok(entry)
    }

    /// Records that the engine took the job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn submitted(&self, entry: &Recorded, key: &EngineKey) -> Result<(), LedgerError> {
        let mut batch = self.batch();
        batch.submitted(entry, key)?;
        batch.write()
    }

    /// Records that the engine did not take the job, and said so.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn refused(&self, entry: &Recorded, why: &str) -> Result<(), LedgerError> {
        let (job, intent) = (entry.job, entry.intent);
        self.with_text(entry, why, |personal| Body::Refused { job, intent, personal })
    }

    /// Records that nobody can say whether the engine took the job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn uncertain(&self, entry: &Recorded, why: &str) -> Result<(), LedgerError> {
        let (job, intent) = (entry.job, entry.intent);
        self.with_text(entry, why, |personal| Body::Uncertain { job, intent, personal })
    }

    /// Records what the engine said. Callers record changes, not every question
    /// ([`Submission::knows_observation`](super::Submission::knows_observation)).
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn observed(&self, entry: &Recorded, seen: &Observation) -> Result<(), LedgerError> {
        let mut batch = self.batch();
        batch.observed(entry, seen)?;
        batch.write()
    }

    /// Records a worker's receipt that was found beside a job; says whether it is the
    /// submission's own. A stranger's is recorded too: that it lay there is worth knowing.
    /// Callers leave out what is recorded already
    /// ([`Submission::knows_receipt`](super::Submission::knows_receipt)).
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn receipt(&self, entry: &Recorded, receipt: &Receipt) -> Result<bool, LedgerError> {
        let mut batch = self.batch();
        let matched = batch.receipt(entry, receipt)?;
        batch.write()?;
        Ok(matched)
    }

    /// Records that the engine was asked to end the job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn cancelled(&self, entry: &Recorded) -> Result<(), LedgerError> {
        self.append_all(&[Body::Cancelled { job: entry.job, intent: entry.intent, tasks: None }])
    }

    /// The same of some tasks of an array.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn cancelled_of(&self, entry: &Recorded, tasks: &Tasks) -> Result<(), LedgerError> {
        let tasks = Some(tasks.clone());
        self.append_all(&[Body::Cancelled { job: entry.job, intent: entry.intent, tasks }])
    }

    /// Records that the engine took the job and holds it.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn held(&self, entry: &Recorded) -> Result<(), LedgerError> {
        self.append_all(&[Body::Held { job: entry.job, intent: entry.intent }])
    }

    /// Records that the engine was told to start a held job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn released(&self, entry: &Recorded) -> Result<(), LedgerError> {
        self.append_all(&[Body::Released { job: entry.job, intent: entry.intent }])
    }

    /// Records that this user made a SIF of an image. It is what the store's mappings are held
    /// against: jobs can reach the store, and never the ledger.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn converted(&self, conversion: &Conversion) -> Result<(), LedgerError> {
        let Conversion { manifest, recipe, sif, tree } = conversion.clone();
        self.append_all(&[Body::Converted { manifest, recipe, sif, tree }])
    }

    /// Records a sentence.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn note(&self, entry: &Recorded, text: &str) -> Result<(), LedgerError> {
        let (job, intent) = (entry.job, entry.intent);
        self.with_text(entry, text, |personal| Body::Note { job, intent, personal })
    }

    fn with_text(
        &self,
        entry: &Recorded,
        text: &str,
        body: impl FnOnce(RecordHash) -> Body,
    ) -> Result<(), LedgerError> {
        let mut batch = self.batch();
        let personal = batch.text(entry, text)?;
        batch.bodies.push(body(personal));
        batch.write()
    }
}

/// Takes paths and free text out of a receipt.
pub(super) fn redact(receipt: &Receipt) -> (Receipt, Option<Personal>) {
    let mut public = receipt.clone();
    let skipped_mounts = std::mem::take(&mut public.skipped_mounts);
    let notes = std::mem::take(&mut public.notes);
    let covers = std::mem::take(&mut public.conditions.covers);
    let passed_over = std::mem::take(&mut public.conditions.passed_over);
    let options = std::mem::take(&mut public.conditions.options);
    let outputs = std::mem::take(&mut public.conditions.outputs);
    let keys = std::mem::take(&mut public.conditions.keys);
    let program = public.conditions.program.take();
    let account = public.conditions.user.take();
    let argv = std::mem::take(&mut public.conditions.argv);
    let made_mounts = std::mem::take(&mut public.conditions.mounts);
    let text = match &mut public.start {
        Start::Refused { why } => Some(std::mem::take(why)),
        Start::Started { .. } => None,
    };
    let personal = Personal {
        options,
        text,
        skipped_mounts,
        notes,
        covers,
        passed_over,
        outputs,
        keys,
        program,
        account,
        argv,
        made_mounts,
        ..Personal::default()
    };
    let empty = personal == Personal::default();
    (public, (!empty).then_some(personal))
}
