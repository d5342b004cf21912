//! Every bad input of the issue: its exit code, its one error, and nothing left behind.
//!
//! The texts are goldens in `bad_input/`; what differs between machines is replaced by a name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use moorline::oci::{Digest, Platform, Sha256Digest, media_type};

use crate::liar::Liar;
use crate::resolve::push_index;
use crate::support::{
    Answer, Home, NOBODY, PROJECT, SECRET, Server, USER, am_root, difference, finish, have, images,
    program, walk,
};

/// Runs cases in one home and writes down what was said.
struct Cases<'a> {
    home: &'a Home,
    text: String,
    names: Vec<(String, String)>,
}

impl<'a> Cases<'a> {
    fn new(home: &'a Home, server: &Server) -> Self {
        let names = [
            (server.address(), "<REGISTRY>"),
            (home.path("").display().to_string(), "<HOME>/"),
            (images().0.manifest_digest.to_string(), "<V1>"),
        ];
        let names = names.into_iter().map(|(text, name)| (text, name.to_owned())).collect();
        Self { home, text: String::new(), names }
    }

    fn called(&mut self, text: &impl ToString, name: &str) {
        self.names.push((text.to_string(), name.to_owned()));
    }

    /// The command fails like this and changes no file.
    #[track_caller]
    fn case(&mut self, title: &str, args: &[&str], code: i32, words: &[&str]) {
        self.typed(title, args, "", code, words);
    }

    #[track_caller]
    fn typed(&mut self, title: &str, args: &[&str], stdin: &str, code: i32, words: &[&str]) {
        let before = self.home.tree();
        let answer = self.home.run_with(args, stdin);
        self.note(title, &answer);
        let answer = answer.fails(code, words);
        let after = self.home.tree();
        assert!(before == after, "{answer}\n-- files\n{}", difference(&before, &after));
    }

    fn note(&mut self, title: &str, answer: &Answer) {
        let mut said = format!(
            "# {title}\n$ moorline {}\n{}exit {}\n\n",
            answer.args, answer.stderr, answer.code
        );
        for (text, name) in &self.names {
            said = said.replace(text.as_str(), name);
        }
        // the program's own digest changes with every build
        while let Some(at) = said.find("/jobs/bin/") {
            let end = at + "/jobs/bin/".len();
            let hex = said[end..].chars().take_while(char::is_ascii_hexdigit).count();
            said.replace_range(at..end + hex, "/jobs/<BIN>");
        }
        write!(self.text, "{said}").unwrap();
    }

    #[track_caller]
    fn golden(self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/bad_input");
        let golden = snapbox::Data::read_from(&folder.join(format!("{name}.txt")), None).raw();
        snapbox::assert_data_eq!(self.text.trim_end().to_owned() + "\n", golden);
    }
}

/// A home in which the line has run once, so that every directory is there.
fn used(server: &Server) -> Home {
    let home = Home::logged_in(server);
    home.ok(&["convert", &server.name(":v1")]);
    home.run(&["status", "01"]).exits(3);
    home.ok(&["ledger", "collect"]);
    home
}

#[test]
fn registries_and_credentials() {
    let server = Server::with_image();
    let home = used(&server);
    let mut cases = Cases::new(&home, &server);
    cases.case(
        "connection refused",
        &["resolve", "127.0.0.1:1/group/project:v1"],
        5,
        &["127.0.0.1:1", "hint:"],
    );
    let address = server.address();
    let scope = server.name("");
    let login =
        |user| ["login", scope.as_str(), "--username", user, "--password-stdin", "--store", "file"];
    cases.typed("wrong token", &login(USER), "gldt-wrong", 4, &["refused", USER, "hint:"]);
    cases.typed("wrong user", &login("somebody"), SECRET, 4, &["refused", "somebody", "hint:"]);
    cases.typed(
        "token without registry scope",
        &login("code-only"),
        "gldt-code",
        4,
        &["no registry scope", "read_registry"],
    );
    cases.typed("empty secret", &login(USER), "\n", 2, &["empty"]);
    cases.case(
        "no terminal for the secret",
        &["login", &scope, "--username", USER],
        2,
        &["--password-stdin"],
    );
    cases.case("nothing to forget", &["logout", "registry.example"], 3, &["registry.example"]);
    let missing = format!("{address}/physics/nothing:v1");
    let forbidden = format!("{address}/other/closed:v1");
    for (title, name) in [("missing project", missing), ("forbidden project", forbidden)] {
        cases.case(title, &["resolve", &name], 3, &["does not exist, or may not be read", "hint:"]);
    }
    cases.golden("registries");

    // the resolver's words differ between machines
    let host = "registry.invalid/group/project:v1";
    let before = home.tree();
    home.run(&["resolve", host]).fails(5, &["unknown host", "registry.invalid", "hint:"]);
    home.run(&["submit", host, "--", "true"]).fails(5, &["registry.invalid", "hint:"]);
    assert_eq!(before, home.tree());
}

