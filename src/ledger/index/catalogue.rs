//! The one way from names and questions to jobs: chooses an index, refreshes it, and loads the jobs' own lines.
//!
//! ```text
//! whole id   --job's directory (beside.rs)--> segments --its lines--+
//! prefix, engine id, last, page, image  --Index--> ids, places -----+--> View of these jobs
//! ```
//!
//! An index that does not answer costs time and nothing else: it is made again, else the ledger is read into
//! memory, and a sentence says why.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::IndexError;
use super::home::Home;
use super::memory::Memory;
use super::name::ImageName;
use super::scan::read_at;
use super::sqlite::Sqlite;
use super::traits::{Counts, Filter, Index, LineAt, Page, Progress};
use crate::job::JobId;
use crate::ledger::beside;
use crate::ledger::error::{LedgerError, LookupError};
use crate::ledger::record::{self, Record};
use crate::ledger::segment::list;
use crate::ledger::view::{Payloads, View};

/// A ledger of fewer bytes is read as quickly as an index is opened.
const SMALL_LEDGER: u64 = 256 << 10;
/// So many jobs are named when a name fits several or none.
const CANDIDATES: usize = 64;
/// So many jobs are read from the segments that their directories name.
const FEW: usize = 4;
/// The newest job's name wherever a job is named.
const LAST: &str = "last";

/// Where an index may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// In memory.
    Memory,
    /// In this directory, else in `runtime` below 64 MB, else in memory; for a small ledger in memory.
    Cache {
        /// The directory.
        cache: PathBuf,
        /// `XDG_RUNTIME_DIR`.
        runtime: Option<PathBuf>,
    },
    /// In this directory, also of a small ledger: the user named it.
    Named(PathBuf),
}

/// What a reader is told meanwhile.
type Told = Box<dyn FnMut(Progress)>;

/// See the module.
pub struct Catalogue {
    ledger: PathBuf,
    jobs: Option<PathBuf>,
    place: Where,
    index: Option<Box<dyn Index>>,
    told: Told,
    warning: Option<String>,
    /// The index on the disk cannot be used.
    failed: bool,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// Why a job was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None or several.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Catalogue {
    /// Of this ledger; nothing is read yet. `jobs` is the directory of the jobs' directories.
    #[must_use]
    pub fn new(ledger: &Path, jobs: Option<&Path>, place: Where) -> Self {
        Self {
            ledger: ledger.to_owned(),
            jobs: jobs.map(Path::to_owned),
            place,
            index: None,
            told: Box::new(|_| {}),
            warning: None,
            failed: false,
        }
    }

    /// Tells how far a refresh is.
    pub fn tell(&mut self, told: impl FnMut(Progress) + 'static) {
        self.told = Box::new(told);
    }

