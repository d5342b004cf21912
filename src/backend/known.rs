//! The list of all engines. A new one is its file and one line here.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::dialect::Dialect;
use super::{Backend, Engine, Environment, FOREGROUND, Facts, Foreground, Local, Part};
use super::{foreground, htcondor, local, slurm};
use crate::job::{EngineKey, Tasks};

/// Engines that are used through their commands.
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

/// The facts of the engine of this kind.
#[must_use]
pub fn facts_of(kind: &str) -> Option<&'static Facts> {
    engines().find(|facts| facts.name == kind)
}

/// One task of an array in its engine's words, `ENGINE:123_7`; `None` where the engine has no arrays.
#[must_use]
pub fn task_name(array: &EngineKey, tasks: &Tasks, task: u32) -> Option<String> {
    let name = facts_of(&array.kind)?.array.as_ref()?.name;
    Some(format!("{}:{}", array.kind, name(&array.id, tasks, task)))
}

/// Reads `ENGINE:123_7`: the array's name, `ENGINE:123`, and which of its tasks.
#[must_use]
pub fn task_of_name(text: &str) -> Option<(String, Part)> {
    let (kind, id) = text.split_once(':')?;
    let (array, part) = (facts_of(kind)?.array.as_ref()?.split)(id)?;
    Some((format!("{kind}:{array}"), part))
}

/// The engine of this kind that is used through its commands.
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
