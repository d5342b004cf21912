//! Where a registry is, and where its secrets, tokens and redirects may go.

use reqwest::Url;

use super::names::{Reach, is_internal, literal};
use super::{HostPort, Options, RegistryError};
use crate::oci::{DOCKER_HUB, Registry};
use crate::secret::Realm;

/// A registry's base URL and what was found out about it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// `https://host:port/`, or `https://host:port/prefix/`.
    pub(super) base: Url,
    /// Its scheme, host and port.
    pub(super) origin: Realm,
    /// Listed by `--insecure-registry`: certificates are not checked, plain http is allowed.
    pub(super) insecure: bool,
    /// Plain http, started by this process.
    pub(super) started_here: bool,
    /// The proxy on the way, in words.
    pub(super) proxy: Option<String>,
}

impl Endpoint {
    /// `prefix` is empty or ends with a slash.
    pub(super) fn new(
        registry: &Registry,
        prefix: &str,
        https: bool,
        options: &Options,
    ) -> Result<Self, RegistryError> {
        let host = match registry.as_str() {
            DOCKER_HUB => "registry-1.docker.io",
            other => other,
        };
        let scheme = if https { "https" } else { "http" };
        let malformed = || RegistryError::UnknownHost {
            host: registry.to_string(),
            reason: "not a host name".into(),
        };
        let base = Url::parse(&format!("{scheme}://{host}/{prefix}")).map_err(|_| malformed())?;
        let origin = Realm::of(&base).ok_or_else(malformed)?;
        Ok(Self {
            insecure: is_listed(&options.insecure, &origin),
            started_here: options.started_here.contains(registry) && is_loopback(origin.host()),
            proxy: options.proxies.of(&base).map(ToString::to_string),
            base,
            origin,
        })
    }

    /// Whether plain http may be tried at all.
    pub(super) fn may_be_plain(&self) -> bool {
        self.insecure || is_loopback(self.origin.host())
    }

    /// Whether a credential may travel to the registry itself: in the clear never through a proxy.
    pub(super) fn takes_secrets(&self) -> bool {
        self.origin.is_https() || ((self.insecure || self.started_here) && self.proxy.is_none())
    }

    /// Why the realm is not asked for a token; `None` when it may be, without a credential.
    ///
    /// A registry must not make this program knock at addresses that only this machine can reach
    /// (CVE-2026-48978), nor lead it from https to http.
    pub(super) fn forbids(&self, realm: &Realm, insecure: &[HostPort]) -> Option<&'static str> {
        if *realm == self.origin || is_listed(insecure, realm) {
            return None;
        }
        if self.may_be_plain() && is_loopback(self.origin.host()) && is_loopback(realm.host()) {
            return None;
        }
        if !realm.is_https() {
            return Some("it is not https");
        }
        let own = realm.host() == self.origin.host();
        let internal =
            realm.host() == "localhost" || literal(realm.host()).is_some_and(is_internal);
        (!own && internal).then_some("its address is of an internal network")
    }

    /// Whether a credential may travel to the realm, once it is known that it is the right one.
    pub(super) fn realm_takes_secrets(&self, realm: &Realm, insecure: &[HostPort]) -> bool {
        realm.is_https()
            || is_listed(insecure, realm)
            || (is_loopback(realm.host()) && (self.insecure || self.started_here))
    }

    /// Why a redirect is not followed; `None` when it may be. Never with Authorization unless the
    /// target is this endpoint itself.
    pub(super) fn forbids_redirect(
        &self,
        target: &Url,
        insecure: &[HostPort],
    ) -> Option<&'static str> {
        let Some(to) = Realm::of(target) else { return Some("it leads to no http address") };
        if to == self.origin || is_listed(insecure, &to) {
            return None;
        }
        if !to.is_https() && self.origin.is_https() {
            return Some("it leads from https to http");
        }
        let here = is_loopback(self.origin.host());
        let both_here = here && is_loopback(to.host());
        if !to.is_https() && !both_here {
            return Some("it leads to plain http");
        }
        // a storage is no service of this machine or its link (cloud metadata)
        let machine = to.host() == "localhost"
            || literal(to.host()).is_some_and(|ip| !Reach::Site.allows(ip));
        let own = to.host() == self.origin.host();
        (machine && !here && !own).then_some("its address is of this machine or its link")
    }
}

