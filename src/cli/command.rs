//! The verbs, what each may do before it runs, and how the program ends.

use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::context::{Context, Global, Threads, dumps, engines};
use crate::cli::show::document;
use crate::cli::show::fault;
use crate::cli::show::output::Outcome;
use crate::cli::show::{exit, output};
use crate::cli::verbs::{
    audit, auth_explain, cache, cancel, config, convert, demo, doctor, fetch, import, init,
    inspect, jobs, ledger, lock, login, logs, pages, recover, rerun, resolve, run, runtime, status,
    submit, tags, verify, wait, worker, worker_pull,
};

fn examples() -> String {
    EXAMPLES.replace("ENGINE", engines::batch())
}

const EXAMPLES: &str = "\
Examples:
  moorline login gitlab-registry.example/group/project \\
      --username gitlab+deploy-token-1
  moorline resolve gitlab-registry.example/group/project:v1
  moorline submit --backend ENGINE group/project:v1 ./analysis --events 1000
  moorline wait JOB && moorline logs JOB
  moorline audit job JOB
  moorline demo";

/// Run a job in exactly the image that your GitLab CI built, and be able to prove it later.
#[derive(Debug, Parser)]
#[command(name = "moorline", version, after_help = examples(), max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

// Where a verb has more than one paragraph of help, its text stands in the verb's file alone: a text here would
// replace all of it.
#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Doctor(doctor::Args),
    Login(login::Login),
    /// Forget a stored credential
    Logout(login::Logout),
    AuthExplain(auth_explain::Args),
    Resolve(resolve::Args),
    Tags(tags::Args),
    Inspect(inspect::Args),
    Lock(lock::Args),
    #[command(visible_alias = "pull")]
    Convert(convert::Args),
    Verify(verify::Args),
    #[command(visible_alias = "exec")]
    Run(run::Args),
    Shell(run::Shell),
    Submit(submit::Args),
    Wait(wait::Args),
    /// Show the state of jobs
    Status(status::Args),
    /// Print what a job wrote
    Logs(logs::Args),
    Fetch(fetch::Args),
    /// End jobs with all their processes
    Cancel(cancel::Args),
    /// Submit a job again, with the same digest even when the tag has moved
    Rerun(rerun::Args),
    /// List jobs
    Jobs(jobs::Args),
    /// Settle submissions that were interrupted: asks the engine, never submits again
    Recover(recover::Args),
    /// Show which image a job used and which jobs used an image; check
    /// registries and the ledger
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Look after the ledger
    #[command(subcommand)]
    Ledger(ledger::Verb),
    /// Look after the store of images and layers
    #[command(subcommand)]
    Cache(cache::Verb),
    /// Look after the runtimes that jobs bring to their workers
    #[command(subcommand)]
    Runtime(runtime::Verb),
    /// Show the settings in force and where each comes from
    #[command(subcommand)]
    Config(config::Verb),
    Demo(demo::Args),
    /// Read a job of another tool into a job file
    #[command(subcommand)]
    Import(import::Verb),
    /// Print completions for a shell
    Completions(pages::Completions),
    /// Print the manual page, or write all pages into a directory
    Man(pages::Man),
    /// Run a job's plan; started by the job's script
    #[command(hide = true)]
    Worker(worker::Work),
    /// Look after a job of the local backend; started by submit
    #[command(hide = true)]
    Supervise(worker::Supervise),
    /// Get the image of a job; started by its worker
    #[command(hide = true)]
    WorkerPull(worker_pull::Work),
}

impl Verb {
    /// Whether a user's program is started by it, on this machine or through an engine that hands
    /// this process's limits on.
    fn starts_jobs(&self) -> bool {
        matches!(
            self,
            Self::Run(_) | Self::Shell(_) | Self::Submit(_) | Self::Rerun(_) | Self::Demo(_)
        )
    }

    /// Whether `moorline.toml` of the current directory decides something of it.
    fn uses_project(&self) -> bool {
        matches!(
            self,
            Self::Resolve(_)
                | Self::Tags(_)
                | Self::Inspect(_)
                | Self::Lock(_)
                | Self::Convert(_)
                | Self::Verify(_)
                | Self::Run(_)
                | Self::Shell(_)
                | Self::Submit(_)
                | Self::AuthExplain(_)
                | Self::Config(_)
        )
    }

    /// What its network runtime is made for.
    fn threads(&self) -> Threads {
        match self {
            Self::Convert(_) | Self::Verify(_) => Threads::Several,
            verb if verb.starts_jobs() => Threads::Several,
            _ => Threads::One,
        }
    }
}

/// Examples come first, as in a manual that people read.
const TEMPLATE: &str =
    "{before-help}{about}{after-help}\n\n{usage-heading} {usage}\n\n{all-args}\n";

/// The command with its help texts: `-h` leaves out the flags of these headings, `--help` shows all.
fn command() -> Command {
    fn brief(command: Command) -> Command {
        let rare = |arg: Arg| match arg.get_help_heading() {
            Some(_) => arg.hide_short_help(true),
            None => arg,
        };
        command.mut_args(rare).mut_subcommands(brief)
    }
    brief(whole_command())
}

