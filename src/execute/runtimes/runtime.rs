//! What a runtime is to the worker.

use std::path::Path;

use crate::execute::ExecuteError;
use crate::execute::attend::Ended;
use crate::execute::form::Form;
use crate::execute::identify::Program;
use crate::execute::image::Image;
use crate::execute::report::Report;
use crate::job::{AddedRuntime, Evidence, JobSpec, Mount, Terms};
use crate::runtime::Bind;
use crate::worker::{Hides, Plan};

/// A container runtime. It holds nothing: what it found on a machine is in [`Found`], what it made for a
/// job in [`Prepared`].
pub(in crate::execute) trait Runtime: Sync {
    /// As it is typed and stored.
    fn name(&self) -> &'static str;

    /// Which form of an image it takes.
    fn wants(&self) -> Form;

    /// Whether it can take flags of the user's (`--option`).
    fn takes_options(&self) -> bool {
        true
    }

    /// Whether it runs a tree that somebody else unpacked, which it cannot change, as well.
    fn takes_directory(&self) -> bool {
        false
    }

    /// What a job asks for that this runtime cannot give on any machine.
    fn lacks(&self, _terms: &Terms) -> Option<&'static str> {
        None
    }

    /// What it cannot give this very job on this machine, where another one may.
    fn cannot(&self, _job: &JobSpec) -> Option<String> {
        None
    }

    /// Whether it can check each block of a SIF by its hash tree when the program reads it.
    fn checks_blocks(&self) -> bool {
        false
    }

    /// Whether it seems to be here; costs next to nothing.
    ///
    /// # Errors
    /// [`ExecuteError::NoRuntime`] when it is not; any other error says nothing of this runtime, so that
    /// no other one is tried.
    fn look(&self) -> Result<(), ExecuteError>;

    /// Whether it works here, by asking it. Nothing of a job is started.
    ///
    /// # Errors
    /// As [`Runtime::look`].
    fn probe(&self) -> Result<Found, ExecuteError>;

    /// Whether what was found starts an image in this form here, for one that cannot tell a start that failed from a
    /// program that did.
    ///
    /// # Errors
    /// As [`Runtime::look`].
    fn starts(&self, _found: &Found, _form: Form) -> Result<(), ExecuteError> {
        Ok(())
    }

    /// Whether one that came with the job can run here; costs next to nothing. It is taken instead of the machine's.
    ///
    /// # Errors
    /// As [`Runtime::look`].
    fn look_at(&self, _added: &AddedRuntime) -> Result<(), ExecuteError> {
        self.look()
    }

    /// The same, as [`Runtime::probe`] does it.
    ///
    /// # Errors
    /// As [`Runtime::look`].
    fn probe_added(&self, _added: &AddedRuntime) -> Result<Found, ExecuteError> {
        self.probe()
    }

    /// What [`Runtime::probe`] would find, for one whose own failure to start says as much: it need not be asked
    /// where no other runtime could take its place.
    fn unprobed(&self) -> Option<Found> {
        None
    }

    /// Whether jobs, ledger, store and credentials cannot be reached from its container.
    fn hides(&self, options: &[String]) -> Hides;

    /// Makes ready what the program needs. All but its start happens here, so that what was measured is
    /// known, and may be refused, before the first instruction.
    ///
    /// # Errors
    /// When the program cannot be started in this image.
    fn prepare<'a>(
        &self,
        found: &Found,
        request: &Request<'a>,
        report: &mut Report,
    ) -> Result<Box<dyn Prepared + 'a>, ExecuteError>;
}

/// A runtime that works on this machine.
#[derive(Clone, Debug)]
pub(in crate::execute) struct Found {
    /// Its program; `None` for the built-in one.
    pub(in crate::execute) program: Option<Program>,
    /// What it answered, for the runtime itself.
    pub(in crate::execute) answer: Vec<u8>,
}

/// A job that is ready to start. What was made for it goes with this.
pub(in crate::execute) trait Prepared {
    /// How well it is known which image this is.
    fn identity(&self) -> Evidence;

    /// Runs the program to its end. Nothing of it runs afterwards, however it ended.
    ///
    /// # Errors
    /// When the program was not started.
    fn run(self: Box<Self>, report: &mut Report) -> Result<Ended, ExecuteError>;
}

/// What the worker has found before.
#[derive(Clone, Copy)]
pub(in crate::execute) struct Request<'a> {
    pub(in crate::execute) plan: &'a Plan,
    /// In the form that the runtime wants.
    pub(in crate::execute) image: &'a Image,
    /// The evidence for it.
    pub(in crate::execute) evidence: &'a Evidence,
    /// The job's mounts that are there.
    pub(in crate::execute) binds: &'a [Bind],
    pub(in crate::execute) control: &'a Path,
    pub(in crate::execute) workdir: &'a Path,
    /// This attempt's id.
    pub(in crate::execute) attempt: &'a str,
}

impl<'a> Request<'a> {
    /// Whether a mount is there although nobody asked for it.
    pub(super) fn is_default(&self, bind: &Bind) -> bool {
        let mounts = &self.plan.job.mounts;
        let mut same = mounts.iter().filter(|m| Path::new(&m.target) == bind.target);
        same.next_back() == Some(&Mount::cvmfs())
    }

    /// The mounts that somebody asked for.
    pub(super) fn asked(&self) -> impl Iterator<Item = &'a Bind> {
        self.binds.iter().filter(|bind| !self.is_default(bind))
    }
}
