//! Whether a registry is a GitLab's own by its name alone, as far as GitLab's documentation lets one know.
//!
//! ```text
//!  https://gitlab.example          gitlab.example             the same host and port
//!                                  gitlab.example:5050        the same host, a port that GitLab gives its registry
//!                                  registry.gitlab.example    a name that only the owner of gitlab.example can give
//! ```
//!
//! Source: GitLab's "Container registry administration", "under an existing GitLab domain" (5050; 4567 in older
//! editions; 5005 in `gitlab.yml`) and "under its own domain".
//!
//! Two names with one parent may belong to two people (`gitlab.duckdns.org`, `registry.duckdns.org`), so a sibling
//! such as `gitlab-registry.cern.ch` is known by what somebody says who is trusted: the configuration, CI, or a login
//! (`acquire::is_registry_of`). Pure: nothing is asked.

use crate::oci::Registry;

/// The ports of a registry on its GitLab's own host.
const PORTS: [&str; 3] = ["5050", "4567", "5005"];

/// Whether a registry is that of the GitLab at `gitlab` (host, or host and port of the web server).
#[must_use]
pub fn is_own_registry(registry: &Registry, gitlab: &Registry) -> bool {
    let ((name, port), (web, web_port)) = (parts(registry.as_str()), parts(gitlab.as_str()));
    let given = |port: Option<&str>| port.is_none_or(|port| PORTS.contains(&port));
    if name == web {
        // on loopback any local user may open a port
        return port == web_port || !is_loopback(&web) && given(port);
    }
    name.strip_prefix("registry.") == Some(&web) && (given(port) || port == web_port)
}

/// Host in lower case, and port; that of https is none.
fn parts(host: &str) -> (String, Option<&str>) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    };
    (name.to_ascii_lowercase(), port.filter(|port| *port != "443"))
}

fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let named = name == "localhost" || name.ends_with(".localhost");
    named || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_known_by_its_gitlabs_name() {
        let is = |registry: &str, gitlab: &str| {
            is_own_registry(&registry.parse().unwrap(), &gitlab.parse().unwrap())
        };
        for (registry, gitlab) in [
            ("registry.gitlab.com", "gitlab.com"),
            ("registry.gitlab.example:5050", "gitlab.example"),
            ("gitlab.example", "gitlab.example"),
            ("gitlab.example:443", "gitlab.example"),
            ("gitlab.example:5050", "gitlab.example"),
            ("gitlab.example:4567", "gitlab.example:8443"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
        ] {
            assert!(is(registry, gitlab), "{registry} {gitlab}");
        }
        for (registry, gitlab) in [
            // two people's names below one that everybody gets names from
            ("registry.duckdns.org", "mylab.duckdns.org"),
            ("mylab-registry.duckdns.org", "mylab.duckdns.org"),
            ("registry.github.io", "gitlab.github.io"),
            ("registry.co.uk", "gitlab.co.uk"),
            // true, and not to be known by the name
            ("gitlab-registry.cern.ch", "gitlab.cern.ch"),
            ("registry.uni.example", "git.uni.example"),
            // somebody else's port
            ("gitlab.example:8443", "gitlab.example"),
            ("127.0.0.1:5050", "127.0.0.1:8080"),
            ("[::1]:5050", "[::1]:8080"),
            ("localhost:5050", "localhost"),
            ("registry.gitlab.example:2375", "gitlab.example"),
            ("gitlab.com.evil.example", "gitlab.com"),
            ("registry.gitlab.com.evil.example", "gitlab.com"),
            ("evilregistry.gitlab.com", "gitlab.com"),
            ("registry.com", "gitlab.com"),
        ] {
            assert!(!is(registry, gitlab), "{registry} {gitlab}");
        }
    }
}
