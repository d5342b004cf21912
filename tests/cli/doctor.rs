//! `doctor` and `init`, as a newcomer meets them.

use crate::support::{Home, PROJECT, Server};

#[test]
fn each_finding_has_a_state_and_each_trouble_a_remedy() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    home.write("config/moorline/config.toml", &format!("registry = \"{}\"\n", server.address()));
    let answer = home.run(&["--json", "doctor"]);
    let found = answer.json();
    let found = found.as_array().unwrap();
    let of =
        |what: &str| found.iter().find(|f| f["what"] == what).unwrap_or_else(|| panic!("{what}"));
    assert_eq!(of("registry")["state"], "ok", "{found:#?}");
    assert!(of("credentials")["said"].as_str().unwrap().contains(PROJECT), "{found:#?}");
    assert_eq!(of("store")["state"], "ok");
    assert_eq!(of("clock")["state"], "ok");
    assert_eq!(of("jobs_dir")["state"], "ok");
    for finding in found.iter().filter(|f| f["state"] != "ok") {
        assert!(finding["remedy"].as_str().is_some_and(|r| !r.is_empty()), "{finding}");
    }
    // a registry that is away is a problem, with the code of its kind
    home.write("config/moorline/config.toml", "registry = \"registry.invalid\"\n");
    let answer = home.run(&["doctor"]).exits(5);
    assert!(answer.stdout.contains("PROBLEM  registry"), "{}", answer.stdout);
    assert!(answer.stdout.contains("try: "), "{}", answer.stdout);
}

#[test]
fn a_broken_configuration_is_one_finding_of_many() {
    let server = Server::with_image();
    let home = Home::new(&server);
    home.write("config/moorline/config.toml", "nonsense = 1\n");
    let found = home.run(&["--json", "doctor"]).exits(12).json();
    let found = found.as_array().unwrap();
    assert_eq!((&found[0]["what"], &found[0]["state"]), (&"settings".into(), &"problem".into()));
    assert!(found[0]["said"].as_str().unwrap().contains("nonsense"), "{found:#?}");
    assert!(found.iter().any(|f| f["what"] == "store"), "{found:#?}");
}

/// A clone of a project of the GitLab at `host`.
fn clone(home: &Home, host: &str) {
    home.mkdir("here/.git");
    home.write("here/.git/HEAD", "ref: refs/heads/main\n");
    let remote = format!("[remote \"origin\"]\n\turl = https://{host}/{PROJECT}.git\n");
    home.write("here/.git/config", &remote);
}

#[test]
fn a_clone_without_a_registry_is_told_so_and_one_that_is_known_is_written() {
    let server = Server::with_image();
    let home = Home::new(&server);
    clone(&home, "gitlab.example");
    let said = home.run(&["doctor"]).stdout;
    assert!(said.contains("in this clone of gitlab.example names without a registry"), "{said}");
    assert!(!said.contains("images of Docker Hub"), "{said}");
    // who said once that the registry is that GitLab's
    home.write(
        "config/moorline/config.toml",
        "[realms]\n\"registry.example\" = \"https://gitlab.example\"\n",
    );
    home.ok(&["init"]);
    let text = std::fs::read_to_string(home.path("here/moorline.toml")).unwrap();
    assert!(text.contains("\nregistry = \"registry.example\"\n"), "{text}");
    let shown = home.ok(&["config", "show"]);
    assert!(shown.contains("registry.example"), "{shown}");
}

#[test]
fn settings_say_who_set_them() {
    let server = Server::with_image();
    let home = Home::new(&server);
    let config = format!("registry = \"{}\"\n", server.address());
    home.write("config/moorline/config.toml", &config);
    let rows = home.run(&["--json", "config", "show"]).json();
    let rows = rows.as_array().unwrap();
    let said = |key: &str| {
        let all: Vec<&str> = rows
            .iter()
            .filter(|row| row["key"] == key)
            .map(|row| row["origin"].as_str().unwrap())
            .collect();
        assert_eq!(all.len(), 1, "{key}: {rows:#?}");
        all[0].to_owned()
    };
    assert_eq!(said("cache"), "environment (MOORLINE_CACHE)");
    assert_eq!(said("jobs_dir"), "environment (XDG_STATE_HOME)");
    assert!(said("registry").starts_with("user ("), "{rows:#?}");
}

#[test]
fn a_project_file_is_written_once_and_read() {
    let server = Server::with_image();
    let home = Home::new(&server);
    home.run(&["init", "--project", PROJECT]).exits(0);
    let text = std::fs::read_to_string(home.path("here/moorline.toml")).unwrap();
    assert!(text.contains(&format!("analysis = \"{PROJECT}:latest\"")), "{text}");
    home.run(&["init"]).fails(2, &["exists already", "--yes"]);
    assert_eq!(home.ok(&["init", "--print", "--project", PROJECT]), text.trim_end());
    home.run(&["config", "show"]).exits(0);
    let doctor = home.run(&["--json", "doctor"]).json();
    let project = &doctor.as_array().unwrap()[1];
    assert_eq!((&project["what"], &project["state"]), (&"project".into(), &"ok".into()));
}
