//! `moorline doctor`: what works here, what does not, and the remedy.
//!
//! ```text
//! ok       it works
//! note     it is absent, and nothing needs it yet
//! problem  something that a verb needs does not work; the exit code is that of the worst
//! ```

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::SystemTime;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::context::adapters;
use crate::cli::context::engines;
use crate::cli::context::room;
use crate::cli::show::document;
use crate::cli::show::output::{self, Report};
use crate::cli::show::plural::plural;
use crate::execute::Form;
use crate::failure::Failure;
use crate::oci::{DOCKER_HUB, Registry};

/// Check this machine, the configuration, the registry and the engines, with a remedy for each problem.
///
/// Nothing is changed but the directories that every verb makes. The registry and the engines are asked
/// whether they answer.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline doctor
  moorline --json doctor")]
pub struct Args {}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Note,
    Problem,
}

/// What was looked at.
struct Finding {
    what: &'static str,
    state: State,
    said: String,
    remedy: Option<String>,
    code: u8,
}

impl Finding {
    fn ok(what: &'static str, said: impl Into<String>) -> Self {
        Self { what, state: State::Ok, said: said.into(), remedy: None, code: 0 }
    }

    fn note(what: &'static str, said: impl Into<String>, remedy: &str) -> Self {
        let remedy = Some(remedy.to_owned());
        Self { what, state: State::Note, said: said.into(), remedy, code: 0 }
    }

    fn problem(what: &'static str, error: &dyn Failure, otherwise: &str) -> Self {
        let remedy = error.hint().unwrap_or_else(|| otherwise.to_owned());
        let (said, code) = (error.to_string(), crate::cli::show::exit::code(error.kind()));
        Self { what, state: State::Problem, said, remedy: Some(remedy), code }
    }
}

/// The verb: prints a line for each finding, and its remedy below it.
///
/// What does not work is a finding, and no error.
pub fn run(context: &Context) -> u8 {
    let mut findings = vec![Finding::ok(
        "program",
        format!("moorline {} ({})", env!("CARGO_PKG_VERSION"), context.program.display()),
    )];
    findings.push(project(context));
    findings.extend(registry(context));
    findings.push(credentials(context));
    findings.push(gitlab(context));
    findings.push(runtime(context));
    findings.push(fuse(context));
    findings.extend(engines(context));
    findings.extend(places(context));
    let worst = findings.iter().map(|finding| finding.code).max().unwrap_or(0);
    if context.voice.json {
        let word = |state| match state {
            State::Ok => "ok",
            State::Note => "note",
            State::Problem => "problem",
        };
        let values: Vec<_> = findings
            .iter()
            .map(|f| json!({ "what": f.what, "state": word(f.state), "said": f.said, "remedy": f.remedy }))
            .collect();
        document::print(&values);
        return worst;
    }
    for finding in &findings {
        output::line(text(finding));
    }
    worst
}

fn text(finding: &Finding) -> String {
    let mark = match finding.state {
        State::Ok => "ok",
        State::Note => "note",
        State::Problem => "PROBLEM",
    };
    let line = format!("{mark:<8} {:<12} {}", finding.what, output::cell(&finding.said));
    match &finding.remedy {
        Some(remedy) => format!("{line}\n{:22}try: {}", "", output::cell(remedy)),
        None => line,
    }
}

fn project(context: &Context) -> Finding {
    if let Err(Report(error)) = context.require_project() {
        return Finding::problem("project", &*error, "chmod go-w the project's directory");
    }
    match context.project_file(crate::config::PROJECT_FILE) {
        Ok(Some(_)) => {
            let names = context.settings().images.len() + context.settings().built.len();
            let names = plural(names, "image");
            Finding::ok("project", format!("moorline.toml of this directory names {names}"))
        }
        Ok(None) => Finding::note(
            "project",
            "there is no moorline.toml in this directory",
            "moorline init writes one; without it images are named in full",
        ),
        Err(Report(error)) => {
            Finding::problem("project", &*error, "moorline init writes a new one")
        }
    }
}

/// The registry of short names, and whether it answers.
fn registry(context: &Context) -> Vec<Finding> {
    let name = context.default_registry();
    if name == DOCKER_HUB {
        return vec![Finding::note(
            "registry",
            "short names are images of Docker Hub: no GitLab registry is configured",
            "write registry = \"gitlab-registry.example\" into ~/.config/moorline/config.toml",
        )];
    }
    let Ok(registry) = name.parse::<Registry>() else { return vec![] };
    let asked = context.client().and_then(|client| context.block_on(client.realm(&registry, None)));
    vec![match asked {
        Ok(Ok(Some(realm))) => {
            Finding::ok("registry", format!("{registry} answers; its tokens come from {realm}"))
        }
        Ok(Ok(None)) => Finding::ok("registry", format!("{registry} answers and wants no token")),
        Ok(Err(error)) => Finding::problem("registry", &error, "check its name and the network"),
        Err(Report(error)) => {
            Finding::problem("registry", &*error, "moorline config show names the files")
        }
    }]
}

fn credentials(context: &Context) -> Finding {
    match context.credentials().list() {
        Ok(list) if list.is_empty() => Finding::note(
            "credentials",
            "none is kept",
            "moorline login REGISTRY/GROUP/PROJECT --username NAME keeps a deploy token",
        ),
        Ok(list) => {
            let scopes: Vec<String> = list.iter().map(|login| login.scope.to_string()).collect();
            Finding::ok("credentials", format!("kept for {}", scopes.join(", ")))
        }
        Err(error) => Finding::problem("credentials", &error, "moorline logout REGISTRY"),
    }
}

