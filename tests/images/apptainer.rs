//! Real apptainer (`tests/env/apptainer.sh`) with our SIFs, as root and as an ordinary user, and its
//! own conversion of the same image beside ours: what differs is the list in `docs/conversion.md`.

mod walls;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use moorline::oci::{ConfigDigest, Digest, Sha256Digest};
use serde_json::json;

use crate::archive::{Image, squashfs};
use crate::oracle::Tree;

/// An account without rights that no machine has.
const USER: u32 = 59_998;

/// What a command in the tree answered.
struct Answer {
    command: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Answer {
    #[track_caller]
    fn ok(self) -> String {
        let Self { command, code, stdout, stderr } = self;
        assert_eq!(code, Some(0), "{command}\n{stdout}\n{stderr}");
        stdout
    }
}

/// Runs a shell command beside apptainer, with `work` as its directory.
fn inside(work: &Path, user: u32, command: &str) -> Answer {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env/apptainer.sh");
    let out = Command::new(script)
        .arg("run")
        .arg(work)
        .args([&user.to_string(), "--", "sh", "-c", command])
        .output()
        .unwrap();
    Answer {
        command: format!("as {user}: {command}"),
        code: out.status.code(),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// Whether apptainer can be had here: root, a tree that was made or can be.
fn can_run(test: &str) -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env/apptainer.sh");
    let missing = if crate::oracle::is_root() {
        let out = Command::new(script).arg("make").output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        (!out.status.success()).then_some(said)
    } else {
        Some("only root can enter apptainer's tree".to_owned())
    };
    crate::oracle::part(test, "apptainer", missing.as_deref())
}

/// The Debian image with another configuration.
fn image() -> Image {
    configured(json!({
        "Env": ["PATH=/opt/analysis/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ODD=a b \"c\" 'd' $e `f` \\g ''", "GREETING=hello"],
        "Entrypoint": ["/usr/bin/printf", "<%s>"],
        "Cmd": ["one", "two words"],
        "WorkingDir": "/opt/analysis",
        "User": "1000",
        "Labels": { "maintainer": "somebody", "odd": "a \"b\"" },
    }))
}

fn configured(container: serde_json::Value) -> Image {
    let debian = crate::layout::read(&crate::layout::debian().unwrap(), "v1");
    let mut config: serde_json::Value =
        serde_json::from_slice(&debian.source.config_bytes).unwrap();
    config["config"] = container;
    let mut source = debian.source;
    source.config_bytes = serde_json::to_vec(&config).unwrap();
    source.config = serde_json::from_value(config).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&source.manifest_bytes).unwrap();
    manifest["config"]["digest"] = json!(ConfigDigest::of(&source.config_bytes));
    manifest["config"]["size"] = json!(source.config_bytes.len());
    source.manifest_bytes = serde_json::to_vec(&manifest).unwrap();
    source.manifest = Digest::of(&source.manifest_bytes);
    source.reference = source.manifest.to_string();
    Image { source, blobs: debian.blobs }
}

/// A directory with `ours.sif` and the same image as the layout `image`, for everybody to enter.
fn work(image: &Image) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (sif, _) = image.convert().unwrap();
    fs::write(dir.path().join("ours.sif"), &sif).unwrap();
    crate::layout::write(&dir.path().join("image"), "t", image);
    fs::create_dir(dir.path().join("home")).unwrap();
    chown(dir.path().join("home"), Some(USER), Some(USER)).unwrap();
    (dir, sif)
}

