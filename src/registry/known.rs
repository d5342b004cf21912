//! Documents that need not be fetched again: those of this run, and those that the caller keeps.
//!
//! Everything is hashed before it counts, wherever it comes from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::oci::{Digest, Sha256Digest};

/// Bytes that the caller may have under a digest, for example in a store; they are hashed here.
pub type Kept = Arc<dyn Fn(&Digest) -> Option<Vec<u8>> + Send + Sync>;

/// In bytes; what does not fit is fetched again.
const MOST: usize = 32 << 20;

#[derive(Default)]
pub(super) struct Known {
    kept: Option<Kept>,
    here: Mutex<Here>,
}

/// What was fetched, and how many bytes that are.
#[derive(Default)]
struct Here {
    documents: HashMap<Digest, Arc<[u8]>>,
    bytes: usize,
}

impl Known {
    pub(super) fn new(kept: Option<Kept>) -> Self {
        Self { kept, here: Mutex::default() }
    }

    /// The bytes with this digest.
    pub(super) fn find(&self, digest: &Digest) -> Option<Vec<u8>> {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = here.documents.get(digest) {
            return Some(bytes.to_vec());
        }
        drop(here);
        let bytes = self.kept.as_ref()?(digest)?;
        if Digest::of(&bytes) != *digest {
            tracing::debug!(%digest, "what is kept under this name is something else: not used");
            return None;
        }
        Some(bytes)
    }

    /// Remembers bytes whose digest was computed by the caller.
    pub(super) fn keep(&self, digest: Digest, bytes: &[u8]) {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.bytes + bytes.len() <= MOST && !here.documents.contains_key(&digest) {
            here.bytes += bytes.len();
            here.documents.insert(digest, bytes.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_digest() {
        let good = Digest::of(b"good");
        let known = Known::new(Some(Arc::new(move |asked| {
            Some(if *asked == good { b"good".to_vec() } else { b"rotten".to_vec() })
        })));
        assert_eq!(known.find(&good).as_deref(), Some(b"good".as_slice()));
        assert_eq!(known.find(&Digest::of(b"other")), None);
        known.keep(Digest::of(b"here"), b"here");
        assert_eq!(known.find(&Digest::of(b"here")).as_deref(), Some(b"here".as_slice()));
        let large = vec![0; MOST];
        known.keep(Digest::of(&large), &large);
        assert_eq!(known.here.lock().unwrap().documents.len(), 1, "more than it may hold");
    }
}