#[test]
fn the_secret_of_a_wrong_login_is_not_kept() {
    let server = Server::with_image();
    let home = Home::new(&server);
    home.login(&server.name(""), USER, "gldt-wrong").fails(4, &[]);
    assert!(!home.path("config/moorline/credentials.json").exists());
    // and a stored one that was revoked later is refused with its place
    let other = Server::with_image();
    let home = Home::new(&other).log_in(&other);
    let file = home.path("config/moorline/credentials.json");
    let text = fs::read_to_string(&file).unwrap().replace(SECRET, "gldt-revoked");
    fs::write(&file, text).unwrap();
    let words = ["refused", "credentials.json", "hint:"];
    let answer = home.run(&["resolve", &other.name(":v1")]).fails(4, &words);
    assert!(!answer.stderr.contains("gldt-revoked"), "{answer}");
}

#[test]
fn images_that_are_not_there() {
    let server = Server::with_image();
    push_index(&server, "multi");
    let home = used(&server);
    let mut cases = Cases::new(&home, &server);
    cases.called(&Platform::host(), "<PLATFORM>");
    let gone = server.name(":gone");
    let verbs: [&[&str]; 4] = [
        &["resolve", &gone],
        &["convert", &gone],
        &["run", &gone, "--", "true"],
        &["submit", &gone, "--", "true"],
    ];
    for verb in verbs {
        cases.case("missing tag", verb, 3, &["tag gone", "hint:"]);
    }
    let digest = server.name(&format!("@{}", Digest::of(b"nothing")));
    cases.case("missing digest", &["resolve", &digest], 3, &["does not exist", "hint:"]);
    let multi = server.name(":multi");
    let riscv = ["resolve", "--platform", "linux/riscv64", &multi];
    cases.case("no manifest for the platform", &riscv, 3, &["linux/riscv64", "linux/s390x"]);
    let single = server.name(":v1");
    let other = ["resolve", "--platform", "linux/s390x", &single];
    cases.case("an image of another platform", &other, 3, &["linux/s390x"]);
    let artifact = br#"{"schemaVersion":2}"#;
    let store = server.running.images();
    let digest = store.put_manifest(PROJECT, media_type::OCI_MANIFEST, artifact.to_vec());
    store.tag(PROJECT, "broken", digest);
    let broken = server.name(":broken");
    let before = home.tree();
    let answer = home.run(&["resolve", &broken]);
    assert!([6, 7].contains(&answer.code), "{answer}");
    let code = answer.code;
    answer.fails(code, &["broken"]);
    assert_eq!(before, home.tree());
    cases.case(
        "not a reference",
        &["resolve", "Not A Reference"],
        2,
        &["Not A Reference", "hint:"],
    );
    cases.case(
        "a form that is not built",
        &["convert", "library://a/b"],
        2,
        &["the Sylabs library", "hint:"],
    );
    cases.case("a SIF of a hub is one already", &["convert", "shub://a/b"], 2, &["this is a SIF"]);
    cases.case("a SIF is one already", &["convert", "oras://a/b"], 2, &["this is a SIF", "hint:"]);
    cases.case("no such layout", &["convert", "oci:dir"], 3, &["dir/oci-layout", "hint:"]);
    cases.case("no such archive", &["convert", "oci-archive:a.tar:v1"], 3, &["a.tar", "hint:"]);
    fs::write(home.path("here/a.tar.gz"), [0x1F, 0x8B, 8, 0]).unwrap();
    let packed = ["submit", "docker-archive:a.tar.gz", "--", "true"];
    cases.case("a compressed archive", &packed, 7, &["a.tar.gz", "hint:"]);
    cases.case("a layout in no registry", &["resolve", "oci:dir"], 2, &["oci:dir", "hint:"]);
    let there = home.path("here/there.sif");
    fs::write(&there, "mine").unwrap();
    let single = server.name(":v1");
    cases.case(
        "an output file that exists",
        &["convert", &single, "-o", "there.sif"],
        2,
        &["there.sif", "--force"],
    );
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    cases.case("not a SIF", &["submit", "./there.sif", "--", "true"], 2, &["there.sif"]);
    cases.case("not a SIF to verify", &["verify", "there.sif"], 2, &["there.sif"]);
    cases.case("no SIF to verify", &["verify", "gone.sif"], 3, &["gone.sif"]);
    cases.case("no such SIF", &["submit", "./gone.sif", "--", "true"], 3, &["gone.sif"]);
    let nowhere = ["convert", single.as_str(), "-o", "no/such/dir/image.sif"];
    cases.case("an output folder that is missing", &nowhere, 2, &["no/such/dir", "hint:"]);
    cases.case("a level that is none", &["convert", &single, "--level", "99"], 2, &["--level"]);
    cases.case(
        "a block size that is none",
        &["convert", &single, "--block-size", "5000"],
        2,
        &["--block-size"],
    );
    cases.golden("images");

    home.run(&["convert", &single, "-o", "there.sif", "--force"]).exits(0);
    assert!(fs::read(&there).unwrap().len() > 1000);
}

