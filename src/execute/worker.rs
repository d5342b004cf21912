//! `moorline worker CONTROL_DIR`: one attempt of one job.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::advice::advice;
use super::attend::{Ended, still_wanted};
use super::form::Form;
use super::outputs::{Before, Left};
use super::report::Report;
use super::runtimes::{Chosen, Request, choose};
use super::supply::Supply;
use super::used::{self, Used};
use super::user::{self, Asked};
use super::{
    ExecuteError, container, delivered, dumps, mounts, on_record, processor, signals, tickets,
};
use crate::backend;
use crate::failure::Failure;
use crate::files::{self, ForeignFile};
use crate::job::{Delivery, Evidence, Grade, Network, Tasks};
use crate::oci::{Digest, Sha256Digest};
use crate::pin;
use crate::runtime::Bind;
use crate::text;
use crate::worker::{
    Conditions, MOST_OUTPUT_BYTES, MountNote, OUTPUT_BYTES, PLAN_FILE, Plan, RECEIPT_PREFIX,
    RECEIPT_SCHEMA, Receipt, Start, exit,
};

/// Runs the plan in `control` and writes its receipt there; returns the job's exit code: the
/// program's own, 128+n for signal n, or one of [`crate::worker::exit`]. Standard input, output and error of this
/// process are the program's.
///
/// `plan_sha256` is the hex that the script holds. Warnings and the reason of a refusal go to
/// `stderr`. Must be called while the process has one thread: [`super::early`] does so.
pub fn work(control: &Path, plan_sha256: Option<&str>, stderr: &mut dyn Write) -> i32 {
    let refuse = |stderr: &mut dyn Write, error: &ExecuteError, hint: Option<String>| {
        tell(stderr, &error.to_string());
        if let Some(hint) = hint {
            tell(stderr, &hint);
        }
        error.exit_code()
    };
    // without a plan there is no nonce, and so no receipt
    let (control, mut plan, sha256) = match read_plan(control, plan_sha256) {
        Ok(found) => found,
        Err(error) => return refuse(stderr, &error, error.hint()),
    };
    let mut attempt = Attempt::begin();
    // from here on every end is recorded
    let task = delivered::task(&plan);
    let number = task.as_ref().ok().copied().flatten();
    attempt.report.conditions.task = number;
    // the job as this task has it
    plan.job.terms.tasks = number.map(Tasks::one).or(plan.job.terms.tasks);
    let result = container::hear().map(signals::keep).and_then(|()| {
        dumps::refuse();
        attempt.run(&plan, (&control, &sha256, task?), stderr)
    });
    let result = result.map_err(|error| {
        let Attempt { supply, report, .. } = &mut attempt;
        supply.explained(report, &plan, error)
    });
    let (start, code) = match result {
        Ok(Ended { started_at, code, told, signal, keys }) => {
            attempt.report.conditions.told = told;
            attempt.report.conditions.signal = signal;
            attempt.report.conditions.keys = keys;
            (Start::Started { at: started_at }, attempt.as_required(&plan, code, stderr))
        }
        Err(error) => {
            if let ExecuteError::Told(signal) = &error {
                attempt.report.conditions.told = Some(*signal);
            }
            let hint = advice(&error, &plan.job.delivery);
            (Start::Refused { why: error.to_string() }, refuse(stderr, &error, hint))
        }
    };
    // the other tasks of an array need them, too
    if attempt.report.conditions.told.is_none() && plan.task_from.is_none() {
        tickets::forget(&control);
    }
    let receipt = attempt.receipt(&plan, start, code);
    let written = delivered::receipts(&plan.job.delivery, &control, number)
        .and_then(|dir| write_receipt(&dir, &receipt));
    if let Err(error) = written {
        tell(stderr, &format!("warning: the receipt could not be written: {error}"));
    }
    code
}

