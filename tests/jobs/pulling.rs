//! Workers that get their image by themselves: `--delivery pull` from the registry stand-in, and `--delivery cvmfs` from a
//! *simulated* `/cvmfs`, which is a plain directory with the layout of CernVM-FS's DUCC.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use moorline::secret::Secret;
use moorline::standin::Account;

use crate::simulated::{Simulated, receipt};
use crate::support::{
    Home, NOBODY, PROJECT, SECRET, Server, USER, am_root, config, have, images, read_json, walk,
};

/// A home whose jobs keep images in a directory of their own.
fn with_node(server: &Server, home: Home) -> (Home, PathBuf) {
    let node = home.mkdir("node");
    fs::set_permissions(&node, fs::Permissions::from_mode(0o700)).unwrap();
    let more = format!(
        "insecure_registries = [\"{}\"]\nnode_cache = \"{}\"\n",
        server.address(),
        node.display()
    );
    home.write("config/moorline/config.toml", &more);
    let user = fs::metadata(&node).unwrap().uid();
    let images = node.join(format!("moorline-{user}/images"));
    (home, images)
}

fn sifs(images: &Path) -> Vec<PathBuf> {
    let dir = images.join("sifs/sha256");
    let found = fs::read_dir(dir).map(|dir| dir.flatten().map(|entry| entry.path()).collect());
    found.unwrap_or_default()
}

/// Files below a directory in which a secret stands, in clear, base64 or encoded for a URL.
fn holding(dir: &Path, secret: &str) -> Vec<PathBuf> {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let basic = engine.encode(format!("{USER}:{secret}"));
    let forms = [secret.to_owned(), engine.encode(secret), basic];
    let mut found = Vec::new();
    if !dir.is_dir() {
        return found;
    }
    walk(dir, &mut |path, meta| {
        let bytes = if meta.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() };
        let has = |form: &String| bytes.windows(form.len()).any(|part| part == form.as_bytes());
        if forms.iter().any(has) {
            found.push(path.to_owned());
        }
    });
    found
}

fn blobs_asked(server: &Server) -> usize {
    server.running.seen().iter().filter(|seen| seen.target.contains("/blobs/")).count()
}

#[test]
fn a_worker_pulls_what_was_pinned() {
    let server = Server::with_image();
    let (home, images) = with_node(&server, Home::logged_in(&server));
    let image = server.name(":v1");
    let script = "env >env.txt; ls / >ls.txt; exit 5";
    let submit = ["submit", "--wait", "--delivery", "pull", &image, "--", "sh", "-c", script];
    let answer = home.run(&submit).exits(5);
    assert!(answer.stderr.contains("workers get the image from its registry"), "{answer}");
    assert!(answer.stderr.contains(&format!("gets the deploy token {USER}")), "{answer}");
    let job = answer.stdout.trim().to_owned();
    let one = receipt(&home, &job);
    assert_eq!(one["delivery"], "pull", "{one}");
    let there = sifs(&images);
    assert_eq!(there.len(), 1);
    let size = fs::metadata(&there[0]).unwrap().len();
    assert_eq!(one["moved"], size, "{one}");
    let grade = one["evidence"]["grade"].as_str().unwrap();
    assert!(["verified-on-read", "measured"].contains(&grade), "{one}");
    // the same bytes as where it was submitted
    let digest = one["expected"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    assert!(there[0].ends_with(format!("{digest}.sif")));
    home.run(&["audit", "job", &job]).exits(0);

    // the token went when the pull had ended, and was nowhere else
    let control = home.job(&job).join("control");
    assert!(!control.join("registry-credential").exists());
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&control), 0o700);
    assert_eq!(holding(&home.jobs(), SECRET), Vec::<PathBuf>::new());
    assert_eq!(holding(&home.path("ledger"), SECRET), Vec::<PathBuf>::new());
    assert_eq!(holding(&home.path("node"), SECRET), Vec::<PathBuf>::new());
    let plan = read_json(&control.join("plan.json"));
    assert_eq!(plan["getting"]["pull"]["credential"], true, "{plan}");
    assert!(!fs::read_to_string(home.job(&job).join("work/env.txt")).unwrap().contains("gldt"));

    // the next job of this node asks nobody for the image
    let before = blobs_asked(&server);
    let (second, code) = home.job_of(&["--delivery", "pull"], &image, "exit 3");
    assert_eq!((code, blobs_asked(&server)), (3, before));
    let second = receipt(&home, &second);
    assert_eq!((&second["delivery"], &second["moved"]), (&"pull".into(), &Value::Null), "{second}");
    // and is repeated in the same way
    let again = home.run(&["rerun", "--wait", &job]).exits(5).stdout.trim().to_owned();
    assert_eq!(receipt(&home, &again)["delivery"], "pull");
    // the tasks of an array use one token, which goes when all of them have ended
    let words = ["submit", "--array", "1-2", "--delivery", "pull", &image, "sh", "-c", "exit 0"];
    let array = home.ok(&words);
    home.run(&["wait", "--timeout", "120", &array]).exits(0);
    assert_eq!(holding(&home.jobs(), SECRET), Vec::<PathBuf>::new());
    // `run` is its own worker
    home.run(&["run", "--delivery", "pull", &image, "--", "sh", "-c", "exit 6"]).exits(6);
}