fn gitlab(context: &Context) -> Finding {
    let Some(server) = context.gitlab_server() else {
        return Finding::note(
            "GitLab",
            "no server is configured: images are found by name, and not by commit or pipeline",
            "write [gitlab] url = \"https://gitlab.example\" into ~/.config/moorline/config.toml",
        );
    };
    match context.gitlab() {
        Ok(Some(_)) => Finding::ok("GitLab", format!("{server}, with an API token")),
        Ok(None) => Finding::note(
            "GitLab",
            format!("{server}, without an API token: conventions and labels are used"),
            &format!("moorline login --api {server} keeps a token with the scope read_api"),
        ),
        Err(Report(error)) => Finding::problem("GitLab", &*error, "moorline login --api URL"),
    }
}

fn runtime(context: &Context) -> Finding {
    let all: Vec<_> = crate::execute::installed().collect();
    let names =
        |all: &[(&'static str, Form)]| all.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    // what `auto` may take, which stages a SIF
    let of_auto: Vec<_> = all.iter().filter(|(_, form)| *form == Form::Sif).copied().collect();
    let own = context.builtin_works();
    match own {
        Ok(()) if all.is_empty() => {
            Finding::ok("runtime", "builtin works: user namespaces are allowed")
        }
        Ok(()) => {
            let names = names(&all).join(", ");
            Finding::ok("runtime", format!("builtin works; installed: {names}"))
        }
        Err(Report(error)) if of_auto.is_empty() => {
            let hint = match names(&all).first() {
                Some(name) => format!("install apptainer, or write --runtime {name}"),
                None => "install apptainer".to_owned(),
            };
            Finding::problem("runtime", &*error, &hint)
        }
        Err(Report(error)) => Finding::note(
            "runtime",
            format!("{} is used; builtin does not work: {error}", names(&of_auto).join(", ")),
            "nothing: jobs run",
        ),
    }
}

/// Whether images can be mounted by an ordinary user, or are unpacked for each job.
fn fuse(context: &Context) -> Finding {
    let device = Path::new("/dev/fuse");
    let opened = OpenOptions::new().read(true).write(true).open(device);
    let program = ["squashfuse_ll", "squashfuse"].into_iter().find(|p| context.which(p).is_some());
    match (opened, program) {
        (Ok(_), Some(program)) => Finding::ok("mounting", format!("by {program}")),
        (Ok(_), None) => Finding::note(
            "mounting",
            "squashfuse is not installed: an image is unpacked before its first job",
            "install the package squashfuse",
        ),
        (Err(error), _) => Finding::note(
            "mounting",
            format!(
                "{} cannot be opened ({error}): an image is unpacked before its first job",
                device.display()
            ),
            "ask the administrator for mode 0666 of /dev/fuse, which is the usual one",
        ),
    }
}

fn engines(context: &Context) -> Vec<Finding> {
    let ask = |name: &'static str| {
        let backend = adapters::backend(context, name)?;
        Some(match backend.ready() {
            Ok(said) => Finding::ok("engine", format!("{name}: {said}")),
            Err(error) => Finding::note(
                "engine",
                format!("{name}: {}", error.why()),
                &format!("nothing, unless you submit with --backend {name}"),
            ),
        })
    };
    engines::backends().into_iter().filter_map(ask).collect()
}

/// Store, ledger and jobs directory: can they be written, is there room, and is the clock that of their
/// file server.
fn places(context: &Context) -> Vec<Finding> {
    let mut found = vec![];
    match context.store() {
        Ok(store) => {
            let root = context.cache_dir().display();
            match store.unsuitable(false) {
                Some(why) => found.push(Finding::note(
                    "store",
                    format!("{root} {why}"),
                    "set MOORLINE_CACHE to another place",
                )),
                None => found.push(Finding::ok("store", root.to_string())),
            }
            let tight: Vec<String> = room::tight(context, &store);
            match tight.first() {
                Some(said) => found.push(Finding::note("room", said, "moorline cache prune")),
                None => found.push(Finding::ok("room", "there is room where the store lies")),
            }
        }
        Err(Report(error)) => {
            found.push(Finding::problem("store", &*error, "set MOORLINE_CACHE to another place"));
        }
    }
    match context.ledger() {
        Ok(_) => found.push(Finding::ok("ledger", context.ledger_dir().display().to_string())),
        Err(Report(error)) => {
            found.push(Finding::problem("ledger", &*error, "set MOORLINE_LEDGER to another place"));
        }
    }
    found.extend(clock(context.ledger_dir()));
    found
}

/// Seconds by which a file's time may differ from the clock.
const MOST_OFF: u64 = 5;

/// The clock of a file server against this machine's.
fn clock(dir: &Path) -> Option<Finding> {
    let file = tempfile::Builder::new().prefix(".clock-").tempfile_in(dir).ok()?;
    let (there, here) = (fs::metadata(file.path()).ok()?.modified().ok()?, SystemTime::now());
    let off = here.duration_since(there).unwrap_or_else(|error| error.duration()).as_secs();
    Some(if off <= MOST_OFF {
        Finding::ok("clock", "as the file system's")
    } else {
        Finding::note(
            "clock",
            format!("this machine's clock and that of {} differ by {off} s", dir.display()),
            "the ledger's order is by time: synchronise the clock (chrony, systemd-timesyncd)",
        )
    })
}
