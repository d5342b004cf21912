//! Which pins do past jobs hold on to? Whether the registry still has them is
//! [`crate::resolve::drift`]'s question; here they are found in the ledger.

use jiff::{SignedDuration, Timestamp};

use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::job::JobId;
use crate::ledger::index::{Filter, Page};
use crate::ledger::{JobRecord, Outcome, Payloads};
use crate::pin::Pin;

/// Jobs that are read at a time.
const AT_ONCE: usize = 1000;

/// The pins of some jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Each image once for each way in which it was asked for, with its jobs; by the oldest job.
    pub images: Vec<(Pin, Vec<JobId>)>,
    /// Jobs whose image came from no registry.
    pub without: Vec<JobId>,
}

/// The pins of the jobs that were named, and how many jobs these are. Without a name all jobs count that were
/// submitted since then.
///
/// # Errors
/// When a job is unknown or the ledger cannot be read.
pub fn pinned_by(
    here: &dyn Surroundings,
    names: &[String],
    since: Option<Timestamp>,
) -> Result<(Pinned, usize), Report> {
    if !names.is_empty() {
        let view = here.named(names)?;
        let jobs = view.find_all(names)?;
        return Ok((pinned(jobs.iter().copied()), jobs.len()));
    }
    let (mut found, mut count) = (Pinned::default(), 0);
    let young = |job: &&JobRecord| since.is_none_or(|since| job.last().time >= since);
    let page = Page { from: since.map(before), ..Page::newest(AT_ONCE) };
    here.pages(Filter::All, page, Payloads::Left, &mut |view| {
        let jobs: Vec<&JobRecord> = view.jobs().rev().filter(young).collect();
        found.add(jobs.iter().copied());
        count += jobs.len();
        Ok(())
    })?;
    found.sort();
    Ok((found, count))
}

/// No job of this time or later has a smaller id; ids are made a moment before the job is recorded.
fn before(time: Timestamp) -> JobId {
    let day = time.checked_sub(SignedDuration::from_hours(24)).unwrap_or(time);
    JobId::from_parts(u64::try_from(day.as_millisecond()).unwrap_or(0), 0)
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