#[test]
fn apptainer_runs_our_sifs() {
    if !can_run("apptainer_runs_our_sifs") {
        return;
    }
    let (dir, _) = work(&image());
    for user in [0, USER] {
        let does = |command: &str| inside(dir.path(), user, command).ok();
        assert_eq!(does("apptainer exec ours.sif id -u"), format!("{user}\n"));
        let environment = does("apptainer exec ours.sif sh -c 'echo \"$ODD|$GREETING|$PATH\"'");
        let (odd, rest) = environment.split_once('|').unwrap();
        assert_eq!(odd, "a b \"c\" 'd' $e `f` \\g ''");
        // apptainer itself adds directories behind
        assert!(
            rest.starts_with("hello|/opt/analysis/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            "{rest}"
        );
        let own = "APPTAINERENV_GREETING=bye apptainer exec ours.sif sh -c 'echo $GREETING'";
        assert_eq!(does(own), "bye\n");
        // the image's own programs and names
        assert_eq!(does("apptainer exec ours.sif select a b"), "selected 2 events\n");
        // ENTRYPOINT and CMD; arguments take the place of CMD
        assert_eq!(does("apptainer run ours.sif"), "<one><two words>");
        assert_eq!(does("apptainer run ours.sif 'a b' c"), "<a b><c>");
        assert_eq!(does("apptainer run ours.sif 'a\"b'"), "<a\"b>");
        // apptainer's shell takes no command: it says so, and reads its input
        assert_eq!(
            does("echo 'echo in $0; exit 0' | apptainer shell ours.sif").trim(),
            "in /bin/bash"
        );
        does("apptainer test ours.sif");
        let failed = inside(dir.path(), user, "apptainer exec ours.sif sh -c 'exit 7'");
        assert_eq!(failed.code, Some(7), "{}", failed.stderr);
    }
}

/// `NAME=value` lines as `env -0` writes them.
fn variables(said: &str) -> BTreeMap<String, String> {
    let entries = said.split('\0').filter_map(|entry| entry.split_once('='));
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Field report 23: one value in all runtimes, whatever an image's `ENV` holds. The right values are
/// docker's (moby `ReplaceOrAppendEnvVars`, runc `prepareEnv`).
#[test]
fn a_variable_has_one_value_in_all_runtimes() {
    if !can_run("a_variable_has_one_value_in_all_runtimes") {
        return;
    }
    let nasty = "a 'b' \"c\" $x `y` $(z) \\ \\n \n \\u000A ''\n";
    let image = configured(json!({
        "Env": [
            "PATH=/img:/usr/bin:/bin", "TWICE=1", "THRICE=1", "TWICE=2", "THRICE=", "THRICE=3", "NOEQ",
            "TERM", "my.var=dot", "B-C=first", "B-C=dash", "\u{dc}ML=1", "=empty", "EMPTY=", "TZ=",
            "USER=image", "OMP_NUM_THREADS=3", "HOME=/opt/app", "MINE=image", format!("NASTY={nasty}"),
            "PS1=mine> ", "LC_ALL=C.UTF-8", "UID=7",
        ],
        "Entrypoint": [""],
        "Cmd": ["/usr/bin/env", "-0"],
    }));
    let (dir, _) = work(&image);
    fs::copy(env!("CARGO_BIN_EXE_moorline"), dir.path().join("moorline")).unwrap();
    fs::create_dir(dir.path().join("mine")).unwrap();
    for user in [0, USER] {
        let home = if user == 0 { "mine" } else { "home" };
        let runs = |runtime: &str, command: &str| {
            let run = format!(
                "cd {home} && env HOME=/work/{home} TERM=host TZ=host USER=host OMP_NUM_THREADS=99 \
                 MINE=host ../moorline -q run --runtime {runtime} --env MINE='$x `y`' --env OWN=1 \
                 ../ours.sif {command}"
            );
            variables(&inside(dir.path(), user, &run).ok())
        };
        for command in ["", "-- /usr/bin/env -0"] {
            let builtin = runs("builtin", command);
            for (name, value) in [
                ("PATH", "/img:/usr/bin:/bin"),
                ("TWICE", "2"),
                ("THRICE", "3"),
                ("my.var", "dot"),
                ("B-C", "dash"),
                ("\u{dc}ML", "1"),
                ("EMPTY", ""),
                ("TZ", ""),
                ("USER", "image"),
                ("OMP_NUM_THREADS", "3"),
                ("HOME", "/work_dir"),
                ("MINE", "$x `y`"),
                ("OWN", "1"),
                ("NASTY", nasty),
                ("TERM", "host"),
                ("PS1", "mine> "),
            ] {
                assert_eq!(builtin.get(name).map(String::as_str), Some(value), "{name}");
            }
            let mut apptainer = runs("apptainer", command);
            // a name of its own, read-only there; the receipt's notes say so
            assert_eq!(builtin["UID"], "7");
            assert_ne!(apptainer.remove("UID").as_deref(), Some("7"));
            assert!(apptainer.contains_key("MOORLINE_JOB_ID"));
            assert_eq!(apptainer.remove("XDG_RUNTIME_DIR").as_deref(), Some(""));
            apptainer.retain(|name, _| {
                // what apptainer adds for itself
                let own = ["USER_PATH", "OLDPWD", "PWD", "PROMPT_COMMAND", "LD_LIBRARY_PATH"];
                !own.contains(&name.as_str())
                    && ["APPTAINER_", "SINGULARITY_"].iter().all(|start| !name.starts_with(start))
            });
            let mut expected = builtin.clone();
            expected.remove("UID");
            for all in [&mut apptainer, &mut expected] {
                all.remove("MOORLINE_JOB_ID");
            }
            assert_eq!(apptainer, expected, "as {user}: {command}");
        }
        // without Moorline the SIF's own script says the same, but for names that a shell cannot set
        let plain = variables(&inside(dir.path(), user, "apptainer run ours.sif").ok());
        for (name, value) in [("TWICE", "2"), ("THRICE", "3"), ("EMPTY", ""), ("NASTY", nasty)] {
            assert_eq!(plain.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!((plain.get("NOEQ"), plain.get("my.var")), (None, None));
    }
}

#[test]
fn apptainer_inspects_our_sifs() {
    if !can_run("apptainer_inspects_our_sifs") {
        return;
    }
    let image = image();
    let (dir, sif) = work(&image);
    for user in [0, USER] {
        let does = |command: &str| inside(dir.path(), user, command).ok();
        let labels: serde_json::Value =
            serde_json::from_str(&does("apptainer inspect --labels --json ours.sif")).unwrap();
        let labels = &labels["data"]["attributes"]["labels"];
        assert_eq!(labels["maintainer"], "somebody");
        assert_eq!(labels["odd"], "a \"b\"");
        assert_eq!(labels["io.moorline.manifest"], image.source.manifest.to_string());
        assert!(does("apptainer inspect --runscript ours.sif").contains("two words"));
        assert!(does("apptainer inspect --environment ours.sif").contains("GREETING"));
        let definition = does("apptainer inspect --deffile ours.sif");
        assert_eq!(
            definition.trim(),
            format!("bootstrap: docker\nfrom: {}", image.source.manifest)
        );
        let list = does("apptainer sif list ours.sif");
        for part in ["Def.FILE", "JSON.Generic", "FS (Squashfs/*System/amd64)"] {
            assert!(list.contains(part), "{part}: {list}");
        }
        let line = list.lines().find(|line| line.contains("Squashfs")).unwrap();
        let id = line.split('|').next().unwrap().trim();
        let dumped = does(&format!("apptainer sif dump {id} ours.sif | sha256sum"));
        let expected = Digest::of(&squashfs(&sif)).hex();
        assert_eq!(dumped.split(' ').next(), Some(expected.as_str()));
        assert_eq!(does("apptainer sif dump 1 ours.sif"), definition_text(&image));
    }
}

/// `apptainer push oras://` into a docker-registry beside it, whose storage another one serves to us.
#[test]
fn what_apptainer_pushes_is_pinned_and_run() {
    let test = "what_apptainer_pushes_is_pinned_and_run";
    if !can_run(test) {
        return;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program =
        std::env::split_paths(&path).map(|dir| dir.join("docker-registry")).find(|p| p.is_file());
    let missing = program.is_none().then_some("docker-registry is not installed");
    if !crate::oracle::part(test, "docker-registry", missing) {
        return;
    }
    let program = program.unwrap();
    let (dir, sif) = work(&image());
    fs::copy(&program, dir.path().join("docker-registry")).unwrap();
    let config = registry_file(Path::new("/work/data"), "127.0.0.1:5000");
    fs::write(dir.path().join("there.yml"), config).unwrap();
    let push = "./docker-registry serve there.yml >there.log 2>&1 & \
                place=oras://127.0.0.1:5000/group/project:v1; tries=0; \
                until apptainer push --no-https ours.sif $place; do \
                tries=$((tries + 1)); [ $tries -lt 30 ] || { cat there.log; exit 1; }; sleep 0.2; done";
    inside(dir.path(), 0, push).ok();

    let (_registry, address) = Registry::start(dir.path()).unwrap();
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    let moorline = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(args)
            .current_dir(&own)
            .env_clear()
            .env("PATH", &path)
            .env("HOME", &own)
            .output()
            .unwrap();
        Answer {
            command: format!("moorline {}", args.join(" ")),
            code: out.status.code(),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    };
    let what = format!("oras://{address}/group/project:v1");
    let pinned = moorline(&["resolve", &what]).ok();
    let json = moorline(&["--json", "resolve", pinned.trim()]).ok();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["sif"], Digest::of(&sif).to_string(), "{json}");
    let run = ["-q", "run", "--runtime", "builtin", pinned.trim(), "--", "select", "a", "b"];
    assert_eq!(moorline(&run).ok(), "selected 2 events\n");
}

fn definition_text(image: &Image) -> String {
    format!("bootstrap: docker\nfrom: {}\n\n", image.source.manifest)
}

/// What differs between two trees: path and field.
fn differences(ours: &Tree, theirs: &Tree) -> BTreeSet<(String, &'static str)> {
    let mut found = BTreeSet::new();
    let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for path in paths {
        let shown = format!("/{}", String::from_utf8_lossy(path));
        match (ours.get(path), theirs.get(path)) {
            (Some(our), Some(their)) => {
                let fields = [
                    ("type", our.kind != their.kind),
                    ("mode", our.mode != their.mode),
                    ("owner", (our.uid, our.gid) != (their.uid, their.gid)),
                    ("time", our.mtime != their.mtime),
                    ("links", our.links != their.links),
                    ("content", our.content != their.content),
                    ("attributes", our.xattrs != their.xattrs),
                ];
                found.extend(fields.into_iter().filter(|f| f.1).map(|f| (shown.clone(), f.0)));
            }
            (Some(_), None) => drop(found.insert((shown, "only ours"))),
            (None, _) => drop(found.insert((shown, "only apptainer's"))),
        }
    }
    found
}

/// The rows of the table of `docs/conversion.md`: path, which may end in `*`, and field.
fn listed() -> Vec<(String, String)> {
    let page = include_str!("../../docs/conversion.md");
    let (_, table) = page.split_once("### The file tree\n").unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let path = cells.next()?.strip_suffix('`')?.to_owned();
        Some((path, cells.next()?.to_owned()))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn our_tree_is_that_of_apptainers_own_conversion() {
    let test = "our_tree_is_that_of_apptainers_own_conversion";
    if !can_run(test) {
        return;
    }
    let (dir, sif) = work(&image());
    inside(dir.path(), 0, "apptainer build --disable-cache theirs.sif oci:/work/image").ok();
    let theirs = fs::read(dir.path().join("theirs.sif")).unwrap();
    let Some(ours) = crate::oracle::unsquashfs(test, &squashfs(&sif)) else { return };
    let theirs = crate::oracle::unsquashfs(test, &squashfs(&theirs)).unwrap();
    assert!(theirs.len() > 3000, "{}", theirs.len());
    let listed = listed();
    let mut needed = BTreeSet::new();
    let mut unknown = Vec::new();
    for (path, field) in differences(&ours, &theirs) {
        let row = listed.iter().position(|(known, fields)| {
            let same = match known.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => path == *known,
            };
            same && fields.split(", ").any(|f| f == field)
        });
        match row {
            Some(row) => drop(needed.insert(row)),
            None => unknown.push(format!("{path}: {field}")),
        }
    }
    assert!(unknown.is_empty(), "not in the list:\n{}", unknown.join("\n"));
    for (row, (path, _)) in listed.iter().enumerate() {
        assert!(needed.contains(&row), "{path} is listed and does not differ");
    }
}

/// docker-registry, without any credential: what is tried here is the artifact.
struct Registry(std::process::Child);

impl Drop for Registry {
    fn drop(&mut self) {
        // already gone is fine
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Registry {
    /// On loopback, over the files in `work/data`; `None` when it is not installed.
    fn start(work: &Path) -> Option<(Self, String)> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let file = work.join("host.yml");
            fs::write(&file, registry_file(&work.join("data"), &address.to_string())).unwrap();
            let mut serve = Command::new("docker-registry");
            serve.arg("serve").arg(&file).env_clear().env("OTEL_TRACES_EXPORTER", "none");
            let log = fs::File::create(work.join("host.log")).unwrap();
            let mut registry =
                Self(serve.stdout(log.try_clone().unwrap()).stderr(log).spawn().ok()?);
            // it ends when somebody else took the port meanwhile: then another one
            while registry.0.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(address).is_ok() {
                    return Some((registry, address.to_string()));
                }
                assert!(Instant::now() < deadline, "docker-registry does not answer");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn registry_file(data: &Path, address: &str) -> String {
    let data = data.display();
    format!(
        "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {data}}}}}\nhttp: {{addr: '{address}'}}\n"
    )
}

/// What `convert --push` puts into a registry is what apptainer knows as `oras://`.
#[test]
fn apptainer_pulls_a_pushed_sif() {
    const TEST: &str = "apptainer_pulls_a_pushed_sif";
    if !can_run(TEST) {
        return;
    }
    let (dir, _) = work(&image());
    let work = dir.path();
    let Some((registry, address)) = Registry::start(work) else {
        crate::oracle::part(TEST, "apptainer", Some("docker-registry is not installed"));
        return;
    };
    let convert = Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["--json", "convert", "oci:image:t", "--push", &format!("{address}/group/project:a")])
        .current_dir(work)
        .env_clear()
        // not that of the ordinary user, whose store would not be safe
        .env("HOME", work.join("mine"))
        .output()
        .unwrap();
    assert!(convert.status.success(), "{}", String::from_utf8_lossy(&convert.stderr));
    let made: serde_json::Value = serde_json::from_slice(&convert.stdout).unwrap();
    drop(registry);

    // in the tree there is no network but its own loopback
    fs::write(work.join("inside.yml"), registry_file(Path::new("/work/data"), "127.0.0.1:5055"))
        .unwrap();
    fs::copy("/usr/bin/docker-registry", work.join("docker-registry")).unwrap();
    let said = inside(
        work,
        0,
        "OTEL_TRACES_EXPORTER=none ./docker-registry serve inside.yml >inside.log 2>&1 & \
         bash -c 'for i in $(seq 300); do (: </dev/tcp/127.0.0.1/5055) 2>/dev/null && exit; sleep 0.1; done; exit 1' && \
         HOME=/tmp apptainer pull --no-https pulled.sif oras://127.0.0.1:5055/group/project:a >&2 && \
         sha256sum <pulled.sif && apptainer exec pulled.sif head -n 1 /etc/os-release",
    );
    let said = said.ok();
    assert!(said.contains(&made["sif"].as_str().unwrap()["sha256:".len()..]), "{said}");
    assert!(said.contains("Debian"), "{said}");
}