/// Every file of a store: its name, and whether its bytes have the digest that is its name.
fn store_is_sound(store: &Path) {
    walk(store, &mut |path, meta| {
        if !meta.is_file() || path.ends_with("version") {
            return;
        }
        let parent = path.parent().unwrap();
        // a request's lock holds nothing; beside it stands the realm that a registry named
        if path.starts_with(store.join("hosts")) {
            let is_realm = path.extension().is_some_and(|end| end == "realm");
            assert!(is_realm || meta.len() == 0, "{}", path.display());
            return;
        }
        // what later conversions may use or not
        if ["packs", "layers", "tags"].iter().any(|dir| path.starts_with(store.join(dir))) {
            return;
        }
        if parent.ends_with("sha256") {
            let found = Digest::of(&fs::read(path).unwrap()).hex();
            let name = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".sif");
            assert_eq!(found, name, "{}", path.display());
        } else {
            assert!(path.extension().is_some_and(|e| e == "json"), "left over: {}", path.display());
        }
    });
}

#[test]
fn a_corrupt_blob_is_never_kept() {
    let server = Server::with_image();
    let home = used(&server);
    let liar = Liar::start();
    let image = format!("{}/lies/image:v1", liar.address);
    let layer = Digest::of(&images().0.layers[1].bytes);
    // the good one of the warm-up would hide the lie
    fs::remove_dir_all(home.path("cache")).unwrap();
    let verbs: [&[&str]; 3] = [
        &["convert", &image, "-o", "out.sif"],
        &["run", &image, "--", "true"],
        &["submit", &image, "--", "true"],
    ];
    let jobs = home.path("state");
    for verb in verbs {
        let answer = home.run(verb).fails(6, &[&layer.to_string(), "corrupt", "hint:"]);
        assert!(answer.stderr.contains(&liar.address.to_string()), "{answer}");
        assert!(!home.path("cache/blobs/sha256").join(layer.hex()).exists(), "{answer}");
        assert!(!home.path("here/out.sif").exists() && !jobs.exists(), "{answer}");
        store_is_sound(&home.path("cache"));
    }
    let left = fs::read_dir(home.path("here")).unwrap().count();
    assert_eq!(left, 0);
}

