//! `moorline demo`: the whole line on this machine.

use std::fs;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::demo::{self, DemoError, Isolation, Options, Scene, Shell};
use crate::execute;
use crate::failure::Kind;
use crate::files;

/// Show the whole line on this machine.
///
/// Makes a small image of this machine's own files, serves it from a registry stand-in on loopback,
/// and runs the ordinary commands on it. Needs no root, no container software and no network.
#[derive(Debug, ClapArgs)]
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
    let quiet = context.voice.quiet;
    let mut step = 0;
    let told = demo::run(&options, &mut |scene| {
        if !quiet {
            show(&mut step, &scene);
        }
    })?;
    let variables: Vec<String> = Shell::variables(&dir)
        .iter()
        .map(|(name, value)| format!("export {name}={}", quoted(&value.display().to_string())))
        .collect();
    let env = dir.join("env");
    let text = format!("{}\n", variables.join("\n"));
    files::replace(&env, 0o644, text.as_bytes()).map_err(|e| {
        CliError::new(Kind::Configuration, format!("cannot write {}: {e}", env.display()))
    })?;
    output::line(format!(
        "\nDone: both jobs ran the digest that the tag named first; verdict {}.",
        told.verdict
    ));
    output::line(format!("All files are in {}; to look at them with moorline:", dir.display()));
    output::line(format!("  . {}", quoted(&env.display().to_string())));
    output::line(format!("  moorline jobs\n  moorline audit job {}", told.job));
    Ok(0)
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

fn show(step: &mut u32, scene: &Scene<'_>) {
    match scene {
        Scene::Heading(text) => {
            *step += 1;
            output::line(format!("\n{step}. {text}"));
        }
        Scene::Remark(text) => output::line(indented(text, "   ")),
        Scene::Command(text) => output::line(format!("   $ {text}")),
        Scene::Stdout(text) | Scene::Stderr(text) => {
            output::line(indented(text, "     "));
        }
    }
}

fn indented(text: &str, by: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("{by}{line}")).collect();
    lines.join("\n")
}

fn new_dir(args: &Args) -> Result<PathBuf, crate::cli::show::output::Report> {
    let fail = |what: String| CliError::new(Kind::Configuration, what);
    let Some(dir) = &args.dir else {
        let (dir, notes) = execute::demo_directory()?;
        for note in notes {
            output::warn(note);
        }
        return Ok(dir);
    };
    fs::create_dir(dir).map_err(|e| {
        fail(format!("cannot make {}: {e}", dir.display()))
            .with_hint("--dir takes a directory that does not exist yet")
    })?;
    Ok(fs::canonicalize(dir).map_err(|e| fail(format!("{}: {e}", dir.display())))?)
}
