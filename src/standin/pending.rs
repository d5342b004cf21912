//! Uploads that have not ended.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Uploads that have not ended, by number.
#[derive(Default)]
pub(super) struct Uploads(Mutex<(u64, HashMap<u64, Vec<u8>>)>);

impl Uploads {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, (u64, HashMap<u64, Vec<u8>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