#[test]
fn what_a_cleaner_took_is_pulled_again() {
    let server = Server::with_image();
    let (home, images) = with_node(&server, Home::logged_in(&server));
    let image = server.name(":v1");
    let pull = || {
        let (job, code) = home.job_of(&["--delivery", "pull"], &image, "exit 4");
        let receipt = receipt(&home, &job);
        assert_eq!(code, 4, "{receipt}");
        receipt
    };
    assert!(pull()["moved"].is_u64());
    let sif = sifs(&images).remove(0);
    let whole = fs::read(&sif).unwrap();
    // half of the cache, then the SIF, then a part of it, then all of it
    for name in ["pins", "version", "blobs"] {
        let path = images.join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    pull();
    fs::remove_file(&sif).unwrap();
    assert!(pull()["moved"].is_u64());
    fs::set_permissions(&sif, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&sif, &whole[..whole.len() / 2]).unwrap();
    pull();
    assert!(fs::read(&sif).unwrap() == whole);
    let mut other = whole.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    fs::set_permissions(&sif, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&sif, &other).unwrap();
    pull();
    assert!(fs::read(&sif).unwrap() == whole);
    fs::remove_dir_all(images.parent().unwrap()).unwrap();
    assert!(pull()["moved"].is_u64());
    // and by hand
    let dry =
        home.run(&["--json", "cache", "prune", "--max-size", "0", "--dry-run"]).exits(0).json();
    let there: Vec<_> =
        dry["node"]["removed"].as_array().unwrap().iter().map(|gone| &gone["path"]).collect();
    assert!(there.contains(&&Value::from(sif.to_str().unwrap())) && sif.exists(), "{dry}");
    home.run(&["cache", "prune", "--max-size", "0"]).exits(0);
    assert!(!sif.exists());
}

#[test]
fn a_public_image_needs_no_token() {
    let server = Server::with_image();
    server.push("physics/open", &images().0, &["v1"]);
    let (home, _) = with_node(&server, Home::new(&server));
    let image = format!("{}/physics/open:v1", server.address());
    let (job, code) = home.job_of(&["--delivery", "pull"], &image, "exit 7");
    let receipt = receipt(&home, &job);
    assert_eq!((code, &receipt["delivery"]), (7, &"pull".into()), "{receipt}");
    let plan = read_json(&home.job(&job).join("control/plan.json"));
    assert_eq!(plan["getting"]["pull"].get("credential"), None, "{plan}");
}

#[test]
fn only_a_deploy_token_is_handed_over() {
    const PASSWORD: &str = "correct-horse-battery";
    let account = Account {
        username: "physicist".into(),
        secret: Secret::new(PASSWORD.into()),
        projects: vec![PROJECT.into()],
        two_factor: false,
    };
    let server = Server::start(moorline::standin::Config { accounts: vec![account], ..config() });
    server.push(PROJECT, &images().0, &["v1"]);
    let home = Home::new(&server);
    home.login(&server.name(""), "physicist", PASSWORD).exits(0);
    let image = server.name(":v1");
    let pull = ["submit", "--delivery", "pull", &image, "true"];
    home.run(&pull)
        .fails(4, &["only a deploy token is handed to a worker", "hint:", "read_registry"]);
    assert_eq!(
        fs::read_dir(home.jobs())
            .map_or(0, |dir| dir.flatten().filter(|e| e.file_name().len() == 26).count()),
        0
    );
    assert_eq!(holding(&home.path("state"), PASSWORD), Vec::<PathBuf>::new());

    // engines that copy the job's files copy the token, too
    let home = Home::logged_in(&server);
    let condor =
        ["submit", "--dry-run", "--backend", "htcondor", "--delivery", "pull", &image, "true"];
    home.run(&condor).fails(2, &["htcondor copies the job's files", "--send-credential"]);
    let sent = home.run(&[&condor[..], &["--send-credential"]].concat());
    // behind WHAT the flag would be the command's
    assert_eq!(sent.code, 2, "{sent}");
    let sent = [&["submit", "--send-credential"], &condor[1..]].concat();
    let sent = home.run(&sent).exits(0);
    assert!(sent.stderr.contains("through htcondor, which keeps a copy"), "{sent}");
    let files = sent.stdout.lines().find(|line| line.starts_with("transfer_input_files")).unwrap();
    assert!(
        files.contains("/control") && files.contains("/moorline") && !files.contains(".sif"),
        "{files}"
    );
    assert!(!sent.stdout.contains("gldt") && !sent.stderr.contains("gldt"), "{sent}");
    let krb = [
        "submit",
        "--backend",
        "htcondor",
        "--delivery",
        "pull",
        "--workdir",
        "/tmp",
        &image,
        "true",
    ];
    home.run(&krb).fails(2, &["--delivery pull and --workdir", "hint:"]);
    // what has no registry or takes no SIF
    home.ok(&["convert", &image, "-o", "own.sif"]);
    home.run(&["submit", "--delivery", "pull", "./own.sif", "true"])
        .fails(2, &["file that you named"]);
    home.run(&["submit", "--delivery", "lfn", &image, "true"]).fails(2, &["engine dirac", "hint:"]);
}

/// A job that a simulated Slurm takes and does not start, and where its token lies.
fn taken(slurm: &Simulated, home: &Home, image: &str) -> (String, PathBuf) {
    slurm.command("sbatch", "echo 77");
    let job = home.ok(&["submit", "--backend", "slurm", "--delivery", "pull", image, "true"]);
    let credential = home.job(&job).join("control/registry-credential");
    (job, credential)
}

/// Starts that job's script, as its Slurm would.
fn begins(home: &Home, job: &str) -> Output {
    let control = home.job(job).join("control");
    let mut command = Command::new("sh");
    command
        .arg(control.join("job.sh"))
        .arg(&control)
        .env_clear()
        .envs(&home.env)
        .env("SLURM_JOB_ID", "77");
    command.current_dir(home.job(job).join("work")).output().unwrap()
}

/// The worker says what kept it from pulling, and the token goes all the same. The Slurm is *simulated*, and starts nothing.
#[test]
fn a_registry_that_does_not_answer_is_told() {
    let server = Server::with_image();
    let (mut home, _) = with_node(&server, Home::logged_in(&server));
    let image = server.name(":v1");
    let slurm = Simulated::new(&mut home);
    let (job, credential) = taken(&slurm, &home, &image);
    assert_eq!(fs::metadata(&credential).unwrap().mode() & 0o7777, 0o600);
    drop(server);
    let ended = begins(&home, &job);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(216), "{said}");
    assert!(said.contains("the image could not be pulled") && !said.contains("gldt"), "{said}");
    assert!(!credential.exists());
    let receipt = receipt(&home, &job);
    assert_eq!(receipt["start"]["state"], "refused", "{receipt}");
}

