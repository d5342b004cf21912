//! The index in memory: made anew by each process. For small ledgers, and where no place for a file is good.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::IndexError;
use super::name::{ImageKey, ImageName, digest_in};
use super::row::{Openness, RecordAt, Row};
use super::scan::{Cursor, Found, Positions, clock_before, grown};
use super::sketch::{Sketcher, What};
use super::traits::{Counts, Filter, Index, LineAt, Page, Progress};
use crate::job::JobId;
use crate::ledger::segment::SegmentName;

/// See the module.
#[derive(Debug)]
pub struct Memory {
    dir: PathBuf,
    positions: Positions,
    names: Vec<SegmentName>,
    sketcher: Sketcher,
    jobs: BTreeMap<JobId, Row>,
    engines: BTreeMap<String, BTreeSet<JobId>>,
    images: BTreeMap<Vec<u8>, BTreeSet<JobId>>,
    /// By a digest and the image's key: its newest job.
    digests: BTreeMap<([u8; 32], [u8; 16]), JobId>,
}

impl Memory {
    /// An empty index of a ledger; nothing is read before the first refresh.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            positions: Positions::new(),
            names: Vec::new(),
            sketcher: Sketcher::default(),
            jobs: BTreeMap::new(),
            engines: BTreeMap::new(),
            images: BTreeMap::new(),
            digests: BTreeMap::new(),
        }
    }

    fn add(&mut self, segment: u32, found: &Found) {
        let Found { about, offset, length, at } = found;
        let row = self.jobs.entry(about.job).or_default();
        if !row.add(RecordAt { segment, offset: *offset, length: *length }, about, *at) {
            return;
        }
        match &about.what {
            What::Submitted(key) => {
                self.engines.entry(key.clone()).or_default().insert(about.job);
            }
            What::Intent(image) => self.uses(image, about.job),
            What::Receipt { measured: Some(measured), .. } => {
                self.uses(&ImageKey::measured(*measured), about.job);
            }
            _ => {}
        }
    }

    fn uses(&mut self, image: &ImageKey, job: JobId) {
        for name in &image.names {
            self.images.entry(name.clone()).or_default().insert(job);
            if let Some(digest) = digest_in(name) {
                let newest = self.digests.entry((digest, image.key)).or_insert(job);
                *newest = job.max(*newest);
            }
        }
    }

    /// Newest first, of those that are jobs.
    fn chosen(&self, ids: impl Iterator<Item = JobId>, page: Page) -> Vec<JobId> {
        ids.filter(|id| page.before.is_none_or(|before| *id < before))
            .filter(|id| page.from.is_none_or(|from| *id >= from))
            .filter(|id| self.jobs.get(id).is_some_and(Row::is_job))
            .take(page.most)
            .collect()
    }
}

impl Index for Memory {
    fn refresh(&mut self, told: &mut dyn FnMut(Progress)) -> Result<(), IndexError> {
        let work = grown(&self.dir, &self.positions)?;
        let (mut done, all) = (0, work.iter().map(|segment| segment.bytes).sum());
        for segment in work {
            let id = self.positions.get(&segment.name).map(|position| position.id);
            let id = id.unwrap_or_else(|| {
                self.names.push(segment.name);
                u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
            });
            let clock = clock_before(&self.positions, segment.name);
            let (position, found) = segment.read(&self.dir, id, clock, &mut self.sketcher)?;
            for one in &found {
                self.add(id, one);
            }
            self.positions.insert(segment.name, position);
            done += segment.bytes;
            told(Progress { done, all });
        }
        Ok(())
    }

    fn counts(&self) -> Result<Counts, IndexError> {
        let sum = |of: fn(&super::scan::Position) -> u64| self.positions.values().map(of).sum();
        Ok(Counts { damaged: sum(|p| p.damaged), newer: sum(|p| p.newer) })
    }

    fn lines(&self, job: JobId) -> Result<Vec<LineAt>, IndexError> {
        let Some(row) = self.jobs.get(&job) else { return Ok(Vec::new()) };
        let at = |place: &RecordAt| {
            Some(LineAt {
                segment: *self.names.get(place.segment as usize)?,
                offset: place.offset.into(),
                length: place.length.into(),
            })
        };
        Ok(row.places.iter().filter_map(at).collect())
    }

    fn between(&self, low: JobId, high: JobId, most: usize) -> Result<Vec<JobId>, IndexError> {
        let inside = self.jobs.range(low..=high).filter(|(_, row)| row.is_job());
        Ok(inside.map(|(id, _)| *id).take(most).collect())
    }

    fn of_engine(&self, key: &str) -> Result<Vec<JobId>, IndexError> {
        Ok(self.engines.get(key).into_iter().flatten().copied().collect())
    }

    fn page(&self, filter: Filter, page: Page) -> Result<Vec<JobId>, IndexError> {
        let fits = |row: &Row| match filter {
            Filter::All => true,
            Filter::Running => row.openness() == Openness::Running,
            Filter::Open => row.openness() != Openness::Closed,
            Filter::State(state) => row.openness() == Openness::Running || row.state() == state,
        };
        let fitting = self.jobs.iter().rev().filter(|(_, row)| fits(row)).map(|(id, _)| *id);
        Ok(self.chosen(fitting, page))
    }

    fn of_image(&self, name: &ImageName, page: Page) -> Result<Vec<JobId>, IndexError> {
        let users = self.images.get(&name.bytes()).into_iter().flatten().rev().copied();
        Ok(self.chosen(users, page))
    }

    fn of_digests(&self, low: [u8; 32], high: [u8; 32]) -> Result<Vec<JobId>, IndexError> {
        if low > high {
            return Ok(Vec::new());
        }
        let inside = self.digests.range((low, [0; 16])..=(high, [u8::MAX; 16]));
        let jobs: BTreeSet<JobId> = inside.map(|(_, job)| *job).collect();
        Ok(jobs.into_iter().collect())
    }

    fn cursor(&self) -> Result<Cursor, IndexError> {
        Ok(Cursor::at(&self.positions))
    }

    fn changes(&self, since: &Cursor) -> Result<(Vec<JobId>, Cursor), IndexError> {
        super::scan::changes(&self.dir, since, &self.positions)
    }
}
