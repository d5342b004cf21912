//! `moorline audit`: which image did this job use, which jobs used this image, is the ledger whole.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::acquire::{AcquireError, What};
use crate::archive::Archive;
use crate::audit::{
    AttemptAnswer, Because, Forger, ImageAnswer, ImageQuery, JobAnswer, SubmissionAnswer,
    TasksAnswer, UsedImage, Verdict, audit_image, audit_job, because,
};
use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::output::{self, Outcome, Report};
use crate::cli::show::paint::{Painted, Tone};
use crate::cli::show::plural::plural;
use crate::cli::show::record::{self, Line};
use crate::cli::show::table::{Column, Gives, Table};
use crate::cli::verbs::audit_drift::{self, Drifted};
use crate::cli::verbs::audit_export::{self, Export};
use crate::cli::verbs::audit_report;
use crate::cli::verbs::audit_sbom;
use crate::cli::verbs::jobs;
use crate::failure::Kind;
use crate::follow;
use crate::job::Grade;
use crate::job::{JobId, RuntimeChoice};
use crate::ledger::{self, JobRecord, Payloads, Source};
use crate::oci::{Digest, HubName, Platform, Sha256Digest};
use crate::worker::{Qualifier, SizeLimit};

/// Output files that `audit job` shows for people; the declared ones come first.
const MOST_OUTPUTS: usize = 20;

/// What can be asked.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  moorline audit job last
  moorline audit image group/project:v1")]
pub enum Verb {
    /// Which image did this job use, and how is that known
    Job(Job),
    /// Which jobs used this image
    Image(Image),
    /// Do registries still have what past jobs ran: tags moved or gone, digests gone or about to go
    Drift(Drifted),
    /// Verdicts on jobs as a document for other programs
    Export(Export),
    /// Verdicts on jobs for people: printed, as a note in a merge request, as a commit's status
    Report(audit_report::Report),
    /// The bill of materials of a job's image, as somebody attached it in the registry
    Sbom(audit_sbom::Sbom),
    /// Check the ledger's chain
    #[command(after_help = "\
Examples:
  moorline audit verify
  MOORLINE_LEDGER=/shared/ledger moorline audit verify")]
    Verify,
}

/// `audit job`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline audit job last
  moorline --json=verdict,why audit job 01jd5k")]
pub struct Job {
    #[arg(value_name = "JOB", help = engines::one_job())]
    job: String,
}

/// `audit image`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline audit image group/project:v1
  moorline audit image sha256:1428ab43
  moorline audit image ./analysis.sif")]
pub struct Image {
    /// sha256:... of a manifest, index, configuration or SIF; a reference, as it was asked for; a name of
    /// moorline.toml, a SIF file or an archive
    #[arg(value_name = "IMAGE")]
    image: String,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = jobs::at_least_one)]
    last: usize,
}

/// Attempts of an array that are shown; each task can be asked for.
const MOST_OF_ARRAY: usize = 3;

/// The verb. A mismatch, or a ledger that was changed, exits with 6.
///
/// # Errors
/// When the job is unknown or the ledger cannot be read.
pub fn run(context: &Context, verb: &Verb) -> Outcome {
    match verb {
        Verb::Job(args) => job(context, args),
        Verb::Image(args) => image(context, args),
        Verb::Drift(args) => audit_drift::run(context, args),
        Verb::Export(args) => audit_export::run(context, args),
        Verb::Report(args) => audit_report::run(context, args),
        Verb::Sbom(args) => audit_sbom::run(context, args),
        Verb::Verify => verify(context),
    }
}

fn job(context: &Context, args: &Job) -> Outcome {
    let view = context.named(&[&args.job])?;
    // by its id: `last` may be another one a moment later
    let which = view.find(&args.job)?.which();
    let view = context.for_verdict(which)?;
    let known = follow::refresh(context, &view.which(which).into_iter().collect::<Vec<_>>())?;
    let answer = audit_job(&context.for_verdict(which)?, &which.to_string())?;
    let answer =
        JobShown::of(answer, known.first().map(|job| jobs::Row::of(context.jobs_dir(), job)));
    if context.voice.json {
        document::print(&answer);
    } else {
        output::painted(&job_lines(&answer, context.voice.width()));
    }
    Ok(code(context, answer.answer.verdict, &answer.answer.qualified))
}

