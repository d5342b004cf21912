//! The list of all engines. A new one is its file and one line here.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::dialect::Dialect;
use super::{Backend, Engine, Environment, FOREGROUND, Facts, Foreground, Local};
use super::{foreground, htcondor, local, slurm};

/// Engines that are spoken to through their commands.
static DIALECTS: [&dyn Dialect; 2] = [&slurm::Slurm, &htcondor::HtCondor];

/// What all engines need of their surroundings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// This program.
    pub program: PathBuf,
    /// The directory that holds `JOB_ID/control`.
    pub jobs: PathBuf,
    /// The caller's variables.
    pub environment: Environment,
}

/// The facts of all engines, those of this machine first.
pub fn engines() -> impl Iterator<Item = &'static Facts> {
    [local::facts(), foreground::facts()]
        .into_iter()
        .chain(DIALECTS.iter().map(|dialect| dialect.facts()))
}

impl Environment {
    /// Keeps the names that some backend may pass on; everything else is forgotten here.
    pub fn allowed(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self::keeping(vars, |name: &OsStr| {
            engines().flat_map(|facts| facts.environment).any(|own| name == *own)
        })
    }
}

/// The engine of this kind that is spoken to through commands.
#[must_use]
pub fn commanded(kind: &str, environment: &Environment) -> Option<Engine> {
    let dialect = DIALECTS.iter().find(|dialect| dialect.facts().name == kind)?;
    Some(Engine::new(*dialect, environment.clone()))
}

/// The engine of this kind; `None` when there is none of that name.
#[must_use]
pub fn named(kind: &str, around: &Surroundings) -> Option<Box<dyn Backend>> {
    let Surroundings { program, jobs, environment } = around;
    match kind {
        local::ENGINE => {
            Some(Box::new(Local::new(program.clone(), jobs.clone(), environment.clone())))
        }
        FOREGROUND => Some(Box::new(Foreground::new(jobs.clone()))),
        _ => Some(Box::new(commanded(kind, environment)?)),
    }
}
