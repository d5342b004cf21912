//! One job on its way to an engine.

use super::error::SubmitError;
use super::extras::Extras;
use super::inputs::Source;
use super::jobdir::{self, JobDir, install_binary};
use super::program;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::backend::{self, Backend, BackendError, FOREGROUND, OnRecord, Order, Sent, Submission};
use crate::grid_proxy::GridProxy;
use crate::job::{CallFilter, Delivery, EngineKey, IntentId, JobId, JobSpec, Name, Nonce};
use crate::kerberos::Tickets;
use crate::ledger::{Intent, Ledger, LedgerError, Recorded};
use crate::oci::{Digest, Sha256Digest};
use crate::pin::Image;
use crate::worker::{PLAN_SCHEMA, Plan, script};

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
    /// The runtimes that `auto` tries; see [`Plan::runtimes`].
    pub runtimes: Vec<Name>,
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
    /// A SIF that is copied to where the job's delivery says.
    pub copied: Option<PathBuf>,
    /// The engine takes the job held, until its key is on the disk.
    pub hold: bool,
    /// Kerberos tickets for a job that asks for them.
    pub tickets: Option<Tickets>,
    /// What a worker that gets the image by itself needs.
    pub extras: Extras,
    /// A grid proxy for a job that asks for one.
    pub proxy: Option<GridProxy>,
    /// The socket of an ssh agent for a job that may ask it.
    pub agent: Option<PathBuf>,
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
    pub entry: crate::ledger::Recorded,
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
    worker(job, site, kind)?;
    let (texts, _) = texts(job, (site, kind), &Digest::of(b"not installed"), &fresh_ids()?)?;
    let ids = fresh_ids()?;
    Ok((backend.plan(&order(job, site, ids.0, &Digest::of(b"not installed")))?, texts.script))
}

/// The program for the job's nodes: where it pulls, the whole one, since the small one has no HTTP.
fn worker(job: &JobSpec, site: &Site, kind: &str) -> Result<PathBuf, SubmitError> {
    let processor = program::processor(job, kind);
    match job.delivery {
        Delivery::Pull { .. } => program::whole(&site.program, &processor),
        _ => program::worker(&site.program, &processor),
    }
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

fn order(job: &JobSpec, site: &Site, intent: IntentId, program: &Digest) -> Order {
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
        tasks: job.terms.tasks.clone(),
        at_once: job.terms.at_once,
        sent: job.delivery.is_brought().then(|| Sent {
            image: job.delivery.place().map(Path::to_owned),
            worker: jobdir::installed(&site.jobs_dir, program),
        }),
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
        workdir: match (&job.workdir, &job.delivery) {
            (Some(dir), _) => dir.clone(),
            // wherever the engine puts it
            (None, delivery) if delivery.is_brought() => "work".into(),
            (None, _) => dir.join("work"),
        },
        node_cache: site.node_cache.clone(),
        filter: site.filter,
        site_store: site.site_store.clone(),
        limits: site.limits.clone(),
        hide: site.hide.clone(),
        runtimes: site.runtimes.clone(),
        worker: (kind != FOREGROUND).then_some(*program),
        on_record: site.hold.then(|| kind.to_owned()),
        task_from: job
            .terms
            .tasks
            .as_ref()
            .and_then(|_| Some(backend::facts_of(kind)?.array.as_ref()?.variable.to_owned())),
        getting: site.extras.getting.clone(),
        added: site.extras.added.staged.clone(),
        agent: site.agent.clone().filter(|_| job.terms.ssh_agent),
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
    let program = if kind == FOREGROUND {
        // `run` is its own worker: nothing is installed, and its script finds no program
        Digest::of(b"not installed")
    } else {
        install_binary(&site.jobs_dir, &worker(job, site, kind)?)?
    };
    let ids = fresh_ids()?;
    let (texts, plan) = texts(job, (site, kind), &program, &ids)?;
    let dir = JobDir::make(&site.jobs_dir, &job.id, &texts)?;
    if let Some(tasks) = &job.terms.tasks {
        dir.make_tasks(tasks)?;
    }
    for (source, measured) in site.inputs.iter().zip(&job.terms.inputs) {
        source.put(measured, dir.path())?;
    }
    if let (Some(from), Some(to)) = (&site.copied, job.delivery.place()) {
        dir.put_image(from, to, job.image.sif())?;
    }
    if let Some(tickets) = site.tickets.as_ref().filter(|_| job.terms.kerberos) {
        dir.put_tickets(tickets)?;
    }
    site.extras.put(&dir)?;
    if let Some(proxy) = site.proxy.as_ref().filter(|_| job.terms.proxy) {
        dir.put_proxy(proxy)?;
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
    Ok(Prepared { dir, order: order(job, site, ids.0, &program), entry, plan })
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
    (entry, key): (&Recorded, &EngineKey),
) -> Result<(), String> {
    let why = |error: &dyn std::error::Error| crate::failure::chain(error);
    OnRecord::write(&order.dir.join("control"), order.intent, key).map_err(|e| why(&e))?;
    backend.release(key).map_err(|error| error.why())?;
    ledger.released(entry).map_err(|e| why(&e))
}

fn unrecorded(what: String, taken: bool) -> impl FnOnce(LedgerError) -> SubmitError {
    move |source| SubmitError::Unrecorded { what, taken, source }
}
