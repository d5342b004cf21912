//! In a clone: its remote names the project, and no token goes anywhere because of it.

use crate::gitlab::common::{JOB_TOKEN, NEW, World};

fn cloned(world: &World, url: &str) {
    world.write("project/.git/config", &format!("[remote \"origin\"]\n\turl = {url}\n"));
}

#[test]
fn the_project_is_the_clones() {
    let world = World::built();
    let new = world.push("", NEW, &["bbbbbbbb"]);
    let https = format!("http://ada:hunter2@{}/Group/Project.git", world.host());
    for url in ["git@127.0.0.1:Group/Project.git", "ssh://git@127.0.0.1:7999/group/project", &https]
    {
        cloned(&world, url);
        let answer = world.with_api(&["resolve", "--ref", "main"]);
        answer
            .is("", new)
            .says(&["assuming --project group/project: the remote of DIR/project/.git/config"]);
        assert!(!answer.err.contains("hunter2"), "{}", answer.err);
    }
    // what is said wins
    world
        .with_api(&["resolve", "--project", "other/project", "--ref", "v"])
        .fails(3, &["other/project"]);
    // as without any word, in a clone
    world.with_api(&["resolve"]).is("", new).says(&["assuming --project group/project"]);
    // in CI the job's own project counts
    cloned(&world, "git@127.0.0.1:other/project.git");
    world.in_ci(&["resolve", "--pipeline", "20"], &[]).is("", new);
}

#[test]
fn a_clone_of_another_server_is_no_project() {
    let world = World::built();
    for url in ["git@github.example:group/project", "https://127.0.0.1:1/group/project"] {
        cloned(&world, url);
        let before = world.seen().len();
        let answer = world.with_api(&["resolve", "--ref", "main"]);
        answer.fails(
            12,
            &["this clone belongs to", "not known which registry", "[gitlab] url", "--project"],
        );
        assert_eq!(world.seen().len(), before, "nobody was asked");
    }
    world.write("project/.git/config", "");
    world.with_api(&["resolve", "--ref", "main"]).fails(2, &["no project was named"]);
    std::fs::remove_dir_all(world.project_dir().join(".git")).unwrap();
    world.write("project/.git", "gitdir: gone");
    world.with_api(&["resolve", "--ref", "main"]).fails(12, &["this clone's remote"]);
}

#[test]
fn a_host_that_only_a_clone_names_gets_no_token() {
    let world = World::built();
    let new = world.push("", NEW, &["main"]);
    let host = world.host();
    cloned(&world, &format!("http://{host}/group/project"));
    // the registry's realm is known, GitLab's address is not
    world.write(
        "home/.config/moorline/config.toml",
        &format!("[realms]\n\"{host}\" = \"http://{host}\"\n"),
    );
    let answer = world.with_api(&["resolve", "--ref", "main"]);
    answer.is("", new).says(&["GitLab's API was not asked"]);
    assert!(world.seen().iter().all(|s| !s.api_token), "{:?}", world.seen());
    world.write("home/.config/moorline/config.toml", "");
    world.with_api(&["resolve", "--ref", "main"]).fails(12, &["which registry holds its images"]);
    assert!(world.seen().iter().all(|s| !s.api_token), "{:?}", world.seen());
}

/// The user's configuration, and what logins left beside it.
fn knows(world: &World, config: &str, logins: &[(&str, &str)]) {
    use std::os::unix::fs::PermissionsExt;
    world.write("home/.config/moorline/config.toml", config);
    let entries: Vec<_> = logins
        .iter()
        .map(|(scope, realm)| {
            serde_json::json!({
                "scope": scope, "username": "gitlab-ci-token", "realm": realm,
                "store": "file", "password": JOB_TOKEN,
            })
        })
        .collect();
    let name = "home/.config/moorline/credentials.json";
    world.write(name, &serde_json::json!({ "schema": 1, "entries": entries }).to_string());
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.path(name), mode).unwrap();
}

/// Every way in which the registry of GitLab's images is known.
#[test]
fn the_registry_is_that_of_the_gitlab_that_is_meant() {
    let world = World::built();
    let new = world.push("", NEW, &["main"]);
    let host = world.host();
    let url = format!("http://{host}");
    let (named, cloned_only): (&[&str], &[&str]) = (
        &["resolve", "--project", "group/project", "--ref", "main"],
        &["resolve", "--ref", "main"],
    );
    let remote = format!("{url}/group/project");
    let realms = |more: &str| format!("[realms]\n\"{host}\" = \"{url}\"\n{more}");
    let other = "\"r.example\" = \"https://gitlab.example\"\n";
    // configured, also without the server
    for text in [
        format!("[gitlab]\nregistry = \"{host}\"\n"),
        format!("[gitlab]\nurl = \"{url}\"\nregistry = \"{host}\"\n"),
        format!("registry = \"{host}\"\n"),
        // the realm of a server that is configured, beside another
        format!("[gitlab]\nurl = \"{url}\"\n{}", realms(other)),
        // the only realm there is
        realms(""),
    ] {
        knows(&world, &text, &[]);
        world.moorline(named, &[]).is("", new);
    }
    // several realms and no server: which one is not guessed, a clone says it
    knows(&world, &realms(other), &[]);
    world.moorline(named, &[]).fails(12, &["which registry holds GitLab's images"]);
    cloned(&world, &remote);
    world.moorline(named, &[]).is("", new);
    world.moorline(cloned_only, &[]).is("", new);
    // a login is as good as a realm of the configuration
    let login = (host.as_str(), url.as_str());
    knows(&world, "", &[("r.example/g", "https://gitlab.example"), login]);
    world.moorline(cloned_only, &[]).is("", new);
    world.write("project/.git/config", "");
    world.moorline(named, &[]).fails(12, &["which registry holds GitLab's images"]);
    knows(&world, "", &[login]);
    world.moorline(named, &[]).is("", new);
    // CI's own, whatever else is known, unless another server is configured
    knows(&world, &format!("[realms]\n{other}"), &[]);
    world.in_ci(named, &[]).is("", new);
    let elsewhere = "[gitlab]\nurl = \"http://127.0.0.1:1\"\nregistry = \"127.0.0.1:1\"\n";
    knows(&world, elsewhere, &[]);
    let before = world.seen().len();
    assert_ne!(world.in_ci(named, &[]).code, 0);
    assert_eq!(world.seen().len(), before, "CI's registry is not that of another server");
}
