//! `moorline lock`: the pins of `[images]`, written to and compared with `moorline.lock`.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::acquire::{self, AcquireError, Build, What};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::fault;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::show::plural::plural;
use crate::cli::verbs::audit_drift::not_compared;
use crate::config::{Level, Origin, PROJECT_FILE};
use crate::failure::{Failure, Kind};
use crate::files;
use crate::lock::{FILE, Lock, Named, SIF_SCHEME};
use crate::oci::{Platform, Registry, Sha256Digest, SifDigest};
use crate::pin::{Pin, Resolved};
use crate::resolve::artifact::artifact;
use crate::resolve::drift::drift_many;
use crate::resolve::resolve_many;

/// Something that a check found.
const FOUND: u8 = 6;

/// Write the pins of all names in [images] of moorline.toml to moorline.lock, or check them.
///
/// A name that is pinned keeps its pin: only new names, and those that stand for something else by now, are
/// resolved. Both files are those of the current directory. A check that finds something exits with 6.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline lock                      # pins what is new
  moorline lock --update analysis    # moves one pin
  moorline lock --update             # moves all
  moorline lock --check --remote
  moorline submit --locked analysis -- ./run")]
pub struct Args {
    /// Compare the lock with moorline.toml and write nothing; without network
    #[arg(long)]
    check: bool,
    /// Compare with the registry as well: tags moved or gone, digests gone or without a tag
    #[arg(long, requires = "check")]
    remote: bool,
    /// Move the pin of this name to what it stands for now, repeatable; without NAME all of them
    #[arg(long, value_name = "NAME", conflicts_with = "check", num_args = 0..=1, default_missing_value = "")]
    update: Vec<String>,
    /// Platform to lock, repeatable; default: the platforms locked so far, else this machine's
    #[arg(long, value_name = "OS/ARCH", conflicts_with = "check")]
    platform: Vec<Platform>,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// The verb.
///
/// # Errors
/// When a file is broken or a name cannot be resolved; then nothing is written.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let named = named(context)?;
    if args.check && !args.remote && args.credential.is_given() {
        return Err(
            CliError::usage("--check asks no registry: a credential is for --remote").into()
        );
    }
    if !args.check || args.remote {
        let lock = acquire::read_lock(context)?.unwrap_or_default();
        let asked = named.iter().filter(|(name, meant)| is_asked(args, &lock, name, meant));
        args.credential.apply(context, asked.map(|(_, meant)| registry(context, meant)))?;
    }
    if args.check { check(context, &named, args.remote) } else { write(context, &named, args) }
}

/// The names of the project file. Names of the user's own configuration are not the project's.
fn named(context: &Context) -> Result<Vec<(String, Named)>, Report> {
    let of_project = |origin: &Origin| matches!(origin, Origin::File { level: Level::Project, .. });
    let images = context.config.images.iter().filter(|(_, value)| of_project(&value.origin));
    let built = context.config.built.iter().filter(|(_, value)| of_project(&value.origin));
    let mut named: Vec<(String, Named)> =
        built.map(|(name, built)| (name.clone(), Named::Built(built.value.clone()))).collect();
    for (name, _) in images {
        let what = What::parse(context, name)?;
        // a name never stands for a file
        named.extend(what.named().map(|meant| (name.clone(), meant)));
    }
    named.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(named)
}

/// Whether this name is resolved: it has no pin that it may keep, or `--update` moves it. A check with the
/// registry asks for all.
fn is_asked(args: &Args, lock: &Lock, name: &String, meant: &Named) -> bool {
    let moves = |update: &String| update.is_empty() || update == name;
    if args.check || args.update.iter().any(moves) {
        return true;
    }
    // with a name behind --update the others stay as they are, also those that are not locked yet
    args.update.is_empty()
        && platforms(lock, name, &args.platform).iter().any(|p| !lock.holds(name, meant, p))
}

/// What is said of the pins that nobody asked to move.
fn kept_words(kept: usize) -> String {
    match kept {
        0 => String::new(),
        kept => format!(", {kept} kept (moorline lock --update moves them)"),
    }
}

/// The registry that it lies in; `None` where it is in none, or that is not known yet.
fn registry(context: &Context, meant: &Named) -> Option<Registry> {
    match meant {
        Named::Reference(reference) | Named::Sif(reference) => Some(reference.registry.clone()),
        Named::Built(built) => Build::from(built.clone()).registry(context),
        Named::Hub(_) => None,
    }
}

