//! `moorline import`: jobs of other tools as job files.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::cli::args::files_args::FilesArgs;
use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::verbs::login;
use crate::config::JobFile;
use crate::credential::Scope;
use crate::failure::{Failure, Kind};
use crate::files::ForeignFile;
use crate::import::ganga::{self, Image, Token};
use crate::oci::{DOCKER_HUB, Reference};

/// Larger files are refused.
const MOST_BYTES: u64 = 1 << 20;

/// Whose job.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  moorline import ganga job.py -o job.toml")]
pub enum Verb {
    /// Read a Ganga job: Python that makes one job, or what its export wrote; nothing is executed
    ///
    /// What has no counterpart is left out with a note, also in the job file. A deploy token's password is
    /// never written: with --login it goes into the keyring, else it is dropped.
    Ganga(Ganga),
}

/// Read a Ganga job into a job file.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline import ganga job.py -o job.toml && moorline submit -f job.toml
  moorline import ganga --login job.py")]
pub struct Ganga {
    /// The file; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the job file here; without it it is printed
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, requires = "output")]
    force: bool,
    /// Log in with its tokenuser and tokenpassword, and keep them in the keyring
    #[arg(long)]
    login: bool,
}

/// The verb: prints the job file, or its name.
///
/// # Errors
/// When the file is no job of Ganga's, the job file cannot be written, or the login fails.
pub fn run(context: &Context, verb: &Verb) -> Outcome {
    let Verb::Ganga(args) = verb;
    let shown = output::cell(&args.file.display().to_string());
    let text = read(&args.file)?;
    let mut job = ganga::read(&text).map_err(|error| {
        let told = CliError::new(error.kind(), format!("{shown} is not read: {error}"));
        Report::from(error.hint().into_iter().fold(told, CliError::with_hint))
    })?;
    let text = ganga::write(&mut job, &engines::backends());
    // what submit would refuse is said now
    let path = Path::new("job.toml");
    FilesArgs::default().fill(JobFile::parse(&text, path)?.files, path)?;
    for note in &job.notes {
        output::warn(output::cell(note));
    }
    let kept = token(context, args, &job.image, job.token)?;
    if let Some(file) = &args.output {
        write(file, &text, args.force)?;
    }
    if context.voice.json {
        document::print(&json!({
            "file": args.output, "text": text, "notes": job.notes, "token_kept": kept,
        }));
    } else if let Some(file) = &args.output {
        output::path(file);
    } else {
        output::line(text.trim_end());
    }
    Ok(0)
}

fn read(file: &Path) -> Result<String, Report> {
    let anyones = ForeignFile::anyones(MOST_BYTES).through_links().or_handed();
    let file = if file == Path::new("-") { Path::new("/dev/stdin") } else { file };
    anyones.text(file).map_err(|error| {
        let kind = if error.is_missing() { Kind::NotFound } else { Kind::Usage };
        CliError::new(kind, format!("cannot read {}: {error}", file.display())).into()
    })
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Report> {
    if file.symlink_metadata().is_ok() && !force {
        return Err(CliError::usage(format!("{} exists already", file.display()))
            .with_hint("--force replaces it")
            .into());
    }
    show::file::replace(file, text, Kind::Usage)
}

/// The token is kept when that is wanted, and forgotten otherwise; both are said. Whether it was kept.
fn token(
    context: &Context,
    args: &Ganga,
    image: &Image,
    token: Option<Token>,
) -> Result<bool, Report> {
    let Some(Token { user, password }) = token else {
        if args.login {
            return Err(CliError::usage("--login: the job has no tokenuser").into());
        }
        return Ok(false);
    };
    let reference = match image {
        Image::Reference(name) => Reference::parse(name, DOCKER_HUB).ok(),
        Image::File(_) | Image::Lfn(_) => None,
    };
    let Some(reference) = reference else {
        output::warn("tokenuser and tokenpassword are dropped: the image is in no registry");
        return Ok(false);
    };
    let scope = Scope { registry: reference.registry, prefix: Some(reference.repository) };
    if let Some(password) = password.filter(|_| args.login) {
        return login::keep_token(context, &scope, &user, password).map(|()| true);
    }
    let user = shlex::try_quote(&user).map_or_else(|_| user.clone(), Into::into);
    output::warn(format!(
        "the password of {} is dropped; moorline login {scope} --username {} asks for it, and import \
         --login keeps it in the keyring",
        output::cell(&user),
        output::cell(&user)
    ));
    Ok(false)
}
