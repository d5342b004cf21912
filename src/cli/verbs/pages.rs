//! `moorline completions` and `moorline man`: made from the same definitions as the help texts.

use std::fs;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::failure::{Kind, io_kind};

/// Print the completions for a shell.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline completions bash >~/.local/share/bash-completion/completions/moorline
  moorline completions zsh >~/.zfunc/_moorline
  moorline completions fish >~/.config/fish/completions/moorline.fish")]
pub struct Completions {
    /// The shell: bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Print the manual page, or write all pages into a directory.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline man | man -l -
  moorline man --output ~/.local/share/man/man1")]
pub struct Man {
    /// Write moorline.1 and a page for each verb into this directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// The verb: prints a script.
pub fn completions(mut command: Command, args: &Completions, as_json: bool) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "moorline", &mut script);
    if as_json {
        let script = String::from_utf8_lossy(&script);
        document::print(&json!({ "shell": args.shell.to_string(), "script": script }));
    } else {
        output::bytes(&script);
    }
}

/// The verb: prints a page, or writes them all.
///
/// # Errors
/// When the directory cannot be written.
pub fn man(command: Command, args: &Man, as_json: bool) -> Outcome {
    let Some(dir) = &args.output else {
        let page = page(command)?;
        if as_json {
            document::print(&json!({ "page": String::from_utf8_lossy(&page) }));
        } else {
            output::bytes(&page);
        }
        return Ok(0);
    };
    let unwritten = |error: std::io::Error| {
        let kind = io_kind(&error, Kind::Usage);
        CliError::new(kind, format!("cannot write to {}: {error}", dir.display()))
    };
    fs::create_dir_all(dir).map_err(unwritten)?;
    let mut pages = vec![("moorline".to_owned(), command.clone())];
    add_verbs(&command, "moorline", &mut pages);
    let mut written = Vec::new();
    for (name, command) in pages {
        let file = dir.join(format!("{name}.1"));
        crate::files::replace(&file, 0o644, &page(command.name(name))?).map_err(unwritten)?;
        written.push(file);
    }
    if as_json {
        document::print(&json!({ "written": written }));
    }
    Ok(0)
}

/// The visible verbs below a command, those below verbs included.
fn add_verbs(command: &Command, name: &str, pages: &mut Vec<(String, Command)>) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let full = format!("{name}-{}", verb.get_name());
        pages.push((full.clone(), verb.clone()));
        add_verbs(verb, &full, pages);
    }
}

fn page(command: Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| CliError::new(Kind::Configuration, format!("no page: {error}")))?;
    Ok(page)
}
