//! Many starts together on one image, as an array of a batch system makes them: processes of this machine. The Slurm is
//! *simulated* and starts nothing; the job's script is started here, as often as is wanted.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use moorline::demo::image::OciImage;
use moorline::oci::{Digest, Sha256Digest};
use serde_json::{Value, json};

use crate::simulated::Simulated;
use crate::support::{Home, PROJECT, Server, images, read_json};

/// The demo's image with a layer of so many bytes that do not compress.
fn large(server: &Server, bytes: usize) -> String {
    let OciImage { media_type, manifest, config, layers, .. } = &images().0;
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        // xorshift64: any bytes will do
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(bytes / 8)
    .flatten()
    .collect();
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(noise.len() as u64);
    layer.append_data(&mut header, "noise", noise.as_slice()).unwrap();
    let layer = layer.into_inner().unwrap();
    let mut config: Value = serde_json::from_slice(config).unwrap();
    let all = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
    all.push(json!(Digest::of(&layer).to_string()));
    let config = config.to_string().into_bytes();
    let mut manifest: Value = serde_json::from_slice(manifest).unwrap();
    manifest["config"]["digest"] = json!(Digest::of(&config).to_string());
    manifest["config"]["size"] = json!(config.len());
    let kind = if media_type.contains("docker") {
        "application/vnd.docker.image.rootfs.diff.tar"
    } else {
        "application/vnd.oci.image.layer.v1.tar"
    };
    let all = manifest["layers"].as_array_mut().unwrap();
    all.push(
        json!({ "mediaType": kind, "digest": Digest::of(&layer).to_string(), "size": layer.len() }),
    );
    let store = server.running.images();
    for blob in layers.iter().map(|layer| layer.bytes.clone()).chain([layer, config]) {
        store.put_blob(blob);
    }
    let digest = store.put_manifest(PROJECT, media_type, manifest.to_string().into_bytes());
    store.tag(PROJECT, "storm", digest);
    server.name(":storm")
}

/// A job that is submitted and that nobody has started.
struct Waiting<'h> {
    home: &'h Home,
    job: String,
}

/// What came of many starts.
#[derive(Debug)]
struct Storm {
    /// Exit codes.
    codes: Vec<Option<i32>>,
    /// Seconds from the first launch to the start of each program, in order.
    started: Vec<f64>,
    /// Seconds until all had ended.
    whole: f64,
    /// How images were provided, and how well each was measured.
    ways: Vec<String>,
}

impl Waiting<'_> {
    fn start(&self) -> Child {
        let control = self.control();
        let mut command = Command::new("sh");
        command.arg(control.join("job.sh")).arg(&control).env_clear().envs(&self.home.env);
        command.env("SLURM_JOB_ID", crate::simulated::ID.to_string());
        command.current_dir(self.home.job(&self.job).join("work"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn control(&self) -> PathBuf {
        self.home.job(&self.job).join("control")
    }

    /// As many attempts as are wanted, all at once.
    fn storm(&self, count: usize) -> Storm {
        let zero = jiff::Timestamp::now();
        let began = Instant::now();
        let mut children: Vec<Child> = (0..count).map(|_| self.start()).collect();
        let codes = children.iter_mut().map(|child| child.wait().unwrap().code()).collect();
        let whole = began.elapsed().as_secs_f64();
        let (mut started, mut ways) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(self.control()).unwrap().flatten() {
            if !entry.file_name().to_string_lossy().starts_with("receipt-") {
                continue;
            }
            let receipt = read_json(&entry.path());
            if let Some(at) = receipt["start"]["at"].as_str() {
                let at: jiff::Timestamp = at.parse().unwrap();
                started.push(at.duration_since(zero).as_secs_f64());
            }
            let way = format!(
                "{}, {}",
                receipt["rootfs"].as_str().unwrap_or("-"),
                receipt["evidence"]["grade"].as_str().unwrap_or("-")
            );
            if !ways.contains(&way) {
                ways.push(way);
            }
            fs::remove_file(entry.path()).unwrap();
        }
        started.sort_by(f64::total_cmp);
        Storm { codes, started, whole, ways }
    }
}

/// Submits without starting.
fn waiting<'h>(home: &'h Home, flags: &[&str], image: &str, script: &str) -> Waiting<'h> {
    let submit = ["submit", "--backend", "slurm", "--runtime", "builtin"];
    let job = home.ok(&[&submit, flags, &[image, "--", "sh", "-c", script]].concat());
    Waiting { home, job }
}

