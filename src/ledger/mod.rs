//! The ledger: what was asked, what the engine said, what the workers measured. Append-only.
//!
//! Floor 4. JSON lines, one file per writer and segment, each line chained to the one before by the
//! hash of its raw bytes (`record.rs` draws a line, `writer.rs` the directory, `personal.rs` what
//! can be erased). Format and limits for people: `docs/ledger.md`.
//!
//! ```text
//! intend --> Entry --> submitted | refused | uncertain --> observed* receipt* cancelled? note*
//!   |                                                        |
//!   durable before the engine hears of the job               View::read -> jobs, with their history
//! ```
//!
//! Promised: a call that returned `Ok` is on the disk; nothing that was written is changed; readers
//! see whole records only. Not promised: an order between writers other than by their clocks; that
//! a local chain was not written anew as a whole by its owner ([`LIMITS`]).
//!
//! Secrets have no field here. Values of variables that the user gives are kept, in the erasable
//! payload: a credential in `--env` is on this disk.

mod body;
mod conversions;
mod dir;
mod error;
#[cfg(test)]
mod golden;
mod hash;
mod kept;
mod lookup;
mod personal;
mod record;
mod salvage;
mod segment;
mod settled;
mod verify;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use self::dir::private_dir;
use self::writer::Writer;
use crate::job::{EngineKey, IntentId, JobId, JobSpec, Name, Nonce, Observation, Terms};
use crate::oci::{Digest, SifDigest};
use crate::pin::{Image, Recipe};
use crate::worker::{Receipt, Start};

pub use body::{Body, EngineName};
pub use conversions::Conversions;
pub use error::{LedgerError, LookupError};
pub use hash::RecordHash;
pub use kept::Kept;
pub use personal::{Payload, Personal};
pub use record::{Content, LineError, RECORD_SCHEMA, Record, WriterId};
pub use segment::SegmentName;
pub use settled::{Settled, Source, latest_receipt};
pub use verify::{Finding, LIMITS, Note, Report, verify};
pub use view::{Event, JobRecord, Outcome, ReceiptRecord, Submission, View};

/// A ledger that can be written to. Several may be open at once, in one process or in many.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    /// Taken up at the first append, so that reading verbs make no file.
    writer: Mutex<Option<Writer>>,
}

/// What is recorded before an engine hears of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The whole job; its texts go to the erasable payload.
    pub spec: JobSpec,
    /// This submission.
    pub intent: IntentId,
    /// Comes back in its receipts.
    pub nonce: Nonce,
    /// The kind of engine: `local`, `slurm`.
    pub backend: Name,
    /// The engine's job in which it is started, for a `run` inside of one.
    pub enclosing: Option<EngineName>,
    /// The hash of the plan's bytes.
    pub plan: RecordHash,
    /// Who submits.
    pub user: String,
    /// From which machine.
    pub host: String,
}

/// A conversion that this user made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The manifest that was converted.
    pub manifest: Digest,
    /// How.
    pub recipe: Recipe,
    /// What came out.
    pub sif: SifDigest,
    /// The root of its tree of hashes, when it has one.
    pub tree: Option<Digest>,
}

/// A recorded submission: what the later records of it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The job.
    pub job: JobId,
    /// The submission.
    pub intent: IntentId,
    /// What its receipts must carry.
    pub nonce: Nonce,
}

impl Ledger {
    /// Opens a ledger, making its directory (0700) when there is none.
    ///
    /// # Errors
    /// When the directory cannot be made, is another user's, or others may write in it.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        private_dir(dir)?;
        dir::check(dir)?;
        Ok(Self { dir: dir.to_owned(), writer: Mutex::new(None) })
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Records that a job is about to be given to an engine.
    ///
    /// # Errors
    /// When the record is not on the disk; then the engine must not be asked.
    pub fn intend(&self, intent: &Intent) -> Result<Entry, LedgerError> {
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
    ) -> Result<Entry, LedgerError> {
        let Intent { spec, intent, nonce, backend, enclosing, plan, user, host } = intent;
        let (image, place) = without_place(&spec.image);
        let personal = Personal {
            user: Some(user.clone()),
            host: Some(host.clone()),
            name: spec.name.clone(),
            command: spec.command.clone(),
            env: spec.env.clone(),
            mounts: spec.mounts.clone(),
            options: spec.options.clone(),
            workdir: spec.workdir.clone(),
            place,
            plan: Some(*plan),
            notes: notes.to_vec(),
            inputs: spec.terms.inputs.clone(),
            ..Personal::default()
        };
        self.append(&Body::Intent {
            job: spec.id,
            intent: *intent,
            nonce: *nonce,
            backend: *backend,
            image: Box::new(image),
            runtime: spec.runtime,
            resources: spec.resources.clone(),
            rerun_of: spec.rerun_of,
            terms: Terms { inputs: Vec::new(), ..spec.terms.clone() },
            delivery: None,
            enclosing: enclosing.clone(),
            personal: personal::store(&self.dir, *intent, &personal)?,
        })?;
        Ok(Entry { job: spec.id, intent: *intent, nonce: *nonce })
    }

