//! `moorline lock`: the pins of `[images]`, written to and compared with `moorline.lock`.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::acquire::{self, Relocked, Wish};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::fault;
use crate::cli::show::file;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::cli::show::plural::plural;
use crate::config::PROJECT_FILE;
use crate::failure::{Failure, Kind};
use crate::lock::{FILE, Lock, Named};
use crate::oci::Platform;
use crate::pin::Pin;
use crate::resolve::drift::{NotCompared, drift_many};

/// Something that a check found.
const FOUND: u8 = 6;

/// Write or check moorline.lock: the pins of the images that moorline.toml names.
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
    let named = acquire::project_names(context)?;
    let wish = Wish { named: &named, update: &args.update, platforms: &args.platform };
    if args.check && !args.remote && args.credential.is_given() {
        return Err(
            CliError::usage("--check asks no registry: a credential is for --remote").into()
        );
    }
    if !args.check || args.remote {
        // a check compares all names
        let asked = if args.check { named.iter().collect() } else { wish.asked(context)? };
        let asked = asked.into_iter().map(|(_, meant)| acquire::registry_of(context, meant));
        args.credential.apply(context, asked)?;
    }
    if args.check { check(context, &named, args.remote) } else { write(context, wish) }
}

/// What is said of the pins that nobody asked to move.
fn kept_words(kept: usize) -> String {
    match kept {
        0 => String::new(),
        kept => format!(", {kept} kept (moorline lock --update moves them)"),
    }
}

fn write(context: &Context, wish: Wish<'_>) -> Outcome {
    if wish.named.is_empty() {
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
    let is_known =
        |update: &String| update.is_empty() || wish.named.iter().any(|(known, _)| known == update);
    if let Some(name) = wish.update.iter().find(|update| !is_known(update)) {
        return Err(CliError::usage(format!(
            "--update {}: {PROJECT_FILE} has no such name",
            output::cell(name)
        ))
        .into());
    }
    let Relocked { lock, moved, kept, failed } = wish.relock(context)?;
    let mut worst = 0;
    for report in failed {
        worst = worst.max(crate::cli::show::exit::code(report.0.kind()));
        fault::error(&report);
    }
    if worst != 0 {
        context.voice.say(format!("{FILE} was not changed"));
        return Ok(worst);
    }
    let path = Path::new(FILE);
    file::replace(path, &lock.write(path)?, Kind::Configuration)?;
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
                fault::error(&NotCompared::of(pin, error).into());
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