/// A job that was cancelled before it began leaves no token. The Slurm is *simulated*, and starts nothing.
#[test]
fn a_token_goes_with_a_job_that_never_began() {
    let server = Server::with_image();
    let (mut home, _) = with_node(&server, Home::logged_in(&server));
    let slurm = Simulated::new(&mut home);
    slurm.command("sbatch", "echo 77");
    slurm.says("PENDING", "0:0");
    let image = server.name(":v1");
    let job = home.ok(&["submit", "--backend", "slurm", "--delivery", "pull", &image, "true"]);
    let credential = home.job(&job).join("control/registry-credential");
    home.run(&["status", &job]).exits(0);
    assert!(credential.exists());
    slurm.says("CANCELLED", "0:0");
    home.run(&["status", &job]).exits(0);
    assert!(!credential.exists());
}

/// Unpacks the demo's layers as DUCC lays them out.
fn publish(root: &Path, server: &Server) -> PathBuf {
    let image = &images().0;
    let hex = image.config_digest.to_string().trim_start_matches("sha256:").to_owned();
    let tree = root.join(".flat").join(&hex[..2]).join(&hex);
    fs::create_dir_all(&tree).unwrap();
    for layer in &image.layers {
        let bytes: Vec<u8> = layer.bytes.clone();
        let reader: Box<dyn std::io::Read> = match bytes.first() {
            Some(0x1f) => Box::new(flate2::read::GzDecoder::new(std::io::Cursor::new(bytes))),
            _ => Box::new(std::io::Cursor::new(bytes)),
        };
        tar::Archive::new(reader).unpack(&tree).unwrap();
    }
    let link = root.join(server.name(":v1"));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&link);
    symlink(&tree, &link).unwrap();
    tree
}

