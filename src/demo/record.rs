//! The demo's job where `moorline submit` refuses: recorded like any job, started by the demo.
//!
//! Its engine kind is `demo`, which no verb can submit to. No receipt is written, because nobody
//! measured the image that ran: *Unproven*. How it is started is passed in ([`Start`]).

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{DemoError, Shell, image};
use crate::failure::Failure;
use crate::job::{Delivery, EngineKey, JobId, JobSpec, JobState, Observation};
use crate::ledger::{Ledger, View};
use crate::pin::Image;
use crate::submit::{self, Site};

const KIND: &str = "demo";

/// Starts a job in its working directory with its output in two files; gives the exit code.
pub type Start<'a> = dyn Fn(&JobSpec, &Path, (File, File)) -> Result<i32, DemoError> + 'a;

/// A failure of a lower floor, as the demo's.
pub fn failed(error: impl Failure) -> DemoError {
    DemoError::OwnRun(Box::new(error))
}

/// Runs the image's program as the demo's first job.
///
/// # Errors
/// When it cannot be recorded or started.
pub fn first(
    dir: &Path,
    (image, place): (Image, PathBuf),
    start: &Start<'_>,
) -> Result<JobId, DemoError> {
    let delivery = Delivery::Shared { place };
    let spec = JobSpec::plain(new_id()?, image, delivery, vec![image::PROGRAM.into()]);
    run(dir, &spec, start)
}

/// Runs the same once more, from what the ledger holds.
///
/// # Errors
/// As [`first`].
pub fn again(dir: &Path, job: &str, start: &Start<'_>) -> Result<JobId, DemoError> {
    let view = View::read(&ledger_dir(dir)).map_err(failed)?;
    let record = view.find(job).map_err(failed)?;
    let spec = record.last().spec().ok_or_else(|| DemoError::Unexpected {
        what: "the ledger",
        expected: "the first job's command".into(),
        got: "nothing".into(),
    })?;
    run(dir, &JobSpec { id: new_id()?, rerun_of: Some(spec.id), ..spec }, start)
}

fn new_id() -> Result<JobId, DemoError> {
    submit::new_job_id(jiff::Timestamp::now())
        .map_err(|e| DemoError::StandIn(format!("no random numbers: {e}")))
}

fn ledger_dir(dir: &Path) -> PathBuf {
    dir.join("ledger")
}

fn run(dir: &Path, spec: &JobSpec, start: &Start<'_>) -> Result<JobId, DemoError> {
    let state = Shell::variables(dir).into_iter().find(|(name, _)| *name == "XDG_STATE_HOME");
    let site = Site {
        jobs_dir: state.map_or_else(|| dir.to_owned(), |(_, path)| path).join("moorline/jobs"),
        program: std::env::current_exe().map_err(super::io("cannot find", dir))?,
        node_cache: None,
        filter: None,
        site_store: None,
        limits: std::collections::BTreeMap::new(),
        hide: vec![ledger_dir(dir)],
        user: "demo".into(),
        host: "this machine".into(),
        inputs: Vec::new(),
        notes: Vec::new(),
        runtimes: Vec::new(),
        copied: None,
        hold: false,
        tickets: None,
        extras: submit::Extras::default(),
        proxy: None,
        agent: None,
    };
    let ledger = Ledger::open(&ledger_dir(dir)).map_err(failed)?;
    let prepared = submit::prepare(spec, &site, KIND, &ledger).map_err(failed)?;
    let entry = prepared.entry;
    let order = prepared.keep();
    let key = EngineKey {
        kind: KIND.into(),
        cluster: None,
        id: spec.id.to_string(),
        submitted_at: jiff::Timestamp::now(),
        owner: site.user.clone(),
    };
    ledger.submitted(&entry, &key).map_err(failed)?;
    let open = |name: &str| {
        let path = order.dir.join(name);
        File::create(&path).map_err(|source| DemoError::Io { doing: "cannot write", path, source })
    };
    let code = start(spec, &order.dir.join("work"), (open("stdout")?, open("stderr")?))?;
    let state = if code == 0 { JobState::Completed } else { JobState::Failed };
    ledger
        .observed(&entry, &Observation { exit_code: Some(code), ..Observation::of(state) })
        .map_err(failed)?;
    Ok(spec.id)
}