#[expect(clippy::too_many_lines, reason = "one story: ask, compare, write or leave all as it is")]
fn write(context: &Context, named: &[(String, Named)], args: &Args) -> Outcome {
    if named.is_empty() {
        context.needs_project()?;
        let there = context.project_file(PROJECT_FILE)?.is_some();
        return Err(if there {
            CliError::usage(format!("{PROJECT_FILE} here names no images"))
                .with_hint("add a table [images] with NAME = \"group/project:tag\" lines")
        } else {
            CliError::usage(format!("there is no {PROJECT_FILE} in this directory"))
                .with_hint("moorline init writes one")
        }
        .into());
    }
    let known = |update: &String| update.is_empty() || named.iter().any(|(name, _)| name == update);
    if let Some(name) = args.update.iter().find(|update| !known(update)) {
        return Err(CliError::usage(format!(
            "--update {}: {PROJECT_FILE} has no such name",
            output::cell(name)
        ))
        .into());
    }
    let mut lock = acquire::read_lock(context)?.unwrap_or_default();
    // names behind --update leave the other entries alone, whatever moorline.toml says of them
    let all = args.update.iter().all(String::is_empty);
    let moves =
        |name: &String| args.update.iter().any(|update| update.is_empty() || update == name);
    let mut questions = Vec::new();
    let mut hubs = Vec::new();
    let mut kept = 0;
    for (name, meant) in named {
        if !is_asked(args, &lock, name, meant) {
            kept += usize::from(all);
            continue;
        }
        if let Named::Hub(hub) = meant {
            hubs.push((name, hub));
            continue;
        }
        for platform in platforms(&lock, name, &args.platform) {
            if moves(name) || !lock.holds(name, meant, &platform) {
                questions.push(Question { name, meant, platform });
            }
        }
    }
    // before anything is asked: a file of a newer program is not touched
    lock.write(Path::new(FILE))?;
    let answers = answers(context, &questions)?;
    let mut worst = 0;
    let mut moved = Vec::new();
    if all {
        lock.keep(
            |entry| {
                let meant = named.iter().find(|(name, _)| *name == entry.name);
                let asked = &args.platform;
                let wanted = |p: &Platform| p.accepts(&entry.pin.platform);
                meant.is_some_and(|(_, meant)| {
                    entry.is(meant) || questions.iter().any(|q| *q.name == entry.name)
                }) && (asked.is_empty() || asked.iter().any(wanted))
            },
            |hub| named.iter().any(|(name, meant)| name == hub && matches!(meant, Named::Hub(_))),
        );
    }
    for (name, hub) in hubs {
        match acquire::of_hub(context, hub, None) {
            Ok((pinned, _)) => {
                let sif =
                    pinned.sif.ok_or_else(|| CliError::usage("a hub's file without digest"))?;
                if lock.put_hub(name, hub.clone(), sif) {
                    moved.push(format!("{name} {pinned}"));
                }
            }
            Err(report) => {
                worst = worst.max(crate::cli::show::exit::code(report.0.kind()));
                fault::error(&report);
            }
        }
    }
    for (Question { name, meant, .. }, answer) in questions.iter().zip(answers) {
        match answer {
            Ok(Answer { pin, sif }) => {
                let scheme = if sif.is_some() { SIF_SCHEME } else { "" };
                let line = format!("{name} {scheme}{}", pin.reference());
                let from = match meant {
                    Named::Built(built) => Some(built.clone()),
                    Named::Reference(_) | Named::Sif(_) | Named::Hub(_) => None,
                };
                let is_new = match sif {
                    Some(sif) => lock.put_sif(name, sif, pin),
                    None => lock.put(name, from, pin),
                };
                if is_new {
                    moved.push(line);
                }
            }
            Err(report) => {
                worst = worst.max(crate::cli::show::exit::code(report.0.kind()));
                fault::error(&report);
            }
        }
    }
    if worst != 0 {
        context.voice.say(format!("{FILE} was not changed"));
        return Ok(worst);
    }
    replace(Path::new(FILE), &lock.write(Path::new(FILE))?)?;
    for line in &moved {
        context.voice.say(format!("locked {line}"));
    }
    let pins = plural(count(&lock), "pin");
    context.voice.say(format!("{FILE}: {pins}, {} new{}", moved.len(), kept_words(kept)));
    if context.voice.json {
        let pins = lock.entries().iter().map(|entry| json!(entry));
        document::print(&pins.chain(lock.hubs().iter().map(|hub| json!(hub))).collect::<Vec<_>>());
    }
    Ok(0)
}

/// How many names and platforms are locked.
fn count(lock: &Lock) -> usize {
    lock.entries().len() + lock.hubs().len()
}

