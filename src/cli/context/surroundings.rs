//! What `acquire` asks of the place where the program runs.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::Context;
use crate::acquire::{Manners, Names, Surroundings};
use crate::cli::context::machine;
use crate::cli::context::prune;
use crate::cli::context::room;
use crate::cli::show::output::{self, Report};
use crate::cli::show::progress;
use crate::config::{Config, ServerUrl};
use crate::credential::Listed;
use crate::files::{Identity, Writers};
use crate::gitlab::{self, CiJob};
use crate::layer::Limits;
use crate::ledger;
use crate::oci::Platform;
use crate::pin::{Built, Image};
use crate::registry::Client;
use crate::sif::hash_tree::Once;
use crate::stage::Show;
use crate::store::{SiteStore, Store};

/// Hosts of clones that are no GitLab; of any other one it may be.
const NO_GITLAB: [&str; 4] = ["github.com", "bitbucket.org", "codeberg.org", "git.sr.ht"];

impl Names for Context {
    fn images(&self) -> &BTreeMap<String, String> {
        &self.settings.images
    }
    fn built(&self) -> &BTreeMap<String, Built> {
        &self.settings.built
    }
    fn default_registry(&self) -> &str {
        self.default_registry()
    }
    fn no_lost_name(&self, what: &str) -> Result<(), Report> {
        self.no_lost_name(what)
    }
    fn is_hub_by_default(&self) -> bool {
        self.config.registry.is_none() && self.config.gitlab.registry.is_none()
    }
    fn gitlab_clone(&self) -> Option<String> {
        // a clone that cannot be read says nothing
        let remote = crate::acquire::remote(self).ok().flatten()?;
        let host = remote.host.as_str();
        (!NO_GITLAB.contains(&host)).then(|| host.to_owned())
    }
    fn whole_digest(&self, word: &str) -> Result<Option<String>, Report> {
        self.whole_digest(word)
    }
    fn places_of(&self, digest: &str) -> Result<Vec<String>, Report> {
        self.places_of(digest)
    }
}

impl Surroundings for Context {
    fn config(&self) -> &Config {
        &self.config
    }
    fn project_file(&self, name: &str) -> Result<Option<String>, Report> {
        self.project_file(name)
    }
    fn project_writers(&self) -> Writers {
        self.project_writers()
    }
    fn client(&self) -> Result<Client, Report> {
        self.client()
    }
    fn hub(&self) -> Result<ServerUrl, Report> {
        self.hub()
    }
    fn logins(&self) -> Result<Vec<Listed>, Report> {
        Ok(self.credentials().list()?)
    }
    fn ci_job(&self) -> Result<Option<CiJob>, Report> {
        self.ci_job()
    }
    fn ci_server(&self) -> Option<ServerUrl> {
        self.ci_server()
    }
    fn gitlab_server(&self) -> Option<ServerUrl> {
        self.gitlab_server()
    }
    fn gitlab(&self) -> Result<Option<gitlab::Client>, Report> {
        self.gitlab()
    }
    fn runtime(&self) -> Result<&Runtime, Report> {
        self.runtime()
    }
    fn store(&self) -> Result<Store, Report> {
        self.store()
    }
    fn site_store(&self) -> Option<SiteStore> {
        self.site_store()
    }
    fn read_before(&self, file: &Identity) -> Option<Once> {
        let (digest, root) = ledger::read_before(&self.places.ledger, &file.to_string())?;
        Some(Once { digest, root })
    }
    fn note_reading(&self, file: &Identity, Once { digest, root }: Once) {
        // the next start takes longer without it
        let _ = ledger::note_reading(&self.places.ledger, &file.to_string(), digest, root);
    }
    fn limits(&self) -> Limits {
        self.limits()
    }
    fn manners(&self, asked: Option<NonZeroUsize>) -> Manners {
        machine::manners(self, asked)
    }
    fn say(&self, text: &str) {
        self.voice.say(text);
    }
    fn warn(&self, text: &str) {
        output::warn(text);
    }
    fn show(&self) -> Show {
        Arc::new(progress::progress(self.voice))
    }
    fn suits(&self, store: &Store) {
        room::suits(self, store, false);
    }
    fn has_room(&self, store: &Store) {
        room::has_room(self, store);
    }
    fn is_for(&self, platform: Platform) {
        self.note_platform(platform);
    }
    fn stored(&self, image: &Image) {
        prune::keep_to_limit(self, image);
    }
}
