//! Slurm, through `sbatch`, `sacct`, `squeue` and `scancel`.
//!
//! ```text
//! submit   sbatch --parsable     argv.rs; then squeue for the time that the controller gave it
//! status   sacct -P              accounting: keeps ended jobs; lags a little, may be absent
//!          squeue                the controller: knows new jobs, forgets ended ones (MinJobAge)
//! find     squeue, then sacct    by the comment, which SubmitLine keeps as it was typed
//! cancel   scancel
//! ```
//!
//! Their JSON is not used: its shape and the meaning of its values changed between 22.05 and 26.05.
//! Works with Slurm 20.11 (the first with `SubmitLine`) and later.
//!
//! Source: the manual pages of these commands, and what a real 22.05 answered (parse.rs's tests).

mod argv;
mod parse;
mod state;

use std::time::Duration;

use crate::job::{EngineKey, IntentId, JobState};

use super::driver::{Driver, Ended, Environment, printable};
use super::{Backend, BackendError, Order, Seen, Submission};
use parse::Row;

const ENGINE: &str = "slurm";

/// Jobs in one question; keeps the command line far below its limit.
const CHUNK: usize = 500;

/// How far back `find` looks in the accounting.
const FIND_SINCE: &str = "now-30days";

/// How long a question may take. Slurm's own patience with a controller is some 10 s (`MessageTimeout`),
/// twice with a backup controller; whoever asked wants to see what is known here.
const QUESTION: Duration = Duration::from_secs(30);

/// The clock of a submitting machine and the controller's may differ by this much and a job is still
/// taken for the one that the key names. An id that is issued again so soon is not told apart.
const SAME_JOB_SECONDS: i64 = 120;

/// A Slurm cluster: the one that `SLURM_CONF`, or the machine's configuration, names.
#[derive(Clone, Debug)]
pub struct Slurm {
    driver: Driver,
}

impl Slurm {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        // Slurm's own patience with a controller is some 10 s, a few times over.
        Self { driver: Driver { engine: ENGINE, environment, limit: Duration::from_secs(120) } }
    }

    /// Another time limit for each of its commands.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.driver.limit = limit;
        self
    }

    /// Asks with times as seconds since 1970, whatever the time zone.
    fn ask(&self, program: &str, args: &[&str]) -> Result<String, BackendError> {
        let seconds = [("SLURM_TIME_FORMAT".to_owned(), "%s".to_owned())];
        let limit = self.driver.limit.min(QUESTION);
        let driver = Driver { limit, ..self.driver.clone() };
        driver.ask(program, args, &seconds).map_err(|error| match error {
            BackendError::Failed { said, .. } if argv::is_unreachable(&said) => {
                BackendError::Unreachable { engine: ENGINE, said }
            }
            error => error,
        })
    }

    fn accounting(&self, ids: &str) -> Result<Vec<Row>, BackendError> {
        let fields = format!("--format={}", parse::SACCT_FIELDS);
        let jobs = format!("--jobs={ids}");
        let args = ["--noheader", "--parsable2", "--allocations", "--duplicates", &jobs, &fields];
        Ok(parse::sacct(&self.ask("sacct", &args)?))
    }

    fn queue(&self, ids: &str) -> Result<Vec<Row>, BackendError> {
        let fields = format!("--Format={}", parse::SQUEUE_FIELDS);
        let jobs = format!("--jobs={ids}");
        match self.ask("squeue", &["--noheader", "--states=all", &jobs, &fields]) {
            Ok(text) => Ok(parse::squeue(&text)),
            // With one id only, a job that it has forgotten is an error.
            Err(BackendError::Failed { said, .. }) if said.contains("Invalid job id") => Ok(vec![]),
            Err(error) => Err(error),
        }
    }

    fn cluster(&self) -> Option<String> {
        self.setting("ClusterName")
    }

    /// A value of the engine's configuration.
    fn setting(&self, wanted: &str) -> Option<String> {
        let text = self.ask("scontrol", &["show", "config"]).ok()?;
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == wanted).then(|| value.trim().to_owned())
        })
    }

    fn observe(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        let ids: Vec<&str> =
            jobs.iter().map(|job| job.id.as_str()).filter(|id| is_id(id)).collect();
        if ids.is_empty() {
            return Ok(jobs.iter().map(|_| Seen::unknown("not a Slurm job id")).collect());
        }
        let ids = ids.join(",");
        let accounting = self.accounting(&ids);
        let settled = |job| {
            let rows = accounting.as_deref().unwrap_or_default();
            latest(job, rows).is_some_and(|row| row.state().is_final())
        };
        let unsettled = !jobs.iter().all(settled);
        // The controller knows first; accounting follows some seconds later.
        let queue = if unsettled { self.queue(&ids) } else { Ok(vec![]) };
        let (accounting, queue) = match (accounting, queue) {
            (Err(_), Err(error)) => return Err(error),
            answers => answers,
        };
        Ok(jobs.iter().map(|job| answer(job, &accounting, &queue)).collect())
    }
}