/// An image for one platform that is to be locked.
struct Question<'a> {
    name: &'a String,
    meant: &'a Named,
    platform: Platform,
}

/// What it is pinned to.
struct Answer {
    pin: Pin,
    /// Of a SIF of a registry: the file.
    sif: Option<SifDigest>,
}

impl From<Resolved> for Answer {
    fn from(resolved: Resolved) -> Self {
        Self { pin: resolved.pin, sif: None }
    }
}

/// References are asked for together, SIFs and what CI built one after the other.
fn answers(
    context: &Context,
    questions: &[Question<'_>],
) -> Result<Vec<Result<Answer, Report>>, Report> {
    let reference = |question: &Question<'_>| match question.meant {
        Named::Reference(reference) => Some((reference.clone(), question.platform.clone())),
        Named::Built(_) | Named::Sif(_) | Named::Hub(_) => None,
    };
    let references: Vec<_> = questions.iter().filter_map(reference).collect();
    let client = context.client()?;
    let mut resolved = context.block_on(resolve_many(&client, &references))?.into_iter();
    let mut answers = Vec::new();
    for question in questions {
        answers.push(match question.meant {
            Named::Built(built) => {
                let build = Build::from(built.clone());
                build.find(context, &question.platform).map(|found| found.resolved.into())
            }
            Named::Sif(reference) => {
                let found = artifact(&client, reference, &question.platform);
                context.block_on(found)?.map_err(Report::from).map(|(pin, sif)| Answer {
                    pin,
                    sif: Some(SifDigest::from_bytes(*sif.digest.bytes())),
                })
            }
            // asked for apart: it has no pin of a registry
            Named::Hub(_) => continue,
            Named::Reference(_) => match resolved.next() {
                Some(answer) => answer.map(Answer::from).map_err(Report::from),
                None => Err(AcquireError::NoAnswer.into()),
            },
        });
    }
    Ok(answers)
}

/// The platforms to lock a name for.
fn platforms(lock: &Lock, name: &str, flags: &[Platform]) -> Vec<Platform> {
    if !flags.is_empty() {
        return flags.to_vec();
    }
    let known = lock.entries().iter().filter(|e| e.name == name).map(|e| e.pin.platform.clone());
    let known: Vec<Platform> = known.collect();
    if known.is_empty() { vec![Platform::host()] } else { known }
}

fn check(context: &Context, named: &[(String, Named)], remote: bool) -> Outcome {
    let lock = acquire::existing_lock(context)?;
    let mut lines = Vec::new();
    let mut values = Vec::new();
    for finding in lock.differences(named) {
        lines.push(finding.to_string());
        values.push(json!(finding));
    }
    let mut worst = 0;
    if remote {
        let client = context.client()?;
        let pins: Vec<Pin> = lock.entries().iter().map(|entry| entry.pin.clone()).collect();
        let answers = context.block_on(drift_many(&client, &pins))?;
        for (entry, answer) in lock.entries().iter().zip(answers) {
            let pin = &entry.pin;
            let found = answer.unwrap_or_else(|error| {
                worst = worst.max(crate::cli::show::exit::code(error.kind()));
                fault::error(&not_compared(pin, &error));
                Vec::new()
            });
            for drift in found {
                let line = format!("{} ({}): {drift}", entry.name, pin.platform);
                if !drift.is_finding() {
                    context.voice.say(output::cell(&line));
                    continue;
                }
                lines.push(line);
                let mut value = json!(drift);
                value["name"] = json!(entry.name);
                value["platform"] = json!(pin.platform);
                values.push(value);
            }
        }
    }
    if context.voice.json {
        document::print(&values);
    } else {
        for line in &lines {
            output::line(output::cell(line));
        }
    }
    if remote && !lock.hubs().is_empty() {
        context.voice.say("a hub has no digests to compare with: its names were not asked for");
    }
    if !lines.is_empty() {
        return Ok(worst.max(FOUND));
    }
    if worst == 0 {
        context.voice.say(format!("{FILE}: {}, nothing found", plural(count(&lock), "pin")));
    }
    Ok(worst)
}

/// Writes by temporary file, sync and rename: a reader sees the old text or the new one.
///
/// # Errors
/// When the directory or the disk does not take it; then the old file stays.
pub fn replace(path: &Path, text: &str) -> Result<(), Report> {
    files::replace(path, 0o644, text.as_bytes()).map_err(|error| {
        let kind = crate::failure::io_kind(&error, Kind::Configuration);
        CliError::new(kind, format!("cannot write {}: {error}", path.display())).into()
    })
}