/// A tmpfs of this size as the store, for the time of one shell.
#[test]
fn a_full_disk_leaves_a_clean_store() {
    if !have("root", "a_full_disk_leaves_a_clean_store", am_root()) {
        return;
    }
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let cache = home.mkdir("small");
    let copy = home.mkdir("copy");
    // 1 MB: a layer does not fit; 3 MB: the layers do, the SIF does not
    let script = r#"
        mount -t tmpfs -o size=$SIZE,mode=700 tmpfs "$MOORLINE_CACHE" || exit 99
        "$MOORLINE" convert "$IMAGE"; echo "first $?"
        cp -a "$MOORLINE_CACHE/." "$COPY/"
        mount -o remount,size=64m "$MOORLINE_CACHE" || exit 99
        "$MOORLINE" -q convert "$IMAGE" >&2; echo "second $?"
        umount "$MOORLINE_CACHE""#;
    for (size, sized) in [("1m", "layers"), ("3m", "sif")] {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .env_clear()
            .envs(&home.env)
            .env("MOORLINE", program())
            .env("MOORLINE_CACHE", &cache)
            .env("IMAGE", server.name(":v1"))
            .env("SIZE", size)
            .env("COPY", &copy)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let answer = finish(command, &["convert", sized], "");
        assert_eq!(answer.stdout, "first 8\nsecond 0\n", "{answer}");
        let answer = answer.says(0, &["No space left on device", "hint:"]);
        store_is_sound(&copy);
        let sifs = copy.join("sifs/sha256");
        assert!(!sifs.exists() || fs::read_dir(sifs).unwrap().count() == 0, "{answer}");
        fs::remove_dir_all(&copy).unwrap();
        home.mkdir("copy");
    }
}

#[test]
fn a_missing_executable() {
    let server = Server::with_image();
    let home = used(&server);
    let image = server.name(":v1");
    let answer = home.run(&["run", &image, "--", "/no/such/program"]).exits(214);
    assert!(answer.stderr.contains("/no/such/program"), "{answer}");
    let id = home.ok(&["submit", &image, "--", "/no/such/program"]);
    home.run(&["wait", "--timeout", "60", &id]).exits(214);
    let said = home.run(&["logs", "--stderr", &id]).exits(0);
    assert!(said.stdout.contains("/no/such/program"), "{said}");
    // a program named `./exe` that is not here is looked for in the image
    let id = home.ok(&["submit", &image, "--", "./gone"]);
    home.run(&["wait", "--timeout", "60", &id]).exits(214);
}

#[test]
fn job_files_and_flags() {
    let server = Server::with_image();
    let home = used(&server);
    let image = server.name(":v1");
    let mut cases = Cases::new(&home, &server);
    for (title, text, words) in [
        ("a job file that is no TOML", "image = \n", ["job.toml:1", "TOML"]),
        (
            "a job file with an unknown key",
            "image = \"a/b:c\"\nimaeg = 1\n",
            ["job.toml:2", "imaeg"],
        ),
        ("a job file with a wrong type", "command = \"true\"\n", ["job.toml:1", "command"]),
        ("a job file with a secret", "[env]\nCI_JOB_TOKEN = \"x\"\n", ["CI_JOB_TOKEN", "secret"]),
    ] {
        home.write("here/job.toml", text);
        let args = ["submit", "-f", "job.toml", &image];
        cases.case(title, &args, 2, &words);
    }
    cases.case("a missing job file", &["submit", "-f", "gone.toml"], 3, &["gone.toml"]);
    let flags: [(&str, &[&str], i32, &[&str]); 8] = [
        ("unknown backend", &["--backend", "pbs"], 2, &["pbs", "local, slurm"]),
        ("unset variable", &["--env", "UNSET_HERE"], 2, &["UNSET_HERE", "hint:"]),
        ("secret variable", &["--env", "CI_JOB_TOKEN=x"], 2, &["CI_JOB_TOKEN", "secret", "hint:"]),
        ("own secret", &["--env", "MOORLINE_PASSWORD=x"], 2, &["MOORLINE_PASSWORD", "hint:"]),
        ("docker's secret", &["--env", "DOCKER_AUTH_CONFIG=x"], 2, &["DOCKER_AUTH_CONFIG"]),
        ("bad variable", &["--env", "=x"], 2, &["--env"]),
        ("missing directory", &["--workdir", "/no/such/dir"], 2, &["/no/such/dir"]),
        ("missing runtime", &["--runtime", "dokcer"], 2, &["dokcer"]),
    ];
    for (title, flags, code, words) in flags {
        let args = [&["submit"], flags, &[image.as_str(), "--", "true"]].concat();
        cases.case(title, &args, code, words);
    }
    cases.case("no image", &["submit"], 2, &["no image", "hint:"]);
    cases.case("no image for run", &["run"], 2, &["no image", "hint:"]);
    cases.case("bad mount", &["run", "--mount", "relative", &image], 2, &["--mount"]);
    cases.case("bad memory", &["submit", "--memory", "much", &image], 2, &["--memory"]);
    cases.case("unknown verb", &["frobnicate"], 2, &["frobnicate"]);
    cases.case("unknown flag", &["resolve", "--frobnicate"], 2, &["--frobnicate"]);
    cases.case("bad platform", &["resolve", "--platform", "moon", &image], 2, &["--platform"]);
    cases.case(
        "bad insecure registry",
        &["--insecure-registry", "a b", "jobs"],
        2,
        &["--insecure-registry"],
    );
    cases.case("missing CA file", &["--ca-file", "gone.pem", "resolve", &image], 12, &["gone.pem"]);
    cases.case("missing configuration", &["--config", "gone.toml", "jobs"], 12, &["gone.toml"]);
    cases.golden("flags");
}

