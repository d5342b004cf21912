//! `moorline jobs`: the list of jobs.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::backend;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::cli::show::paint::Tone;
use crate::cli::show::record::Line;
use crate::cli::show::table::{Column, Gives, Table};
use crate::follow::{self, Known, Now};
use crate::job::{JobRef, JobState, Tasks};
use crate::ledger::{Payload, Settled, Source};
use crate::text::Foreign;
use crate::worker::{TASKS, exit, task_dir};

/// List jobs, newest last.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline jobs
  moorline jobs --state failed --last 100
  moorline jobs --json=job,state,exit_code")]
pub struct Args {
    /// Only jobs in this state: submitting, submitted, running, completed, failed, killed or unknown
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<JobState>,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    last: usize,
}

/// One job as `--json` shows it.
#[derive(Serialize)]
pub struct Row {
    /// The job, or one of its tasks.
    pub job: JobRef,
    /// Its state: what counts.
    pub state: JobState,
    /// As a shell would give it.
    pub exit_code: Option<i32>,
    /// Whose word both are: `receipt`, `engine`, or `ledger` while nobody has said anything.
    pub settled_by: Source,
    /// Its engine's name for it.
    pub engine: Option<String>,
    /// The engine's own word for the state.
    pub engine_state: Option<String>,
    /// The engine's own exit code; some engines lose those above 127.
    pub engine_exit_code: Option<i32>,
    /// Why it waits or failed.
    pub reason: Option<String>,
    /// The engine did not answer: the state is unknown, or as old as its last word.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub engine_silent: bool,
    /// How the tasks of an array are; absent for a job that is none, and for one task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TasksRow>,
    /// The pinned image.
    pub image: String,
    /// What the user calls it.
    pub name: Option<String>,
    /// Program and arguments; empty when the image's own command runs, or they were erased.
    pub command: Vec<String>,
    /// The host's directory at `/work_dir`, where it is known.
    pub workdir: Option<PathBuf>,
    /// The file with the program's stdout; `null` when there is none (yet).
    pub output: Option<PathBuf>,
    /// When it was submitted.
    pub submitted: jiff::Timestamp,
    /// Where each task of an array has its working directory.
    #[serde(skip)]
    each: Option<String>,
}

/// Tasks of an array of which the same is known.
#[derive(Serialize)]
pub struct TasksRow {
    /// Which.
    pub tasks: Tasks,
    /// How they are.
    pub state: JobState,
    /// As a shell would give it.
    pub exit_code: Option<i32>,
}

impl Row {
    /// Of a job as it is now.
    pub fn of(jobs_dir: &Path, job: &Known<'_>) -> Self {
        let submission = job.record.last();
        let personal = match &submission.personal {
            Payload::Present(personal) => Some(personal),
            Payload::Erased | Payload::Left | Payload::Damaged(_) => None,
        };
        let which = job.record.which();
        let dir = task_dir(&jobs_dir.join(which.job.to_string()), which.task);
        // the tasks of an array have one each
        let is_one = submission.tasks().is_none();
        let own = Some(dir.join("work")).filter(|work| is_one && work.is_dir());
        let Now { settled, engine, silent, tasks, .. } = &job.now;
        let named = |(key, task)| backend::task_name(key, submission.array()?, task);
        let named = job.record.key().zip(which.task).and_then(named);
        Self {
            job: which,
            state: settled.state,
            exit_code: settled.exit_code,
            settled_by: settled.source,
            engine: named.or_else(|| job.record.key().map(ToString::to_string)),
            engine_state: engine.as_ref().and_then(|word| word.engine_state.clone()),
            engine_exit_code: engine.as_ref().and_then(|word| word.exit_code),
            reason: settled.reason.clone(),
            engine_silent: silent.is_some(),
            tasks: rows_of(tasks),
            image: submission.image.name(),
            name: personal.and_then(|personal| personal.name.clone()),
            command: personal.map(|personal| personal.command.clone()).unwrap_or_default(),
            workdir: personal.and_then(|personal| personal.workdir.clone()).or(own),
            output: match job.record.last().tasks() {
                None => Some(dir.join("stdout")).filter(|output| output.is_file()),
                // each has its own
                Some(_) => Some(dir.join(TASKS)).filter(|tasks| tasks.is_dir()),
            },
            submitted: submission.time,
            each: submission
                .tasks()
                .map(|_| format!("{}/TASK/work", Foreign::path(&dir.join(TASKS)))),
        }
    }

