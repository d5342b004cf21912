//! What the tests of the dialects share.

use super::Order;
use crate::job::{IntentId, JobId, Resources};

/// A job in this directory that is to be held.
pub(super) fn order(dir: &str) -> Order {
    Order {
        job: JobId::from_parts(1_700_000_000_000, 42),
        intent: IntentId::from_bytes([7; 16]),
        dir: dir.into(),
        digest: format!("sha256:{}", "a".repeat(64)),
        resources: Resources::default(),
        hold: true,
        tasks: None,
        at_once: None,
        sent: None,
    }
}
