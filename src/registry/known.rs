//! Documents that need not be fetched again: those of this run, and those that the caller keeps.
//!
//! Everything is hashed before it counts, wherever it comes from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::oci::{Digest, Sha256Digest};

/// Bytes that the caller may have under a digest, for example in a store; they are hashed here.
pub type Kept = Arc<dyn Fn(&Digest) -> Option<Vec<u8>> + Send + Sync>;

/// What a tag named.
pub type Look = Arc<dyn Fn(&str) -> Option<Digest> + Send + Sync>;

/// Remembers what a tag names.
pub type Note = Arc<dyn Fn(&str, &Digest) + Send + Sync>;

/// Which digest a tag named when the caller had its manifest, by `registry/repository:tag`. It only
/// decides whether HEAD or GET is sent.
#[derive(Clone)]
pub struct TagMemory {
    /// The digest of last time.
    pub look: Look,
    /// Remembers one.
    pub note: Note,
}

/// In bytes; what does not fit is fetched again.
const MOST: usize = 32 << 20;

#[derive(Default)]
pub(super) struct Known {
    kept: Option<Kept>,
    here: Mutex<Here>,
    memory: Option<TagMemory>,
    tags: Mutex<HashMap<String, Digest>>,
}

/// Documents, and how many bytes they have together.
type Here = (HashMap<Digest, Arc<[u8]>>, usize);

impl Known {
    pub(super) fn new(kept: Option<Kept>, memory: Option<TagMemory>) -> Self {
        Self { kept, memory, ..Self::default() }
    }

    /// What a tag named last, when that is known here.
    pub(super) fn tagged(&self, name: &str) -> Option<Digest> {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = tags.get(name) {
            return Some(*digest);
        }
        drop(tags);
        (self.memory.as_ref()?.look)(name)
    }

    /// Remembers what a tag names: beyond this run only what the caller keeps.
    pub(super) fn note_tag(&self, name: &str, digest: &Digest) {
        if let Some(memory) = &self.memory
            && self.kept.as_ref().is_some_and(|kept| kept(digest).is_some())
            && (memory.look)(name) != Some(*digest)
        {
            (memory.note)(name, digest);
        }
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.insert(name.to_owned(), *digest);
    }

    /// The bytes with this digest.
    pub(super) fn find(&self, digest: &Digest) -> Option<Vec<u8>> {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = here.0.get(digest) {
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
        if here.1 + bytes.len() <= MOST && !here.0.contains_key(&digest) {
            here.1 += bytes.len();
            here.0.insert(digest, bytes.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_digest() {
        let good = Digest::of(b"good");
        let kept: Kept = Arc::new(move |asked| {
            Some(if *asked == good { b"good".to_vec() } else { b"rotten".to_vec() })
        });
        let known = Known::new(Some(kept), None);
        assert_eq!(known.find(&good).as_deref(), Some(b"good".as_slice()));
        assert_eq!(known.find(&Digest::of(b"other")), None);
        known.keep(Digest::of(b"here"), b"here");
        assert_eq!(known.find(&Digest::of(b"here")).as_deref(), Some(b"here".as_slice()));
        let large = vec![0; MOST];
        known.keep(Digest::of(&large), &large);
        assert_eq!(known.here.lock().unwrap().0.len(), 1, "more than it may hold");
    }
}