    /// The state for people: *unknown* says why where it is short.
    pub fn state(&self) -> String {
        match (&self.engine, self.engine_silent, self.state) {
            (Some(engine), true, JobState::Unknown) => {
                let kind = engine.split(':').next().unwrap_or_default();
                format!("unknown ({kind} does not answer)")
            }
            _ => self.state.to_string(),
        }
    }

    /// The command as one could type it; `-` for the image's own.
    pub fn command(&self) -> String {
        if self.command.is_empty() {
            return "-".to_owned();
        }
        let words = self.command.iter().map(String::as_str);
        shlex::try_join(words).unwrap_or_else(|_| self.command.join(" "))
    }

    /// What runs, where, and where its output is.
    pub fn places(&self) -> Vec<Line> {
        let path = |path: &Option<PathBuf>, none: &str| {
            path.as_deref().map_or_else(|| none.to_owned(), |path| Foreign::path(path).to_string())
        };
        let none = self.each.as_deref().unwrap_or("not known");
        vec![
            Line::fact("  command", self.command()),
            Line::fact("  directory", path(&self.workdir, none)),
            Line::fact("  output", path(&self.output, "none is kept here")),
        ]
    }

    /// How it is, in a word's tone.
    fn tone(&self) -> Tone {
        match self.state {
            JobState::Completed => Tone::Good,
            JobState::Failed | JobState::Killed => Tone::Bad,
            JobState::Unknown => Tone::Doubt,
            JobState::Running => Tone::Busy,
            _ => Tone::Plain,
        }
    }

    /// All of it, for `status`.
    pub fn record(&self) -> Vec<Line> {
        let name = self.name.as_deref().map(|name| format!(" ({})", output::cell(name)));
        let code = self.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
        let mut lines = vec![Line::Head(format!(
            "job {}{}: {}{code}",
            self.job,
            name.unwrap_or_default(),
            self.state()
        ))];
        let engine =
            self.engine.as_deref().map_or_else(|| "-".into(), |e| short_engine(e, self.job));
        for TasksRow { tasks, state, exit_code } in &self.tasks {
            let code = exit_code.filter(|code| *code != 0);
            let code = code.map(|code| format!(", exit code {code}")).unwrap_or_default();
            lines.push(Line::fact("  tasks", format!("{tasks} {state}{code}")));
        }
        lines.push(Line::fact("  image", self.image.as_str()));
        lines.extend(self.places());
        lines.push(Line::fact("  engine", engine));
        lines.push(Line::fact("  submitted", time(self.submitted)));
        lines
    }

    /// Where it says why it failed; `None` when it did not, or nobody keeps what it wrote.
    pub fn look(&self) -> Option<String> {
        let failed = matches!(self.state, JobState::Failed | JobState::Killed);
        // what an array wrote is each task's
        let task = self.tasks.iter().find(|row| row.state == JobState::Failed);
        let task = task.and_then(|row| row.tasks.at(0));
        let job = match task {
            Some(task) => format!("{}.{task}", self.job),
            None if self.tasks.is_empty() => self.job.to_string(),
            None => return None,
        };
        (failed && self.output.is_some())
            .then(|| format!("moorline logs --stderr {job} shows why, as far as it said"))
    }

    /// What stands beside the state: the meaning of Moorline's own codes, the reason, the engine's word where the
    /// receipt's counts instead, and where to look.
    pub fn remarks(&self) -> Vec<String> {
        let meaning = self.exit_code.and_then(exit::meaning).map(str::to_owned);
        let reason = self.reason.as_deref().map(output::cell);
        let mut remarks: Vec<String> = meaning.into_iter().chain(reason).collect();
        let differs = self.engine_exit_code.is_some() && self.engine_exit_code != self.exit_code;
        if self.settled_by == Source::Receipt
            && let (true, Some(word)) = (differs, &self.engine_state)
        {
            let kind = self.engine.as_deref().and_then(|e| e.split(':').next()).unwrap_or("it");
            let code = self.engine_exit_code.map(|code| format!(", exit code {code}"));
            remarks.push(format!(
                "{} says {}{}; the worker's receipt counts",
                output::cell(kind),
                output::cell(word),
                code.unwrap_or_default()
            ));
        }
        remarks.extend(self.look());
        remarks
    }
}

