//! `moorline worker CONTROL_DIR`: one attempt of one job.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::attend::still_wanted;
use super::choose::{Runtime, choose};
use super::container::{self, Ended};
use super::identify::Program;
use super::measure::{Measured, measure};
use super::mounts::Passed;
use super::outputs::{Before, Left};
use super::scratch::{self, Scratch};
use super::used::{self, Used};
use super::{
    ExecuteError, builtin, delivered, dumps, mounts, on_record, packed, processor, program, rootfs,
    signals, tickets,
};
use crate::backend;
use crate::failure::Failure;
use crate::files::{self, ForeignFile};
use crate::job::{self, CallFilter, Delivery, Evidence, Grade, JobSpec, Name, Network};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;
use crate::runtime::Bind;
use crate::runtime::builtin::Cover;
use crate::text;
use crate::worker::{
    Conditions, Hides, MountNote, PLAN_FILE, Plan, RECEIPT_PREFIX, RECEIPT_SCHEMA, Receipt, Start,
    exit,
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
    let (start, code) = match result {
        Ok(Ended { started_at, code, told, signal, keys }) => {
            attempt.conditions.told = told;
            attempt.conditions.signal = signal;
            attempt.conditions.keys = keys;
            (Start::Started { at: started_at }, attempt.as_required(&plan, code, stderr))
        }
        Err(error) => {
            if let ExecuteError::Told(signal) = &error {
                attempt.conditions.told = Some(*signal);
            }
            (Start::Refused { why: error.to_string() }, refuse(stderr, &error))
        }
    };
    if attempt.conditions.told.is_none() {
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

/// What is learnt on the way, so that a refusal's receipt says as much as is known.
struct Attempt {
    id: String,
    evidence: Evidence,
    runtime: Name,
    rootfs: Option<String>,
    notes: Vec<String>,
    skipped: Vec<MountNote>,
    passed: Vec<Passed>,
    conditions: Conditions,
    before: Option<Before>,
}

impl Attempt {
    fn begin() -> Self {
        let mut bytes = [0; 16];
        // a number that is not random is still one that is new: the time
        if getrandom::fill(&mut bytes).is_err() {
            bytes = jiff::Timestamp::now().as_nanosecond().to_be_bytes();
        }
        Self {
            id: format!("{:032x}", u128::from_be_bytes(bytes)),
            evidence: Evidence::none(),
            runtime: Name::known("none"),
            rootfs: None,
            notes: vec![],
            skipped: vec![],
            passed: vec![],
            conditions: Conditions::default(),
            before: None,
        }
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
        let Image::Sif { digest, .. } = &plan.job.image else {
            return Err(ExecuteError::NotSif(plan.job.image.name()));
        };
        self.conditions.delivery = Some(plan.job.delivery.name());
        let place = delivered::place(&plan.job.delivery, delivered::job(control))?;
        if let Some(required @ (Grade::VerifiedOnRead | Grade::Other(_))) = plan.job.terms.require {
            return Err(ExecuteError::Requirement(required));
        }
        let found = mounts::find(&plan.job.mounts)?;
        for note in &found.skipped {
            let MountNote { source, target, why } = note;
            tell(stderr, &format!("warning: {source} is not mounted at {target}: {why}"));
        }
        self.skipped = found.skipped;
        self.passed = found.passed;
        let binds = found.binds;
        // file systems may have taken their time
        still_wanted()?;
        let workdir = mounts::directory(&delivered::job(control).join(&plan.workdir))?;
        self.before = Some(Before::look(&workdir));
        if rustix::process::geteuid().is_root() {
            // mounts that only this job sees, and that end with it; no loss where that is refused
            let _ = super::inside::own_mounts();
        }
        let runtime = choose(plan.job.runtime)?;
        self.runtime = runtime.name();
        self.conditions.network = Some(plan.job.terms.network.unwrap_or(Network::Host));
        if let (Runtime::Builtin, Some(option)) = (&runtime, plan.job.options.first()) {
            return Err(ExecuteError::Options(option.clone()));
        }
        let measured = self.measure(&place, *digest)?;
        if matches!(plan.job.delivery, Delivery::Transfer { .. }) {
            self.conditions.moved = measured.file.metadata().ok().map(|meta| meta.len());
        }
        let platform =
            plan.job.image.pin().map(|pin| &pin.platform).or(plan.job.terms.platform.as_ref());
        processor::check(platform, &measured.file)?;
        self.conditions.hides = Some(match &runtime {
            Runtime::Builtin => Hides::Yes,
            Runtime::Program { .. } => program::hides(&plan.job.options),
        });
        match runtime {
            Runtime::Builtin => {
                let scratch = Scratch::make(scratch::JOB, false)?;
                for note in &scratch.notes {
                    tell(stderr, &format!("warning: {note}"));
                }
                self.notes.extend_from_slice(&scratch.notes);
                self.builtin(plan, control, &measured, &binds, (&workdir, &scratch))
            }
            Runtime::Program { path, .. } => {
                self.rootfs = Some("runtime".into());
                let identified = Program::of(&path);
                self.foreign(&identified, &measured, &binds, &plan.job);
                let here = (control, self.id.as_str());
                let shown = (binds.as_slice(), hidden(plan, control));
                let (given, command) = program::given(&measured, &plan.job)?;
                self.notes.extend_from_slice(&given.notes);
                let image = (measured.path.as_path(), given, command);
                let ended = program::run(&path, plan, image, shown, &workdir, here);
                if !identified.unchanged() {
                    if let Some(said) = &mut self.conditions.program {
                        said.sha256 = None;
                    }
                    self.notes.push("the runtime's program was changed while it ran".into());
                }
                // it opened the path by itself: the same file before and after, or no evidence
                if !measured.path_unchanged() {
                    self.nothing_is_known();
                }
                ended
            }
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
            self.evidence = Evidence { grade: Grade::Measured, measured, measured_at: Some(at) };
        }
        measured
    }

    fn builtin(
        &mut self,
        plan: &Plan,
        control: &Path,
        measured: &Measured,
        binds: &[Bind],
        (workdir, scratch): (&Path, &Scratch),
    ) -> Result<Ended, ExecuteError> {
        let required = plan.job.terms.require;
        let may_share = required.is_none_or(|grade| Grade::MeasuredCached.meets(&grade));
        let hide = hidden(plan, control);
        let passed = self.passed.clone();
        let request = builtin::Request {
            plan,
            measured,
            binds,
            passed: &passed,
            hide: &hide,
            control,
            workdir,
            scratch,
            may_share,
        };
        let ran = builtin::run(&request)?;
        self.rootfs = Some(ran.rootfs.to_owned());
        self.conditions.filter = Some(if ran.filtered { CallFilter::On } else { CallFilter::Off });
        self.notes.extend(ran.notes);
        self.passed = ran.passed;
        self.conditions.covers = ran.covers.iter().map(Cover::said).collect();
        if let Some(why) = ran.damage {
            // what it ran is not known any more
            self.notes.push(format!(
                "the unpacked image was damaged while the program ran: {why}; perhaps by a cleaner of \
                 temporary files"
            ));
            self.nothing_is_known();
        } else if !ran.fresh {
            // the tree was made from the same bytes, by an earlier job of this user
            self.evidence.grade = Grade::MeasuredCached;
        } else if ran.rootfs != "unpacked" && !measured.unchanged() {
            self.nothing_is_known();
        }
        Ok(ran.ended)
    }

    /// What is to be known of a runtime that is not ours: which program it is, its options, and what
    /// lies over the image's files.
    fn foreign(&mut self, program: &Program, measured: &Measured, binds: &[Bind], job: &JobSpec) {
        if let Some(kind) = program.kind() {
            self.runtime = Name::known(kind);
        }
        self.conditions.program = Some(program.said());
        self.conditions.options.clone_from(&job.options);
        let asked = || binds.iter().filter(|bind| !builtin::is_default(bind, job));
        let covers = packed::covered(&measured.file, asked()).unwrap_or_else(|why| {
            self.notes.push(format!(
                "which mounts lie over files of the image cannot be seen ({why}): all are listed"
            ));
            // each could lie over something
            asked().map(|b| Cover { target: b.target.clone(), source: b.source.clone() }).collect()
        });
        self.conditions.covers = covers.iter().map(Cover::said).collect();
    }

    /// The job's exit code: another than the program's own when the evidence is not what was required.
    fn as_required(&mut self, plan: &Plan, code: i32, stderr: &mut dyn Write) -> i32 {
        let grade = self.evidence.grade;
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
        self.notes.push(why);
        exit::IMAGE_MISMATCH
    }

    fn nothing_is_known(&mut self) {
        self.evidence = Evidence::none();
    }

    /// What is known once every process of the program is gone.
    fn ended(&mut self, plan: &Plan) {
        if let Some(Used { peak_memory, cpu_ms }) = Used::by_children() {
            self.conditions.peak_memory = Some(peak_memory);
            self.conditions.cpu_ms = Some(cpu_ms);
        }
        if let Some(before) = &self.before {
            let told = self.conditions.told.is_some();
            let Left { outputs, notes } = before.after(&plan.job.terms.outputs, told);
            self.conditions.outputs = outputs;
            self.notes.extend(notes);
        }
    }

    fn receipt(mut self, plan: &Plan, start: Start, exit_code: i32) -> Receipt {
        // hashing what it left may take long
        let ended_at = jiff::Timestamp::now();
        self.conditions.passed_over = mounts::notes(&self.passed);
        if matches!(start, Start::Started { .. }) {
            self.ended(plan);
        }
        self.conditions.worker = plan.worker.or_else(used::own_program);
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
            evidence: self.evidence,
            runtime: self.runtime,
            rootfs: self.rootfs,
            notes: self.notes,
            skipped_mounts: self.skipped,
            start,
            ended_at,
            exit_code,
            conditions: self.conditions,
        }
    }
}

/// Says something on the job's standard error, which is the caller's terminal below `run`. Names of the image and of
/// the machine are in it, so it does nothing to a terminal and begins no line of its own.
fn tell(stderr: &mut dyn Write, text: &str) {
    // nobody is left to tell when it is gone
    let _ = writeln!(stderr, "moorline: {}", text::lines(text).replace('\n', "\n  "));
}

/// What no container of this job may see.
fn hidden(plan: &Plan, control: &Path) -> Vec<std::path::PathBuf> {
    // the cache is made by now, so that it can be hidden also from a container that does not need it
    let cache = rootfs::to_hide(Some(&scratch::cache_base(plan)));
    plan.hide.iter().cloned().chain([control.to_owned()]).chain(cache).collect()
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
