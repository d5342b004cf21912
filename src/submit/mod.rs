//! From a job to an engine's id, with the ledger on both sides of the engine.
//!
//! ```text
//! job --prepare--> job directory --intend--> ledger --submit--> engine --held, submitted--> ledger
//!     --key--> control/submission.json --release--> engine --released--> ledger
//! ```
//!
//! The intent is durable before the engine hears of the job. A crash in between leaves an open
//! entry, which `recover` settles by asking the engine for the intent: at most one submission per
//! intent, or the honest answer *uncertain*. Where the engine can hold, the job begins only when its key is on
//! the disk: a copy that the engine took without saying so never runs. A crash after that leaves a held job,
//! which every verb that asks for it releases.

mod inputs;
mod jobdir;
mod program;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::backend::{Backend, BackendError, OnRecord, Order, Submission};
use crate::failure::{Failure, Kind, io_kind};
use crate::job::{CallFilter, EngineKey, IntentId, JobId, JobSpec, Nonce};
use crate::kerberos::Tickets;
use crate::ledger::{Entry, Intent, Ledger, LedgerError};
use crate::oci::{Digest, Sha256Digest};
use crate::pin::Image;
use crate::worker::{PLAN_SCHEMA, Plan, script};

pub use inputs::{Earlier, Source, of_earlier, script_hints};
pub use jobdir::{JobDir, install_binary};

/// What stopped a submission.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// A file of the job's directory.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An input of an earlier job is not there any more.
    #[error("job {job} cannot be repeated: {what} is lost ({})", path.display())]
    InputLost {
        /// The earlier job.
        job: JobId,
        /// What is lost.
        what: String,
        /// Where it was.
        path: PathBuf,
    },
    /// An input has other bytes than it had.
    #[error(
        "the input ./{name} was changed: {} has {found}, and {expected} was meant", path.display()
    )]
    InputChanged {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What it had.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
    /// The job's nodes have another processor, and no worker for it is at hand.
    #[error(
        "no worker for the nodes' processor ({processor}) can be sent: {}: {why}",
        path.display()
    )]
    NoWorker {
        /// As Go calls it.
        processor: String,
        /// Where it was looked for.
        path: PathBuf,
        /// Why that one is not taken.
        why: String,
    },
    /// A path that is not UTF-8 cannot stand in a plan.
    #[error("the job's plan cannot be written: {0}")]
    Plan(#[from] serde_json::Error),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The engine answered, and its answer could not be recorded.
    #[error("{what}; this could not be recorded: {source}")]
    Unrecorded {
        /// What the engine answered.
        what: String,
        /// Whether it has the job.
        taken: bool,
        /// Why not.
        source: LedgerError,
    },
    /// The ledger could not be written; the engine was not asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The engine.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl SubmitError {
    fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source: crate::files::explained(path, source),
        }
    }
}

impl Failure for SubmitError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => io_kind(source, Kind::Configuration),
            Self::InputLost { .. } => Kind::NotFound,
            Self::InputChanged { .. } => Kind::Integrity,
            Self::Plan(_) => Kind::Usage,
            Self::NoWorker { .. } | Self::Random(_) => Kind::Configuration,
            Self::Ledger(error) | Self::Unrecorded { source: error, .. } => error.kind(),
            Self::Backend(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => Some("jobs_dir in the configuration names where jobs live".into()),
            Self::InputLost { .. } | Self::InputChanged { .. } => Some(
                "put the file back as it was, or submit a new job with the one of today".into(),
            ),
            Self::Unrecorded { taken: true, .. } => Some(
                "do not submit it again: moorline recover finds it when the ledger can be written"
                    .into(),
            ),
            Self::Ledger(error) | Self::Unrecorded { source: error, .. } => error.hint(),
            Self::Backend(error) => error.hint(),
            Self::NoWorker { .. } => Some(
                "build moorline-worker of this version for that processor and put it there".into(),
            ),
            Self::Plan(_) | Self::Random(_) => None,
        }
    }
}