#[test]
fn a_published_tree_runs_by_its_name() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let root = home.mkdir("simulated-cvmfs");
    let more = format!(
        "insecure_registries = [\"{}\"]\n[delivery]\ncvmfs = [\"{}\"]\n",
        server.address(),
        root.display()
    );
    home.write("config/moorline/config.toml", &more);
    let submit = |flags: &[&str]| {
        let line = [
            &["submit", "--wait", "--runtime", "builtin", "--delivery", "cvmfs"],
            flags,
            &[&image, "--", "sh", "-c", "echo from the tree; exit 9"],
        ]
        .concat();
        home.run(&line)
    };
    // nobody publishes it yet
    let missing = submit(&[]).exits(210);
    let job = missing.stdout.trim().to_owned();
    let told = fs::read_to_string(home.job(&job).join("stderr")).unwrap();
    assert!(told.contains("is not published on this machine"), "{told}");

    let tree = publish(&root, &server);
    let answer = submit(&[]).exits(9);
    let job = answer.stdout.trim().to_owned();
    assert_eq!(home.ok(&["logs", &job]), "from the tree");
    let receipt = receipt(&home, &job);
    assert_eq!(receipt["evidence"]["grade"], "path-only", "{receipt}");
    assert_eq!(receipt["evidence"]["measured"]["kind"], "config", "{receipt}");
    assert_eq!((&receipt["delivery"], &receipt["rootfs"]), (&"cvmfs".into(), &"directory".into()));
    // nothing was converted for it
    assert_eq!(fs::read_dir(home.path("cache/sifs/sha256")).map_or(0, Iterator::count), 0);
    let audited = home.run(&["audit", "job", &job]);
    let shown = audited.to_string();
    assert!(
        shown.contains("only the name of the published tree") && shown.contains("path-only"),
        "{shown}"
    );
    home.run(&["rerun", "--wait", &job]).exits(9);
    submit(&["--require", "measured"]).fails(2, &["do not go together", "another --delivery"]);

    // another image under the tag's name, and the pinned one gone
    let other = root.join(".flat/00").join("00".repeat(32));
    fs::create_dir_all(&other).unwrap();
    fs::remove_dir_all(&tree).unwrap();
    let link = root.join(server.name(":v1"));
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    let moved = submit(&[]).exits(210).stdout.trim().to_owned();
    let told = fs::read_to_string(home.job(&moved).join("stderr")).unwrap();
    assert!(told.contains("leads to \"0000"), "{told}");

    home.run(&[
        "submit",
        "--dry-run",
        "--runtime",
        "podman",
        "--delivery",
        "cvmfs",
        &image,
        "true",
    ])
    .fails(2, &["gives a directory", "hint:"]);
    home.write("here/own.tar", "");
    home.run(&["submit", "--delivery", "cvmfs", "shub://a/b", "true"]).fails(2, &["in none"]);
}

