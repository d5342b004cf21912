//! `shub://`: SIFs of a hub, a loopback stand-in for Singularity Hub's API.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use moorline::oci::{Digest, Sha256Digest};
use serde_json::{Value, json};

use crate::gitlab::common::{OLD, PROJECT, World};

/// What the stand-in answers to a path: status line, further headers, body.
type Answers = Arc<Mutex<Vec<(String, &'static str, String, Vec<u8>)>>>;

/// A stand-in for a hub and its storage. It records the heads of all requests.
struct Hub {
    address: String,
    answers: Answers,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answers, heads) = (Answers::default(), Arc::<Mutex<Vec<String>>>::default());
        let (known, seen) = (Arc::clone(&answers), Arc::clone(&heads));
        // it ends with the test program
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut head = String::new();
                let mut reader = BufReader::new(&stream);
                while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().unwrap().push(head);
                let found = known.lock().unwrap().iter().rev().find(|a| a.0 == path).cloned();
                let (_, status, more, body) =
                    found.unwrap_or((path, "404 Not Found", String::new(), b"{}".to_vec()));
                // a length of its own may promise more than comes
                let length = format!("Content-Length: {}\r\n", body.len());
                let length = if more.contains("Content-Length") { "" } else { &length };
                let head = format!("HTTP/1.1 {status}\r\n{more}{length}Connection: close\r\n\r\n");
                let _ = (&stream).write_all(head.as_bytes());
                let _ = (&stream).write_all(&body);
            }
        });
        Self { address, answers, heads }
    }

    fn says(&self, path: &str, status: &'static str, more: &str, body: &[u8]) {
        self.answers.lock().unwrap().push((path.into(), status, more.into(), body.to_vec()));
    }

    /// `user/image:tag` is this file.
    fn has(&self, name: &str, version: &str, sif: &[u8]) {
        let image = format!("http://{}/storage/{version}", self.address);
        let answer = json!({ "image": image, "name": name, "version": version });
        self.says(&format!("/api/container/{name}"), "200 OK", "", answer.to_string().as_bytes());
        self.says(&format!("/storage/{version}"), "200 OK", "", sif);
    }

    fn asked(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

/// A world whose configuration names the hub, and a SIF.
fn world(hub: &Hub) -> (World, Vec<u8>) {
    let world = World::new();
    let host = world.host();
    world.write(
        "home/.config/moorline/config.toml",
        &format!(
            "[gitlab]\nurl = \"http://{host}\"\nregistry = \"{host}\"\n\
             [shub]\nendpoint = \"http://{}\"\n",
            hub.address
        ),
    );
    world.push("", OLD, &["v1"]);
    let from = format!("{host}/{PROJECT}:v1");
    let answer = world.moorline(&["convert", &from, "-o", "x.sif"], &[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let sif = std::fs::read(world.project_dir().join("x.sif")).unwrap();
    (world, sif)
}

#[test]
fn a_sif_of_a_hub_is_pinned_by_its_bytes_and_used() {
    let hub = Hub::start();
    let (world, sif) = world(&hub);
    hub.has("User/image:v1", "one", &sif);
    let digest = Digest::of(&sif).to_string();
    let resolved = world.moorline(&["resolve", "shub://User/image:v1"], &[]);
    let pinned = format!("shub://User/image:v1@{digest}");
    assert_eq!((resolved.code, resolved.out.trim_end()), (0, pinned.as_str()), "{}", resolved.err);
    let json = world.moorline(&["--json", "resolve", &pinned], &[]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&value["reference"], &value["sif"]), (&json!(pinned), &json!(digest)));
    assert_eq!(value["size"], sif.len());
    // the tag moves; what was pinned is in the store, and nobody is asked
    hub.has("User/image:v1", "two", b"another file");
    let asked = hub.asked();
    let submit = |what: &str| world.moorline(&["submit", "--dry-run", what, "--", "true"], &[]);
    let answer = submit(&pinned);
    assert_eq!(answer.code, 0, "{}", answer.err);
    answer.says(&[&digest]);
    assert_eq!(hub.asked(), asked);
    submit("shub://User/image:v1").fails(2, &["is not a SIF that can be used here"]);
    let arm = ["submit", "--dry-run", "--platform", "linux/arm64", &pinned, "--", "true"];
    world.moorline(&arm, &[]).fails(2, &["it is for amd64, and linux/arm64 is wanted"]);
    let dotenv = world.moorline(&["resolve", "--dotenv", "out.env", &pinned], &[]);
    assert_eq!(dotenv.code, 0, "{}", dotenv.err);
    let text = world.read("project/out.env");
    assert_eq!(text, format!("MOORLINE_IMAGE={pinned}\nMOORLINE_DIGEST={digest}\n"));
    world.marks_what_it_runs(&pinned, &digest);
    // elsewhere, with an empty store, the pin holds against the hub as well
    let other = [("MOORLINE_CACHE", world.path("other").display().to_string())];
    let other: Vec<(&str, &str)> = other.iter().map(|(k, v)| (*k, v.as_str())).collect();
    world
        .moorline(&["resolve", &pinned], &other)
        .fails(6, &["is another file now", &digest, "hint:"]);
    let sifs = world.path("other/sifs/sha256");
    assert_eq!(std::fs::read_dir(sifs).unwrap().count(), 0, "nothing of it is kept");
}

#[test]
fn nothing_secret_goes_to_a_hub_and_it_leads_nowhere_else() {
    let hub = Hub::start();
    let (world, sif) = world(&hub);
    let secrets = [
        ("MOORLINE_REGISTRY", hub.address.as_str()),
        ("MOORLINE_USERNAME", "somebody"),
        ("MOORLINE_PASSWORD", "canary-0123456789"),
        ("MOORLINE_GITLAB_TOKEN", "glpat-canary-0123456789"),
    ];
    hub.has("a/b:latest", "one", &sif);
    assert_eq!(world.moorline(&["resolve", "shub://a/b"], &secrets).code, 0);
    for head in hub.heads.lock().unwrap().iter() {
        let head = head.to_lowercase();
        assert!(!head.contains("authorization") && !head.contains("canary"), "{head}");
        assert!(!head.contains("token") && !head.contains("cookie"), "{head}");
    }
    let resolve = |name: &str| world.moorline(&["resolve", name], &[]);
    let answer = |name: &str, image: &str| {
        let text = json!({ "image": image }).to_string();
        hub.says(&format!("/api/container/{name}"), "200 OK", "", text.as_bytes());
    };
    answer("a/plain:latest", "http://storage.example/x");
    resolve("shub://a/plain").fails(5, &["storage.example", "it is not https"]);
    answer("a/file:latest", "file:///etc/passwd");
    resolve("shub://a/file").fails(5, &["no http address"]);
    answer("a/user:latest", "https://user:canary@storage.example/x");
    let said = resolve("shub://a/user");
    said.fails(5, &["no http address"]);
    assert!(!said.err.contains("canary"), "{}", said.err);
    answer("a/loop:latest", "/loop");
    hub.says("/loop", "302 Found", "Location: /loop\r\n", b"");
    resolve("shub://a/loop").fails(5, &["too many redirects"]);
    // a redirect within the hub is followed
    answer("a/moved:latest", "/moved");
    hub.says("/moved", "302 Found", "Location: /storage/one\r\n", b"");
    assert_eq!(resolve("shub://a/moved").code, 0);
}

#[test]
fn what_a_hub_does_wrong_is_told() {
    let hub = Hub::start();
    let (world, sif) = world(&hub);
    let resolve = |name: &str| world.moorline(&["resolve", name], &[]);
    resolve("shub://a/gone:v1").fails(3, &["shub://a/gone:v1 does not exist at", "404"]);
    hub.says("/api/container/a/odd:latest", "200 OK", "", b"<html>");
    resolve("shub://a/odd").fails(5, &["answered with a web page", "read-only archive"]);
    hub.says("/api/container/a/mute:latest", "200 OK", "", b"{}");
    resolve("shub://a/mute").fails(5, &["does not say where the image is", "read-only archive"]);
    hub.says("/api/container/a/long:latest", "200 OK", "", &vec![b' '; (1 << 20) + 1]);
    resolve("shub://a/long").fails(6, &["larger than the limit of 1048576 bytes"]);
    let large = format!("Content-Length: {}\r\n", (64_u64 << 30) + 1);
    hub.has("a/large:latest", "large", b"");
    hub.says("/storage/large", "200 OK", &large, b"x");
    resolve("shub://a/large").fails(6, &["larger than the limit of 68719476736 bytes"]);
    // a hub that gives a digest is held to it
    hub.has("a/lie:latest", &format!("sha256.{}", "a".repeat(64)), &sif);
    resolve("shub://a/lie").fails(6, &["is another file now"]);
    // one that breaks off is begun three times
    hub.has("a/cut:latest", "cut", b"");
    hub.says("/storage/cut", "200 OK", &format!("Content-Length: {}\r\n", sif.len()), &sif[..99]);
    resolve("shub://a/cut").fails(5, &["read from"]);
    let cuts = hub.heads.lock().unwrap().iter().filter(|h| h.contains("/storage/cut")).count();
    assert_eq!(cuts, 3);
    for bad in ["shub://", "shub://a/b/c", "shub://a/../b", "shub://a/b@sha256:1"] {
        resolve(bad).fails(2, &["write shub://USER/IMAGE:TAG"]);
    }
    let text =
        format!("[images]\nmain = \"{PROJECT}:v1\"\n[shub]\nendpoint = \"https://x.example\"");
    world.write("project/moorline.toml", &text);
    resolve("shub://a/b").fails(12, &["shub.endpoint", "moorline.toml:4"]);
}

#[test]
fn a_hub_that_is_switched_off_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let world = World::new();
    let text = format!("[shub]\nendpoint = \"http://{address}\"\n");
    world.write("home/.config/moorline/config.toml", &text);
    let answer = world.moorline(&["run", "shub://a/b", "--", "true"], &[]);
    answer.fails(5, &["read-only archive since 2021", "[shub] endpoint", "oras://"]);
}

#[test]
fn a_sif_of_a_hub_can_be_named_and_locked() {
    let hub = Hub::start();
    let (world, sif) = world(&hub);
    hub.has("User/image:v1", "one", &sif);
    let digest = Digest::of(&sif).to_string();
    let toml = |name: &str| format!("[images]\nmain = \"{PROJECT}:v1\"\ntool = \"{name}\"\n");
    world.write("project/moorline.toml", &toml("shub://User/image:v1"));
    let pinned = format!("shub://User/image:v1@{digest}");
    let resolved = world.moorline(&["resolve", "tool"], &[]);
    assert_eq!((resolved.code, resolved.out.trim_end()), (0, pinned.as_str()), "{}", resolved.err);
    let locked = world.moorline(&["lock"], &[]);
    assert_eq!(locked.code, 0, "{}", locked.err);
    locked.says(&[&format!("locked tool {pinned}"), "2 pins, 2 new"]);
    let text = world.read("project/moorline.lock");
    for line in ["schema = 4", "[[hub]]", &format!("sif = \"{digest}\"")] {
        assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
    }
    world.moorline(&["lock"], &[]).says(&["2 pins, 0 new"]);
    assert_eq!(world.read("project/moorline.lock"), text);
    let check = world.moorline(&["lock", "--check", "--remote"], &[]);
    assert_eq!((check.code, check.out.as_str()), (0, ""), "{}", check.err);
    check.says(&["a hub has no digests"]);
    // the tag moves: the lock decides, from the store
    hub.has("User/image:v1", "two", b"another file");
    let asked = hub.asked();
    let dry =
        |what: &str| world.moorline(&["submit", "--dry-run", "--locked", what, "--", "true"], &[]);
    for what in ["tool", "shub://User/image:v1", &pinned] {
        let answer = dry(what);
        assert_eq!(answer.code, 0, "{what}: {}", answer.err);
        answer.says(&[&digest]);
    }
    assert_eq!(hub.asked(), asked);
    dry("shub://User/image:v2").fails(11, &["has no pin of shub://"]);
    dry(&format!("shub://User/image:v1@sha256:{}", "1".repeat(64))).fails(11, &["has no pin of"]);
    // the name stands for something else, of the same kind and of another one
    for (name, words) in [
        ("shub://User/image:v2", "tool: locked as shub://User/image:v1, and moorline.toml says"),
        ("group/project:v1", "tool: locked as shub://User/image:v1, and moorline.toml says"),
    ] {
        world.write("project/moorline.toml", &toml(name));
        let check = world.moorline(&["lock", "--check"], &[]);
        assert_eq!(check.code, 6, "{}", check.err);
        assert!(check.out.contains(words), "{}", check.out);
        dry("tool").fails(11, &["tool", "has no pin of"]);
    }
    // written anew it is of the other kind, and older programs can write it again
    assert_eq!(world.moorline(&["lock"], &[]).code, 0);
    let text = world.read("project/moorline.lock");
    assert!(text.contains("schema = 1") && !text.contains("hub"), "{text}");
    world.write("project/moorline.toml", &toml("shub://User/gone:v1"));
    assert_ne!(world.moorline(&["lock"], &[]).code, 0);
    assert_eq!(world.read("project/moorline.lock"), text, "a failure leaves the old file");
}
