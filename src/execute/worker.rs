//! `moorline worker CONTROL_DIR`: one attempt of one job.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::attend::{Ended, still_wanted};
use super::form::Form;
use super::image::{Archived, Image};
use super::measure::{Measured, measure, seal};
use super::node::{self, Bounds, Images, InUse};
use super::outputs::{Before, Left};
use super::report::Report;
use super::rootfs::Server;
use super::runtimes::{Chosen, Request, choose};
use super::used::{self, Used};
use super::{
    ExecuteError, container, delivered, directory, dumps, mounts, on_record, processor, signals,
    tickets,
};
use crate::backend;
use crate::failure::{Failure, Kind};
use crate::files::{self, ForeignFile};
use crate::job::{self, Delivery, Evidence, Grade, Network, Tasks};
use crate::oci::{Digest, Sha256Digest, SifDigest, TreeRoot};
use crate::pin;
use crate::runtime::Bind;
use crate::text;
use crate::worker::{
    MOST_OUTPUT_BYTES, MountNote, OUTPUT_BYTES, PLAN_FILE, Plan, RECEIPT_PREFIX, RECEIPT_SCHEMA,
    Receipt, Start, exit,
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
    let (control, mut plan, sha256) = match read_plan(control, plan_sha256) {
        Ok(found) => found,
        Err(error) => return refuse(stderr, &error),
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
    let result = result.map_err(|error| attempt.explained(&plan, error));
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
    /// Where the image lies, once that is known.
    place: Option<PathBuf>,
    /// The node's images, and the one of them that is used.
    images: Option<(Images, Option<InUse>)>,
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
        Self { id, report, before: None, program: None, place: None, images: None }
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
        self.place = match &plan.job.delivery {
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
        let chosen = choose(plan, form)?;
        report.runtime = chosen.name();
        report.notes.extend(chosen.passed.iter().map(|why| format!("not taken: {why}")));
        report.conditions.network = Some(plan.job.terms.network.unwrap_or(Network::Host));
        let runtime = chosen.runtime;
        if let Some(option) = plan.job.options.first().filter(|_| !runtime.takes_options()) {
            let (option, runtime) = (option.clone(), runtime.name());
            return Err(ExecuteError::Options { option, runtime });
        }
        let job = (control, sha256);
        let order = Order { plan, job, binds: &found.binds, workdir: &workdir };
        let noted = self.report.notes.len();
        match self.start(order, &chosen, runtime.checks_blocks(), stderr) {
            Err(ExecuteError::NotServed(why)) if required != Some(Grade::VerifiedOnRead) => {
                self.report.evidence = Evidence::none();
                self.report.notes.truncate(noted);
                self.report.notes.push(format!("not checked on read: {why}"));
                self.start(order, &chosen, false, stderr)
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
        let image = self.image(plan, job, checks)?;
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
        prepared.run(&mut self.report)
    }

    /// The image, wherever it is got from, compared with the pin; `checks` as below. A credential that came with the job
    /// is not needed any more then.
    fn image(
        &mut self,
        plan: &Plan,
        job: (&Path, &str),
        checks: bool,
    ) -> Result<Image, ExecuteError> {
        let got = self.got(plan, job, checks);
        // an attempt that was told to end may be followed by another one; other tasks of an array need it, too
        if !matches!(got, Err(ExecuteError::Told(_))) && plan.task_from.is_none() {
            node::forget_credential(job.0);
        }
        got
    }

    fn got(
        &mut self,
        plan: &Plan,
        job: (&Path, &str),
        checks: bool,
    ) -> Result<Image, ExecuteError> {
        match (&plan.job.delivery, &plan.job.image) {
            (Delivery::Cvmfs {}, pin::Image::Oci { pin }) => {
                let (directory, evidence) = directory::published(&plan.getting.cvmfs, pin, job.0)?;
                self.report.evidence = evidence;
                return Ok(Image::Directory(Box::new(directory)));
            }
            (Delivery::Pull { .. }, _) => self.pull(plan, job)?,
            (Delivery::Transfer { .. }, _) => {
                let meta = self.place.as_ref().and_then(|place| fs::metadata(place).ok());
                self.report.conditions.moved = meta.map(|meta| meta.len());
            }
            _ => self.copy(plan, checks)?,
        }
        let place = self.place.clone().unwrap_or_default();
        match self.look_at(plan, &place, checks) {
            // the node's own copy: a cleaner of temporary files may have taken a part of it
            Err(error) if self.images.is_some() && is_damage(&error) => {
                self.again(plan, job, &error)?;
                let place = self.place.clone().unwrap_or_default();
                self.look_at(plan, &place, checks)
            }
            other => other,
        }
    }

    /// The SIF of the node's images, pulled now where it is not there.
    fn pull(&mut self, plan: &Plan, job: (&Path, &str)) -> Result<(), ExecuteError> {
        let images = match self.images.take() {
            Some((images, _)) => images,
            None => Images::of(plan)?,
        };
        self.report.notes.extend(images.note.clone());
        let (place, moved) = node::pull(&images, plan, job)?;
        // a second look finds it on the node, and moves nothing more
        self.report.conditions.moved = moved.or(self.report.conditions.moved);
        self.keep(images, plan, place);
        Ok(())
    }

    /// A copy on this node of a SIF that is to be hashed whole, where that saves work.
    fn copy(&mut self, plan: &Plan, checks: bool) -> Result<(), ExecuteError> {
        let pin::Image::Sif { digest, tree, .. } = &plan.job.image else { return Ok(()) };
        let Some(place) = self.place.clone() else { return Ok(()) };
        let served = checks && tree.is_some() && Server::possible().is_ok();
        if served || !node::is_worth_it(&place, plan.getting.copy) {
            return Ok(());
        }
        let images = Images::of(plan)?;
        if images.note.is_some() {
            // a copy for one job saves nothing
            return Ok(());
        }
        match node::copied(&images, &place, *digest)? {
            Ok(copy) => self.keep(images, plan, copy),
            Err(why) => self.report.notes.push(why),
        }
        Ok(())
    }

    /// Uses a SIF of the node's, and makes room for it.
    fn keep(&mut self, images: Images, plan: &Plan, place: PathBuf) {
        let used = plan.job.image.sif().and_then(|digest| {
            let used = images.in_use(&place, digest);
            node::make_room(&images, Bounds::of(&plan.getting, digest));
            used
        });
        self.images = Some((images, used));
        self.place = Some(place);
    }

    /// The node's SIF is damaged: it goes, and is got again.
    fn again(
        &mut self,
        plan: &Plan,
        job: (&Path, &str),
        error: &ExecuteError,
    ) -> Result<(), ExecuteError> {
        let Some((images, used)) = self.images.take() else { return Ok(()) };
        drop(used);
        let place = self.place.take().unwrap_or_default();
        let again = node::forget(&place);
        self.report.notes.push(format!(
            "what this node had of the image was damaged, perhaps by a cleaner of temporary files ({error}): it \
             is got again"
        ));
        self.place = Some(place);
        self.images = Some((images, None));
        if !again {
            return Ok(());
        }
        if let Delivery::Pull { .. } = plan.job.delivery {
            return self.pull(plan, job);
        }
        self.images = None;
        self.place = Some(delivered::place(&plan.job.delivery, delivered::job(job.0))?);
        Ok(())
    }

    /// The image at its place, compared with the pin; `checks` when the runtime can check its blocks as they are read.
    fn look_at(&mut self, plan: &Plan, place: &Path, checks: bool) -> Result<Image, ExecuteError> {
        let sif = |measured| Image::Sif(Box::new(measured));
        match &plan.job.image {
            pin::Image::Sif { digest, tree: Some(root), .. } if checks => {
                Server::possible().map_err(ExecuteError::NotServed)?;
                self.seal(place, *digest, *root).map(sif)
            }
            pin::Image::Sif { digest, .. } => self.measure(place, *digest).map(sif),
            pin::Image::Oci { pin } => {
                Archived::open(place, pin).map(|archived| Image::Oci(Box::new(archived)))
            }
            other @ pin::Image::Other { .. } => Err(ExecuteError::NotSif(other.name())),
        }
    }

    /// The image to be checked when it is read.
    fn seal(
        &mut self,
        place: &Path,
        expected: SifDigest,
        root: TreeRoot,
    ) -> Result<Measured, ExecuteError> {
        let sealed = seal(place, expected, root)?;
        let measured = Some(job::Measured::Tree(root));
        let grade = Grade::VerifiedOnRead;
        self.report.evidence = Evidence { grade, measured, measured_at: Some(sealed.at) };
        Ok(sealed)
    }

    /// A file that cannot be read as an image is another file than the pinned one, or the pinned one is bad: where its
    /// blocks were to be checked, it was not hashed before, so it is now.
    fn explained(&mut self, plan: &Plan, error: ExecuteError) -> ExecuteError {
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
        let Some(place) = self.place.clone() else { return error };
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
            let budget = plan.limits.get(OUTPUT_BYTES).copied().unwrap_or(MOST_OUTPUT_BYTES);
            let Left { outputs, notes } = before.after(&plan.job.terms.outputs, told, budget);
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
        let hashed = || self.program.map_or_else(used::own_program, |thread| thread.join().ok()?);
        report.conditions.worker = plan.worker.or_else(hashed);
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

/// Whether a file of the node's is not what it was.
fn is_damage(error: &ExecuteError) -> bool {
    matches!(
        error,
        ExecuteError::ImageMissing { .. }
            | ExecuteError::Mismatch { .. }
            | ExecuteError::Sealed { .. }
            | ExecuteError::Sif { .. }
    )
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
