//! `moorline demo`: the whole line on this machine.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args as ClapArgs;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::show::paint::{Painted, Tone};
use crate::cli::show::shorten;
use crate::demo::{self, DemoError, Isolation, Options, Scene, Shell, Told};
use crate::execute;
use crate::failure::{Kind, io_kind};
use crate::files;

/// Show the whole line on this machine: no root, no container software, no network.
///
/// Makes a small image of this machine's own files, serves it from a registry stand-in on loopback,
/// and runs the ordinary commands on it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline demo
  moorline demo --dir ~/moorline-demo && (. ~/moorline-demo/env; moorline jobs)")]
pub struct Args {
    /// Leave all files in this new directory instead of a temporary one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Fail where jobs cannot be isolated, instead of running without isolation
    #[arg(long)]
    require_isolation: bool,
}

/// The verb.
///
/// # Errors
/// At the first step that does not go as the story says.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let isolation = Isolation::here(|name| context.which(name));
    if let (Isolation::None { cause, fix }, true) = (&isolation, args.require_isolation) {
        return Err(DemoError::NotIsolated { cause: cause.clone(), fix: fix.clone() }.into());
    }
    let dir = new_dir(args)?;
    let path = context.env("PATH").unwrap_or("/usr/bin:/bin").to_owned();
    let options =
        Options { program: &context.program, dir: &dir, path: &path, isolation: &isolation };
    let voice = context.voice;
    let mut step = 0;
    let mut scenes = Vec::new();
    let told = demo::run(&options, &mut |scene| {
        if voice.json {
            scenes.push(value(&scene));
        } else if !voice.quiet {
            output::painted(&shown(&mut step, &scene, voice.full));
        }
    })?;
    let env = env_file(&dir, &context.program)?;
    let Told { job, rerun, verdict, refused } = &told;
    if voice.json {
        document::print(&json!({
            "directory": dir, "env": env, "job": job, "rerun": rerun, "verdict": verdict,
            "refused": refused, "story": scenes,
        }));
    } else if voice.quiet {
        output::path(&dir);
    } else {
        let caught = if refused.is_some() { " The changed image was refused." } else { "" };
        output::line(format!(
            "\nDone: both jobs ran the digest that the tag named first; verdict {verdict}.{caught}"
        ));
        output::line(format!("All files are in {}.", dir.display()));
        output::line(
            "To look at them, each time in a shell of its own, because the file env replaces your settings:",
        );
        let env = quoted(&env.display().to_string());
        output::line(format!("  (. {env}; moorline jobs)\n  (. {env}; moorline audit job {job})"));
    }
    Ok(0)
}

/// Writes what a shell reads to look around: the demo's places, and this program as `moorline`.
fn env_file(dir: &Path, program: &Path) -> Result<PathBuf, Report> {
    let failed = |what: &Path, error: &io::Error| {
        let kind = io_kind(error, Kind::Configuration);
        Report::from(CliError::new(kind, format!("cannot write {}: {error}", what.display())))
    };
    let bin = dir.join("bin");
    let link = bin.join("moorline");
    fs::create_dir_all(&bin)
        .and_then(|()| symlink(program, &link))
        .map_err(|e| failed(&link, &e))?;
    let variables = Shell::variables(dir);
    let mut lines: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("export {name}={}", quoted(&value.display().to_string())))
        .collect();
    lines.push(format!("export PATH={}:\"$PATH\"", quoted(&bin.display().to_string())));
    let env = dir.join("env");
    files::replace(&env, 0o600, (lines.join("\n") + "\n").as_bytes())
        .map_err(|e| failed(&env, &e))?;
    Ok(env)
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

/// The lines of a scene; digests are shortened unless everything is to be shown.
fn shown(step: &mut u32, scene: &Scene<'_>, full: bool) -> Vec<Painted> {
    let text = |text: &str| if full { text.to_owned() } else { shorten::digests_in(text) };
    match scene {
        Scene::Opening(opening) => indented(opening, "", |_| Tone::Plain),
        Scene::Heading(heading) => {
            *step += 1;
            vec![Painted::default(), Painted::of(Tone::Head, format!("{step}. {heading}"))]
        }
        Scene::Remark(remark) => indented(&text(remark), "   ", |_| Tone::Plain),
        Scene::Command(command) => indented(&text(command), "   $ ", |_| Tone::Busy),
        Scene::Stdout(out) => indented(&text(out), "     ", tone),
        Scene::Stderr(said) => indented(&text(said), "     ", |_| Tone::Aside),
    }
}

/// A verdict is what the demo is about.
fn tone(line: &str) -> Tone {
    match line {
        line if line.contains("verdict: Match") => Tone::Good,
        line if line.contains("verdict: Mismatch") => Tone::Bad,
        line if line.contains("verdict: Unproven") => Tone::Doubt,
        _ => Tone::Plain,
    }
}

fn indented(text: &str, by: &str, tone: impl Fn(&str) -> Tone) -> Vec<Painted> {
    text.lines().map(|line| Painted::of(tone(line), format!("{by}{line}"))).collect()
}

fn value(scene: &Scene<'_>) -> serde_json::Value {
    let (kind, text) = match scene {
        Scene::Opening(text) => ("opening", text),
        Scene::Heading(text) => ("heading", text),
        Scene::Remark(text) => ("remark", text),
        Scene::Command(text) => ("command", text),
        Scene::Stdout(text) => ("stdout", text),
        Scene::Stderr(text) => ("stderr", text),
    };
    json!({ "kind": kind, "text": text })
}

fn new_dir(args: &Args) -> Result<PathBuf, Report> {
    let fail = |what: String| CliError::new(Kind::Configuration, what);
    let Some(dir) = &args.dir else {
        let (dir, notes) = execute::demo_directory()?;
        for note in notes {
            output::warn(note);
        }
        return Ok(dir);
    };
    fs::create_dir(dir).map_err(|e| {
        let hint = match e.kind() {
            io::ErrorKind::NotFound => "make the directory above it first",
            _ => "--dir takes a directory that does not exist yet, below one that you can write",
        };
        fail(format!("cannot make {}: {e}", dir.display())).with_hint(hint)
    })?;
    Ok(fs::canonicalize(dir).map_err(|e| fail(format!("{}: {e}", dir.display())))?)
}