impl Backend for Slurm {
    fn kind(&self) -> &'static str {
        ENGINE
    }

    fn plan(&self, order: &Order) -> Result<Submission, BackendError> {
        argv::sbatch(order)
    }

    fn submit(&self, order: &Order) -> Result<EngineKey, BackendError> {
        let plan = self.plan(order)?;
        let finished = self.driver.run(&plan.argv[0], &plan.argv[1..], &plan.env, &plan.cwd)?;
        let (id, cluster) = taken(finished.ended, &finished.stdout, &finished.said())?;
        // From here on the engine has the job: what cannot be asked is filled in, never an error.
        let row = self.queue(&id).ok().and_then(|rows| rows.into_iter().find(|row| row.id == id));
        let submitted = row.and_then(|row| jiff::Timestamp::from_second(row.submit).ok());
        Ok(EngineKey {
            kind: ENGINE.to_owned(),
            cluster: cluster.or_else(|| self.cluster()),
            id,
            submitted_at: submitted.unwrap_or_else(jiff::Timestamp::now),
            owner: self.driver.account(),
        })
    }

    fn ready(&self) -> Result<String, BackendError> {
        let said = self.ask("scontrol", &["ping"])?;
        let down = BackendError::Unreachable { engine: ENGINE, said: printable(&said) };
        // one line for each controller: "Slurmctld(primary) at HOST is UP"
        if said.lines().any(|line| line.trim_end().ends_with(" UP")) {
            return Ok(printable(&said));
        }
        Err(down)
    }

    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        let mut all = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(CHUNK) {
            all.extend(self.observe(chunk)?);
        }
        Ok(all)
    }

    fn cancel(&self, job: &EngineKey) -> Result<(), BackendError> {
        let seen = self.observe(std::slice::from_ref(job))?;
        let seen = seen.first().cloned().unwrap_or_else(|| Seen::unknown("no answer"));
        match seen.state {
            state if state.is_final() => Ok(()),
            // Not knowing the job, its number may be another's by now.
            JobState::Unknown => Err(BackendError::Failed {
                engine: ENGINE,
                command: "scancel".to_owned(),
                said: format!("{job}: {}", seen.silent.or(seen.reason).unwrap_or_default()),
            }),
            _ => self.ask("scancel", &[&job.id]).map(drop),
        }
    }

    fn find(&self, intent: &IntentId) -> Result<Option<EngineKey>, BackendError> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let user = format!("--user={user}");
        let owner = self.driver.account();
        let fields = format!("--format={}", parse::SQUEUE_FIND_FIELDS);
        let queue = self.ask("squeue", &["--noheader", "--states=all", &user, &fields]);
        let in_queue = queue.as_deref().map(|text| parse::find(text, &owner, intent));
        let found = if let Ok(Some(found)) = in_queue {
            Some(found)
        } else {
            let since = format!("--starttime={FIND_SINCE}");
            let fields = format!("--format={}", parse::SACCT_FIND_FIELDS);
            let flags = ["--noheader", "--parsable2", "--allocations", "--duplicates"];
            let args = [&flags[..], &[&user, &since, &fields]].concat();
            // Without accounting, "not in the queue" does not mean "never submitted".
            let text = self.ask("sacct", &args)?;
            let found = parse::find(&text, &owner, intent);
            if found.is_none() {
                // Accounting lags, so its "no" counts only when the controller says no too.
                queue?;
            }
            found
        };
        Ok(found.map(|(id, submit)| EngineKey {
            kind: ENGINE.to_owned(),
            cluster: self.cluster(),
            id,
            submitted_at: jiff::Timestamp::from_second(submit)
                .unwrap_or_else(|_| jiff::Timestamp::now()),
            owner,
        }))
    }

    fn grace(&self) -> Option<Duration> {
        // "30 sec"
        let value = self.setting("KillWait")?;
        value.split_whitespace().next()?.parse().ok().map(Duration::from_secs)
    }
}