    /// Records that the engine took the job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn submitted(&self, entry: &Entry, key: &EngineKey) -> Result<(), LedgerError> {
        let EngineKey { kind, cluster, id, submitted_at, owner } = key.clone();
        let personal = Personal { owner: Some(owner), ..Personal::default() };
        self.append(&Body::Submitted {
            job: entry.job,
            intent: entry.intent,
            engine: EngineName { kind: kind.parse()?, cluster, id, submitted_at },
            personal: personal::store(&self.dir, entry.intent, &personal)?,
        })
    }

    /// Records that the engine did not take the job, and said so.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn refused(&self, entry: &Entry, why: &str) -> Result<(), LedgerError> {
        let personal = self.text(entry, why)?;
        self.append(&Body::Refused { job: entry.job, intent: entry.intent, personal })
    }

    /// Records that nobody can say whether the engine took the job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn uncertain(&self, entry: &Entry, why: &str) -> Result<(), LedgerError> {
        let personal = self.text(entry, why)?;
        self.append(&Body::Uncertain { job: entry.job, intent: entry.intent, personal })
    }

    /// Records what the engine said. Callers record changes, not every question
    /// ([`Submission::knows_observation`]).
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn observed(&self, entry: &Entry, seen: &Observation) -> Result<(), LedgerError> {
        let personal = seen.reason.as_deref().map(|why| self.text(entry, why)).transpose()?;
        self.append(&Body::Observed {
            job: entry.job,
            intent: entry.intent,
            tasks: None,
            state: seen.state,
            exit_code: seen.exit_code,
            engine_state: seen.engine_state.clone(),
            personal,
        })
    }

    /// Records a worker's receipt that was found beside a job; says whether it is the
    /// submission's own. A stranger's is recorded too: that it lay there is worth knowing.
    /// Callers leave out what is recorded already ([`Submission::knows_receipt`]).
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn receipt(&self, entry: &Entry, receipt: &Receipt) -> Result<bool, LedgerError> {
        let matched = entry.wrote(receipt);
        let (public, personal) = redact(receipt);
        let personal = match personal {
            Some(personal) => Some(personal::store(&self.dir, entry.intent, &personal)?),
            None => None,
        };
        self.append(&Body::Receipt {
            job: entry.job,
            intent: entry.intent,
            matched,
            receipt: Box::new(public),
            qualifiers: receipt.qualifiers(),
            personal,
        })?;
        Ok(matched)
    }

    /// Records that the engine was asked to end the job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn cancelled(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.append(&Body::Cancelled { job: entry.job, intent: entry.intent, tasks: None })
    }

    /// Records that the engine took the job and holds it.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn held(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.append(&Body::Held { job: entry.job, intent: entry.intent })
    }

    /// Records that the engine was told to start a held job.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn released(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.append(&Body::Released { job: entry.job, intent: entry.intent })
    }

    /// Records that this user made a SIF of an image. It is what the store's mappings are held
    /// against: jobs can reach the store, and never the ledger.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn converted(&self, conversion: &Conversion) -> Result<(), LedgerError> {
        let Conversion { manifest, recipe, sif, tree } = conversion.clone();
        self.append(&Body::Converted { manifest, recipe, sif, tree })
    }

    /// Records a sentence.
    ///
    /// # Errors
    /// When the record is not on the disk.
    pub fn note(&self, entry: &Entry, text: &str) -> Result<(), LedgerError> {
        let personal = self.text(entry, text)?;
        self.append(&Body::Note { job: entry.job, intent: entry.intent, personal })
    }

    /// Erases everything of a submission that can name a person, and says how many files that
    /// were. The chain stays as it is, and valid. Backups and snapshots are not reached.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn erase(&self, intent: IntentId) -> Result<usize, LedgerError> {
        personal::erase(&self.dir, intent)
    }

    fn text(&self, entry: &Entry, text: &str) -> Result<RecordHash, LedgerError> {
        let personal = Personal { text: Some(text.to_owned()), ..Personal::default() };
        personal::store(&self.dir, entry.intent, &personal)
    }

    fn append(&self, body: &Body) -> Result<(), LedgerError> {
        let mut held = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // out of its place: a writer that failed is not used again
        let ready = match held.take() {
            Some(mut writer) => {
                if writer.is_ready(&self.dir)? {
                    Some(writer)
                } else {
                    writer.abandon();
                    None
                }
            }
            None => None,
        };
        let mut writer = match ready {
            Some(writer) => writer,
            None => Writer::acquire(&self.dir)?,
        };
        writer.append(jiff::Timestamp::now(), body)?;
        *held = Some(writer);
        Ok(())
    }
}

impl Entry {
    /// Whether a receipt is this submission's: job, intent and nonce are its own.
    #[must_use]
    pub fn wrote(&self, receipt: &Receipt) -> bool {
        (receipt.job, receipt.intent, receipt.nonce) == (self.job, self.intent, self.nonce)
    }
}

/// A SIF's path holds the name of a home directory as a rule.
fn without_place(image: &Image) -> (Image, Option<PathBuf>) {
    let mut image = image.clone();
    let place = match &mut image {
        Image::Sif { place, .. } => Some(std::mem::take(place)),
        Image::Oci { .. } | Image::Other { .. } => None,
    };
    (image, place)
}

/// Takes paths and free text out of a receipt.
fn redact(receipt: &Receipt) -> (Receipt, Option<Personal>) {
    let mut public = receipt.clone();
    let skipped_mounts = std::mem::take(&mut public.skipped_mounts);
    let notes = std::mem::take(&mut public.notes);
    let covers = std::mem::take(&mut public.conditions.covers);
    let passed_over = std::mem::take(&mut public.conditions.passed_over);
    let options = std::mem::take(&mut public.conditions.options);
    let outputs = std::mem::take(&mut public.conditions.outputs);
    let keys = std::mem::take(&mut public.conditions.keys);
    let program = public.conditions.program.take();
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
        ..Personal::default()
    };
    let empty = personal == Personal::default();
    (public, (!empty).then_some(personal))
}