/// Equal ones together, whatever their reasons are.
fn rows_of(tasks: &[(Tasks, Settled)]) -> Vec<TasksRow> {
    let each = tasks.iter().flat_map(|(tasks, of)| {
        tasks.numbers().map(|task| (task, (of.state, of.exit_code))).collect::<Vec<_>>()
    });
    let mut each: Vec<_> = each.collect();
    each.sort_by_key(|(task, _)| *task);
    let row = |(tasks, (state, exit_code))| TasksRow { tasks, state, exit_code };
    Tasks::together(each).into_iter().map(row).collect()
}

fn time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The table of `jobs`. At 80 columns it has name or engine, and neither directory nor output.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        Column::new("JOB", Gives::Id),
        Column::new("STATE", Gives::Text),
        Column::new("EXIT", Gives::Whole),
        Column::new("ENGINE", Gives::Text).goes(2),
        Column::new("SUBMITTED", Gives::Time),
        Column::new("IMAGE", Gives::Digest),
        Column::new("NAME", Gives::Text).goes(1),
        Column::new("COMMAND", Gives::Text),
        Column::new("DIRECTORY", Gives::Path).goes(3),
        Column::new("OUTPUT", Gives::Path).goes(4),
    ]);
    for row in rows {
        let plain = |text: String| (Tone::Plain, text);
        let path = |path: &Option<PathBuf>| {
            let shown = path.as_deref().map(|path| Foreign::path(path).to_string());
            plain(shown.unwrap_or_else(|| "-".into()))
        };
        table.toned([
            plain(row.job.to_string()),
            (row.tone(), row.state()),
            plain(row.exit_code.map_or_else(|| "-".into(), |code| code.to_string())),
            plain(row.engine.as_deref().map_or_else(|| "-".into(), |e| short_engine(e, row.job))),
            plain(time(row.submitted)),
            plain(short_image(&row.image)),
            plain(row.name.clone().unwrap_or_else(|| "-".into())),
            plain(row.command()),
            path(&row.workdir),
            path(&row.output),
        ]);
    }
    table
}

/// The local engine's ids are the job's own: the kind says enough.
fn short_engine(engine: &str, job: JobRef) -> String {
    output::cell(engine.strip_suffix(&format!(":{job}")).unwrap_or(engine))
}

/// Without the registry: the digest says which image it is, and `status` and `--json` have the whole.
fn short_image(name: &str) -> String {
    match name.split_once("@sha256:") {
        Some((repository, hex)) => {
            let path = repository.split_once('/').map_or(repository, |(_, path)| path);
            format!("{path}@sha256:{hex}")
        }
        None => name.to_owned(),
    }
}

/// A number of rows.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|rows| *rows > 0).ok_or_else(|| "write a number from 1".to_owned())
}

/// A state that a job can be in. One that a newer program recorded is shown, so it can be asked for.
fn state(text: &str) -> Result<JobState, String> {
    text.parse().map_err(|_| format!("known states: {}", known_states()))
}

fn known_states() -> String {
    let names: Vec<_> = JobState::ALL.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The verb.
///
/// # Errors
/// When the ledger cannot be read.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (mut rows, more) =
        follow::list(context, args.state, args.last, |job| Row::of(context.jobs_dir(), job))?;
    if let (Some(JobState::Other(name)), true) = (args.state, rows.is_empty()) {
        let message = format!("no job is in a state {name}; known states: {}", known_states());
        return Err(CliError::usage(message).into());
    }
    rows.reverse();
    if context.voice.json {
        document::print(&rows);
    } else if rows.is_empty() {
        context.voice.say("no jobs");
    } else {
        output::painted(&table(&rows).lines(context.voice.width()));
        if more {
            context.voice.say(format!("(there are older ones: --last {})", args.last * 5));
        }
    }
    Ok(0)
}
