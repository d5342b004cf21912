//! The verdict on each credential that is sent anywhere: one try for each in a run.
//!
//! ```text
//!  not asked yet          goes alone, everybody else waits for its verdict
//!  taken                  a few at the same time; a refusal that comes later ends it for all
//!  refused                never again in this run
//!  neither (5xx, stall)   the next one goes alone again; the third time ends it for all
//! ```
//!
//! Some GitLab instances ban an address after 30 refusals within three minutes, and a login node
//! shares its address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::RegistryError;
use crate::oci::{Digest, Sha256Digest};
use crate::secret::{Candidate, Realm};

/// How many requests carry one credential at the same time: as many can be refused at most when a
/// token that was taken is revoked in the middle of a run.
const AT_ONCE: usize = 8;

/// Tries without a verdict, one after the other, before the realm counts as out of order.
const UNCLEAR: u8 = 3;

/// A gate for each credential and each realm that it is sent to.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<(String, Digest, Realm), Arc<Gate>>>);

pub(super) struct Gate {
    record: Arc<tokio::sync::Mutex<Record>>,
    lanes: Arc<Semaphore>,
}

#[derive(Default)]
struct Record {
    verdict: Option<Verdict>,
    unclear: u8,
}

enum Verdict {
    Taken,
    Over(Failed),
}

/// What came of a try.
pub(super) enum Outcome {
    /// The credential is right.
    Taken,
    /// It is wrong, or of the wrong kind.
    Refused(Failed),
    /// Nobody said.
    Unclear(Failed),
}

/// Why a candidate has no token.
#[derive(Clone)]
pub(super) enum Failed {
    /// Nothing else is tried.
    Stop(RegistryError),
    /// The next candidate is tried; the error is told when none is left.
    Next(RegistryError),
    /// The same, for the anonymous candidate.
    Nobody(String),
}

impl Failed {
    /// Whether it says something of the credential, and not of the weather: refused, of the wrong
    /// kind, or a ban of this address (a 403 without words).
    pub(super) fn is_verdict(&self) -> bool {
        let (Self::Stop(error) | Self::Next(error)) = self else { return false };
        match error {
            RegistryError::Refused { .. } | RegistryError::NoRegistryScope { .. } => true,
            RegistryError::Answer { said, .. } => said.status == 403,
            _ => false,
        }
    }
}

impl Gates {
    pub(super) fn of(&self, candidate: &Candidate, realm: &Realm) -> Arc<Gate> {
        let password = Digest::of(candidate.credential.password.expose().as_bytes());
        let key = (candidate.credential.username.clone(), password, realm.clone());
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Gate { record: Arc::default(), lanes: Arc::new(Semaphore::new(AT_ONCE)) };
        Arc::clone(gates.entry(key).or_insert_with(|| Arc::new(new())))
    }
}

impl Gate {
    /// The right to send the credential, as soon as it is this one's turn.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Turn, Failed> {
        if let Some(alone) = self.alone().await? {
            return Ok(Turn { gate: Arc::clone(self), alone: Some(alone), lane: None });
        }
        // never closed, so there is always a permit in the end
        let lane = Arc::clone(&self.lanes).acquire_owned().await.ok();
        // it may have been refused while this one waited
        let alone = self.alone().await?;
        Ok(Turn { gate: Arc::clone(self), alone, lane })
    }

    /// The record, held until there is a verdict; `None` when the credential was taken before.
    async fn alone(&self) -> Result<Option<OwnedMutexGuard<Record>>, Failed> {
        let record = Arc::clone(&self.record).lock_owned().await;
        match &record.verdict {
            Some(Verdict::Over(failed)) => Err(failed.clone()),
            Some(Verdict::Taken) => Ok(None),
            None => Ok(Some(record)),
        }
    }
}

/// The right to send a credential once. Dropped without an outcome, the next one goes alone.
pub(super) struct Turn {
    gate: Arc<Gate>,
    alone: Option<OwnedMutexGuard<Record>>,
    lane: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Says what came of it.
    pub(super) async fn ends(self, outcome: Outcome) {
        let mut record = match self.alone {
            Some(record) => record,
            None => Arc::clone(&self.gate.record).lock_owned().await,
        };
        match outcome {
            Outcome::Taken if matches!(record.verdict, Some(Verdict::Over(_))) => {}
            Outcome::Taken => {
                *record = Record { verdict: Some(Verdict::Taken), unclear: 0 };
            }
            Outcome::Refused(failed) => record.verdict = Some(Verdict::Over(failed)),
            Outcome::Unclear(failed) => {
                record.unclear += 1;
                if record.unclear >= UNCLEAR {
                    record.verdict = Some(Verdict::Over(failed));
                }
            }
        }
        drop(self.lane);
    }
}