#[test]
fn configuration_files() {
    let server = Server::with_image();
    let home = used(&server);
    let image = server.name(":v1");
    let mut cases = Cases::new(&home, &server);
    for (title, text, code, words) in [
        ("malformed moorline.toml", "[images\n", 12, ["moorline.toml:1", "TOML"]),
        ("unknown key", "[submit]\nruntmie = \"auto\"\n", 12, ["moorline.toml:2", "runtmie"]),
        ("forbidden key: registry", "registry = \"evil.example\"\n", 12, ["registry", "project"]),
        ("forbidden key: cache", "cache = \"/tmp/x\"\n", 12, ["cache", "project"]),
        ("forbidden key: jobs_dir", "jobs_dir = \"/tmp/x\"\n", 12, ["jobs_dir", "project"]),
        ("forbidden key: insecure", "insecure_registries = [\"a\"]\n", 12, ["insecure", "project"]),
        ("a policy", "[policy]\nx = 1\n", 11, ["policy", "moorline.toml"]),
        (
            "a secret",
            "[submit.env]\nCI_JOB_TOKEN = \"glcbt-x\"\n",
            12,
            ["CI_JOB_TOKEN", "a secret"],
        ),
    ] {
        home.write("here/moorline.toml", text);
        cases.case(title, &["submit", &image, "--", "true"], code, &words);
        assert!(!cases.text.contains("glcbt-x"), "{}", cases.text);
    }
    cases.golden("configuration");
}

#[test]
fn jobs_that_are_not_there() {
    let server = Server::with_image();
    let home = used(&server);
    let image = server.name(":v1");
    let ids: Vec<String> = (0..2).map(|_| home.ok(&["submit", &image, "--", "true"])).collect();
    for id in &ids {
        home.run(&["wait", "--timeout", "60", id]).exits(0);
    }
    home.ok(&["ledger", "collect"]);
    let mut cases = Cases::new(&home, &server);
    // ids of the same second begin alike
    let common: String =
        ids[0].chars().zip(ids[1].chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    assert!(!common.is_empty());
    cases.called(&format!(" {common}\n"), " <BOTH>\n");
    cases.called(&format!("{common:?}"), "<BOTH>");
    for id in &ids {
        cases.called(id, "<ID>");
    }
    let nothing = "7zzzzzzzzzzzzzzzzzzzzzzzzz";
    for verb in ["status", "wait", "logs", "fetch", "cancel", "rerun"] {
        cases.case("unknown job", &[verb, nothing], 3, &[nothing]);
    }
    cases.case("unknown job", &["audit", "job", nothing], 3, &[nothing]);
    cases.case("unknown engine job", &["status", "slurm:123"], 3, &["slurm:123"]);
    cases.case("ambiguous job", &["status", &common], 2, &["names 2 jobs"]);
    cases.golden("jobs");
    // the unique beginning of one does name it
    let unique = &ids[0][..=common.len()];
    assert!(home.ok(&["status", unique]).contains(&ids[0]));
}

/// `PATH` without any engine.
fn without_engines(home: &Home) -> PathBuf {
    home.mkdir("empty-path")
}

#[test]
fn slurm_is_not_here() {
    let server = Server::with_image();
    let home = used(&server);
    let empty = without_engines(&home);
    let home = home.with("PATH", &empty.display().to_string());
    let image = server.name(":v1");
    let mut answer = home.run(&["submit", "--backend", "slurm", &image, "--", "true"]);
    answer.stderr = answer
        .stderr
        .lines()
        .filter(|l| !l.starts_with("pinned"))
        .fold(String::new(), |text, line| text + line + "\n");
    let answer = answer.fails(10, &["slurm", "sbatch", "hint:"]);
    no_job_stays(&home, &answer);
    // a dry run needs no engine
    let dry = home.run(&["submit", "--backend", "slurm", "--dry-run", &image, "--", "true"]);
    assert!(dry.exits(0).stdout.starts_with("sbatch "));
}

/// The job's directory is gone, and the ledger says that the engine refused.
fn no_job_stays(home: &Home, answer: &Answer) {
    let left: Vec<_> = fs::read_dir(home.jobs())
        .map(|dir| dir.flatten().map(|e| e.file_name()).filter(|n| n != "bin").collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{left:?}: {answer}");
    let rows = home.run(&["--json", "jobs"]).exits(0).json();
    let states: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states, ["failed"], "{rows}");
}

/// Stands in for `sbatch`; what real ones say is in `tests/jobs/backend_slurm.rs`.
#[test]
fn a_simulated_slurm_refuses() {
    let server = Server::with_image();
    let home = used(&server);
    let bin = home.mkdir("bin");
    let sbatch = home.write(
        "bin/sbatch",
        "#!/bin/sh\necho 'sbatch: error: invalid partition specified: none' >&2\nexit 1\n",
    );
    fs::set_permissions(&sbatch, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), home.env["PATH"]);
    let home = home.with("PATH", &path);
    let image = server.name(":v1");
    let args = ["submit", "--backend", "slurm", "--queue", "none", &image, "--", "true"];
    let answer = home.run(&args).fails(10, &["refused", "invalid partition"]);
    no_job_stays(&home, &answer);
}

