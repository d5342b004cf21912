//! `moorline submit`: a pinned job to an engine; prints the job's id and nothing else.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::json;

use crate::cli::args::id_file;
use crate::cli::args::spec::{Parts, SpecArgs, WhatArgs};
use crate::cli::context::Context;
use crate::cli::context::adapters;
use crate::cli::context::delivery::Sending;
use crate::cli::context::engines;
use crate::cli::context::mark;
use crate::cli::context::tickets;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report, arguments};
use crate::cli::verbs::wait;
use crate::config::JobFile;
use crate::failure::Kind;
use crate::files::ForeignFile;
use crate::job::{JobId, JobRef, JobSpec, Resources, Tasks};
use crate::submit::{self, Extras, Site, Source, Target, Way, new_job_id};

/// Larger job files are refused.
const MOST_BYTES: u64 = 1 << 20;

/// Submit a job that is pinned to an image's digest.
///
/// The tag is resolved once, now. stdout gets the job's id and nothing else.
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("\
Examples:
  moorline submit group/project:v1 ./analysis --events 1000
  moorline submit --backend {} --cpus 4 --memory 8G --time 2h \\
      group/project:v1 ./analysis
  moorline submit --array 1-400 group/project:v1 \\
      sh -c './analysis --seed $MOORLINE_TASK_ID'
  moorline submit -f job.toml --wait", engines::batch()))]
pub struct Args {
    #[arg(long, value_name = "NAME", help = format!("Engine: {}", engines::choice()))]
    pub backend: Option<String>,
    /// Read the job from this file, or from standard input (-); its keys are the long flags, which override it
    #[arg(short = 'f', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cpus: Option<u32>,
    /// Memory: 500M, 4G; a bare number is MiB
    #[arg(long, value_name = "AMOUNT", value_parser = |t: &str| Resources::parse_memory(t).map_err(|e| e.to_string()))]
    pub memory: Option<u64>,
    /// Wall time: 90s, 30m, 2h, 1d, HH:MM:SS; a bare number is minutes
    #[arg(long, value_name = "TIME", value_parser = |t: &str| Resources::parse_time(t).map_err(|e| e.to_string()))]
    pub time: Option<u64>,
    /// Partition or queue
    #[arg(long, value_name = "NAME", value_parser = |t: &str| Resources::identifier(t).map_err(|e| e.to_string()))]
    pub queue: Option<String>,
    /// Account that pays
    #[arg(long, value_name = "NAME", value_parser = |t: &str| Resources::identifier(t).map_err(|e| e.to_string()))]
    pub account: Option<String>,
    /// Make the job an array of these tasks: 1-400, 1,3,7-9, 0-100:10; 1-400%50 runs 50 at once
    ///
    /// Each task is the same program in the same image, with its number in `MOORLINE_TASK_ID`, and with a working
    /// directory, an output and a receipt of its own. JOB.7 is its name wherever a job is named.
    #[arg(long, value_name = "TASKS", value_parser = |t: &str| Tasks::parse_array(t).map_err(|e| e.to_string()))]
    pub array: Option<(Tasks, Option<u32>)>,
    /// Host directory to bind to `/work_dir` instead of the job's own
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Wait for the job and take its exit code
    #[arg(long)]
    pub wait: bool,
    /// Show the engine's command and the script, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What to run and how
    #[command(flatten)]
    pub flags: SpecArgs,
    /// The image and the command
    #[command(flatten)]
    pub what: WhatArgs,
}

impl Args {
    /// Fills what no flag said from a job file.
    ///
    /// # Errors
    /// When the file cannot be read or is malformed, or names two images.
    fn fill(&mut self, path: &Path) -> Result<(), Report> {
        let text = ForeignFile::anyones(MOST_BYTES)
            .through_links()
            .or_handed()
            .text(path)
            .map_err(|error| {
                let kind = if error.is_missing() { Kind::NotFound } else { Kind::Usage };
                CliError::new(kind, format!("cannot read the job file {}: {error}", path.display()))
            })?;
        let file = JobFile::parse(&text, path)?;
        let (what, flags) = (&mut self.what, &mut self.flags);
        // an image is named in one way: a flag's way is instead of the file's
        if what.what.is_none() && (file.image.is_none() || flags.from.is_named()) {
            flags.from.fill(file.built);
        } else if what.what.is_none() {
            what.what = file.image;
            if !file.built.is_empty() {
                let twice =
                    format!("{}: an image was named twice: image and project", path.display());
                return Err(CliError::usage(twice).into());
            }
        }
        if what.command.is_empty() {
            what.command = file.command;
        }
        flags.file_mounts = file.mounts;
        let env = file.env.iter().map(|var| format!("{}={}", var.name, var.value));
        flags.env = env.chain(std::mem::take(&mut flags.env)).collect();
        flags.option = [file.options, std::mem::take(&mut flags.option)].concat();
        flags.name = flags.name.take().or(file.name);
        flags.runtime = flags.runtime.or(file.runtime);
        flags.network = flags.network.take().or(file.network);
        flags.grace = flags.grace.or(file.grace);
        flags.require = flags.require.or(file.require);
        flags.krb |= file.krb;
        flags.proxy |= file.proxy;
        flags.ssh_agent |= file.ssh_agent;
        flags.gpu |= file.gpu;
        flags.entrypoint = flags.entrypoint.take().or(file.entrypoint);
        flags.scratch = flags.scratch.or(file.scratch_mib);
        flags.files.fill(file.files, path)?;
        flags.platform = flags.platform.take().or(file.platform);
        self.backend = self.backend.take().or(file.backend);
        self.array = self.array.take().or(file.array);
        self.workdir = self.workdir.take().or(file.workdir);
        self.cpus = self.cpus.or(file.resources.cpus);
        self.memory = self.memory.or(file.resources.memory_mib);
        self.time = self.time.or(file.resources.time_seconds);
        self.queue = self.queue.take().or(file.resources.queue);
        self.account = self.account.take().or(file.resources.account);
        Ok(())
    }
}

/// The verb.
///
/// # Errors
/// As the steps of the line say.
pub fn run(context: &Context, mut args: Args) -> Outcome {
    let late = args.what.settle(&arguments());
    if let Some(file) = args.file.take() {
        args.fill(&file)?;
    }
    args.flags.refuse_late(late)?;
    let settings = context.settings();
    let kind = args.backend.or_else(|| settings.backend.clone()).unwrap_or_else(|| "local".into());
    if !engines::backends().contains(&kind.as_str()) {
        return Err(CliError::usage(format!("unknown backend {}", output::cell(&kind)))
            .with_hint(format!("known backends: {}", engines::backends().join(", ")))
            .into());
    }
    let workdir = args.workdir.map(|dir| absolute_dir(&dir)).transpose()?;
    let command = args.flags.files.command(std::mem::take(&mut args.what.command))?;
    let inputs = args.flags.files.inputs(&command, workdir.as_deref())?;
    let engine = context.engine(&kind);
    let platform =
        args.flags.platform.clone().or(engine.platform).unwrap_or_else(crate::oci::Platform::host);
    let resources = Resources {
        cpus: args.cpus.or(settings.resources.cpus),
        memory_mib: args.memory.or(settings.resources.memory_mib),
        time_seconds: args.time.or(settings.resources.time_seconds),
        queue: args.queue.or(engine.queue),
        account: args.account.or(engine.account),
    };
    args.flags.check(context)?;
    if !args.dry_run {
        context.require_ledger()?;
    }
    if engines::is_here(&kind) && !args.dry_run {
        context.require_runtime(args.flags.runtime)?;
    }
    let asked = args.flags.asked(context, &args.what)?;
    let ready = args.flags.image(context, &asked, &platform)?;
    let id_to = args.flags.id_file.take();
    let way = args.flags.files.sending();
    let parts = Parts { command, flags: args.flags, resources, workdir };
    let mut job = parts.job(context, fresh_id()?, ready)?;
    if let Some((tasks, at_once)) = args.array {
        (job.terms.tasks, job.terms.at_once) = (Some(tasks), at_once);
    }
    let files = deliver(context, &mut job, &kind, way, inputs)?;
    if args.dry_run {
        return dry_run(context, &job, &kind, files);
    }
    id_file::write(id_to.as_deref(), job.id)?;
    if job.terms.grace.is_none() {
        // somewhat shorter than the engine's own, so that the receipt is still written
        let engine = adapters::backend(context, &kind).and_then(|backend| backend.grace());
        let seconds = engine.map(|grace| grace.as_secs().saturating_sub(2).max(1));
        job.terms.grace = seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
    }
    hand_over(context, &job, &kind, files, args.wait)
}

/// Files that are copied into the job's directory.
pub struct Files {
    pub inputs: Vec<Source>,
    image: Option<PathBuf>,
    pub extras: Extras,
    why: String,
}

/// Chooses the way of the image.
///
/// # Errors
/// When image, engine and job do not go together with the way that was asked for.
pub fn deliver(
    context: &Context,
    job: &mut JobSpec,
    kind: &str,
    way: impl Into<Sending>,
    inputs: Vec<Source>,
) -> Result<Files, Report> {
    let sending = way.into();
    let way = sending.way;
    let facts = engines::facts(kind).ok_or_else(|| unknown(kind))?;
    if job.terms.ssh_agent && !facts.here {
        return Err(CliError::usage(format!("--ssh-agent: jobs of {kind} run on other machines"))
            .with_hint("use it with moorline run or --backend local")
            .into());
    }
    let shared_files = context.shared_files(kind);
    let target = Target { facts, shared_files, job: job.id, jobs_dir: context.jobs_dir() };
    let chosen = submit::choose(way, &job.delivery, target)?;
    if chosen.delivery.is_brought() {
        let name = chosen.delivery.name();
        let no = |what: &str, hint: &str| {
            let text = format!("--delivery {name} and {what} do not go together");
            Err(CliError::usage(text).with_hint(hint).into())
        };
        if job.workdir.is_some() {
            return no(
                "--workdir",
                "the job gets a working directory of its own, which comes back",
            );
        }
        if job.terms.kerberos {
            return no("--krb", "tickets are not sent to workers that share no file system");
        }
        if job.terms.proxy {
            return no("--proxy", "a proxy is not sent to workers that share no file system");
        }
    }
    let why = format!("delivery {}: {}", chosen.delivery.name(), chosen.why);
    // what is done by itself and costs nothing is said where it is asked for, by --dry-run
    if way != Way::Auto || chosen.copied.is_some() {
        context.voice.say(&why);
    }
    job.delivery = chosen.delivery;
    let extras = context.extras(job, facts.name, sending)?;
    Ok(Files { inputs, image: chosen.copied, extras, why })
}

/// There is no such engine.
pub fn unknown(kind: &str) -> CliError {
    CliError::usage(format!("unknown backend {}", output::cell(kind)))
}

/// Gives a job to an engine and prints its id; with `wait` the exit code is the job's.
///
/// # Errors
/// When the engine refuses, or a file cannot be written.
pub fn hand_over(
    context: &Context,
    job: &JobSpec,
    kind: &str,
    files: Files,
    wait: bool,
) -> Outcome {
    let backend = adapters::backend(context, kind).ok_or_else(|| unknown(kind))?;
    let mut site = context.site(kind, files.inputs);
    site.extras = files.extras;
    site.copied = files.image;
    tickets::give(context, job, &mut site)?;
    mark::mark(context, job, !engines::is_here(kind))?;
    let submitted = context
        .ledger()
        .and_then(|ledger| Ok(submit::submit(job, &site, backend.as_ref(), &ledger)?));
    let submit::HandedOver { key, held } =
        submitted.inspect_err(|_| mark::unmark_refused(context, job))?;
    if let Some(why) = held {
        output::warn(format!(
            "{kind} holds the job, and it could not be released: {}; moorline status {} tries it again",
            output::cell(&why),
            job.id
        ));
    }
    if key.id != job.id.to_string() {
        context.voice.say(format!("submitted as {key}"));
    }
    let answer = json!({
        "job": job.id, "backend": kind, "engine": key.to_string(), "image": job.image.name(),
        "rerun_of": job.rerun_of.map(|of| JobRef::repeated(of, job.terms.tasks.as_ref())),
    });
    if context.voice.json {
        // with --wait there is one document, at the end
        context.voice.say(format!("submitted {}", job.id));
        if !wait {
            document::print(&answer);
        }
    } else if let Err(error) = output::try_line(job.id.to_string()) {
        // no failure: a script that tried again would submit the job a second time
        output::warn(format!(
            "the job was handed over as {}, but its id could not be written to standard output: {error}",
            job.id
        ));
    }
    if !wait {
        return Ok(0);
    }
    let rows = wait::until_ended(context, &[job.id.to_string()], None, wait::limits(context))?;
    if context.voice.json {
        let mut answer = answer;
        answer["ended"] = rows.first().map(|row| json!(row)).unwrap_or_default();
        document::print(&answer);
    }
    Ok(rows.first().map_or(0, |row| wait::tell(context, row)))
}

fn dry_run(context: &Context, job: &JobSpec, kind: &str, files: Files) -> Outcome {
    let backend = adapters::backend(context, kind).ok_or_else(|| unknown(kind))?;
    context.voice.say(&files.why);
    let site = Site { extras: files.extras, ..context.site(kind, files.inputs) };
    let (submission, script) = submit::dry_run(job, &site, backend.as_ref())?;
    let ready = backend.ready().map_err(|error| error.why());
    if context.voice.json {
        let file = |(path, text): &(PathBuf, String)| json!({ "path": path, "text": text });
        document::print(&json!({
            "dry_run": true, "backend": kind, "image": job.image.name(), "argv": submission.argv,
            "files": submission.files.iter().map(file).collect::<Vec<_>>(), "script": script,
            "engine_says": ready.as_ref().ok(), "could_not_ask": ready.as_ref().err(),
        }));
        return Ok(0);
    }
    for (path, text) in &submission.files {
        output::line(format!("# {}\n{text}", path.display()));
    }
    let words = shlex::try_join(submission.argv.iter().map(String::as_str))
        .unwrap_or_else(|_| submission.argv.join(" "));
    context.voice.say("nothing was submitted; the engine would get this command and this script:");
    output::line(words);
    output::line(script);
    match ready {
        Ok(said) => context.voice.say(format!("{kind}: {}", output::cell(&said))),
        Err(why) => {
            let why = output::cell(&why);
            output::warn(format!("could not ask {kind} whether it would take the job: {why}"));
        }
    }
    Ok(0)
}

/// A new job's id.
///
/// # Errors
/// When the system gives no random numbers.
pub fn fresh_id() -> Result<JobId, Report> {
    new_job_id(jiff::Timestamp::now())
        .map_err(|e| CliError::new(Kind::Configuration, format!("no random numbers: {e}")).into())
}

/// A directory that exists, as an absolute path.
///
/// # Errors
/// When it does not exist.
pub fn absolute_dir(dir: &Path) -> Result<PathBuf, Report> {
    let no = |why: String| CliError::usage(format!("--workdir {}: {why}", dir.display())).into();
    match std::fs::canonicalize(dir) {
        Ok(path) if path.is_dir() => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(no(crate::files::explained(dir, error).to_string()))
        }
        _ => Err(no("there is no such directory".into())),
    }
}
