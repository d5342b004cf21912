//! Where the API's token goes, and where it does not.

use moorline::standin::{GitlabFacts, StandIn};

use crate::gitlab::common::{API_TOKEN, JOB_TOKEN, NEW, PROJECT, World, config};

const MAIN: &[&str] = &["resolve", "--project", PROJECT, "--pipeline", "latest"];

#[test]
fn the_token_goes_to_the_api_only() {
    let world = World::built();
    assert_eq!(world.with_api(MAIN).code, 0);
    let seen = world.seen();
    assert!(seen.iter().any(|s| s.target.starts_with("/v2/")), "{seen:?}");
    for one in &seen {
        assert_eq!(one.api_token, one.target.starts_with("/api/v4/"), "{one:?}");
        assert!(!one.target.contains(API_TOKEN), "{one:?}");
        // the token is no Authorization, and none was made from it
        assert!(!one.api_token || !one.authorized, "{one:?}");
    }
}

#[test]
fn no_redirect_is_followed() {
    let other = World::new();
    for status in [301, 302, 307, 308] {
        let facts = GitlabFacts {
            status: Some(status),
            redirect_to: format!("http://{}/api/v4/projects/1", other.host()),
            ..config().gitlab
        };
        let world = World::with(moorline::standin::Config { gitlab: facts, ..config() });
        world.with_api(MAIN).fails(4, &["redirects", &other.host(), "[gitlab] url"]);
    }
    assert_eq!(other.seen(), []);
}

#[test]
fn a_refused_token_is_tried_once() {
    let world = World::built();
    let wrong = [("MOORLINE_GITLAB_TOKEN", "glpat-wrong")];
    world.moorline(MAIN, &wrong).fails(4, &["answered 401", "MOORLINE_GITLAB_TOKEN", "read_api"]);
    assert_eq!(world.seen().iter().filter(|s| s.api_token).count(), 1);
}

/// Also when several names ask for what CI built: one client for the command.
#[test]
fn a_refused_token_is_tried_once_for_all_names() {
    let world = World::built();
    let built = format!("{{ project = \"{PROJECT}\", pipeline = \"latest\" }}");
    let project = format!("[images]\none = {built}\ntwo = {built}\n");
    world.write("project/moorline.toml", &project);
    let wrong = [("MOORLINE_GITLAB_TOKEN", "glpat-wrong")];
    for verb in [&["lock"][..], &["resolve", "one", "two"]] {
        let before = world.seen().len();
        world.moorline(verb, &wrong).fails(4, &["answered 401", "MOORLINE_GITLAB_TOKEN"]);
        let asked = world.seen()[before..].iter().filter(|s| s.api_token).count();
        assert_eq!(asked, 1, "{verb:?}");
    }
}

#[test]
fn a_project_that_the_token_may_not_read() {
    let world = World::new();
    let args = ["resolve", "--project", "other/project", "--pipeline", "latest"];
    world.with_api(&args).fails(4, &["the newest pipeline of other/project", "answered 404"]);
    // what the conventions can answer is answered, and said
    let args = ["resolve", "--project", "other/project", "--ref", "main"];
    world.with_api(&args).fails(3, &["other/project"]);
}

#[test]
fn a_job_token_lists_the_repositories_of_its_project() {
    let world = World::built();
    let tool = world.push("tool", NEW, &["v9"]);
    let own = ["resolve", "--project", PROJECT, "--ref", "v9"];
    world.in_ci(&own, &[]).is("tool", tool);
    let jobs = world.seen().iter().filter(|s| s.api_token).count();
    assert_eq!(jobs, 1, "only the list was asked for");
    world.in_ci(MAIN, &[]).fails(4, &["a job token does not open it", "read_api"]);
    let this = world.push("", NEW, &["bbbbbbbb"]);
    world.in_ci(&["resolve", "--pipeline", "20"], &[]).is("", this);
}

#[test]
fn a_job_token_stays_with_the_server_that_gave_it() {
    let world = World::built();
    let ci = World::new();
    // the configuration names `world`, CI names `ci`
    let url = format!("http://{}", ci.host());
    let env = [("CI_SERVER_URL", url.as_str()), ("CI_JOB_TOKEN", JOB_TOKEN)];
    world.moorline(MAIN, &env).fails(4, &["no API token is at hand"]);
    assert!(world.seen().iter().chain(&ci.seen()).all(|s| !s.api_token));
}

#[test]
fn plain_http_gets_no_token_unless_it_is_allowed() {
    let world = World::built();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let text = format!("[gitlab]\nurl = \"http://{host}\"\nregistry = \"{}\"\n", world.host());
    world.write("home/.config/moorline/config.toml", &text);
    world.with_api(MAIN).fails(4, &["speaks plain http", "--insecure-registry"]);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn the_stand_in_is_loopback_only() {
    let listen = "192.0.2.1:0".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = moorline::standin::Config { listen, ..config() };
    assert!(runtime.block_on(StandIn::start(config)).is_err());
}