/// A home with a simulated Slurm that starts nothing, and a node's cache of its own.
fn home(server: &Server, more: &str) -> Home {
    let mut home = Home::logged_in(server);
    let node = home.mkdir("node").display().to_string();
    let (address, text) = (server.address(), format!("node_cache = \"{node}\"\n{more}"));
    home.write(
        "config/moorline/config.toml",
        &format!("insecure_registries = [\"{address}\"]\n{text}"),
    );
    let slurm = Simulated::new(&mut home);
    slurm.command("sbatch", &format!("echo {}", crate::simulated::ID));
    home
}

fn asked(server: &Server) -> usize {
    server.running.seen().iter().filter(|seen| seen.target.contains("/blobs/")).count()
}

/// Several attempts at once ask the registry once.
#[test]
fn one_of_many_pulls_and_the_others_wait() {
    let server = Server::with_image();
    let home = home(&server, "");
    let job = waiting(&home, &["--delivery", "pull"], &server.name(":v1"), "exit 3");
    let before = asked(&server);
    let storm = job.storm(6);
    assert_eq!(storm.codes, [Some(3); 6], "{storm:?}");
    assert_eq!(storm.started.len(), 6, "{storm:?}");
    // each layer and the configuration once
    assert_eq!(asked(&server) - before, images().0.layers.len() + 1);
    assert!(!job.control().join("registry-credential").exists());
}

/// Prints a table; `just bench-storm`. `MOORLINE_STORM` says how many start together, `MOORLINE_STORM_MB` how large the image
/// is.
#[test]
#[ignore = "a measurement: just bench-storm"]
fn storm() {
    let number = |name: &str, usual: usize| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (count, megabytes) = (number("MOORLINE_STORM", 200), number("MOORLINE_STORM_MB", 60));
    let server = Server::with_image();
    let image = large(&server, megabytes << 20);
    let mut out = std::io::stderr();
    let mut say = |line: &str| writeln!(out, "{line}").unwrap();
    say(&format!("{count} starts together, an image of {megabytes} MB"));
    say(
        "| case | first program | half of them | last program | all ended | blobs asked for | provided |",
    );
    say("|---|---:|---:|---:|---:|---:|---|");
    let mut case = |name: &str, job: &Waiting<'_>| {
        let before = asked(&server);
        let storm = job.storm(count);
        let failed = storm.codes.iter().filter(|code| **code != Some(0)).count();
        let at = |of: usize| storm.started.get(of).copied().unwrap_or(f64::NAN);
        say(&format!(
            "| {name} | {:.1} s | {:.1} s | {:.1} s | {:.1} s | {} | {}{} |",
            at(0),
            at(count / 2),
            at(count.saturating_sub(1)),
            storm.whole,
            asked(&server) - before,
            storm.ways.join("; "),
            if failed == 0 { String::new() } else { format!("; **{failed} failed**") },
        ));
    };
    let usual = home(&server, "");
    case("`shared`: each block checked when it is read", &waiting(&usual, &[], &image, "exit 0"));
    let pulled = waiting(&usual, &["--delivery", "pull"], &image, "exit 0");
    case("`pull`, nothing on the node", &pulled);
    case("`pull`, the image is on the node", &pulled);
    usual.ok(&["convert", &image, "-o", "own.sif"]);
    case("a file, each job hashes all of it", &waiting(&usual, &[], "./own.sif", "exit 0"));
    let copying = home(&server, "[delivery]\nnode_copy = true\n");
    fs::copy(usual.path("here/own.sif"), copying.path("here/own.sif")).unwrap();
    case("the same, copied to the node first", &waiting(&copying, &[], "./own.sif", "exit 0"));
}
