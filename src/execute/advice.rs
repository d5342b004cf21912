//! What to try when the image is not there or has other bytes: it depends on the way in which it should have come.

use super::ExecuteError;
use crate::failure::Failure;
use crate::job::Delivery;

/// The advice for a job whose image came in this way.
pub(super) fn advice(error: &ExecuteError, delivery: &Delivery) -> Option<String> {
    let said = match (error, delivery) {
        (ExecuteError::ImageMissing { .. }, Delivery::Transfer { .. }) => {
            "the engine should have brought it beside the job and did not: look for the reason in the engine's own log of \
             the job, then repeat the job with moorline rerun"
        }
        (ExecuteError::ImageMissing { .. }, Delivery::File { .. }) => {
            "the job's nodes must see the file that you named: put it on a file system that they have, or use \
             --delivery transfer where the engine brings files"
        }
        (ExecuteError::ImageMissing { .. }, Delivery::Pull { .. }) => {
            "something removed it from this node after it was pulled: repeat the job with moorline rerun"
        }
        (
            ExecuteError::Mismatch { .. } | ExecuteError::Sealed { .. } | ExecuteError::Sif { .. },
            Delivery::Transfer { .. },
        ) => {
            "the engine brought other bytes than were submitted: the transfer was cut short, or the file was changed \
             before it began. Repeat the job with moorline rerun; if it happens again, compare the file on the \
             submitting machine with moorline cache verify (one that you named: moorline verify FILE)"
        }
        (
            ExecuteError::Mismatch { .. } | ExecuteError::Sealed { .. } | ExecuteError::Sif { .. },
            Delivery::Pull { .. },
        ) => {
            "the node's copy is damaged, also after it was made again: look at the disk of this node, and repeat the \
             job elsewhere"
        }
        _ => return error.hint(),
    };
    Some(said.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::oci::{Sha256Digest, SifDigest};

    #[test]
    fn each_way_has_its_own() {
        let missing = || ExecuteError::ImageMissing {
            path: "/x.sif".into(),
            source: io::ErrorKind::NotFound.into(),
        };
        let other = || ExecuteError::Mismatch {
            path: "/x.sif".into(),
            found: SifDigest::of(b"cut"),
            expected: SifDigest::of(b"whole"),
        };
        let place = || "/x.sif".into();
        for (error, delivery, words, never) in [
            (missing(), Delivery::Shared { place: place() }, "must see the store", "brought"),
            (missing(), Delivery::File { place: place() }, "the file that you named", "store"),
            (missing(), Delivery::Transfer { place: place() }, "engine's own log", "store"),
            (missing(), Delivery::Pull { brought: false }, "moorline rerun", "store"),
            (other(), Delivery::File { place: place() }, "put the file back", "transfer"),
            (other(), Delivery::Transfer { place: place() }, "cut short", "put the file back"),
            (other(), Delivery::Pull { brought: true }, "disk of this node", "put the file back"),
        ] {
            let said = advice(&error, &delivery).unwrap();
            assert!(said.contains(words) && !said.contains(never), "{delivery:?}: {said}");
        }
    }
}
