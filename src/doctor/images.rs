//! Where images come from: the project, its registry, the credentials, GitLab.

use super::finding::Finding;
use super::surroundings::Surroundings;
use crate::config::PROJECT_FILE;
use crate::failure::Report;
use crate::oci::{DOCKER_HUB, Registry};
use crate::text::plural;

pub(super) fn project(here: &dyn Surroundings) -> Finding {
    if let Err(Report(error)) = here.require_project() {
        return Finding::problem("project", &*error, "chmod go-w the project's directory");
    }
    match here.project_file(PROJECT_FILE) {
        Ok(Some(_)) => {
            let names = plural(here.images().len() + here.built().len(), "image");
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
pub(super) fn registry(here: &dyn Surroundings) -> Option<Finding> {
    let name = here.default_registry();
    if name == DOCKER_HUB
        && let Some(host) = here.gitlab_clone().filter(|_| here.is_hub_by_default())
    {
        return Some(Finding::note(
            "registry",
            format!(
                "none is configured: in this clone of {host} names without a registry are refused"
            ),
            "moorline init writes registry = \"HOST\" where a login says which it is; else add it to moorline.toml or \
             ~/.config/moorline/config.toml",
        ));
    }
    if name == DOCKER_HUB {
        return Some(Finding::note(
            "registry",
            "short names are images of Docker Hub: no GitLab registry is configured",
            "write registry = \"gitlab-registry.example\" into ~/.config/moorline/config.toml",
        ));
    }
    let registry: Registry = name.parse().ok()?;
    let client = here.client().and_then(|client| Ok((client, here.runtime()?)));
    let asked = client.map(|(client, runtime)| runtime.block_on(client.realm(&registry, None)));
    Some(match asked {
        Ok(Ok(Some(realm))) => {
            Finding::ok("registry", format!("{registry} answers; its tokens come from {realm}"))
        }
        Ok(Ok(None)) => Finding::ok("registry", format!("{registry} answers and wants no token")),
        Ok(Err(error)) => Finding::problem("registry", &error, "check its name and the network"),
        Err(Report(error)) => {
            Finding::problem("registry", &*error, "moorline config show names the files")
        }
    })
}

pub(super) fn credentials(here: &dyn Surroundings) -> Finding {
    match here.logins() {
        Ok(list) if list.is_empty() => Finding::note(
            "credentials",
            "none is kept",
            "moorline login REGISTRY/GROUP/PROJECT --username NAME keeps a deploy token",
        ),
        Ok(list) => {
            let scopes: Vec<String> = list.iter().map(|login| login.scope.to_string()).collect();
            Finding::ok("credentials", format!("kept for {}", scopes.join(", ")))
        }
        Err(Report(error)) => Finding::problem("credentials", &*error, "moorline logout REGISTRY"),
    }
}

pub(super) fn gitlab(here: &dyn Surroundings) -> Finding {
    let Some(server) = here.gitlab_server() else {
        return Finding::note(
            "GitLab",
            "no server is configured: images are found by name, and not by commit or pipeline",
            "write [gitlab] url = \"https://gitlab.example\" into ~/.config/moorline/config.toml",
        );
    };
    match here.gitlab() {
        Ok(Some(_)) => Finding::ok("GitLab", format!("{server}, with an API token")),
        Ok(None) => Finding::note(
            "GitLab",
            format!("{server}, without an API token: conventions and labels are used"),
            &format!("moorline login --api {server} keeps a token with the scope read_api"),
        ),
        Err(Report(error)) => Finding::problem("GitLab", &*error, "moorline login --api URL"),
    }
}
