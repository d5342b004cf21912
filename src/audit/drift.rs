//! Which pins do past jobs hold on to? Whether the registry still has them is
//! [`crate::resolve::drift`]'s question; here they are found in the ledger.

use crate::job::JobId;
use crate::ledger::{JobRecord, Outcome};
use crate::pin::Pin;

/// The pins of some jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Each image once for each way in which it was asked for, with its jobs; by the oldest job.
    pub images: Vec<(Pin, Vec<JobId>)>,
    /// Jobs whose image came from no registry.
    pub without: Vec<JobId>,
}

/// Collects the pins of jobs. A submission that its engine refused does not count.
pub fn pinned<'v>(jobs: impl IntoIterator<Item = &'v JobRecord>) -> Pinned {
    let mut found = Pinned::default();
    found.add(jobs);
    found
}

impl Pinned {
    /// Adds the pins of further jobs.
    pub fn add<'v>(&mut self, jobs: impl IntoIterator<Item = &'v JobRecord>) {
        for job in jobs {
            self.add_one(job);
        }
    }

    /// As [`pinned`] has it, for jobs that came in another order.
    pub fn sort(&mut self) {
        self.without.sort_unstable();
        for (_, jobs) in &mut self.images {
            jobs.sort_unstable();
        }
        self.images.sort_by_key(|(_, jobs)| jobs.first().copied());
    }

    fn add_one(&mut self, job: &JobRecord) {
        let found = self;
        let ran = job.submissions.iter().filter(|s| !matches!(s.outcome, Outcome::Refused(_)));
        for image in ran.map(|submission| &submission.image) {
            let Some(pin) = image.pin() else {
                if found.without.last() != Some(&job.id) {
                    found.without.push(job.id);
                }
                continue;
            };
            let known = found.images.iter_mut().find(|(other, _)| same(other, pin));
            match known {
                // the jobs come one after the other
                Some((_, jobs)) if jobs.last() == Some(&job.id) => {}
                Some((_, jobs)) => jobs.push(job.id),
                None => found.images.push((pin.clone(), vec![job.id])),
            }
        }
    }
}

/// When it was resolved and what is known of its origin do not matter to a registry.
fn same(one: &Pin, other: &Pin) -> bool {
    (one.manifest, one.index, &one.asked) == (other.manifest, other.index, &other.asked)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::ledger::{Ledger, View};
    use crate::oci::{Digest, Sha256Digest};
    use crate::pin::Image;

    #[test]
    fn each_image_once_with_its_jobs() {
        let dir = testing::private();
        let ledger = Ledger::open(dir.path()).unwrap();
        let mut moved = testing::pin();
        moved.manifest = Digest::of(b"moved");
        let mut later = testing::pin();
        later.resolved_at = testing::at(99);
        let own = Image::Sif {
            pin: None,
            manifest: None,
            digest: crate::oci::SifDigest::of(b"sif"),
            recipe: None,
            tree: None,
        };
        let images = [testing::oci(), Image::Oci { pin: moved }, Image::Oci { pin: later }, own];
        let entries: Vec<_> = (1..).map(testing::entry).take(4).collect();
        for (entry, image) in entries.iter().zip(images) {
            ledger.intend(&testing::intent(entry, image)).unwrap();
        }
        let view = View::read(dir.path()).unwrap();
        let found = pinned(view.jobs());
        let jobs: Vec<_> = found.images.iter().map(|(_, jobs)| jobs.clone()).collect();
        let id = |n: usize| entries[n].job;
        assert_eq!(jobs, [vec![id(0), id(2)], vec![id(1)]]);
        assert_eq!(found.without, [id(3)]);
        assert_eq!(pinned([]), Pinned::default());
    }
}