/// What an image is asked for by: a bare digest, or WHAT as every verb reads it. Files are asked for by their bytes.
fn asked_for(context: &Context, word: &str) -> Result<ImageQuery, Report> {
    if word.starts_with("sha256:") {
        let whole = context.whole_digest(word)?;
        let digest = whole.as_deref().unwrap_or(word).parse::<Digest>();
        let digest = digest.map_err(|e| output::CliError::usage(e.to_string()))?;
        return Ok(ImageQuery::Bytes(*digest.bytes()));
    }
    let by_digest_only = |kind| Err(AcquireError::ByDigestOnly { what: output::cell(word), kind });
    Ok(match What::parse(context, word)? {
        What::Reference(reference) | What::Oras(reference) => ImageQuery::Reference(reference),
        What::File(file) => ImageQuery::Bytes(*crate::stage::digest_of(&file)?.bytes()),
        What::Archive(location) => {
            ImageQuery::Bytes(*Archive::open(&location, &Platform::host())?.digest.bytes())
        }
        What::Hub(HubName { sif: Some(sif), .. }) => ImageQuery::Bytes(*sif.bytes()),
        What::Hub(_) => by_digest_only("the names of a hub")?,
        What::Built(_) => by_digest_only("the names of what CI built")?,
    })
}

fn image(context: &Context, args: &Image) -> Outcome {
    let query = asked_for(context, &args.image)?;
    // a receipt may say of any job that it ran these bytes; engines are asked for those that did
    if matches!(query, ImageQuery::Bytes(_)) {
        follow::collect_open(context)?;
    }
    let page = |page| context.look(|all| all.of_image(&query.name(), page));
    let used = |ids: &[JobId]| {
        let view = context.look(|all| all.view(ids, Payloads::Left))?;
        Ok(audit_image(&view, &query).jobs.iter().rev().map(|used| used.job).collect())
    };
    let (ids, more) = follow::newest(args.last, page, used, |_| true)?;
    let view = context.look(|all| all.view(&ids, Payloads::Loaded))?;
    let known = follow::refresh(context, &view.jobs().collect::<Vec<&JobRecord>>())?;
    let view = context.look(|all| all.again(&ids))?;
    let mut answer = ImageAnswer { more, ..audit_image(&view, &query) };
    for used in &mut answer.jobs {
        if let Some(job) = known.iter().find(|job| job.record.id == used.job) {
            used.state = job.now.settled.state;
        }
    }
    if context.voice.json {
        document::print(&answer);
    } else {
        output::painted(&image_lines_of(&answer, context.voice.width()));
    }
    if more {
        let more = args.last.saturating_mul(5);
        context.voice.say(format!("(there are older ones, which were not judged: --last {more})"));
    }
    let codes = answer.jobs.iter().map(|job| code(context, job.verdict, &job.qualified));
    Ok(codes.max().unwrap_or(0))
}

/// The answer for one job with its state as of now, and the engine's word beside it.
#[derive(Serialize)]
struct JobShown {
    #[serde(flatten)]
    answer: JobAnswer,
    exit_code: Option<i32>,
    settled_by: Option<Source>,
    engine_state: Option<String>,
    engine_exit_code: Option<i32>,
    command: Vec<String>,
    workdir: Option<PathBuf>,
    output: Option<PathBuf>,
    #[serde(skip)]
    row: Option<jobs::Row>,
}

impl JobShown {
    fn of(mut answer: JobAnswer, row: Option<jobs::Row>) -> Self {
        if let Some(row) = &row {
            answer.state = row.state;
        }
        let from = row.as_ref();
        Self {
            answer,
            exit_code: from.and_then(|row| row.exit_code),
            settled_by: from.map(|row| row.settled_by),
            engine_state: from.and_then(|row| row.engine_state.clone()),
            engine_exit_code: from.and_then(|row| row.engine_exit_code),
            command: from.map(|row| row.command.clone()).unwrap_or_default(),
            workdir: from.and_then(|row| row.workdir.clone()),
            output: from.and_then(|row| row.output.clone()),
            row,
        }
    }
}