/// The same with every flag: for the manual, which knows one kind of help.
fn whole_command() -> Command {
    fn arranged(command: Command) -> Command {
        command.help_template(TEMPLATE).mut_subcommands(arranged)
    }
    arranged(Cli::command())
}

/// What a shell completes: no verb that only a script starts, and engines by their names.
fn completed_command() -> Command {
    let whole = command();
    let with_engines = |verb: &Command| match verb.get_name() {
        "submit" => verb.clone().mut_arg("backend", |arg| arg.value_parser(engines::backends())),
        _ => verb.clone(),
    };
    let shown = whole.get_subcommands().filter(|verb| !verb.is_hide_set()).map(with_engines);
    Command::new("moorline")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(shown.collect::<Vec<_>>())
}

/// Reads the arguments, runs the verb, prints its error, and gives its exit code.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|found| {
        found.subcommand_name().into_iter().for_each(fault::is_about);
        Cli::from_arg_matches(&found)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let is_error = error.use_stderr();
            fault::clap(error);
            if !is_error {
                return ExitCode::SUCCESS;
            }
            let json = |word: &String| word == "--json" || word.starts_with("--json=");
            if output::arguments().iter().any(json) {
                document::finish(exit::USAGE);
            }
            return ExitCode::from(exit::USAGE);
        }
    };
    let json = cli.global.json.clone();
    if let Some(fields) = &json {
        let fields = fields.split(',').map(str::trim).filter(|field| !field.is_empty());
        document::choose(&fields.map(str::to_owned).collect::<Vec<_>>());
    }
    let code = match run(cli) {
        Ok(code) => code,
        Err(report) => {
            fault::error(&report);
            exit::code(report.0.kind())
        }
    };
    if json.is_some() {
        document::finish(code);
    }
    ExitCode::from(code)
}

fn run(cli: Cli) -> Outcome {
    // inside a job: reads no configuration and no credential
    if let Verb::Supervise(args) = &cli.verb {
        return worker::supervise(args);
    }
    if let Verb::WorkerPull(args) = &cli.verb {
        return Ok(worker_pull::run(args));
    }
    let json = cli.global.json.is_some();
    match &cli.verb {
        Verb::Completions(args) => {
            pages::completions(completed_command(), args, json);
            return Ok(0);
        }
        Verb::Man(args) => return pages::man(whole_command(), args, json),
        _ => {}
    }
    // from here on secrets are read
    dumps::off(cli.verb.starts_jobs());
    let context = match Context::read(&cli.global, cli.verb.threads()) {
        Err(broken) if matches!(cli.verb, Verb::Doctor(_)) => {
            return Ok(doctor::without_settings(&cli.global, cli.verb.threads(), &broken));
        }
        read => read?,
    };
    if cli.verb.uses_project() {
        context.require_project()?;
    }
    if cli.verb.uses_project() && !matches!(cli.verb, Verb::Config(_)) {
        context.require_registry()?;
    } else {
        context.warn_of_registry();
    }
    match cli.verb {
        Verb::Init(args) => init::run(&context, &args),
        Verb::Doctor(_) => Ok(doctor::run(&context)),
        Verb::Login(args) => login::login(&context, &args),
        Verb::Logout(args) => login::logout(&context, &args),
        Verb::AuthExplain(args) => auth_explain::run(&context, &args),
        Verb::Resolve(args) => resolve::run(&context, &args),
        Verb::Tags(args) => tags::run(&context, &args),
        Verb::Inspect(args) => inspect::run(&context, &args),
        Verb::Lock(args) => lock::run(&context, &args),
        Verb::Convert(args) => convert::run(&context, &args),
        Verb::Verify(args) => verify::run(&context, &args),
        Verb::Run(args) => run::run(&context, args),
        Verb::Shell(args) => run::shell(&context, args),
        Verb::Submit(args) => submit::run(&context, args),
        Verb::Wait(args) => wait::run(&context, &args),
        Verb::Status(args) => status::run(&context, &args),
        Verb::Logs(args) => logs::run(&context, &args),
        Verb::Fetch(args) => fetch::run(&context, &args),
        Verb::Cancel(args) => cancel::run(&context, &args),
        Verb::Rerun(args) => rerun::run(&context, &args),
        Verb::Jobs(args) => jobs::run(&context, &args),
        Verb::Recover(args) => recover::run(&context, &args),
        Verb::Audit(verb) => audit::run(&context, &verb),
        Verb::Ledger(verb) => ledger::run(&context, &verb),
        Verb::Cache(verb) => cache::run(&context, &verb),
        Verb::Runtime(verb) => runtime::run(&context, &verb),
        Verb::Config(verb) => {
            config::run(&context, &verb);
            Ok(0)
        }
        Verb::Demo(args) => demo::run(&context, &args),
        Verb::Import(verb) => import::run(&context, &verb),
        // those above need no context; `execute::early` runs the worker, which lacks its directory here
        Verb::Completions(_)
        | Verb::Man(_)
        | Verb::Worker(_)
        | Verb::Supervise(_)
        | Verb::WorkerPull(_) => {
            Err(output::CliError::usage("this verb is started by a job's script").into())
        }
    }
}
