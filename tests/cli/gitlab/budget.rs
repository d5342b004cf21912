//! The API and the registry of one host have one budget of requests, across processes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use moorline::net::{HostBudget, Sharing};

use crate::gitlab::common::{API_TOKEN, PROJECT, World};

const MAIN: &[&str] = &["resolve", "--project", PROJECT, "--pipeline", "latest"];

/// The budget as another process of this user has it: one request at a time.
fn elsewhere(world: &World) -> HostBudget {
    let dir = world.path("run/moorline/hosts");
    HostBudget::new(&Sharing { dir: Some(dir), at_once: 1 }, None)
}

/// A world whose registry and API are one host, and the variables that let processes meet.
fn world() -> (World, Vec<(&'static str, String)>) {
    let world = World::built();
    let config = world.read("home/.config/moorline/config.toml");
    world.write("home/.config/moorline/config.toml", &format!("requests_at_once = 1\n{config}"));
    std::fs::create_dir(world.path("run")).unwrap();
    let run = world.path("run").display().to_string();
    (world, vec![("MOORLINE_GITLAB_TOKEN", API_TOKEN.to_owned()), ("XDG_RUNTIME_DIR", run)])
}

fn spawn(world: &World, env: &[(&str, String)]) -> (Child, Arc<Mutex<String>>) {
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut child = world.command(MAIN, &env);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    let said: Arc<Mutex<String>> = Arc::default();
    let shared = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = err.read(&mut buffer) {
            shared.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    });
    (child, said)
}

/// While another process's request to the host is on its way, no question goes to its API.
#[test]
fn the_api_waits_for_its_turn_at_the_registrys_host() {
    let (world, env) = world();
    let budget = elsewhere(&world);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let permit = runtime.block_on(budget.enter(&world.host()));
    let (child, said) = spawn(&world, &env);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !said.lock().unwrap().contains("waiting for") {
        assert!(Instant::now() < deadline, "it did not wait: {}", said.lock().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(world.seen(), []);
    drop(permit);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", said.lock().unwrap());
    let seen = world.seen();
    assert!(seen.iter().any(|one| one.api_token) && seen.iter().any(|one| !one.api_token));
}

/// What the registry said of waiting holds for the API of the same host, and is told, not sat out.
#[test]
fn a_host_that_wants_to_be_left_alone_is_not_asked_by_the_api_either() {
    let (world, env) = world();
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    elsewhere(&world).hold_off(&world.host(), Duration::from_secs(300));
    let words = ["asks for a pause", "no request was sent", "try again in"];
    world.moorline(MAIN, &env).fails(5, &words);
    assert_eq!(world.seen(), []);
    // another port is another host
    let port: u16 = world.host().rsplit_once(':').unwrap().1.parse().unwrap();
    let wait = world.path(&format!("run/moorline/hosts/127.0.0.1_{port}.wait"));
    std::fs::rename(&wait, wait.with_file_name("127.0.0.1_1.wait")).unwrap();
    world.moorline(MAIN, &env).fails(0, &[]);
}

/// What the API says of waiting holds for all who ask that host.
#[test]
fn a_retry_after_of_the_api_is_noted_for_all() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    // it ends with the test program: nobody waits for it
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut top = [0; 4096];
            let _ = stream.read(&mut top);
            let _ = stream.write_all(
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 900\r\nConnection: close\r\n\
                  Content-Length: 0\r\n\r\n",
            );
        }
    });
    let (world, env) = world();
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    world.write(
        "home/.config/moorline/config.toml",
        &format!("[gitlab]\nurl = \"http://{host}\"\nregistry = \"{}\"\n", world.host()),
    );
    let args = [&["--insecure-registry", &host][..], MAIN].concat();
    world.moorline(&args, &env).fails(5, &["answered 429"]);
    let left = elsewhere(&world).held_off(&host).expect("it is noted");
    assert!(left > Duration::from_secs(600), "{left:?}");
    assert_eq!(elsewhere(&world).held_off(&world.host()), None);
    world.moorline(&args, &env).fails(5, &["asks for a pause"]);
    assert!(world.seen().iter().all(|one| !one.api_token));
}