/// A mismatch is a failure; what is unproven is said, and is none. A *Match, but ...* is one only where the
/// policy says so.
fn code(context: &Context, verdict: Verdict, qualified: &[Qualifier]) -> u8 {
    let only_plain = context.config.policy.plain_match_only.as_ref().is_some_and(|set| set.value);
    match verdict {
        Verdict::Mismatch => crate::cli::show::exit::code(Kind::Integrity),
        Verdict::Match if only_plain && !qualified.is_empty() => {
            context.voice.say("policy.plain_match_only refuses a Match with a \"but\"");
            crate::cli::show::exit::code(Kind::Policy)
        }
        Verdict::Match | Verdict::Unproven => 0,
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Match => Tone::Good,
        Verdict::Mismatch => Tone::Bad,
        Verdict::Unproven => Tone::Doubt,
    }
}

fn grade(grade: &Grade, runtime: &str) -> String {
    let by_name = RuntimeChoice::opens_by_name(runtime);
    let text = match grade {
        Grade::VerifiedOnRead => "verified-on-read: each block was checked when it was read",
        Grade::Measured if by_name => {
            "measured: the file was hashed before the start, and the runtime opened it by its name; another process of the same user could have put another one there for that moment"
        }
        Grade::Measured => {
            "measured: the file that ran was hashed before the start; only a writable mapping of the same user could have changed it since"
        }
        Grade::MeasuredCached if by_name => {
            "measured-cached: hashed before the start; whoever can write a directory above the image could have put another one there when the runtime opened it"
        }
        Grade::MeasuredCached => {
            "measured-cached: hashed before it was unpacked; another job of this user could have changed the tree since"
        }
        Grade::RuntimeReported => "runtime-reported: the container runtime said so",
        Grade::PathOnly => "path-only: only a path was looked at",
        Grade::None => "none: nothing was measured",
        Grade::Other(name) => return format!("{name}: this moorline does not know it"),
    };
    text.to_owned()
}

fn image_lines(image: &UsedImage, lines: &mut Vec<Line>) {
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(Line::fact(&format!("  {name}"), value));
        }
    };
    add("image", image.reference.clone());
    add("asked as", image.asked.as_ref().map(ToString::to_string));
    add("index", image.index.map(|d| d.to_string()));
    add("configuration", image.config.map(|d| d.to_string()));
    add("platform", image.platform.as_ref().map(ToString::to_string));
    add("SIF", image.sif.map(|d| d.to_string()));
    add("SIF's hash tree", image.tree.map(|root| root.to_string()));
    add("recipe", image.recipe.as_ref().map(crate::pin::Recipe::key));
}