/// The id that `sbatch --parsable` printed: `ID` or `ID;CLUSTER`.
fn taken(ended: Ended, stdout: &str, said: &str) -> Result<(String, Option<String>), BackendError> {
    let uncertain = |said: &str| BackendError::Uncertain { engine: ENGINE, said: said.to_owned() };
    // A site's submit filter may print lines of its own before.
    let line = stdout.lines().next_back().unwrap_or_default().trim();
    let (id, cluster) = line.split_once(';').map_or((line, None), |(id, c)| (id, Some(c)));
    match ended {
        Ended::Exit(0) => {}
        // It printed an id and failed all the same, or its question or answer was lost.
        Ended::Exit(_) if is_id(id) || argv::is_ambiguous(said) => return Err(uncertain(said)),
        Ended::Exit(_) if argv::is_unreachable(said) => {
            return Err(BackendError::Unreachable { engine: ENGINE, said: said.to_owned() });
        }
        Ended::Exit(_) => {
            return Err(BackendError::Refused { engine: ENGINE, said: said.to_owned() });
        }
        Ended::Signal(_) | Ended::TimedOut => return Err(uncertain(said)),
    }
    if !is_id(id) {
        return Err(uncertain(&format!("sbatch printed no job id but {:?}", cut(line))));
    }
    Ok((id.to_owned(), cluster.filter(|c| !c.is_empty()).map(str::to_owned)))
}

fn cut(line: &str) -> String {
    line.chars().take(80).collect()
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The row that tells how it is with this very job: the same id, owner and submit time, or a later
/// start of it (Slurm gives a requeued job a new submit time and a new row).
fn latest<'a>(job: &EngineKey, rows: &'a [Row]) -> Option<&'a Row> {
    let ours = |row: &&Row| row.id == job.id && row.user == job.owner;
    let mut rows: Vec<&Row> = rows.iter().filter(ours).collect();
    rows.sort_by_key(|row| row.submit);
    let since = job.submitted_at.as_second();
    let first = rows.iter().position(|row| (row.submit - since).abs() <= SAME_JOB_SECONDS)?;
    let mut last = rows[first];
    for row in &rows[first + 1..] {
        if !last.is_requeued() {
            break;
        }
        last = row;
    }
    Some(last)
}

/// What both say of one job: accounting keeps ended jobs, the controller knows the others best.
fn answer(
    job: &EngineKey,
    accounting: &Result<Vec<Row>, BackendError>,
    queue: &Result<Vec<Row>, BackendError>,
) -> Seen {
    let accounted = latest(job, accounting.as_deref().unwrap_or_default());
    if let Some(row) = accounted.filter(|row| row.state().is_final()) {
        return row.observation().into();
    }
    match (latest(job, queue.as_deref().unwrap_or_default()), queue) {
        (Some(row), _) => row.observation().into(),
        // an old word, or none: the controller could know better
        (None, Err(error)) => Seen {
            silent: Some(error.why()),
            ..accounted.map_or(Seen::unknown(&error.why()), |row| row.observation().into())
        },
        (None, Ok(_)) => match (accounted, accounting) {
            (Some(row), _) => row.observation().into(),
            // where there is no accounting this is for ever: the controller forgets what has ended
            (None, Err(error)) => Seen::unknown(&format!(
                "slurm's controller no longer knows this job, and the accounting said: {}",
                error.why()
            )),
            (None, Ok(_)) => Seen::unknown("slurm does not know this job"),
        },
    }
}

#[cfg(test)]
mod tests;
