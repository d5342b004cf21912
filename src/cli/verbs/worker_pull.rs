//! The hidden verb `worker-pull`, started by a worker: gets a job's image into the node's store. It reads no configuration
//! and no credential but those that came with the job.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::acquire::{Manners, OnWorker, on_worker};
use crate::cli::context::{self, dumps};
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Report};
use crate::credential::{self, Chain, Explicit, Scope};
use crate::execute::Pulled;
use crate::failure::{Kind, chain};
use crate::files::ForeignFile;
use crate::layer::Limits;
use crate::net::{HostBudget, Notice, Proxies, Sharing};
use crate::oci::{Digest, Sha256Digest};
use crate::pin::{Image, Pin};
use crate::registry::{self, Client, anonymous};
use crate::store::Store;
use crate::worker::{AUTHORITIES_FILE, CREDENTIAL_FILE, PLAN_FILE, Plan, Pull};

/// Larger plans are refused.
const MOST_PLAN: u64 = 64 << 20;

/// Get the image of a job; started by its worker.
#[derive(Debug, Args)]
pub struct Work {
    /// The job's control directory
    #[arg(value_name = "DIR")]
    control: PathBuf,
    /// The SHA-256 of the plan's bytes
    #[arg(long, value_name = "HEX")]
    plan_sha256: String,
    /// The node's store
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
}

/// The verb: one JSON document on stdout, whatever came of it; the exit code is that of its kind.
pub fn run(args: &Work) -> u8 {
    dumps::off(false);
    let (answer, code) = match pull(args) {
        Ok((path, fetched)) => (Pulled::There { path, fetched }, 0),
        Err(Report(error)) => {
            let kind = error.kind();
            let answer = Pulled::Failed {
                kind: kind.name().to_owned(),
                why: chain(&*error),
                hint: error.hint(),
            };
            (answer, crate::cli::show::exit::code(kind))
        }
    };
    document::print(&serde_json::json!(answer));
    code
}

fn pull(args: &Work) -> Result<(PathBuf, Option<u64>), Report> {
    let plan = plan(args)?;
    let bad = |text: &str| CliError::new(Kind::Configuration, text.to_owned());
    let order = plan.getting.pull.as_ref().ok_or_else(|| bad("the job's plan pulls nothing"))?;
    let pin = plan.job.image.pin().ok_or_else(|| bad("the job's image is in no registry"))?;
    let store = Store::open(&args.store)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime =
        runtime.map_err(|error| bad(&format!("cannot start the network runtime: {error}")))?;
    let client = match client(&args.control, order, pin, &store) {
        Ok(client) => client,
        // another attempt of the job took the credential away: then it had pulled
        Err(error) => match known(&plan, pin, &store) {
            Some(path) => return Ok((path, None)),
            None => return Err(error),
        },
    };
    let mut limits = Limits::default();
    for (name, value) in &plan.limits {
        // a name that is unknown here bounds nothing here
        let _ = limits.set(name, *value);
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let here = OnWorker {
        client: &client,
        store: &store,
        keys: &order.keys,
        limits,
        manners: Manners::decide(None, cores, false),
        runtime: &runtime,
    };
    let staged = on_worker(&here, &plan.job.image)?;
    Ok((staged.place, (!staged.known).then_some(staged.size)))
}

/// The SIF of the job, when it is in the store.
fn known(plan: &Plan, pin: &Pin, store: &Store) -> Option<PathBuf> {
    let Image::Sif { digest, recipe, .. } = &plan.job.image else { return None };
    let Some(recipe) = recipe else { return store.fetched_sif(digest) };
    let found = store.sif(&pin.manifest, recipe).ok().flatten();
    found.filter(|sif| sif.digest == *digest).map(|sif| sif.path)
}

/// The plan, whose bytes are those that the worker read.
fn plan(args: &Work) -> Result<Plan, Report> {
    let path = args.control.join(PLAN_FILE);
    let at = |why: String| {
        CliError::new(Kind::Configuration, format!("the plan {}: {why}", path.display()))
    };
    let bytes = ForeignFile::own_or_roots(MOST_PLAN).bytes(&path);
    let bytes = bytes.map_err(|error| at(error.to_string()))?;
    if Digest::of(&bytes).hex() != args.plan_sha256 {
        return Err(at("it was changed".to_owned()).into());
    }
    Ok(Plan::parse(&bytes).map_err(|error| at(error.to_string()))?)
}

/// A client that knows what came with the job.
fn client(control: &Path, order: &Pull, pin: &Pin, store: &Store) -> Result<Client, Report> {
    let bad = |what: &str, why: &dyn std::fmt::Display| {
        CliError::new(Kind::Configuration, format!("the job's plan: {what}: {why}"))
    };
    let credentials = if order.credential {
        let scope = Scope { registry: pin.registry.clone(), prefix: None };
        let file = control.join(CREDENTIAL_FILE);
        let mut settings = credential::Settings::file_only(control.join("no-credentials.json"));
        settings.explicit = Some(Explicit::from_file(scope, &file)?);
        settings.realms =
            order.realms.iter().map(|realm| (pin.registry.clone(), realm.clone())).collect();
        Chain::new(settings).into_lookup()
    } else {
        anonymous()
    };
    let mut insecure = Vec::new();
    for host in &order.insecure {
        insecure.push(host.parse().map_err(|error| bad("insecure", &error))?);
    }
    let mut path_prefixes = Vec::new();
    for prefix in &order.path_prefixes {
        path_prefixes.push(prefix.parse().map_err(|error| bad("path_prefixes", &error))?);
    }
    let at_once = order.at_once.and_then(|number| usize::try_from(number).ok());
    let sharing = Sharing {
        dir: Some(store.root().join("hosts")),
        at_once: at_once.unwrap_or(Sharing::default().at_once),
    };
    let notice: Notice = Arc::new(|sentence| output::warn(sentence));
    let environment = context::given();
    let authorities = order.authorities.then(|| control.join(AUTHORITIES_FILE));
    Ok(Client::new(registry::Options {
        insecure,
        ca_files: authorities.into_iter().collect(),
        credentials,
        proxies: Proxies::read(|name| environment.get(name).map(String::as_str))?,
        path_prefixes,
        hidden: output::hidden(),
        hosts: Arc::new(HostBudget::new(&sharing, Some(notice))),
        ..registry::Options::default()
    })?)
}
