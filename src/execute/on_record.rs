//! Whether this very job of the engine is the submission on record.
//!
//! An engine may take a job twice, when an answer was lost and somebody asked again. The submitter writes the
//! key of the one that counts beside the plan before it lets it begin; every other one ends here.

use std::path::Path;
use std::time::{Duration, Instant};

use super::ExecuteError;
use super::container;
use super::signals;
use crate::backend::{self, OnRecord};
use crate::job::IntentId;

/// How long the file may take to appear: somebody may have released the job by hand, and a shared file system
/// shows a new file late.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Returns when this job is the one on record.
///
/// # Errors
/// [`ExecuteError::Duplicate`] when another one is, or none after a minute.
pub(super) fn check(
    control: &Path,
    intent: &IntentId,
    (kind, is_task): (&str, bool),
) -> Result<(), ExecuteError> {
    let facts = backend::facts_of(kind);
    // the id of the whole array is on record
    let array = facts.and_then(|facts| facts.array.as_ref()?.own_id).filter(|_| is_task);
    let variable = array.or(facts.and_then(|facts| facts.own_id));
    let own = variable.and_then(|name| std::env::var(name).ok());
    wait_for(control, intent, (kind, own.as_deref()), PATIENCE)
}

fn wait_for(
    control: &Path,
    intent: &IntentId,
    (kind, own): (&str, Option<&str>),
    patience: Duration,
) -> Result<(), ExecuteError> {
    let duplicate = |why: String| Err(ExecuteError::Duplicate(why));
    let Some(own) = own else {
        return duplicate(format!("this process is in no job of {kind}"));
    };
    let own = format!("{kind}:{own}");
    let deadline = Instant::now() + patience;
    loop {
        // a directory that is read anew shows what another machine has put there
        let _ = crate::listing::names(control);
        let found = OnRecord::read(control).map_err(|error| {
            let what = error.to_string();
            ExecuteError::Io { what, source: error.source }
        })?;
        if let Some(found) = found {
            let named = found.engine.to_string();
            if found.intent == *intent && named == own {
                return Ok(());
            }
            return duplicate(format!("the submission on record is {named}, and this is {own}"));
        }
        if Instant::now() >= deadline {
            return duplicate(format!("no submission is on record, and this is {own}"));
        }
        container::hear().map(signals::keep)?;
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::EngineKey;

    #[test]
    fn only_the_one_on_record_begins() {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path();
        let intent = IntentId::from_bytes([7; 16]);
        let check = |intent: &IntentId, own| {
            wait_for(control, intent, ("engine", own), Duration::from_millis(10))
        };
        let is_duplicate = |result| matches!(result, Err(ExecuteError::Duplicate(_)));
        assert!(is_duplicate(check(&intent, Some("5"))), "nobody has put one on record");
        let engine = EngineKey {
            kind: "engine".into(),
            cluster: None,
            id: "5".into(),
            submitted_at: jiff::Timestamp::UNIX_EPOCH,
            owner: "ada".into(),
        };
        OnRecord::write(control, intent, &engine).unwrap();
        check(&intent, Some("5")).unwrap();
        assert!(is_duplicate(check(&intent, Some("6"))));
        assert!(is_duplicate(check(&intent, None)));
        assert!(is_duplicate(check(&IntentId::from_bytes([8; 16]), Some("5"))));
    }
}
