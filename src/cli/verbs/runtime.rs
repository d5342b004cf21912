//! `moorline runtime`: runtimes that jobs bring to workers that have none.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::show::table::{Column, Gives, Table};
use crate::failure::Kind;
use crate::job::{AddedFile, AddedRuntime};
use crate::oci::Sha256Digest;
use crate::store::{Store, StoredRuntime};
use crate::submit;

/// Look after the runtimes that jobs bring to their workers.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  moorline runtime add udocker udocker-1.3.17-py2.py3-none-any.whl
  moorline runtime ls")]
pub enum Verb {
    /// Keep a runtime for workers that have none
    Add(Add),
    /// List the runtimes that were added, the one that was added last first
    #[command(after_help = "\
Of several of one kind the first is used.

Examples:
  moorline runtime ls
  moorline runtime ls --json")]
    Ls,
    /// Remove one; a job that was submitted with it and has not begun will miss it
    #[command(after_help = "\
Examples:
  moorline runtime rm sha256:4a0c")]
    Rm {
        /// The package's digest or a beginning of it, as moorline runtime ls shows it
        #[arg(value_name = "SHA256")]
        package: String,
    },
}

/// Keep a runtime for workers that have none.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
FILE is what `pip download --no-deps udocker` gets, or the archive of a release. ENGINE-TARBALL
is udocker's own udocker-englib-VERSION.tar.gz; without it the worker needs proot, runc or crun.
Both are looked at, and kept in the store by their SHA-256. From then on moorline run and submit
give them to each job that may come to udocker. The worker compares them and unpacks them for
this one job: nothing is installed. Adding a file again is fine.

Examples:
  moorline runtime add udocker udocker-1.3.17-py2.py3-none-any.whl
  moorline runtime add udocker udocker-1.3.17.tar.gz udocker-englib.tar.gz")]
pub struct Add {
    /// Which runtime
    #[arg(value_name = "RUNTIME")]
    kind: Addable,
    /// The runtime
    #[arg(value_name = "FILE")]
    package: PathBuf,
    /// The archive of the programs that it starts containers with
    #[arg(value_name = "ENGINE-TARBALL")]
    engines: Option<PathBuf>,
}

/// What can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Addable {
    Udocker,
}

/// The verb.
///
/// # Errors
/// When a file is not what it should be, or the store cannot be read or written.
pub fn run(context: &Context, verb: &Verb) -> Outcome {
    match verb {
        Verb::Add(args) => add(context, args),
        Verb::Ls => ls(context),
        Verb::Rm { package } => rm(context, package),
    }
}

fn add(context: &Context, args: &Add) -> Outcome {
    let Addable::Udocker = args.kind;
    let now = jiff::Timestamp::now();
    let engines = args.engines.as_deref();
    let added = submit::add_udocker(&context.store()?, &args.package, engines, now)?;
    if context.voice.json {
        document::print(&row(&added, now, true));
        return Ok(0);
    }
    let with = added.engines.as_ref().map_or_else(
        || "workers need proot, runc or crun".to_owned(),
        |engines| format!("engines {}", output::cell(&engines.version)),
    );
    context.voice.say(format!("added {} {}; {with}", added.kind, output::cell(&added.version)));
    output::line(added.package.sha256.to_string());
    Ok(0)
}

/// What is there, and what of it cannot be read.
fn listed(store: &Store) -> Result<Vec<StoredRuntime>, Report> {
    let (all, problems) = store.runtimes()?;
    for problem in problems {
        output::warn(output::cell(&problem.to_string()));
    }
    Ok(all)
}

fn ls(context: &Context) -> Outcome {
    let store = context.store()?;
    let all = listed(&store)?;
    let is_used = |one: &StoredRuntime| {
        let first = all.iter().find(|other| other.runtime.kind == one.runtime.kind);
        first == Some(one)
    };
    if context.voice.json {
        let rows: Vec<Value> =
            all.iter().map(|one| row(&one.runtime, one.added_at, is_used(one))).collect();
        document::print(&json!({ "runtimes": rows }));
        return Ok(0);
    }
    if all.is_empty() {
        context.voice.say("no runtime was added");
        return Ok(0);
    }
    let mut table = Table::new([
        Column::new("RUNTIME", Gives::Whole),
        Column::new("VERSION", Gives::Whole),
        Column::new("PACKAGE", Gives::Digest),
        Column::new("ENGINES", Gives::Whole),
        Column::new("SIZE", Gives::Whole),
        Column::new("ADDED", Gives::Time),
        Column::new("USED", Gives::Whole),
    ]);
    for one in &all {
        let runtime = &one.runtime;
        let engines = runtime.engines.as_ref();
        table.row([
            runtime.kind.to_string(),
            runtime.version.clone(),
            runtime.package.sha256.to_string(),
            engines.map_or_else(|| "-".to_owned(), |engines| engines.version.clone()),
            output::size(runtime.files().map(|file| file.size).sum()),
            one.added_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            if is_used(one) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    output::painted(&table.lines(context.voice.width()));
    Ok(0)
}

fn rm(context: &Context, package: &str) -> Outcome {
    let store = context.store()?;
    let all = listed(&store)?;
    let hex = package.strip_prefix("sha256:").unwrap_or(package);
    let named: Vec<&StoredRuntime> =
        all.iter().filter(|one| one.runtime.package.sha256.hex().starts_with(hex)).collect();
    let hint = "moorline runtime ls shows what there is";
    match named.as_slice() {
        _ if hex.is_empty() => Err(CliError::usage("no digest was named").with_hint(hint).into()),
        [] => {
            let text = format!("no runtime was added whose package is {}", output::cell(package));
            Err(CliError::new(Kind::NotFound, text).with_hint(hint).into())
        }
        [one] => {
            store.remove_runtime(one)?;
            let runtime = &one.runtime;
            if context.voice.json {
                document::print(&json!({ "removed": row(runtime, one.added_at, false) }));
            } else {
                let (kind, version) = (&runtime.kind, output::cell(&runtime.version));
                context.voice.say(format!("removed {kind} {version} ({})", runtime.package.sha256));
            }
            Ok(0)
        }
        several => {
            let text = format!(
                "{} begins the digests of {} packages",
                output::cell(package),
                several.len()
            );
            Err(CliError::usage(text).with_hint("write more of it").into())
        }
    }
}

fn row(runtime: &AddedRuntime, added_at: jiff::Timestamp, used: bool) -> Value {
    let file =
        |file: &AddedFile| json!({"name": file.name, "sha256": file.sha256, "size": file.size});
    let engines = runtime.engines.as_ref().map(|engines| {
        let mut row = file(&engines.file);
        row["version"] = json!(engines.version);
        row["brings"] = json!(engines.brings);
        row
    });
    json!({
        "runtime": runtime.kind, "version": runtime.version, "package": file(&runtime.package),
        "engines": engines, "added_at": added_at, "used": used,
    })
}