/// A SIF that is hashed whole is copied to the node once, where that was wanted.
#[test]
fn a_copy_on_the_node_is_made_once() {
    let server = Server::with_image();
    // who may open the device gets the image served, and nothing is hashed whole
    let test = "a_copy_on_the_node_is_made_once";
    let user = am_root().then_some(NOBODY);
    let open = fs::metadata("/dev/fuse").is_ok_and(|meta| meta.permissions().mode() & 0o006 != 0);
    if !have("no-fuse", test, !open) {
        return;
    }
    let (home, images) = with_node(&server, Home::of(&server, user).log_in(&server));
    let text = fs::read_to_string(home.path("config/moorline/config.toml")).unwrap();
    home.write("config/moorline/config.toml", &format!("{text}[delivery]\nnode_copy = true\n"));
    let image = server.name(":v1");
    home.ok(&["convert", &image, "-o", "own.sif"]);
    let run = || {
        let (job, code) = home.job_of(&[], "./own.sif", "exit 2");
        let receipt = receipt(&home, &job);
        let grade = receipt["evidence"]["grade"].as_str().unwrap();
        assert_eq!((code, grade.starts_with("measured")), (2, true), "{receipt}");
        receipt
    };
    run();
    let copy = sifs(&images).remove(0);
    let inode = fs::metadata(&copy).unwrap().ino();
    run();
    assert_eq!(fs::metadata(&copy).unwrap().ino(), inode);
    // a damaged copy is made again
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&copy, "half").unwrap();
    let notes = run()["notes"].to_string();
    assert!(notes.contains("it is got again"), "{notes}");
}

/// An array whose tasks would all ask the registry is refused before anything is made.
#[test]
fn many_tasks_pull_only_when_that_is_wanted() {
    let server = Server::with_image();
    let (home, _) = with_node(&server, Home::logged_in(&server));
    let image = server.name(":v1");
    let submit = |flags: &[&str]| {
        let rest = ["--dry-run", "--delivery", "pull", &image, "true"];
        home.run(&[&["submit"], flags, &rest].concat())
    };
    submit(&["--array", "1-50"]).exits(0);
    submit(&["--array", "1-51"]).fails(11, &["51", "50", "hint:", "--force-pull"]);
    submit(&["--array", "1-51", "--force-pull"]).exits(0);
    let config = home.path("config/moorline/config.toml");
    let set = format!("{}[delivery]\npull_tasks = 2\n", fs::read_to_string(&config).unwrap());
    fs::write(config, set).unwrap();
    submit(&["--array", "1-3"]).fails(11, &["3", "2", "--force-pull"]);
    // really, and not only where it is planned
    let real = ["submit", "--array", "1-3", "--delivery", "pull", &image, "true"];
    home.run(&real).fails(11, &["--force-pull"]);
    assert_eq!(home.ok(&["jobs", "--json"]).matches("\"job\"").count(), 0);
}

/// The token was good when the job was submitted, and is not when its worker pulls. The Slurm is *simulated*, and starts
/// nothing.
#[test]
fn a_registry_that_refuses_is_told() {
    let server = Server::with_image();
    let (mut home, _) = with_node(&server, Home::logged_in(&server));
    let image = server.name(":v1");
    let slurm = Simulated::new(&mut home);
    let (job, credential) = taken(&slurm, &home, &image);
    let text = fs::read_to_string(&credential).unwrap();
    assert!(text.contains(SECRET));
    fs::write(&credential, text.replace(SECRET, "gldt-revoked")).unwrap();
    let ended = begins(&home, &job);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(215), "{said}");
    assert!(!said.contains("gldt"), "{said}");
    let one = receipt(&home, &job);
    assert_eq!((&one["exit_code"], &one["start"]["state"]), (&215.into(), &"refused".into()));
    slurm.says("FAILED", "215:0");
    let status = home.run(&["wait", &job]).exits(215);
    assert!(status.stderr.contains("the registry refused the pull"), "{status}");
}