fn attempt_lines(attempt: &AttemptAnswer, lines: &mut Vec<Line>) {
    let mut add = |name: &str, value: String| {
        lines.push(Line::fact(&format!("    {name}"), value));
    };
    add("measured", attempt.measured.clone().unwrap_or_else(|| "nothing".into()));
    add("grade", grade(&attempt.grade, &attempt.runtime));
    let rootfs = attempt.rootfs.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
    add("runtime", format!("{}{rootfs}", attempt.runtime));
    if let Some(program) = &attempt.conditions.program {
        let version = program.version.as_deref().unwrap_or("unknown version");
        let sha256 = program.sha256.map_or_else(|| "not read".into(), |d| d.to_string());
        add("its program", format!("{} ({version}), owner {}", program.path, program.owner));
        add("its bytes", sha256);
    }
    if let Some(modified) = &attempt.conditions.modified {
        add("modified by the runtime", output::cell(modified));
    }
    if !attempt.conditions.options.is_empty() {
        add("options", attempt.conditions.options.join(" "));
    }
    if let Some(kernel) = &attempt.conditions.kernel {
        add("kernel", kernel.clone());
    }
    if let Some(user) = &attempt.conditions.user {
        add("user", format!("{} (uid {})", user.name.as_deref().unwrap_or("no name"), user.uid));
    }
    for mount in &attempt.conditions.mounts {
        let ro = if mount.ro { ", read-only" } else { "" };
        add("mount", format!("{} on {}{ro}", mount.source, mount.target));
    }
    for skipped in &attempt.skipped_mounts {
        add("not mounted", format!("{} on {}: {}", skipped.source, skipped.target, skipped.why));
    }
    for cover in &attempt.conditions.covers {
        add("mount over image", format!("{} on {}", cover.source, cover.target));
    }
    for passed in &attempt.conditions.passed_over {
        add("not shown", format!("{}: {}", passed.source, passed.why));
    }
    if let Some(network) = &attempt.conditions.network {
        add("network", network.to_string());
    }
    if let Some(layer) = &attempt.conditions.scratch {
        let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
        let used = layer.used.map_or_else(|| "an unknown part".into(), mib);
        let limit = if layer.limit == SizeLimit::Watched { "watched" } else { "not limited" };
        add("layer over image", format!("{used} of {} ({limit})", mib(layer.size)));
    }
    if let Some(gpus) = &attempt.conditions.gpu {
        let driver = gpus.driver.as_deref().unwrap_or("unknown");
        add("GPUs", format!("{} of {}, driver {driver}", gpus.devices.len(), gpus.kind));
        for gpu in &gpus.devices {
            let known = |text: Option<&str>| text.unwrap_or("unknown").to_owned();
            let (uuid, model) = (known(gpu.uuid.as_deref()), known(gpu.model.as_deref()));
            add("GPU", format!("{uuid} ({model})"));
        }
    }
    for key in &attempt.conditions.keys {
        add("kernel key", key.clone());
    }
    if let Some(signal) = attempt.conditions.told {
        add("told to end by", format!("signal {signal}"));
    }
    add("exit code", attempt.exit_code.to_string());
    let forgers: Vec<&str> = attempt
        .forgeable_by
        .iter()
        .map(|who| match who {
            Forger::Owner => "the job's owner",
            Forger::OtherJobs => "other jobs of this user",
            Forger::NodeRoot => "root on the node",
            Forger::Site => "the site",
        })
        .collect();
    add("could be forged by", forgers.join(", "));
    for file in attempt.conditions.outputs.iter().take(MOST_OUTPUTS) {
        add("output", format!("{} ({})", file.path, output::size(file.size)));
        if let Some(digest) = file.sha256 {
            add("its bytes", digest.to_string());
        }
    }
    let more = attempt.conditions.outputs.len().saturating_sub(MOST_OUTPUTS);
    if more > 0 {
        add("output", format!("and {}: --json shows them", plural(more, "more file")));
    }
    for note in &attempt.notes {
        add("noted", note.clone());
    }
}

fn job_lines(shown: &JobShown, width: Option<usize>) -> Vec<Painted> {
    let answer = &shown.answer;
    let mut lines = Vec::new();
    let name =
        answer.name.as_deref().map(|n| format!(" ({})", output::cell(n))).unwrap_or_default();
    let state = shown.row.as_ref().map_or_else(|| answer.state.to_string(), jobs::Row::state);
    let code = shown.exit_code.filter(|code| *code != 0);
    let code = code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    lines.push(Line::Head(format!("job {}{name}: {state}{code}", answer.job)));
    let remarks = shown.row.as_ref().map(jobs::Row::remarks).unwrap_or_default();
    lines.extend(remarks.into_iter().map(|remark| Line::Head(format!("  {remark}"))));
    if let Some(before) = answer.rerun_of {
        lines.push(Line::Head(format!("  repeats {before}")));
    }
    lines.extend(shown.row.iter().flat_map(jobs::Row::places));
    for submission in &answer.submissions {
        image_lines(&submission.image, &mut lines);
        let engine = submission.engine.as_ref().map(ToString::to_string);
        let engine =
            engine.unwrap_or_else(|| format!("{} ({})", submission.backend, submission.outcome));
        lines.push(Line::fact("  engine", engine));
        for TasksAnswer { tasks, verdict, reason, qualified } in &submission.tasks {
            let said = said(*verdict, reason.sentence(), qualified);
            lines.push(Line::fact("  tasks", format!("{tasks}: {said}")));
        }
        for attempt in shown_of(submission) {
            let when = attempt.started_at.unwrap_or(attempt.ended_at);
            let when = when.strftime("%Y-%m-%d %H:%M:%SZ");
            let host = output::cell(&attempt.host);
            let task = attempt.conditions.task.filter(|_| !submission.tasks.is_empty());
            let task = task.map(|task| format!(" of task {task}")).unwrap_or_default();
            lines.push(Line::Head(format!("  attempt{task} on {host}, {when}")));
            attempt_lines(attempt, &mut lines);
        }
    }
    for note in &answer.notes {
        lines.push(Line::Head(format!("  note: {}", output::cell(note))));
    }
    let mut text = record::lines(&lines, width);
    let sentence = said(answer.verdict, &answer.why, &answer.qualified);
    let head = Painted::of(Tone::Head, "verdict: ");
    text.push(head.and(tone(answer.verdict), output::cell(&sentence)));
    text
}

