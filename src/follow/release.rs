//! Jobs that an engine took held: let go once they are on record, and their copies ended.
//!
//! ```text
//! recorded, held, not released; the engine holds it      key beside the plan, release, record    (any verb)
//! the same, and the engine says that it began            record                                  (any verb)
//! released on record, and the engine holds it            its owner's own hold: left alone
//! not recorded: the engine lists it once or more         one is kept, the others are cancelled   (recover)
//! ```

use std::path::Path;

use crate::backend::{Backend, OnRecord, Seen};
use crate::failure::chain;
use crate::files::ForeignFile;
use crate::job::{EngineKey, JobId, JobState};
use crate::ledger::{Ledger, Recorded, Submission};
use crate::worker::{PLAN_FILE, Plan};

/// Larger plans are refused.
const MOST_PLAN: u64 = 64 << 20;

/// Lets a job begin whose submitter was killed before it could do that.
///
/// # Errors
/// Says why it is held still.
pub(super) fn release(
    ledger: &Ledger,
    backend: &dyn Backend,
    jobs_dir: &Path,
    submission: &Submission,
    seen: &Seen,
) -> Result<(), String> {
    let Some(key) = submission.key().filter(|_| submission.awaits_release()) else { return Ok(()) };
    let began = matches!(
        seen.state,
        JobState::Submitted | JobState::Running | JobState::Completed | JobState::Failed
    );
    if seen.silent.is_some() {
        return Ok(());
    }
    if seen.held {
        return let_go(ledger, backend, jobs_dir, (&submission.entry, key));
    }
    if began { ledger.released(&submission.entry).map_err(|e| chain(&e)) } else { Ok(()) }
}

/// Puts the key beside the plan, then releases, then records.
pub(super) fn let_go(
    ledger: &Ledger,
    backend: &dyn Backend,
    jobs_dir: &Path,
    (entry, key): (&Recorded, &EngineKey),
) -> Result<(), String> {
    let control = control(jobs_dir, &entry.job);
    OnRecord::write(&control, entry.intent, key).map_err(|error| chain(&error))?;
    backend.release(key).map_err(|error| error.why())?;
    ledger.released(entry).map_err(|error| chain(&error))
}

/// Whether a submission was made so that the engine holds it: then a hold is not its owner's own.
pub(super) fn was_to_be_held(jobs_dir: &Path, job: &JobId) -> bool {
    let path = control(jobs_dir, job).join(PLAN_FILE);
    let bytes = ForeignFile::own(MOST_PLAN).bytes(&path);
    let plan = bytes.ok().and_then(|bytes| Plan::parse(&bytes).ok());
    plan.is_some_and(|plan| plan.on_record.is_some())
}

/// Which of an engine's jobs with one intent is kept: the one that is on record, else one that is held, else
/// one that has not ended, else the oldest.
pub(super) fn choose(
    jobs_dir: &Path,
    submission: &Submission,
    keys: &[EngineKey],
    seen: &[Seen],
) -> usize {
    let control = control(jobs_dir, &submission.entry.job);
    let named = OnRecord::read(&control).ok().flatten().map(|record| record.engine.id);
    let on_record = keys.iter().position(|key| Some(&key.id) == named.as_ref());
    let held = || seen.iter().position(|seen| seen.held);
    let open = || seen.iter().position(|seen| !seen.state.is_final());
    on_record.or_else(held).or_else(open).unwrap_or(0)
}

fn control(jobs_dir: &Path, job: &JobId) -> std::path::PathBuf {
    jobs_dir.join(job.to_string()).join("control")
}
