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