/// The attempts that are shown: of an array a few, those first whose verdict is the worst.
fn shown_of(submission: &SubmissionAnswer) -> Vec<&AttemptAnswer> {
    let mut all: Vec<&AttemptAnswer> = submission.attempts.iter().collect();
    if !submission.tasks.is_empty() {
        all.sort_by_key(|attempt| std::cmp::Reverse(attempt.verdict));
        all.truncate(MOST_OF_ARRAY);
    }
    all
}

/// `Match`, `Match, but ...` or another verdict with its reason.
fn said(verdict: Verdict, why: &str, qualified: &[Qualifier]) -> String {
    let word = verdict.word();
    match because(verdict, why, qualified) {
        Because::But(text) => format!("{word}, {text}"),
        Because::Why(why) => format!("{word} - {why}"),
    }
}

fn image_lines_of(answer: &ImageAnswer, width: Option<usize>) -> Vec<Painted> {
    if answer.jobs.is_empty() {
        return vec![format!("no job in this ledger used {}", answer.asked).into()];
    }
    let mut table = Table::new([
        Column::new("JOB", Gives::Id),
        Column::new("VERDICT", Gives::Whole),
        Column::new("STATE", Gives::Whole).goes(1),
        Column::new("ENGINE", Gives::Whole).goes(2),
        Column::new("SUBMITTED", Gives::Time),
        Column::new("BECAUSE", Gives::Text).wants(40),
    ]);
    for used in &answer.jobs {
        let plain = |text: String| (Tone::Plain, text);
        table.toned([
            plain(used.job.to_string()),
            (tone(used.verdict), used.verdict.word().into()),
            plain(used.state.to_string()),
            plain(used.engine.as_ref().map_or_else(|| "-".into(), |e| e.kind.clone())),
            plain(used.recorded_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
            plain(match because(used.verdict, &used.why, &used.qualified) {
                Because::But(text) | Because::Why(text) => text,
            }),
        ]);
    }
    let jobs = plural(answer.jobs.len(), "job");
    let newest = if answer.more { "the newest " } else { "" };
    let mut lines = vec![Painted::from(format!("{newest}{jobs} used {}", answer.asked))];
    lines.extend(table.lines(width));
    lines
}

fn verify(context: &Context) -> Outcome {
    let report = ledger::verify(context.ledger_dir())?;
    if report.files == 0 {
        let dir = context.ledger_dir().display();
        let message = format!("{dir} holds no ledger: there is nothing to check");
        return Err(output::CliError::new(Kind::NotFound, message)
            .with_hint("MOORLINE_LEDGER names another place; the first job makes a ledger there")
            .into());
    }
    if context.voice.json {
        document::print(&report);
    } else {
        for note in &report.notes {
            context.voice.say(format!("note: {}", output::cell(&note.to_string())));
        }
        if report.newer > 0 {
            let records = plural(report.newer, "record");
            let need = if report.newer == 1 { "needs" } else { "need" };
            context.voice.say(format!("{records} {need} a newer moorline; --json says which"));
        }
        for finding in &report.findings {
            output::line(format!("CHANGED {}", output::cell(&finding.to_string())));
        }
        if report.erased > 0 {
            let (missing, all) = (report.erased, report.erased + report.payloads);
            output::line(format!(
                "missing: {missing} of {all} payloads (names, paths, arguments): erased or lost, \
                 this check cannot tell which"
            ));
        }
        let (files, records) = (report.files, report.records);
        let sound = if report.findings.is_empty() { "consistent" } else { "NOT consistent" };
        let (records, files) = (plural(records, "record"), plural(files, "file"));
        let tone = if report.findings.is_empty() { Tone::Good } else { Tone::Bad };
        output::painted(&[
            Painted::of(tone, sound).and(Tone::Plain, format!(": {records} in {files}"))
        ]);
        output::line(format!("what this cannot show: {}", report.limits));
    }
    Ok(if report.findings.is_empty() { 0 } else { crate::cli::show::exit::code(Kind::Integrity) })
}
