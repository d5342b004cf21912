//! `moorline worker CONTROL_DIR`: one attempt of one job.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::attend::{Ended, still_wanted};
use super::form::Form;
use super::image::{Archived, Image};
use super::measure::{Measured, measure, seal};
use super::outputs::{Before, Left};
use super::report::Report;
use super::rootfs::Server;
use super::runtimes::{Request, choose};
use super::used::{self, Used};
use super::{
    ExecuteError, container, delivered, dumps, mounts, on_record, processor, signals, tickets,
};
use crate::backend;
use crate::failure::{Failure, Kind};
use crate::files::{self, ForeignFile};
use crate::job::{self, Delivery, Evidence, Grade, Network};
use crate::oci::{Sha256Digest, SifDigest, TreeRoot};
use crate::pin;
use crate::text;
use crate::worker::{
    MountNote, PLAN_FILE, Plan, RECEIPT_PREFIX, RECEIPT_SCHEMA, Receipt, Start, exit,
};

/// Runs the plan in `control` and writes its receipt there; returns the job's exit code: the
/// program's own, 128+n for signal n, or one of [`crate::worker::exit`]. Standard input, output and error of this
/// process are the program's.
///
/// `plan_sha256` is the hex that the script holds. Warnings and the reason of a refusal go to
/// `stderr`. Must be called while the process has one thread: [`super::early`] does so.
pub fn work(control: &Path, plan_sha256: Option<&str>, stderr: &mut dyn Write) -> i32 {
    let refuse = |stderr: &mut dyn Write, error: &ExecuteError| {
        tell(stderr, &error.to_string());
        if let Some(hint) = error.hint() {
            tell(stderr, &hint);
        }
        error.exit_code()
    };
    // without a plan there is no nonce, and so no receipt
    let (control, plan) = match read_plan(control, plan_sha256) {
        Ok(found) => found,
        Err(error) => return refuse(stderr, &error),
    };
    let mut attempt = Attempt::begin();
    // from here on every end is recorded
    let result = container::hear().map(signals::keep).and_then(|()| {
        dumps::refuse();
        attempt.run(&plan, &control, stderr)
    });
    let result = result.map_err(|error| attempt.explained(&plan, &control, error));
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
            (Start::Refused { why: error.to_string() }, refuse(stderr, &error))
        }
    };
    if attempt.report.conditions.told.is_none() {
        tickets::forget(&control);
    }
    let receipt = attempt.receipt(&plan, start, code);
    let written = delivered::receipts(&plan.job.delivery, &control)
        .and_then(|dir| write_receipt(&dir, &receipt));
    if let Err(error) = written {
        tell(stderr, &format!("warning: the receipt could not be written: {error}"));
    }
    code
}

fn read_plan(
    control: &Path,
    sha256: Option<&str>,
) -> Result<(std::path::PathBuf, Plan), ExecuteError> {
    let control = fs::canonicalize(control)
        .map_err(ExecuteError::io(format!("the control directory {}", control.display())))?;
    let path = control.join(PLAN_FILE);
    let bytes = ForeignFile::own_or_roots(MOST_PLAN_BYTES)
        .bytes(&path)
        .map_err(|error| ExecuteError::io(format!("reading {}", path.display()))(error.into()))?;
    let found = crate::oci::Digest::of(&bytes).hex();
    if let Some(expected) = sha256
        && expected != found
    {
        return Err(ExecuteError::PlanChanged { path, found, expected: expected.to_owned() });
    }
    let plan = Plan::parse(&bytes).map_err(|source| ExecuteError::Plan { path, source })?;
    Ok((control, plan))
}

/// Larger plans are refused: a command line has 2 MiB at most (execve(2)).
const MOST_PLAN_BYTES: u64 = 64 << 20;

/// One attempt.
struct Attempt {
    id: String,
    report: Report,
    /// What the working directory held; there once it is known.
    before: Option<Before>,
}

impl Attempt {
    fn begin() -> Self {
        let mut bytes = [0; 16];
        // a number that is not random is still one that is new: the time
        if getrandom::fill(&mut bytes).is_err() {
            bytes = jiff::Timestamp::now().as_nanosecond().to_be_bytes();
        }
        let report = Report::empty();
        Self { id: format!("{:032x}", u128::from_be_bytes(bytes)), report, before: None }
    }