fn read_plan(
    control: &Path,
    sha256: Option<&str>,
) -> Result<(PathBuf, Plan, String), ExecuteError> {
    let control = fs::canonicalize(control)
        .map_err(ExecuteError::io(format!("the control directory {}", control.display())))?;
    let path = control.join(PLAN_FILE);
    let bytes = ForeignFile::own_or_roots(MOST_PLAN_BYTES)
        .bytes(&path)
        .map_err(|error| ExecuteError::io(format!("reading {}", path.display()))(error.into()))?;
    let found = Digest::of(&bytes).hex();
    if let Some(expected) = sha256
        && expected != found
    {
        return Err(ExecuteError::PlanChanged { path, found, expected: expected.to_owned() });
    }
    let plan = Plan::parse(&bytes).map_err(|source| ExecuteError::Plan { path, source })?;
    Ok((control, plan, found))
}

/// Larger plans are refused: a command line has 2 MiB at most (execve(2)).
const MOST_PLAN_BYTES: u64 = 64 << 20;

/// What an attempt has found before it looks at the image.
#[derive(Clone, Copy)]
struct Order<'a> {
    plan: &'a Plan,
    /// Its `control/`, and the plan's SHA-256.
    job: (&'a Path, &'a str),
    binds: &'a [Bind],
    workdir: &'a Path,
}

/// One attempt.
struct Attempt {
    id: String,
    report: Report,
    /// What the working directory held; there once it is known.
    before: Option<Before>,
    /// Hashes this program while the job's own is started, where no script has checked it.
    program: Option<JoinHandle<Option<Digest>>>,
    /// Asks for the name of this user, once the program is about to start.
    user: Option<Asked>,
    /// Its image.
    supply: Supply,
}

impl Attempt {
    fn begin() -> Self {
        let mut bytes = [0; 16];
        // a number that is not random is still one that is new: the time
        if getrandom::fill(&mut bytes).is_err() {
            bytes = jiff::Timestamp::now().as_nanosecond().to_be_bytes();
        }
        let report = Report::empty();
        let id = format!("{:032x}", u128::from_be_bytes(bytes));
        let supply = Supply::default();
        Self { id, report, before: None, program: None, user: None, supply }
    }

    fn run(
        &mut self,
        plan: &Plan,
        (control, sha256, task): (&Path, &str, Option<u32>),
        stderr: &mut dyn Write,
    ) -> Result<Ended, ExecuteError> {
        if let Some(kind) = &plan.on_record {
            on_record::check(control, &plan.intent, (kind, task.is_some()))?;
        }
        let form = form(&plan.job.image, &plan.job.delivery)?;
        self.report.conditions.delivery = Some(plan.job.delivery.name());
        self.supply.place = match &plan.job.delivery {
            Delivery::Pull { .. } | Delivery::Cvmfs {} => None,
            delivery => Some(delivered::place(delivery, delivered::job(control))?),
        };
        let required = plan.job.terms.require;
        if let Some(required @ Grade::Other(_)) = required {
            return Err(ExecuteError::Requirement(required));
        }
        let found = mounts::find(&plan.job.mounts)?;
        for note in &found.skipped {
            let MountNote { source, target, why } = note;
            tell(stderr, &format!("warning: {source} is not mounted at {target}: {why}"));
        }
        let report = &mut self.report;
        report.skipped = found.skipped;
        report.passed = found.passed;
        // file systems may have taken their time
        still_wanted()?;
        let workdir = mounts::directory(&delivered::workdir(plan, control, task)?)?;
        self.before = Some(Before::look(&workdir));
        if rustix::process::geteuid().is_root() {
            // mounts that only this job sees, and that end with it; no loss where that is refused
            let _ = super::inside::own_mounts();
        }
        let mut chosen = choose(plan, form)?;
        report.conditions.network = Some(plan.job.terms.network.unwrap_or(Network::Host));
        let (binds, job) = (&found.binds, (control, sha256));
        let order = Order { plan, job, binds, workdir: &workdir };
        loop {
            let report = &mut self.report;
            report.runtime = chosen.name();
            report.notes.extend(chosen.passed.iter().map(|why| format!("not taken: {why}")));
            let before = (report.notes.len(), report.conditions.clone());
            let error = match self.run_by(&chosen, order, stderr) {
                Err(error @ ExecuteError::NotSeen { works: false, .. }) => error,
                ended => return ended,
            };
            // it started nothing, so the next one may
            let Some(next) = chosen.next(plan, form, &error) else { return Err(error) };
            tell(stderr, &format!("warning: {error}; {} is taken", next.runtime.name()));
            let report = &mut self.report;
            let moved = report.conditions.moved;
            report.evidence = Evidence::none();
            report.rootfs = None;
            report.notes.truncate(before.0);
            report.conditions = Conditions { moved, ..before.1 };
            chosen = next;
        }
    }

