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
    let remote = format!("[remote \"origin\"]\nurl = http://{address}/{PROJECT}.git\n");
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

/// A clone around the working directory, and a project file that names `registry`.
fn clone_with(home: &Home, remote: &str, registry: &str) {
    home.mkdir("here/.git");
    let config = format!("[remote \"origin\"]\nurl = {remote}/{PROJECT}.git\n");
    home.write("here/.git/config", &config);
    home.write("here/moorline.toml", &format!("registry = \"{registry}\"\n"));
}

/// The user's own configuration, which allows plain http to the server.
fn configure(home: &Home, server: &Server, text: &str) {
    // keys first: a table goes on to the file's end
    let insecure = format!("insecure_registries = [\"{}\"]\n", server.address());
    home.write("config/moorline/config.toml", &format!("{insecure}{text}"));
}

#[test]
fn a_projects_registry_is_known_by_whoever_is_trusted() {
    let server = Server::with_image();
    let (address, short) = (server.address(), format!("{PROJECT}:v1"));
    let host = address.split(':').next().unwrap();
    let port = |port: u16| format!("http://{host}:{port}");
    // its GitLab is another port of this machine: nothing but somebody's word makes it the same one's
    let home = Home::logged_in(&server);
    let whole = home.ok(&["resolve", &server.name(":v1")]);
    clone_with(&home, &port(8080), &address);
    home.run(&["resolve", &short]).fails(12, &["is not the registry of this clone", "hint:"]);
    for said in [
        format!("[gitlab]\nurl = \"{}\"\nregistry = \"{address}\"\n", port(8080)),
        format!("[realms]\n\"{address}\" = \"{}\"\n", port(8080)),
    ] {
        configure(&home, &server, &said);
        assert_eq!(home.ok(&["resolve", &short]), whole, "{said}");
    }
    // a GitLab that is configured and has not that registry
    for said in [
        format!("[gitlab]\nurl = \"{}\"\n", port(8080)),
        format!("[gitlab]\nurl = \"{}\"\nregistry = \"{address}\"\n", port(8081)),
        format!("[realms]\n\"{address}\" = \"{}\"\n", port(8081)),
    ] {
        configure(&home, &server, &said);
        home.run(&["resolve", &short]).fails(12, &["is not the registry of this clone"]);
    }
    // the realm of a login is the word of the registry that the user confirmed
    configure(&home, &server, "");
    clone_with(&home, &format!("http://{address}"), &address);
    assert_eq!(home.ok(&["resolve", &short]), whole);
    // names below one parent
    clone_with(&home, "https://mylab.duckdns.org", "mylab-registry.duckdns.org");
    home.run(&["resolve", &short]).fails(12, &["this clone's mylab.duckdns.org"]);
}

#[test]
fn a_projects_registry_never_replaces_the_users_own() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let (address, short) = (server.address(), format!("{PROJECT}:v1"));
    let whole = home.ok(&["resolve", &server.name(":v1")]);
    // the project's is its own GitLab's, so nothing is wrong with it but that the user said something else
    clone_with(&home, "https://gitlab.example", "registry.gitlab.example");
    configure(&home, &server, &format!("registry = \"{address}\"\n"));
    assert_eq!(home.ok(&["resolve", &short]), whole);
    let shown = home.ok(&["--full", "config", "show"]);
    assert!(shown.contains(&address) && !shown.contains("registry.gitlab.example"), "{shown}");
    // nor one that a flag or a variable names
    configure(&home, &server, "");
    assert_eq!(home.ok(&["--registry", &address, "resolve", &short]), whole);
    let home = home.with("MOORLINE_REGISTRY", &address);
    assert_eq!(home.ok(&["resolve", &short]), whole);
}

/// What others can write is not believed. Verbs that need no registry go on, with one warning that says why.
#[test]
fn a_clone_that_is_not_trusted_stops_only_what_needs_it() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let address = server.address();
    clone_with(&home, &format!("http://{address}"), &address);
    let config = home.path("here/.git/config");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o666)).unwrap();
    let why = "config: everybody may write it";
    home.run(&["resolve", &format!("{PROJECT}:v1")])
        .fails(12, &["cannot be compared with this clone's remote", why, "hint:"]);
    for verb in [&["jobs"][..], &["config", "show"], &["cache", "ls"], &["ledger", "collect"]] {
        let answer = home.run(verb);
        let answer = answer.exits(0);
        let warned = answer.stderr.lines().filter(|line| line.contains(why));
        let warned: Vec<&str> = warned.collect();
        assert!(warned.len() == 1 && warned[0].contains("it is passed over"), "{answer}");
    }
    // a whole name needs no clone
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    home.ok(&["resolve", &format!("{PROJECT}:v1")]);
}