    fn run(
        &mut self,
        plan: &Plan,
        control: &Path,
        stderr: &mut dyn Write,
    ) -> Result<Ended, ExecuteError> {
        if let Some(kind) = &plan.on_record {
            on_record::check(control, &plan.intent, kind)?;
        }
        let form = form(&plan.job.image)?;
        self.report.conditions.delivery = Some(plan.job.delivery.name());
        let place = delivered::place(&plan.job.delivery, delivered::job(control))?;
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
        let workdir = mounts::directory(&delivered::job(control).join(&plan.workdir))?;
        self.before = Some(Before::look(&workdir));
        if rustix::process::geteuid().is_root() {
            // mounts that only this job sees, and that end with it; no loss where that is refused
            let _ = super::inside::own_mounts();
        }
        let chosen = choose(&plan.job, &plan.runtimes, form)?;
        report.runtime = chosen.name();
        report.notes.extend(chosen.passed.iter().map(|why| format!("not taken: {why}")));
        report.conditions.network = Some(plan.job.terms.network.unwrap_or(Network::Host));
        let runtime = chosen.runtime;
        if let Some(option) = plan.job.options.first().filter(|_| !runtime.takes_options()) {
            let (option, runtime) = (option.clone(), runtime.name());
            return Err(ExecuteError::Options { option, runtime });
        }
        let image = self.look_at(plan, &place, runtime.checks_blocks())?;
        if matches!(plan.job.delivery, Delivery::Transfer { .. }) {
            self.report.conditions.moved = fs::metadata(&place).ok().map(|meta| meta.len());
        }
        let platform =
            plan.job.image.pin().map(|pin| &pin.platform).or(plan.job.terms.platform.as_ref());
        processor::check(platform, image.sif_file())?;
        let report = &mut self.report;
        report.conditions.hides = Some(runtime.hides(&plan.job.options));
        let evidence = report.evidence.clone();
        let request = Request {
            plan,
            image: &image,
            evidence: &evidence,
            binds: &found.binds,
            control,
            workdir: &workdir,
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
        prepared.run(report)
    }

    /// The image at its place, compared with the pin; `checks` when the runtime can check its blocks as they are read.
    fn look_at(&mut self, plan: &Plan, place: &Path, checks: bool) -> Result<Image, ExecuteError> {
        let sif = |measured| Image::Sif(Box::new(measured));
        match &plan.job.image {
            pin::Image::Sif { digest, tree: Some(root), .. } if checks => {
                self.seal(place, *digest, *root).map(sif)
            }
            pin::Image::Sif { digest, .. } => self.measure(place, *digest).map(sif),
            pin::Image::Oci { pin } => {
                Archived::open(place, pin).map(|archived| Image::Oci(Box::new(archived)))
            }
            other @ pin::Image::Other { .. } => Err(ExecuteError::NotSif(other.name())),
        }
    }

    /// The image to be checked when it is read, or, where it cannot be served here, measured whole.
    fn seal(
        &mut self,
        place: &Path,
        expected: SifDigest,
        root: TreeRoot,
    ) -> Result<Measured, ExecuteError> {
        if let Err(why) = Server::possible() {
            self.report.notes.push(format!("not checked on read: {why}"));
            return self.measure(place, expected);
        }
        let sealed = seal(place, expected, root)?;
        let measured = Some(job::Measured::Tree(root));
        let grade = Grade::VerifiedOnRead;
        self.report.evidence = Evidence { grade, measured, measured_at: Some(sealed.at) };
        Ok(sealed)
    }

    /// A file that cannot be read as an image is another file than the pinned one, or the pinned one is bad: where its
    /// blocks were to be checked, it was not hashed before, so it is now.
    fn explained(&mut self, plan: &Plan, control: &Path, error: ExecuteError) -> ExecuteError {
        let pin::Image::Sif { digest, tree: Some(_), .. } = &plan.job.image else { return error };
        let known = matches!(
            error,
            ExecuteError::Mismatch { .. }
                | ExecuteError::OtherImage { .. }
                | ExecuteError::PlanChanged { .. }
        );
        if known || error.kind() != Kind::Integrity {
            return error;
        }
        let Ok(place) = delivered::place(&plan.job.delivery, delivered::job(control)) else {
            return error;
        };
        match self.measure(&place, *digest) {
            Err(other @ ExecuteError::Mismatch { .. }) => other,
            _ => error,
        }
    }

    fn measure(&mut self, place: &Path, expected: SifDigest) -> Result<Measured, ExecuteError> {
        let measured = measure(place, expected);
        let known = match &measured {
            Ok(m) => Some((m.digest, m.at)),
            Err(ExecuteError::Mismatch { found, .. }) => Some((*found, jiff::Timestamp::now())),
            Err(_) => None,
        };
        if let Some((digest, at)) = known {
            let measured = Some(job::Measured::Sif(digest));
            self.report.evidence =
                Evidence { grade: Grade::Measured, measured, measured_at: Some(at) };
        }
        measured
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
        if let Some(Used { peak_memory, cpu_ms }) = Used::by_children() {
            report.conditions.peak_memory = Some(peak_memory);
            report.conditions.cpu_ms = Some(cpu_ms);
        }
        if let Some(before) = &self.before {
            let told = report.conditions.told.is_some();
            let Left { outputs, notes } = before.after(&plan.job.terms.outputs, told);
            report.conditions.outputs = outputs;
            report.notes.extend(notes);
        }
    }

    fn receipt(mut self, plan: &Plan, start: Start, exit_code: i32) -> Receipt {
        // hashing what it left may take long
        let ended_at = jiff::Timestamp::now();
        if matches!(start, Start::Started { .. }) {
            self.ended(plan);
        }
        let mut report = self.report;
        report.conditions.passed_over = mounts::notes(&report.passed);
        report.conditions.worker = plan.worker.or_else(used::own_program);
        Receipt {
            schema: RECEIPT_SCHEMA,
            writer: format!("moorline {}", env!("CARGO_PKG_VERSION")),
            job: plan.job.id,
            intent: plan.intent,
            nonce: plan.nonce,
            attempt: self.id,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
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
fn form(image: &pin::Image) -> Result<Form, ExecuteError> {
    match image {
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