#[test]
fn a_real_slurm_refuses() {
    let test = "a_real_slurm_refuses";
    let file = std::env::var("MOORLINE_TEST_SLURM").ok();
    if !have("slurm", test, file.is_some()) {
        return;
    }
    let text = fs::read_to_string(file.unwrap()).unwrap();
    let env: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .map(|(name, value)| (name, value.trim_matches('\'')))
        .collect();
    let server = Server::with_image();
    let home = used(&server).with("SLURM_CONF", env["SLURM_CONF"]);
    let image = server.name(":v1");
    let args = ["submit", "--backend", "slurm", "--queue", "nosuchpartition", &image, "--", "true"];
    let answer = home.run(&args).fails(10, &["slurm", "refused", "partition"]);
    no_job_stays(&home, &answer);
}

#[test]
fn places_that_cannot_be_used() {
    let server = Server::with_image();
    let home = used(&server);
    let image = server.name(":v1");
    let mut cases = Cases::new(&home, &server);
    let submit = ["submit", image.as_str(), "--", "true"];
    // a file stands where the jobs' directory should be
    home.write("state", "");
    cases.case("no jobs directory", &submit, 12, &["state/moorline/jobs", "jobs_dir"]);
    fs::remove_file(home.path("state")).unwrap();
    for (name, verb) in [("ledger", &submit[..]), ("cache", &submit[..])] {
        let path = home.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        cases.case(&format!("{name} writable by others"), verb, 12, &[name, "hint:"]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let file = home.path("config/moorline/credentials.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    cases.case("credentials readable by others", &["resolve", &image], 12, &["credentials.json"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    cases.golden("places");
    home.run(&["resolve", &image]).exits(0);
}

#[test]
fn an_unwritable_jobs_directory() {
    let server = Server::with_image();
    let user = am_root().then_some(NOBODY);
    let home = Home::of(&server, user).log_in(&server);
    let state = home.mkdir("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).unwrap();
    let image = server.name(":v1");
    home.ok(&["convert", &image]);
    let answer = home.run(&["submit", &image, "--", "true"]);
    answer.fails(12, &["state/moorline/jobs", "Permission denied", "hint:"]);
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    // and nothing claims that there is a job
    assert_eq!(home.run(&["--json", "jobs"]).exits(0).stdout.trim(), "[]");
}

#[test]
fn no_home() {
    let server = Server::with_image();
    let mut home = Home::new(&server);
    let keep = home.env["PATH"].clone();
    home.env = BTreeMap::from([("PATH".to_owned(), keep)]);
    let before = home.tree();
    home.run(&["jobs"]).fails(12, &["HOME", "hint:"]);
    home.run(&["resolve", "a.example/b:c"]).fails(12, &["HOME", "MOORLINE_CACHE"]);
    assert_eq!(before, home.tree());
}