pub(super) fn is_listed(insecure: &[HostPort], realm: &Realm) -> bool {
    insecure.iter().any(|listed| listed.names(realm.host(), realm.port()))
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || literal(host).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(registry: &str, https: bool, insecure: &[HostPort], own: bool) -> Endpoint {
        let registry: Registry = registry.parse().unwrap();
        let started_here = if own { vec![registry.clone()] } else { vec![] };
        let options = Options { insecure: insecure.to_vec(), started_here, ..Options::default() };
        Endpoint::new(&registry, "", https, &options).unwrap()
    }

    #[test]
    fn plain_http_takes_no_secret_unless_listed_or_ours() {
        let listed = ["127.0.0.1:5000".parse().unwrap()];
        assert!(endpoint("r.example", true, &[], false).takes_secrets());
        assert!(!endpoint("127.0.0.1:5000", false, &[], false).takes_secrets());
        assert!(endpoint("127.0.0.1:5000", false, &listed, false).takes_secrets());
        assert!(endpoint("127.0.0.1:5000", false, &[], true).takes_secrets());
        // a proxy would read what goes through it in the clear
        let proxies = |name: &str| (name == "all_proxy").then_some("http://proxy.example");
        let proxies = crate::net::Proxies::read(proxies).unwrap();
        let insecure = vec!["r.example".parse().unwrap()];
        let options = Options { insecure, proxies, ..Options::default() };
        let by_proxy =
            |https| Endpoint::new(&"r.example".parse().unwrap(), "", https, &options).unwrap();
        assert!(by_proxy(true).takes_secrets() && !by_proxy(false).takes_secrets());
        // only loopback can have been started by this process
        assert!(!endpoint("r.example:5000", false, &[], true).takes_secrets());
    }

    #[test]
    fn realms_of_internal_networks_are_not_asked() {
        let outside = endpoint("r.example", true, &[], false);
        for realm in [
            "https://169.254.169.254/",
            "https://10.0.0.1",
            "https://[::ffff:127.0.0.1]",
            "https://[fe80::1]",
            "https://localhost",
            "http://gitlab.example",
            "https://0.0.0.0",
        ] {
            assert!(outside.forbids(&realm.parse().unwrap(), &[]).is_some(), "{realm}");
        }
        assert_eq!(outside.forbids(&"https://gitlab.example".parse().unwrap(), &[]), None);
        let own = endpoint("127.0.0.1:5000", false, &[], false);
        assert_eq!(own.forbids(&"http://127.0.0.1:5001".parse().unwrap(), &[]), None);
        assert!(own.forbids(&"http://gitlab.example".parse().unwrap(), &[]).is_some());
        // a registry that was typed as an internal address may name another port of it
        let site = endpoint("10.0.0.1:5000", true, &[], false);
        assert_eq!(site.forbids(&"https://10.0.0.1:8443".parse().unwrap(), &[]), None);
        assert!(site.forbids(&"https://10.0.0.2".parse().unwrap(), &[]).is_some());
    }

    #[test]
    fn redirects_are_not_led_down_to_http() {
        let secure = endpoint("r.example", true, &[], false);
        let to = |url: &str| Url::parse(url).unwrap();
        assert_eq!(secure.forbids_redirect(&to("https://storage.example/x?sig=1"), &[]), None);
        assert!(secure.forbids_redirect(&to("http://storage.example/x"), &[]).is_some());
        assert!(secure.forbids_redirect(&to("file:///etc/passwd"), &[]).is_some());
        let plain = endpoint("127.0.0.1:5000", false, &[], false);
        assert_eq!(plain.forbids_redirect(&to("http://127.0.0.1:6000/x"), &[]), None);
        assert!(plain.forbids_redirect(&to("http://storage.example/x"), &[]).is_some());
    }

    #[test]
    fn redirects_are_not_led_into_this_machine() {
        let to = |url: &str| Url::parse(url).unwrap();
        let listed = ["r.example:5000".parse().unwrap(), "127.0.0.1:9000".parse().unwrap()];
        let outside = endpoint("r.example", true, &[], false);
        let plain = endpoint("r.example:5000", false, &listed, false);
        for machine in [
            "https://127.0.0.1/x",
            "https://localhost:8443/x",
            "https://169.254.169.254/latest",
            "https://[::1]/x",
            "https://[fe80::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://0.0.0.0/x",
            "http://127.0.0.1:8080/x",
        ] {
            assert!(outside.forbids_redirect(&to(machine), &[]).is_some(), "{machine}");
            assert!(plain.forbids_redirect(&to(machine), &listed).is_some(), "{machine}");
        }
        // the storage of a site, one that the user listed, and the registry itself
        assert_eq!(outside.forbids_redirect(&to("https://10.0.0.1/x"), &[]), None);
        assert_eq!(plain.forbids_redirect(&to("http://127.0.0.1:9000/x"), &listed), None);
        assert_eq!(plain.forbids_redirect(&to("http://r.example:5000/x"), &listed), None);
        let link = endpoint("169.254.1.1:5000", true, &[], false);
        assert_eq!(link.forbids_redirect(&to("https://169.254.1.1:9000/x"), &[]), None);
        let here = endpoint("127.0.0.1:5000", true, &[], false);
        assert_eq!(here.forbids_redirect(&to("https://127.0.0.1:9000/x"), &[]), None);
    }
}
