//! The jobs of the ledger, through its index. A warning about ledger or index is printed once.

use std::cell::{RefCell, RefMut};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Context;
use crate::backend::{self, Part};
use crate::cli::show::output::{self, CliError, Report};
use crate::cli::show::progress;
use crate::failure::Kind;
use crate::job::{JobId, JobRef};
use crate::ledger::index::{Catalogue, Counts, Filter, FindError, ImageName, Page, Where};
use crate::ledger::{Ledger, LedgerError, LookupError, Payloads, View};

/// Whether lines that are not understood were reported.
static SAID: AtomicBool = AtomicBool::new(false);

impl Context {
    /// The jobs that were named, each by its id, a unique beginning of it, its engine's id, or `last`.
    ///
    /// # Errors
    /// When one is unknown or names several, or the ledger cannot be read.
    pub fn named<S: AsRef<str>>(&self, names: &[S]) -> Result<View, Report> {
        let asked = names.iter().map(|name| self.read_name(name.as_ref()));
        let asked: Vec<(String, Option<Part>)> = asked.collect::<Result<_, Report>>()?;
        let jobs: Vec<&str> = asked.iter().map(|(job, _)| job.as_str()).collect();
        let mut view = self.catalogue()?.named(&jobs).map_err(not_found)?;
        for (name, (job, part)) in names.iter().map(AsRef::as_ref).zip(&asked) {
            let Some(part) = part else { continue };
            let found = view.find(job)?;
            let tasks = found.last().tasks().cloned();
            let which = JobRef { job: found.id, task: tasks.as_ref().and_then(|t| part.task(t)) };
            if !view.name_task(name, which) {
                return Err(LookupError::NoTask { asked: name.to_owned(), tasks }.into());
            }
        }
        Ok(self.said(view))
    }

    /// The name of a job, and which task of it is meant: `ID.7`, `last.7`, or an engine's name for a task.
    fn read_name(&self, name: &str) -> Result<(String, Option<Part>), Report> {
        if !name.contains(':') {
            let (job, task) = JobRef::split(name);
            if let Some((job, Ok(tasks))) = name.rsplit_once('.').map(|(j, t)| (j, t.parse()))
                && task.is_none()
            {
                let (asked, job) = (name.to_owned(), job.to_owned());
                return Err(LookupError::SeveralTasks { asked, job, tasks }.into());
            }
            return Ok((job.to_owned(), task.map(Part::Number)));
        }
        let Some((array, part)) = backend::task_of_name(name) else {
            return Ok((name.to_owned(), None));
        };
        // some engines call a job that is no array in the same way
        match self.catalogue()?.named(&[name]) {
            Ok(_) => Ok((name.to_owned(), None)),
            Err(FindError::Lookup(LookupError::Unknown { .. })) => Ok((array, Some(part))),
            Err(error) => Err(not_found(error)),
        }
    }

    /// These jobs as they are now. One that the ledger does not hold is left out.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn jobs(&self, ids: &[JobId]) -> Result<View, Report> {
        let view = self.catalogue()?.of(ids)?;
        Ok(self.said(view))
    }

    /// One job or task, with all that can speak for it or against it; [`View::which`] has it.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn for_verdict(&self, which: JobRef) -> Result<View, Report> {
        let mut view = self.catalogue()?.for_verdict(which.job)?;
        view.name_task(&which.to_string(), which);
        Ok(self.said(view))
    }

    /// The newest jobs that have to do with an image, with their payloads.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn of_image(&self, name: &ImageName, most: usize) -> Result<View, Report> {
        self.look(|all| {
            let ids = all.of_image(name, Page::newest(most))?;
            all.view(&ids, Payloads::Loaded)
        })
    }

    /// All jobs that a filter lets through, newest first, a page at a time, so that memory does not grow with the
    /// ledger.
    ///
    /// # Errors
    /// When the ledger cannot be read, or as `each` says.
    pub fn pages(
        &self,
        filter: Filter,
        mut page: Page,
        payloads: Payloads,
        mut each: impl FnMut(&View) -> Result<(), Report>,
    ) -> Result<(), Report> {
        loop {
            let ids = self.look(|all| all.page(filter, page))?;
            let Some(last) = ids.last() else { return Ok(()) };
            each(&self.look(|all| all.view(&ids, payloads))?)?;
            page = page.behind(*last);
        }
    }

    /// Asks the catalogue. What it warns of is said.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn look<T>(
        &self,
        ask: impl FnOnce(&mut Catalogue) -> Result<T, LedgerError>,
    ) -> Result<T, Report> {
        let answer = ask(&mut *self.catalogue()?)?;
        self.said(View::default());
        Ok(answer)
    }

    fn catalogue(&self) -> Result<RefMut<'_, Catalogue>, Report> {
        if self.catalogue.get().is_none() {
            let place = self.index_place()?;
            let mut all = Catalogue::new(self.ledger_dir(), Some(self.jobs_dir()), place);
            all.tell(progress::reading(self.voice));
            let _ = self.catalogue.set(RefCell::new(all));
        }
        let all = self.catalogue.get().map(RefCell::borrow_mut);
        all.ok_or_else(|| CliError::new(Kind::Configuration, "there is no ledger").into())
    }

    fn index_place(&self) -> Result<Where, Report> {
        match self.places.index.as_deref() {
            None => Ok(Where::Cache {
                cache: self.places.cache.join("ledger-index"),
                runtime: self.places.runtime.clone(),
            }),
            Some(off) if off == Path::new("off") => Ok(Where::Memory),
            Some(dir) if dir.is_absolute() => Ok(Where::Named(dir.to_owned())),
            Some(other) => {
                let other = other.display().to_string();
                let message =
                    format!("MOORLINE_INDEX={}: not an absolute path", output::cell(&other));
                let hint = "name a directory on a disk of this machine, or off";
                Err(CliError::new(Kind::Configuration, message).with_hint(hint).into())
            }
        }
    }

    fn said(&self, view: View) -> View {
        let Some(all) = self.catalogue.get() else { return view };
        let mut all = all.borrow_mut();
        if let Some(warning) = all.warning() {
            output::warn(output::cell(&warning));
        }
        let Counts { damaged, newer } = all.counts();
        let (damaged, newer) = (damaged.max(view.damaged as u64), newer.max(view.newer as u64));
        // a verb may read it several times
        if damaged + newer == 0 || SAID.swap(true, Ordering::Relaxed) {
            return view;
        }
        let records = |n: u64, one: &str, many: &str| {
            if n == 1 { format!("1 record {one}") } else { format!("{n} records {many}") }
        };
        if damaged > 0 {
            let what = records(damaged, "is damaged", "are damaged");
            output::warn(format!("{what} in the ledger; moorline audit verify names them"));
        }
        if newer > 0 {
            let what = records(newer, "needs", "need");
            output::warn(format!(
                "{what} a newer moorline; their jobs are shown as far as this one can read"
            ));
        }
        view
    }

    /// The ledger for what is learnt on the way; `None` with a sentence where it cannot be written: a full or
    /// read-only disk hides nothing.
    ///
    /// # Errors
    /// When it is not safe.
    pub fn ledger_if_writable(&self) -> Result<Result<Ledger, String>, Report> {
        match Ledger::open(self.ledger_dir()) {
            Ok(ledger) => Ok(Ok(ledger.with_jobs(self.jobs_dir()))),
            Err(error @ LedgerError::Io { .. }) => {
                Ok(Err(format!("what is new is not recorded: {error}")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn not_found(error: FindError) -> Report {
    match error {
        FindError::Lookup(error) => error.into(),
        FindError::Ledger(error) => error.into(),
    }
}
