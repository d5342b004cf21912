//! What the rest of the program has to know of an engine, so that no other file names one.
//!
//! An engine's file fills one [`Facts`]; [`engines`](super::engines) lists them. Who asks for what:
//!
//! ```text
//! driver         the variables that its commands get
//! worker         the variable that holds the job's own id; what its receipt and its program get
//! configuration  the variables that steer it, which a project file may not set
//! command line   its name, an example of an id, whether its jobs run on this machine
//! login nodes    the command that submits; the variable that says "this is a job"
//! ```

use std::time::Duration;

use crate::job::Tasks;

/// An engine's word for one task of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The task's number.
    Number(u32),
    /// Its place in the list of tasks, from 0.
    Place(u64),
}

impl Part {
    /// The task's number.
    #[must_use]
    pub fn task(self, tasks: &Tasks) -> Option<u32> {
        match self {
            Self::Number(task) => tasks.contains(task).then_some(task),
            Self::Place(place) => tasks.at(place),
        }
    }
}

/// How an engine speaks of the tasks of an array.
#[derive(Debug)]
pub struct ArrayFacts {
    /// The variable in which a task finds its number.
    pub variable: &'static str,
    /// The variable in which it finds the array's id, as in the key; in place of [`Facts::own_id`].
    pub own_id: Option<&'static str>,
    /// Whether it can be told how many run at once.
    pub at_once: bool,
    /// The id of one task in the engine's words, of the array's id.
    pub name: fn(&str, &Tasks, u32) -> String,
    /// Reads that again: the array's id, and which task.
    pub split: fn(&str) -> Option<(&str, Part)>,
}

impl PartialEq for ArrayFacts {
    fn eq(&self, other: &Self) -> bool {
        self.variable == other.variable
    }
}

impl Eq for ArrayFacts {}

/// The facts of one engine.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name on the command line, in engine keys and in records.
    pub name: &'static str,
    /// A job's id in it, for help texts.
    pub example: &'static str,
    /// What takes a job in its place when one of its jobs is repeated; `None` for an engine that takes
    /// orders itself.
    pub again: Option<&'static str>,
    /// Whether its jobs run on this machine.
    pub here: bool,
    /// Its commands; the first one submits.
    pub commands: &'static [&'static str],
    /// Variables of the caller that its commands get, beside the usual ones. None may hold a secret or
    /// change what a command does or prints.
    pub environment: &'static [&'static str],
    /// How the names of variables begin that steer its commands or jobs.
    pub families: &'static [&'static str],
    /// Words of its refusals, and what a user can do then.
    pub hints: &'static [(&'static str, &'static str)],
    /// A variable that is set in each of its jobs and nowhere else.
    pub in_a_job: Option<&'static str>,
    /// The variable in which a job finds its own id, as in its key.
    pub own_id: Option<&'static str>,
    /// Variables that a receipt keeps: identifiers only.
    pub in_receipt: &'static [&'static str],
    /// Variables of a job's shape that the program gets. Names, not patterns: engines keep secrets in
    /// variables too.
    pub for_program: &'static [&'static str],
    /// Whether it can take a job, hold it, and start it when it is told to.
    pub can_hold: bool,
    /// How it speaks of the tasks of an array; `None` where it has no arrays.
    pub array: Option<ArrayFacts>,
    /// How long a job that it took may stay unknown to its own questions: a "no" before that is none.
    pub visible_after: Duration,
    /// Whether it can bring a job's files to the worker, and what the job leaves back.
    pub transfers: bool,
}

impl Facts {
    /// An engine of this machine that needs nothing of what a batch system needs.
    pub const OF_THIS_MACHINE: Self = Self {
        name: "",
        example: "",
        again: None,
        here: true,
        commands: &[],
        environment: &[],
        families: &[],
        hints: &[],
        in_a_job: None,
        own_id: None,
        in_receipt: &[],
        for_program: &[],
        can_hold: false,
        array: None,
        visible_after: Duration::ZERO,
        transfers: false,
    };

    /// Whether it can be given a job.
    #[must_use]
    pub fn takes_orders(&self) -> bool {
        self.again.is_none()
    }
}
