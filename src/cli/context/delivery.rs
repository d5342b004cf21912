//! What a worker needs that gets its image by itself: chosen and looked up where the job is submitted.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::context::{Context, engines};
use crate::cli::show::output::{self, CliError, Report};
use crate::execute::{self, Form};
use crate::failure::{Failure, Kind};
use crate::files::{ForeignFile, MOST_CA_BYTES};
use crate::gitlab::CredentialKind;
use crate::job::{Delivery, JobSpec, Tasks};
use crate::pin::{Image, Pin};
use crate::registry::{Client, Lookup, anonymous};
use crate::secret::{Candidate, Candidates};
use crate::submit::{Added, Extras, Pulls, SubmitError, Way, pulled};
use crate::worker::{Getting, Pull};

/// Where CERN publishes unpacked images.
const CVMFS: &str = "/cvmfs/unpacked.cern.ch";
/// Requests of one node to a registry: many nodes may ask it at the same time.
const REQUESTS: u64 = 4;

/// What was said of the way of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    /// `--delivery`.
    pub way: Way,
    /// `--send-credential`.
    pub credential: bool,
    /// `--force-pull`.
    pub force: bool,
}

impl From<Way> for Sending {
    fn from(way: Way) -> Self {
        Self { way, ..Self::default() }
    }
}

impl Context {
    /// How many tasks of a job may pull.
    pub fn pulls(&self, sending: Sending) -> Pulls {
        let set = self.config.delivery.pull_tasks.as_ref();
        Pulls { most: set.map_or(Pulls::USUAL, |value| value.value), forced: sending.force }
    }

    /// Whether the workers of an engine see this machine's files, where the configuration says it.
    pub fn shared_files(&self, kind: &str) -> Option<bool> {
        self.config.backends.get(kind)?.shared_files.as_ref().map(|value| value.value)
    }

    /// What the plan and the `control/` of a job get for its delivery. What is sent is said.
    ///
    /// # Errors
    /// When the image cannot be had in that way, or only with a credential that is not sent.
    pub fn extras(
        &self,
        job: &JobSpec,
        engine: &'static str,
        sending: Sending,
    ) -> Result<Extras, Report> {
        let mut extras = Extras { getting: self.getting(), ..Extras::default() };
        match &job.delivery {
            Delivery::Pull { brought } => {
                let tasks = job.terms.tasks.as_ref().map_or(1, Tasks::count);
                self.pulls(sending).may_pull(tasks)?;
                self.pull(pulled(&job.image)?, engine, (*brought, sending), &mut extras)?;
            }
            Delivery::Cvmfs {} => {
                if let Some(grade) = &job.terms.require {
                    let text = format!(
                        "--delivery cvmfs and --require {} do not go together: of a published tree only the name is \
                         looked at",
                        grade.name()
                    );
                    let hint = "take another --delivery, such as pull, or leave --require out";
                    return Err(CliError::usage(text).with_hint(hint).into());
                }
                if !execute::takes_directory(job.runtime) {
                    let text = format!(
                        "--delivery cvmfs gives a directory, and the runtime {} takes none",
                        job.runtime.name()
                    );
                    let others: Vec<_> = execute::directory_runtimes().collect();
                    let hint = format!("name another one: {}", others.join(", "));
                    return Err(CliError::usage(text).with_hint(hint).into());
                }
                let set: Vec<PathBuf> =
                    self.config.delivery.cvmfs.iter().map(|value| value.value.clone()).collect();
                extras.getting.cvmfs = if set.is_empty() { vec![CVMFS.into()] } else { set };
                if let Image::Oci { pin } = &job.image {
                    let client = self.client()?;
                    extras.config = Some(self.block_on(client.image(pin))??.config_bytes);
                }
            }
            _ => {}
        }
        extras.added = self.added(job, engine)?;
        Ok(extras)
    }

    /// The added runtimes that a job may come to.
    fn added(&self, job: &JobSpec, engine: &str) -> Result<Added, Report> {
        let form = match job.delivery {
            Delivery::Cvmfs {} => Form::Directory,
            _ => execute::wants(job.runtime),
        };
        let mut runtimes = self.added_runtimes()?;
        let order = self.runtime_order();
        runtimes.retain(|one| execute::may_take(job.runtime, order, form, &one.kind));
        if runtimes.is_empty() {
            return Ok(Added::default());
        }
        let here = engines::facts(engine).is_some_and(|facts| facts.here);
        let in_place = here || matches!(job.delivery, Delivery::Shared { .. });
        Ok(Added::of(&self.store()?, runtimes, in_place)?)
    }