    /// The job by this runtime.
    fn run_by(
        &mut self,
        chosen: &Chosen,
        order: Order<'_>,
        stderr: &mut dyn Write,
    ) -> Result<Ended, ExecuteError> {
        let (plan, runtime) = (order.plan, chosen.runtime);
        let required = plan.job.terms.require;
        if let Some(option) = plan.job.options.first().filter(|_| !runtime.takes_options()) {
            let (option, runtime) = (option.clone(), runtime.name());
            return Err(ExecuteError::Options { option, runtime });
        }
        let noted = self.report.notes.len();
        match self.start(order, chosen, runtime.checks_blocks(), stderr) {
            Err(ExecuteError::NotServed(why)) if required != Some(Grade::VerifiedOnRead) => {
                self.report.evidence = Evidence::none();
                self.report.notes.truncate(noted);
                self.report.notes.push(format!("not checked on read: {why}"));
                self.start(order, chosen, false, stderr)
            }
            ended => ended,
        }
    }

    /// The image at its place, and the program in it; with `checks` its blocks are checked when they are read.
    fn start(
        &mut self,
        Order { plan, job, binds, workdir }: Order<'_>,
        chosen: &Chosen,
        checks: bool,
        stderr: &mut dyn Write,
    ) -> Result<Ended, ExecuteError> {
        let runtime = chosen.runtime;
        let required = plan.job.terms.require;
        let image = self.supply.image(&mut self.report, plan, job, checks)?;
        let platform =
            plan.job.image.pin().map(|pin| &pin.platform).or(plan.job.terms.platform.as_ref());
        processor::check(platform, image.sif_file())?;
        let report = &mut self.report;
        report.shows(&[binds, &[Bind::workdir(workdir)]].concat());
        report.conditions.hides = Some(runtime.hides(&plan.job.options));
        let evidence = report.evidence.clone();
        let request = Request {
            plan,
            image: &image,
            evidence: &evidence,
            binds,
            control: job.0,
            workdir,
            attempt: &self.id,
        };
        let prepared = runtime.prepare(&chosen.found, &request, report);
        for warning in report.warnings.drain(..) {
            tell(stderr, &format!("warning: {warning}"));
        }
        let prepared = prepared?;
        report.evidence = prepared.identity();
        let grade = report.evidence.grade;
        if let Some(required) = required.filter(|required| !grade.meets(required)) {
            let runtime = report.runtime.to_string();
            return Err(ExecuteError::Evidence { runtime, grade, required });
        }
        // nothing is started for somebody who has gone meanwhile
        still_wanted()?;
        if plan.worker.is_none() && self.program.is_none() {
            // where no thread can be started, it is hashed in the end
            self.program = std::thread::Builder::new().spawn(used::own_program).ok();
        }
        self.user = self.user.take().or_else(user::ask);
        prepared.run(&mut self.report)
    }

    /// The job's exit code: another than the program's own when the evidence is not what was required.
    fn as_required(&mut self, plan: &Plan, code: i32, stderr: &mut dyn Write) -> i32 {
        let grade = self.report.evidence.grade;
        let Some(required) = plan.job.terms.require.filter(|required| !grade.meets(required))
        else {
            return code;
        };
        let why = format!(
            "the program ended with {code}, and its evidence is {}, not {} as the job requires",
            grade.name(),
            required.name()
        );
        tell(stderr, &why);
        self.report.notes.push(why);
        exit::IMAGE_MISMATCH
    }

    /// What is known once every process of the program is gone.
    fn ended(&mut self, plan: &Plan) {
        let report = &mut self.report;
        let used = Used::by_children().filter(|_| !report.elsewhere);
        if let Some(Used { peak_memory, cpu_ms }) = used {
            report.conditions.peak_memory = Some(peak_memory);
            report.conditions.cpu_ms = Some(cpu_ms);
        }
        if let Some(before) = &self.before {
            let told = report.conditions.told.is_some();
            let budget = plan.limits.get(OUTPUT_BYTES).copied().unwrap_or(MOST_OUTPUT_BYTES);
            let Left { outputs, notes } = before.after(&plan.job.terms.outputs, told, budget);
            report.conditions.outputs = outputs;
            report.notes.extend(notes);
        }
    }

