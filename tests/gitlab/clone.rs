//! In a clone: its remote names the project, and no token goes anywhere because of it.

use crate::common::{NEW, World};

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
    // what is said wins, and without any word nothing is assumed
    world
        .with_api(&["resolve", "--project", "other/project", "--ref", "v"])
        .fails(3, &["other/project"]);
    world.with_api(&["resolve"]).fails(2, &["no image was named"]);
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
        answer.fails(12, &["this clone is of", "is not known", "[gitlab] url", "--project"]);
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