/// Where jobs live and who submits them.
#[derive(Clone, Debug)]
pub struct Site {
    /// `JOBS_DIR`; workers must see it.
    pub jobs_dir: PathBuf,
    /// This program, which workers run.
    pub program: PathBuf,
    /// Where a node may unpack images.
    pub node_cache: Option<PathBuf>,
    /// Whether programs run behind the filter of system calls.
    pub filter: Option<CallFilter>,
    /// A store that the kernel may mount from.
    pub site_store: Option<PathBuf>,
    /// `[limits]` that were set, for images that are unpacked.
    pub limits: BTreeMap<String, u64>,
    /// Directories that no container may see; see [`Plan::hide`].
    pub hide: Vec<PathBuf>,
    /// The account that submits.
    pub user: String,
    /// The machine that submits.
    pub host: String,
    /// What the intent notes of the job's settings: those that a project file added.
    pub notes: Vec<String>,
    /// Files of this machine that the command starts.
    pub inputs: Vec<Source>,
    /// The engine takes the job held, until its key is on the disk.
    pub hold: bool,
    /// Kerberos tickets for a job that asks for them.
    pub tickets: Option<Tickets>,
}

/// A new job id: the time and 80 random bits.
///
/// # Errors
/// When the system gives no random numbers.
pub fn new_job_id(now: jiff::Timestamp) -> Result<JobId, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Ok(JobId::from_parts(milliseconds, u128::from_be_bytes(random) >> 48))
}

/// A job that is ready to be handed over: its directory is made, its intent is in the ledger.
pub struct Prepared {
    dir: JobDir,
    /// What the engine gets.
    pub order: Order,
    /// What the ledger holds.
    pub entry: crate::ledger::Entry,
    /// The plan's SHA-256, which the worker checks.
    pub plan: Digest,
}

impl Prepared {
    /// The job's directory stays from now on.
    pub fn keep(self) -> Order {
        self.dir.keep();
        self.order
    }
}

/// What `submit --dry-run` shows: the engine's command and the script, with nothing written.
///
/// # Errors
/// When the plan cannot be made.
pub fn dry_run(
    job: &JobSpec,
    site: &Site,
    backend: &dyn Backend,
) -> Result<(Submission, String), SubmitError> {
    let job = &with_inputs(job, site)?;
    let kind = backend.kind();
    program::worker(&site.program, &program::processor(job, kind))?;
    let (texts, _) = texts(job, (site, kind), &Digest::of(b"not installed"), &fresh_ids()?)?;
    Ok((backend.plan(&order(job, site, fresh_ids()?.0))?, texts.script))
}

/// The job with its inputs as they are at this moment.
fn with_inputs(job: &JobSpec, site: &Site) -> Result<JobSpec, SubmitError> {
    let mut job = job.clone();
    job.terms.inputs =
        site.inputs.iter().map(Source::measure).collect::<Result<Vec<_>, SubmitError>>()?;
    Ok(job)
}

fn fresh_ids() -> Result<(IntentId, Nonce), SubmitError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let (intent, nonce) = random.split_at(16);
    let take = |half: &[u8]| half.try_into().unwrap_or([0; 16]);
    Ok((IntentId::from_bytes(take(intent)), Nonce::from_bytes(take(nonce))))
}

fn order(job: &JobSpec, site: &Site, intent: IntentId) -> Order {
    let digest = match &job.image {
        Image::Oci { pin } | Image::Sif { pin: Some(pin), .. } => pin.manifest.to_string(),
        Image::Sif { digest, .. } => digest.to_string(),
        other @ Image::Other { .. } => other.name(),
    };
    Order {
        job: job.id,
        intent,
        dir: site.jobs_dir.join(job.id.to_string()),
        digest,
        resources: job.resources.clone(),
        hold: site.hold,
    }
}

fn texts(
    job: &JobSpec,
    (site, kind): (&Site, &str),
    program: &Digest,
    (intent, nonce): &(IntentId, Nonce),
) -> Result<(jobdir::Texts, Digest), SubmitError> {
    let dir = site.jobs_dir.join(job.id.to_string());
    let plan = Plan {
        schema: PLAN_SCHEMA,
        intent: *intent,
        nonce: *nonce,
        job: job.clone(),
        workdir: job.workdir.clone().unwrap_or_else(|| dir.join("work")),
        node_cache: site.node_cache.clone(),
        filter: site.filter,
        site_store: site.site_store.clone(),
        limits: site.limits.clone(),
        hide: site.hide.clone(),
        on_record: site.hold.then(|| kind.to_owned()),
    };
    let bytes = plan.to_bytes()?;
    let hash = Digest::of(&bytes);
    let input = script::ScriptInput::new(&plan, &bytes, *program);
    let texts = jobdir::Texts { script: script::script(&input), plan: bytes };
    Ok((texts, hash))
}

