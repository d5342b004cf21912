//! The registry client of a command, and the credentials that it finds.

use std::sync::Arc;

use super::{Context, network};
use crate::cli::show::output::{self, CliError, Report};
use crate::credential::{self, Chain, Explicit, KernelKeyring, SystemKeyring};
use crate::net::{HostBudget, Notice, Proxies};
use crate::oci::Registry;
use crate::registry::{self, Client, Lookup};
use crate::secret::Realm;

impl Context {
    /// Takes a credential from the command line, before anything is asked of a registry.
    ///
    /// # Errors
    /// When a registry was asked already, or there is one: that would be a mistake of the verb.
    pub fn use_credential(&self, explicit: Explicit) -> Result<(), Report> {
        let late = || CliError::usage("a second credential on the command line");
        if self.client.get().is_some() {
            return Err(late().into());
        }
        self.explicit.set(explicit).map_err(|_| late().into())
    }

    /// The credential sources, in their order.
    pub fn credentials(&self) -> Chain {
        let registries = self
            .config
            .realms
            .keys()
            .chain(self.config.gitlab.registry.as_ref().map(|registry| &registry.value));
        let realms = registries.flat_map(|registry| {
            self.known_realms(registry).into_iter().map(|realm| (registry.clone(), realm))
        });
        Chain::new(credential::Settings {
            explicit: self.explicit.get().cloned(),
            environment: self.environment.clone(),
            file: self.places.config.join("credentials.json"),
            keyring: Some(Box::new(SystemKeyring)),
            kernel: Some(Box::new(KernelKeyring)),
            realms: realms.collect(),
            helper_patience: credential::HELPER_PATIENCE,
            helper_variables: self
                .config
                .helper_variables
                .iter()
                .map(|value| value.value.clone())
                .collect(),
            warn: Some(Box::new(|sentence| output::warn(sentence))),
        })
    }

    /// Whether plain http was allowed for a registry.
    pub fn is_insecure(&self, registry: &Registry) -> bool {
        let text = format!("http://{registry}");
        let Ok(realm) = text.parse::<Realm>() else { return false };
        self.insecure.iter().any(|listed| listed.names(realm.host(), realm.port()))
    }

    /// The realms that the configuration or CI names for a registry, whatever its spelling: the
    /// realms themselves stay exact.
    pub fn known_realms(&self, registry: &Registry) -> Vec<Realm> {
        let configured = self.config.realms.iter().filter(|(of, _)| of.is_same(registry));
        let configured = configured.map(|(_, url)| url.value.to_string());
        let gitlab = self.config.gitlab.registry.as_ref().filter(|r| r.value.is_same(registry));
        let gitlab = gitlab.and(self.config.gitlab.url.as_ref()).map(|url| url.value.to_string());
        let own = self.env("CI_REGISTRY").and_then(|text| text.parse::<Registry>().ok());
        let ci = own.filter(|own| own.is_same(registry)).and_then(|_| self.env("CI_SERVER_URL"));
        let urls = configured.chain(gitlab).chain(ci.map(str::to_owned));
        urls.filter_map(|url| url.parse().ok()).collect()
    }

    /// The registry client: one for the whole command, so that tokens and connections are shared.
    ///
    /// # Errors
    /// When a CA file cannot be read.
    pub fn client(&self) -> Result<Client, Report> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = self.client_with(self.credentials().into_lookup())?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// Another registry client, which finds its credentials elsewhere.
    ///
    /// # Errors
    /// As [`Context::client`].
    pub(super) fn client_with(&self, credentials: Lookup) -> Result<Client, Report> {
        Ok(Client::new(registry::Options {
            insecure: self.insecure.clone(),
            ca_files: self.ca_files.clone(),
            credentials,
            proxies: self.proxies()?,
            limits: self.registry_limits(),
            path_prefixes: network::path_prefixes(&self.config)?,
            kept: Some(network::kept_documents(&self.places.cache)),
            tags: Some(network::remembered_tags(&self.places.cache)),
            hidden: self.hidden.clone(),
            hosts: self.hosts(),
            ..registry::Options::default()
        })?)
    }

    /// The budget of requests: one for the whole command, whoever asks.
    pub(super) fn hosts(&self) -> Arc<HostBudget> {
        let make = || {
            let sharing = network::sharing(
                &self.places.cache,
                self.env("XDG_RUNTIME_DIR"),
                self.config.requests_at_once.as_ref().map(|value| value.value),
            );
            let notice: Notice = Arc::new(|sentence| output::warn(sentence));
            Arc::new(HostBudget::new(&sharing, Some(notice)))
        };
        Arc::clone(self.hosts.get_or_init(make))
    }

    /// The proxies that the environment names.
    ///
    /// # Errors
    /// Names the variable that holds no URL.
    pub fn proxies(&self) -> Result<Proxies, Report> {
        Ok(Proxies::read(|name| self.env(name))?)
    }
}