    /// Why there is no index on the disk, if that was wanted; said once.
    pub fn warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// How many lines of the ledger are not understood. Nothing when no index was needed so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.index.as_ref().and_then(|index| index.counts().ok()).unwrap_or_default()
    }

    /// The jobs that were named, each once: whole ids, unique beginnings of them, an engine's id with its name in front, or `last`. The view
    /// holds these jobs only; [`View::find`] finds each by the same name.
    ///
    /// # Errors
    /// When one is unknown, or names several; or the ledger cannot be read.
    pub fn named<S: AsRef<str>>(&mut self, names: &[S]) -> Result<View, FindError> {
        let mut beside = Vec::new();
        let (mut ids, mut whole) = (Vec::new(), Vec::new());
        let mut refreshed = false;
        let few = self.are_few(names.len());
        for name in names.iter().map(AsRef::as_ref) {
            if let Ok(id) = name.parse::<JobId>()
                && let Some(lines) = few.then(|| self.beside(id)).flatten()
            {
                if !whole.contains(&id) {
                    beside.extend(lines);
                    whole.push(id);
                }
                continue;
            }
            if !refreshed {
                self.refresh()?;
                refreshed = true;
            }
            ids.push(self.find(name)?);
        }
        ids.retain(|id| !whole.contains(id));
        let mut records = self.records(&ids)?;
        records.extend(beside);
        Ok(View::of_records(&self.ledger, records, Payloads::Loaded)?)
    }

    /// These jobs, as they are now. One that the ledger does not hold is left out.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn of(&mut self, ids: &[JobId]) -> Result<View, LedgerError> {
        let mut records = Vec::new();
        let mut others = Vec::new();
        for id in ids {
            let lines =
                self.jobs.as_deref().and_then(|jobs| beside::lines(&self.ledger, jobs, *id));
            match lines {
                Some(lines) => records.extend(lines),
                None => others.push(*id),
            }
        }
        if !others.is_empty() {
            self.refresh()?;
            records.extend(self.records(&others)?);
        }
        View::of_records(&self.ledger, records, Payloads::Loaded)
    }

    /// These jobs as they are now, through the index.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn again(&mut self, ids: &[JobId]) -> Result<View, LedgerError> {
        self.refresh()?;
        self.view(ids, Payloads::Loaded)
    }

    /// Whether jobs are better looked for one by one, each in its own segments, than in the index.
    fn are_few(&self, jobs: usize) -> bool {
        jobs <= FEW || !(self.index.is_some() || self.is_there())
    }

    /// Whether an index was made; nothing is made by asking.
    fn is_there(&self) -> bool {
        let homes = match &self.place {
            Where::Memory => Vec::new(),
            Where::Named(dir) => vec![Home::new(dir.clone(), None)],
            Where::Cache { cache, runtime } => Home::candidates(cache, runtime.as_deref()),
        };
        homes.iter().any(|home| Sqlite::is_there(&self.ledger, home))
    }

    fn beside(&self, job: JobId) -> Option<Vec<Record<record::Content>>> {
        beside::lines(&self.ledger, self.jobs.as_deref()?, job)
    }

    /// One job for a verdict: through the index, whose rows are sealed, where there is one. Where none was made
    /// yet (a fresh container) the job's directory names its lines. Without an index by the user's wish all lines
    /// are read.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn for_verdict(&mut self, id: JobId) -> Result<View, LedgerError> {
        let is_there = self.index.is_some()
            || matches!(self.place, Where::Memory)
            || self.is_there()
            || (matches!(self.place, Where::Cache { .. }) && size(&self.ledger)? < SMALL_LEDGER);
        if self.failed || !is_there {
            return self.of(&[id]);
        }
        self.refresh()?;
        let records = self.records(&[id])?;
        View::of_records(&self.ledger, records, Payloads::Loaded)
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn page(&mut self, filter: Filter, page: Page) -> Result<Vec<JobId>, LedgerError> {
        self.refresh()?;
        self.ask(|index| index.page(filter, page))
    }

    /// A page of the jobs that have to do with an image of this name, newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn of_image(&mut self, name: &ImageName, page: Page) -> Result<Vec<JobId>, LedgerError> {
        self.refresh()?;
        self.ask(|index| index.of_image(name, page))
    }

    /// A job of each image that has a digest between two, both included: its own lines say which digests those are.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn of_digests(&mut self, low: [u8; 32], high: [u8; 32]) -> Result<View, LedgerError> {
        self.refresh()?;
        let ids = self.ask(|index| index.of_digests(low, high))?;
        self.view(&ids, Payloads::Left)
    }

    /// The records of these jobs, as a view; the ids come from a page.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn view(&mut self, ids: &[JobId], payloads: Payloads) -> Result<View, LedgerError> {
        let records = self.records(ids)?;
        View::of_records(&self.ledger, records, payloads)
    }

    fn find(&mut self, name: &str) -> Result<JobId, FindError> {
        let found: Vec<JobId> = if name == LAST {
            self.ask(|index| index.page(Filter::All, Page::newest(1)))?
        } else if name.contains(':') {
            let ids = self.ask(|index| index.of_engine(name))?;
            // only its own record says how an engine calls it
            let view = self.view(&ids, Payloads::Left)?;
            let is = |id: &JobId| {
                let job = view.job(*id);
                job.is_some_and(|job| {
                    job.submissions.iter().filter_map(|s| s.key()).any(|k| k.to_string() == name)
                })
            };
            ids.into_iter().filter(is).collect()
        } else {
            match range(name) {
                Some((low, high)) => {
                    let ids = self.ask(|index| index.between(low, high, CANDIDATES))?;
                    ids.into_iter().filter(|id| id.to_string().starts_with(name)).collect()
                }
                None => Vec::new(),
            }
        };
        match found.as_slice() {
            [job] => Ok(*job),
            [] => Err(LookupError::Unknown {
                asked: name.to_owned(),
                newest: self.ask(|index| index.page(Filter::All, Page::newest(5)))?,
            }
            .into()),
            several => {
                Err(LookupError::Ambiguous { asked: name.to_owned(), candidates: several.to_vec() }
                    .into())
            }
        }
    }

    /// Makes the index what the ledger is now.
    fn refresh(&mut self) -> Result<(), LedgerError> {
        // a second time for one that was thrown away
        for _ in 0..2 {
            let index = match self.index.take() {
                Some(index) => Ok(index),
                None => self.open(),
            };
            let done = index.and_then(|mut index| {
                index.refresh(&mut self.told)?;
                Ok(index)
            });
            match done {
                Ok(index) => {
                    self.index = Some(index);
                    return Ok(());
                }
                Err(IndexError::Ledger(error)) => return Err(error),
                Err(error) => self.give_up(&error),
            }
        }
        let mut memory = Memory::new(&self.ledger);
        match memory.refresh(&mut self.told) {
            Ok(()) => {
                self.index = Some(Box::new(memory));
                Ok(())
            }
            Err(IndexError::Ledger(error)) => Err(error),
            Err(error) => Err(unreadable(&self.ledger, &error)),
        }
    }

    /// What was wrong with the index: it is thrown away, or done without.
    fn give_up(&mut self, error: &IndexError) {
        self.index = None;
        let home = self.home().ok().flatten();
        let Some(home) = home.filter(|_| error.is_damage()) else { return self.fail(error) };
        if let Err(error) = Sqlite::throw_away(&self.ledger, &home) {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &IndexError) {
        if !self.failed && !matches!(self.place, Where::Memory) {
            self.warning =
                Some(format!("the ledger is read without its index, which takes time: {error}"));
            self.failed = true;
        }
    }

    fn home(&self) -> Result<Option<Home>, IndexError> {
        match &self.place {
            Where::Memory => Ok(None),
            Where::Named(dir) => Ok(Some(Home::new(dir.clone(), None))),
            Where::Cache { cache, runtime } => Home::choose(cache, runtime.as_deref()).map(Some),
        }
    }

    fn open(&self) -> Result<Box<dyn Index>, IndexError> {
        let memory = || Ok(Box::new(Memory::new(&self.ledger)) as Box<dyn Index>);
        let small = match self.place {
            _ if self.failed => true,
            Where::Memory => true,
            Where::Cache { .. } => !self.is_there() && size(&self.ledger)? < SMALL_LEDGER,
            Where::Named(_) => size(&self.ledger)? == 0,
        };
        if small {
            return memory();
        }
        match self.home()? {
            None => memory(),
            Some(home) => Ok(Box::new(Sqlite::open(&self.ledger, &home)?)),
        }
    }

    /// Asks the index; one that turns out not to fit is made again.
    fn ask<T>(
        &mut self,
        question: impl Fn(&dyn Index) -> Result<T, IndexError>,
    ) -> Result<T, LedgerError> {
        let mut last = None;
        for _ in 0..3 {
            if self.index.is_none() {
                self.refresh()?;
            }
            let Some(index) = &self.index else { continue };
            match question(index.as_ref()) {
                Ok(answer) => return Ok(answer),
                Err(IndexError::Ledger(error)) => return Err(error),
                Err(error) => {
                    self.give_up(&error);
                    last = Some(error);
                }
            }
        }
        Err(last.map_or_else(
            || LedgerError::NotADirectory(self.ledger.clone()),
            |error| unreadable(&self.ledger, &error),
        ))
    }

    /// The lines of some jobs, each checked as it is read. A place where a job's line does not stand ends the index.
    fn records(&mut self, ids: &[JobId]) -> Result<Vec<Record<record::Content>>, LedgerError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ledger = self.ledger.clone();
        self.ask(|index| {
            let mut lines: Vec<(LineAt, JobId)> = Vec::new();
            for id in ids {
                lines.extend(index.lines(*id)?.into_iter().map(|line| (line, *id)));
            }
            lines.sort_unstable();
            lines.dedup();
            let mut records = Vec::with_capacity(lines.len());
            let mut open: Option<(LineAt, File)> = None;
            for (line, job) in lines {
                let path = ledger.join(line.segment.to_string());
                let file = match open.take() {
                    Some((of, file)) if of.segment == line.segment => file,
                    _ => File::open(&path).map_err(LedgerError::io("read", &path))?,
                };
                let bytes = read_at(&file, line.offset, line.length);
                let bytes = bytes.map_err(LedgerError::io("read", &path))?;
                let unfit = || IndexError::Unfit(format!("no record of {job} in {}", line.segment));
                let record = record::decode(&bytes).map_err(|_| unfit())?;
                if record.body.job() != Some(job) {
                    return Err(unfit());
                }
                records.push(record);
                open = Some((line, file));
            }
            Ok(records)
        })
    }
}

fn unreadable(ledger: &Path, error: &IndexError) -> LedgerError {
    LedgerError::io("read", ledger)(std::io::Error::other(error.to_string()))
}

/// The bytes of all segments.
fn size(ledger: &Path) -> Result<u64, LedgerError> {
    let names = list(ledger)?.segments;
    let sizes = names.iter().map(|name| std::fs::symlink_metadata(ledger.join(name.to_string())));
    Ok(sizes.filter_map(|meta| Some(meta.ok()?.len())).sum())
}

/// The ids that begin so.
fn range(prefix: &str) -> Option<(JobId, JobId)> {
    if prefix.is_empty() || prefix.len() > 26 {
        return None;
    }
    let filled = |digit: char| {
        let mut text = prefix.to_owned();
        text.extend(std::iter::repeat_n(digit, 26_usize.saturating_sub(prefix.len())));
        text.parse::<JobId>().ok()
    };
    Some((filled('0')?, filled('z')?))
}