/// Makes the job's directory and records the intent; after this the engine may be asked.
///
/// # Errors
/// When a file or the ledger cannot be written; nothing of the job stays then.
pub fn prepare(
    job: &JobSpec,
    site: &Site,
    kind: &str,
    ledger: &Ledger,
) -> Result<Prepared, SubmitError> {
    // what is lost or changed is refused before anything else
    let job = &with_inputs(job, site)?;
    let worker = program::worker(&site.program, &program::processor(job, kind))?;
    let program = install_binary(&site.jobs_dir, &worker)?;
    let ids = fresh_ids()?;
    let (texts, plan) = texts(job, (site, kind), &program, &ids)?;
    let dir = JobDir::make(&site.jobs_dir, &job.id, &texts)?;
    for (source, measured) in site.inputs.iter().zip(&job.terms.inputs) {
        source.put(measured, dir.path())?;
    }
    if let Some(tickets) = site.tickets.as_ref().filter(|_| job.terms.kerberos) {
        dir.put_tickets(tickets)?;
    }
    let intent = Intent {
        spec: job.clone(),
        intent: ids.0,
        nonce: ids.1,
        backend: kind.parse().map_err(LedgerError::from)?,
        enclosing: None,
        plan: crate::ledger::RecordHash::of(&texts.plan),
        user: site.user.clone(),
        host: site.host.clone(),
    };
    let entry = ledger.intend_with_notes(&intent, &site.notes)?;
    Ok(Prepared { dir, order: order(job, site, ids.0), entry, plan })
}

/// A job that an engine has.
#[derive(Debug)]
pub struct HandedOver {
    /// Its engine's name for it.
    pub key: EngineKey,
    /// Why it is held still, when it could not be released; the next verb that asks for it does it.
    pub held: Option<String>,
}

/// The whole story: directory, intent, engine, ledger, release.
///
/// # Errors
/// When the engine refused (the directory is removed, the refusal recorded), may or may not have
/// taken the job (recorded as uncertain, the directory stays), or a file could not be written.
pub fn submit(
    job: &JobSpec,
    site: &Site,
    backend: &dyn Backend,
    ledger: &Ledger,
) -> Result<HandedOver, SubmitError> {
    let prepared = prepare(job, site, backend.kind(), ledger)?;
    match backend.submit(&prepared.order) {
        Ok(key) => {
            let entry = prepared.entry;
            // from here on the job exists, whatever happens to the ledger
            let order = prepared.keep();
            let what = format!("job {} was handed over as {key}", job.id);
            if !order.hold {
                ledger.submitted(&entry, &key).map_err(unrecorded(what, true))?;
                return Ok(HandedOver { key, held: None });
            }
            // who finds the key without this word would take the hold for the user's own
            ledger
                .held(&entry)
                .and_then(|()| ledger.submitted(&entry, &key))
                .map_err(unrecorded(what, true))?;
            let held = release(&order, backend, ledger, (&entry, &key)).err();
            Ok(HandedOver { key, held })
        }
        Err(error @ BackendError::Uncertain { .. }) => {
            let entry = prepared.entry;
            prepared.keep();
            let why = error.to_string();
            ledger.uncertain(&entry, &why).map_err(unrecorded(why, true))?;
            Err(error.into())
        }
        Err(error) => {
            let why = error.to_string();
            ledger.refused(&prepared.entry, &why).map_err(unrecorded(why, false))?;
            Err(error.into())
        }
    }
}

/// Names the job in its directory, and lets it begin.
fn release(
    order: &Order,
    backend: &dyn Backend,
    ledger: &Ledger,
    (entry, key): (&Entry, &EngineKey),
) -> Result<(), String> {
    let why = |error: &dyn std::error::Error| crate::failure::chain(error);
    OnRecord::write(&order.dir.join("control"), order.intent, key).map_err(|e| why(&e))?;
    backend.release(key).map_err(|error| error.why())?;
    ledger.released(entry).map_err(|e| why(&e))
}

fn unrecorded(what: String, taken: bool) -> impl FnOnce(LedgerError) -> SubmitError {
    move |source| SubmitError::Unrecorded { what, taken, source }
}