    fn receipt(mut self, plan: &Plan, start: Start, exit_code: i32) -> Receipt {
        // hashing what it left may take long
        let ended_at = jiff::Timestamp::now();
        // a clock that was set back meanwhile: the order of what happened is known, its time is not
        let last = [self.report.evidence.measured_at, start.at()].into_iter().flatten().max();
        let ended_at = match last {
            Some(last) if last > ended_at => {
                let note =
                    format!("this machine's clock was set back: it said {ended_at} at the end");
                self.report.notes.push(note);
                last
            }
            _ => ended_at,
        };
        if start.at().is_some() {
            self.ended(plan);
        } else {
            // nothing ran, so nothing was shown to it
            self.report.conditions.mounts.clear();
            self.report.conditions.argv.clear();
        }
        let mut report = self.report;
        report.conditions.passed_over = mounts::notes(&report.passed);
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        report.conditions.kernel = Some(text(uname.release()));
        report.conditions.user = Some(user::said(self.user));
        let hashed = || self.program.map_or_else(used::own_program, |thread| thread.join().ok()?);
        report.conditions.worker = plan.worker.or_else(hashed);
        Receipt {
            schema: RECEIPT_SCHEMA,
            writer: format!("moorline {}", env!("CARGO_PKG_VERSION")),
            job: plan.job.id,
            intent: plan.intent,
            nonce: plan.nonce,
            attempt: self.id,
            host: text(uname.nodename()),
            engine: engine_facts(|name| std::env::var(name).ok()),
            pinned: plan.job.image.pin().map(|pin| pin.manifest),
            expected: plan.job.image.sif(),
            evidence: report.evidence,
            runtime: report.runtime,
            rootfs: report.rootfs,
            notes: report.notes,
            skipped_mounts: report.skipped,
            start,
            ended_at,
            exit_code,
            conditions: report.conditions,
        }
    }
}

/// Says something on the job's standard error, which is the caller's terminal below `run`. Names of the image and of
/// the machine are in it, so it does nothing to a terminal and begins no line of its own.
fn tell(stderr: &mut dyn Write, text: &str) {
    // nobody is left to tell when it is gone
    let _ = writeln!(stderr, "moorline: {}", text::lines(text).replace('\n', "\n  "));
}

/// The form that an image lies in.
fn form(image: &pin::Image, delivery: &Delivery) -> Result<Form, ExecuteError> {
    match image {
        pin::Image::Oci { .. } if matches!(delivery, Delivery::Cvmfs {}) => Ok(Form::Directory),
        pin::Image::Sif { .. } => Ok(Form::Sif),
        pin::Image::Oci { .. } => Ok(Form::Oci),
        other @ pin::Image::Other { .. } => Err(ExecuteError::NotSif(other.name())),
    }
}

/// What the engine says of the place; identifiers only.
fn engine_facts(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let good = |v: &str| {
        !v.is_empty()
            && v.len() <= 64
            && v.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    backend::engines()
        .flat_map(|facts| facts.in_receipt)
        .filter_map(|name| Some(format!("{name}={}", variable(name).filter(|v| good(v))?)))
        .collect()
}

/// Whole or not at all: a temporary file, synced, renamed.
fn write_receipt(dir: &Path, receipt: &Receipt) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(receipt)?;
    text.push(b'\n');
    let name = dir.join(format!("{RECEIPT_PREFIX}{}.json", receipt.attempt));
    files::create(&name, 0o400, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_facts_are_identifiers() {
        let variable = |name: &str| match name {
            "SLURM_JOB_ID" => Some("12".to_owned()),
            "SLURM_CLUSTER_NAME" => Some("a b\"".to_owned()),
            _ => None,
        };
        assert_eq!(engine_facts(variable), ["SLURM_JOB_ID=12"]);
    }
}
