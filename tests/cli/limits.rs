//! `[limits]` of the configuration on their way to whoever must keep them.

use std::fs;

use serde_json::json;

use crate::support::{Home, Server, read_json};

/// The worker reads no configuration: what was set travels in the job's plan, and nothing else does.
#[test]
fn limits_that_were_set_travel_with_a_job() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let plan = |id: &str| read_json(&home.job(id).join("control/plan.json"));
    let image = server.name(":v1");
    let submit = ["submit", "--backend", "local", "--runtime", "builtin", &image, "--", "true"];
    let before = plan(home.ok(&submit).trim());
    assert_eq!(before.get("limits"), None, "{before}");
    let reachable = fs::read_to_string(home.path("config/moorline/config.toml")).unwrap();
    let set = "[limits]\npath_depth = 700\nentries = 10_000_000\nmanifest_bytes = 5_000_000\n";
    home.write("config/moorline/config.toml", &(reachable + set));
    let after = plan(home.ok(&submit).trim());
    assert_eq!(after["limits"], json!({ "path_depth": 700 }), "{after}");
}