    /// What a node keeps.
    pub fn getting(&self) -> Getting {
        let set = &self.config.delivery;
        Getting {
            cache_size: set.node_size.as_ref().map(|value| value.value),
            cache_age: set.node_age.as_ref().map(|value| value.value.as_secs()),
            copy: set.node_copy.as_ref().map(|value| value.value),
            shared_trees: set.shared_trees.as_ref().is_some_and(|value| value.value),
            ..Getting::default()
        }
    }

    fn pull(
        &self,
        pin: &Pin,
        engine: &'static str,
        (brought, sending): (bool, Sending),
        extras: &mut Extras,
    ) -> Result<(), Report> {
        let authorities = self.authorities()?;
        let found = self.token_for(pin)?;
        if let Some(found) = &found {
            if brought && !sending.credential {
                return Err(SubmitError::Spooled { engine }.into());
            }
            let through = if brought {
                format!("through {engine}, which keeps a copy until the job has ended")
            } else {
                "in the job's own directory, until the job needs it no more".to_owned()
            };
            self.voice.say(format!(
                "the worker gets the deploy token {} ({}) {through}",
                output::cell(&found.credential.username),
                output::cell(&found.source)
            ));
        }
        let set = &self.config.delivery.pull_requests;
        let keys = crate::acquire::published::keys(self).unwrap_or_default();
        extras.getting.pull = Some(Pull {
            insecure: self.insecure.iter().map(ToString::to_string).collect(),
            path_prefixes: self.config.path_prefixes.iter().map(|v| v.value.clone()).collect(),
            realms: found.as_ref().map(|found| found.realms.clone()).unwrap_or_default(),
            keys,
            at_once: Some(set.as_ref().map_or(REQUESTS, |value| value.value)),
            credential: found.is_some(),
            authorities: authorities.is_some(),
        });
        extras.credential = found.map(|found| found.credential);
        extras.authorities = authorities;
        Ok(())
    }

    /// The deploy token with which a worker may read an image; `None` for one that everybody may read.
    fn token_for(&self, pin: &Pin) -> Result<Option<Candidate>, Report> {
        let may = |client: &Client| {
            self.block_on(client.may_read(&pin.registry, &pin.repository, &pin.manifest))
        };
        match may(&self.client_with(anonymous())?)? {
            Ok(()) => return Ok(None),
            Err(error) if !matches!(error.kind(), Kind::Denied | Kind::NotFound) => {
                return Err(error.into());
            }
            Err(_) => {}
        }
        let offered = self.credentials().find(&pin.registry, &pin.repository)?.offered;
        let kinds = offered.iter().map(|one| (one, CredentialKind::of(&one.credential)));
        let (tokens, others): (Vec<_>, Vec<_>) =
            kinds.partition(|(_, kind)| *kind == CredentialKind::Deploy);
        let Some((token, _)) = tokens.first() else {
            let why = match others.first() {
                Some((one, kind)) => format!(
                    "the credential of {} is {}: only a deploy token is handed to a worker",
                    output::cell(&one.source),
                    kind.described()
                ),
                None => "there is no credential for it".to_owned(),
            };
            return Err(SubmitError::NoToken { why }.into());
        };
        let only: Candidate = (*token).clone();
        let lookup: Lookup = {
            let only = only.clone();
            Arc::new(move |_, _| {
                Ok(Candidates { offered: vec![only.clone()], ..Candidates::default() })
            })
        };
        may(&self.client_with(lookup)?)??;
        Ok(Some(only))
    }

    /// The certificates that this program trusts besides those of its machine.
    fn authorities(&self) -> Result<Option<Vec<u8>>, Report> {
        let mut all = Vec::new();
        for path in &self.ca_files {
            let bytes = ForeignFile::anyones(MOST_CA_BYTES).through_links().bytes(path);
            let bytes = bytes.map_err(|error| {
                CliError::new(
                    Kind::Configuration,
                    format!("cannot read {}: {error}", path.display()),
                )
            })?;
            all.extend_from_slice(&bytes);
            all.push(b'\n');
        }
        Ok((!all.is_empty()).then_some(all))
    }
}
