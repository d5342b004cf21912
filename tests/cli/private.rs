//! Names of private projects stay private: none reaches Docker Hub because somebody forgot the registry.

use crate::support::{Home, PROJECT, Server};

#[test]
fn a_private_name_is_refused_with_the_way_to_say_it() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    for args in [
        &["resolve", "group/sub/project:v1"][..],
        &["run", "docker://group/sub/project:v1", "true"],
        &["convert", "group/sub/project"],
    ] {
        let words = ["no names of 3 parts", "nothing was asked", "hint:", "MOORLINE_REGISTRY"];
        let answer = home.run(args);
        if args[0] == "resolve" {
            answer.says(2, &words);
        } else {
            answer.fails(2, &words);
        }
    }
    home.mkdir("here/.git");
    home.write(
        "here/.git/config",
        "[remote \"origin\"]\nurl = https://gitlab.example/group/project.git\n",
    );
    let words = ["clone of gitlab.example", "docker.io/group/project:v1", "hint:"];
    home.run(&["convert", "group/project:v1"]).fails(2, &words);
    // in so many words it is asked, and is not there
    home.run(&["-q", "config", "show"]).exits(0);
}

#[test]
fn the_registry_is_named_by_flag_variable_and_the_projects_own_file() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let address = server.address();
    let short = format!("{PROJECT}:v1");
    let whole = home.ok(&["resolve", &server.name(":v1")]);
    assert_eq!(home.ok(&["--registry", &address, "resolve", &short]), whole);
    home.run(&["--registry", "not a host", "resolve", &short]).fails(2, &["--registry"]);
    // a clone of a GitLab on the same host
    home.mkdir("here/.git");
    let host = address.split(':').next().unwrap();
    let remote = format!("[remote \"origin\"]\nurl = http://{host}:8080/{PROJECT}.git\n");
    home.write("here/.git/config", &remote);
    home.write("here/moorline.toml", &format!("registry = \"{address}\"\n"));
    assert_eq!(home.ok(&["resolve", &short]), whole);
    home.write("here/moorline.toml", "registry = \"registry.elsewhere.example\"\n");
    let words = [
        "moorline.toml:1",
        "registry.elsewhere.example",
        "not the registry of this clone",
        "hint:",
    ];
    home.run(&["resolve", &short]).fails(12, &words);
    home.write("here/moorline.toml", "");
    let home = home.with("MOORLINE_REGISTRY", &address);
    assert_eq!(home.ok(&["resolve", &short]), whole);
    let home = home.with("MOORLINE_REGISTRY", "not a host");
    home.run(&["resolve", &short]).fails(12, &["MOORLINE_REGISTRY", "hint:"]);
}
