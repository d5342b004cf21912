//! One suite for all runtimes: what a job may expect, whichever of them runs it. It runs what is installed here, as
//! this user and, for root, as an ordinary one, too.
//!
//! | runtime | runs when | demanded by |
//! |---|---|---|
//! | builtin | `mksquashfs` is here | `squashfs-tools` |
//! | podman | it is in `PATH`; an ordinary user needs subordinate ids | `podman` |
//! | docker | `MOORLINE_TEST_DOCKER_HOME` is a home directory whose docker context leads to a daemon | `docker` |
//! | charliecloud | `ch-run` is in `PATH` | `charliecloud` |
//! | udocker, P1 and R1 | `MOORLINE_TEST_UDOCKER` is its directory; proot and runc are in `PATH` | `udocker` |
//!
//! An image for podman and docker is an OCI archive of the same tree that the SIF has. udocker gets a SIF with a static
//! busybox: proot 5.1, which Debian 12 has, cannot load the C library of Debian 12.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use moorline::job::{Delivery, Entrypoint, Grade, Measured, RuntimeChoice};
use moorline::oci::{ConfigDigest, DiffId, Digest, Platform, Reference, Sha256Digest, SifDigest};
use moorline::pin::{Image, Pin};
use moorline::worker::{Qualifier, SizeLimit, Start};
use serde_json::json;

use crate::program::alive_in;
use crate::support::*;

/// The archive of the test image and its pin, made once.
fn archive() -> &'static (PathBuf, Pin) {
    static ARCHIVE: OnceLock<(PathBuf, Pin)> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let mut layer = tar::Builder::new(Vec::new());
        layer.mode(tar::HeaderMode::Deterministic);
        layer.follow_symlinks(false);
        layer.append_dir_all(".", tree()).unwrap();
        let layer = layer.into_inner().unwrap();
        let config = json!({
            "architecture": Platform::host().go_architecture(), "os": "linux",
            "config": {
                "Env": ["PATH=/usr/bin:/bin:/opt/tools", "GREETING=it's \"so\" $x"],
                "Entrypoint": ["hello", "from"], "Cmd": ["cmd"],
            },
            "rootfs": { "type": "layers", "diff_ids": [DiffId::of(&layer).to_string()] },
        });
        let config = config.to_string().into_bytes();
        let blob = |kind: &str, bytes: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": Digest::of(bytes).to_string(), "size": bytes.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("config.v1+json", &config), "layers": [blob("layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let index =
            json!({ "schemaVersion": 2, "manifests": [blob("manifest.v1+json", &manifest)] });
        let name = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
        let docker =
            json!([{ "Config": name(&config), "RepoTags": null, "Layers": [name(&layer)] }]);
        let mut whole = tar::Builder::new(Vec::new());
        for (name, bytes) in [
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
            ("manifest.json".to_owned(), docker.to_string().into_bytes()),
            (name(&manifest), manifest.clone()),
            (name(&config), config.clone()),
            (name(&layer), layer.clone()),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            whole.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        let path = world().dir.path().join("image.tar");
        fs::write(&path, whole.into_inner().unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let asked: Reference = "registry.example/group/project:v1".parse().unwrap();
        let pin = Pin {
            registry: asked.registry.clone(),
            repository: asked.repository.clone(),
            index: None,
            manifest: Digest::of(&manifest),
            config: ConfigDigest::of(&config),
            platform: Platform::host(),
            asked,
            resolved_at: jiff::Timestamp::UNIX_EPOCH,
            origin: None,
        };
        (path, pin)
    })
}

/// A runtime that is tried as a user.
#[derive(Clone, Copy, Debug)]
struct Case {
    runtime: RuntimeChoice,
    user: User,
    option: Option<&'static str>,
}

impl Case {
    fn is_oci(self) -> bool {
        matches!(self.runtime, RuntimeChoice::Podman | RuntimeChoice::Docker)
    }

    fn is_udocker(self) -> bool {
        self.runtime == RuntimeChoice::Udocker
    }

    /// Whether its mounts can be read-only.
    fn has_read_only(self) -> bool {
        !self.is_udocker() && self.runtime != RuntimeChoice::Charliecloud
    }

    /// Whether a variable's value may have several lines. Those that do not take them run a tree in a directory.
    fn takes_lines(self) -> bool {
        !self.is_udocker() && self.runtime != RuntimeChoice::Charliecloud
    }

    /// The user's number inside.
    fn uid(self) -> u32 {
        match self.user {
            _ if self.option == Some("--execmode=R1") => 0,
            User::Nobody => NOBODY,
            User::Me => rustix::process::getuid().as_raw(),
        }
    }

    fn job(self, command: &[&str]) -> Job {
        let mut job = Job::new(self.user, command);
        job.plan.job.runtime = self.runtime;
        if self.is_oci() {
            let (path, pin) = archive().clone();
            job.plan.job.image = Image::Oci { pin };
            job.plan.job.delivery = Delivery::Shared { place: path };
            let home = match self.runtime {
                RuntimeChoice::Docker => docker_home().unwrap(),
                _ => PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into())),
            };
            job.env.push(("HOME".into(), home.to_str().unwrap().into()));
        }
        if let Some(udocker) = udocker().filter(|_| self.is_udocker()) {
            let (place, digest) = busybox().clone();
            job.set_image(digest, place);
            let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin", udocker.display());
            job.env.push(("PATH".into(), path));
        }
        job.plan.job.options.extend(self.option.map(str::to_owned));
        // crun does not start anything on a machine with both versions of cgroups
        if self.runtime == RuntimeChoice::Podman && in_path("runc") {
            job.plan.job.options = vec!["--runtime=runc".into()];
        }
        job
    }

    fn sh(self, script: &str) -> Job {
        self.job(&["sh", "-c", script])
    }

    /// The engine's own program, asked as the job asks it.
    fn containers(self, job: &Job) -> String {
        let mut command = job.as_user(self.runtime.name().as_ref());
        let output = command.args(["ps", "--all", "--format", "{{.Names}}"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A SIF whose programs need no library, made once.
fn busybox() -> &'static (PathBuf, SifDigest) {
    static IMAGE: OnceLock<(PathBuf, SifDigest)> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let root = world().dir.path().join("busybox");
        for dir in ["bin", "etc", "opt/tools", "tmp"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let found = moorline::execute::find_program("busybox").unwrap();
        fs::copy(found, root.join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "ls", "id", "env", "touch", "sleep", "kill"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::copy(tree().join("opt/tools/hello"), root.join("opt/tools/hello")).unwrap();
        let path = world().dir.path().join("busybox.sif");
        let config = r#"{"Env":["PATH=/usr/bin:/bin:/opt/tools","GREETING=it's \"so\" $x"],
            "Entrypoint":["hello","from"],"Cmd":["cmd"]}"#;
        let digest = make_sif(&root, Some(config), &path);
        (path, digest)
    })
}

fn udocker() -> Option<PathBuf> {
    std::env::var_os("MOORLINE_TEST_UDOCKER").map(PathBuf::from)
}

fn docker_home() -> Option<PathBuf> {
    std::env::var_os("MOORLINE_TEST_DOCKER_HOME").map(PathBuf::from)
}

/// What can be tried here; says what cannot.
fn cases(test: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    if squashfs_tools(test) {
        let each =
            |runtime, option| users().into_iter().map(move |user| Case { runtime, user, option });
        cases.extend(each(RuntimeChoice::Builtin, None));
        if have("charliecloud", test, in_path("ch-run")) {
            cases.extend(each(RuntimeChoice::Charliecloud, None));
        }
        let all = ["proot", "runc", "busybox"].into_iter().all(in_path) && udocker().is_some();
        if have("udocker", test, all) {
            for mode in ["--execmode=P1", "--execmode=R1"] {
                cases.extend(each(RuntimeChoice::Udocker, Some(mode)));
            }
        }
    }
    if have("podman", test, has_podman()) {
        cases.push(Case { runtime: RuntimeChoice::Podman, user: User::Me, option: None });
    }
    if have("docker", test, docker_home().is_some()) {
        cases.push(Case { runtime: RuntimeChoice::Docker, user: User::Me, option: None });
    }
    cases
}

/// Podman, and for an ordinary user ids that it can map.
fn has_podman() -> bool {
    let mapped = || {
        let name = Command::new("id").arg("-un").output().unwrap().stdout;
        let name = String::from_utf8(name).unwrap();
        let listed = fs::read_to_string("/etc/subuid").unwrap_or_default();
        listed.lines().any(|line| line.split(':').next() == Some(name.trim()))
    };
    in_path("podman") && (am_root() || mapped())
}

#[test]
fn the_same_meaning_everywhere() {
    for case in cases("runtimes::the_same_meaning_everywhere") {
        let mut job = case.sh("pwd; id -u; echo \"$HOME|$GREETING|$J\"; touch made; cat; exit 7");
        let value = if case.takes_lines() { "a b\nc" } else { "a b" };
        job.plan.job.env.push(format!("J={value}").parse().unwrap());
        let mut child = job
            .worker()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"of stdin\n").unwrap();
        let done = job.done(&child.wait_with_output().unwrap());
        let seen = case.uid();
        let uid = match case.user {
            User::Nobody => NOBODY,
            User::Me => rustix::process::getuid().as_raw(),
        };
        let expected = format!("/work_dir\n{seen}\n/work_dir|it's \"so\" $x|{value}\nof stdin\n");
        assert_eq!((done.code, done.stdout), (7, expected), "{case:?}: {}", done.stderr);
        assert_eq!(fs::metadata(job.path("work/made")).unwrap().uid(), uid, "{case:?}");
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.exit_code, 7);
        assert_eq!(receipt.runtime.as_str(), case.runtime.name(), "{receipt:?}");
        assert!(matches!(receipt.start, Start::Started { .. }));
        if case.is_oci() {
            assert_eq!(receipt.evidence.grade, Grade::RuntimeReported);
            let config = Measured::Config(archive().1.config);
            assert_eq!(receipt.evidence.measured, Some(config), "{receipt:?}");
            let program = receipt.conditions.program.unwrap();
            assert!(program.sha256.is_some() && program.version.is_some(), "{program:?}");
        } else if !case.takes_lines() {
            // other processes of this user reach the tree
            assert_eq!(receipt.evidence.grade, Grade::MeasuredCached);
        } else {
            assert_eq!(receipt.evidence.grade, Grade::Measured);
        }
    }
}

#[test]
fn exit_codes_are_the_programs_own() {
    for case in cases("runtimes::exit_codes_are_the_programs_own") {
        // 125 to 127 mean something to podman and docker, too
        for (script, code) in
            [("exit 0", 0), ("exit 125", 125), ("exit 127", 127), ("exit 211", 211)]
        {
            let done = case.sh(script).run();
            assert_eq!(done.code, code, "{case:?} {script}: {}", done.stderr);
            assert!(matches!(done.receipt.unwrap().start, Start::Started { .. }));
        }
        // not by the container's first process, which is immune to itself
        let done = case.sh("sh -c 'kill -KILL $$'; exit $?").run();
        assert_eq!(done.code, 137, "{case:?}: {}", done.stderr);
        // where an init stands above the program, it is the init that ends: catatonit with 1, tini with 127
        let done = case.job(&["no-such-program"]).run();
        let code = match (case.runtime, done.code) {
            (RuntimeChoice::Podman, 1) | (RuntimeChoice::Docker, 127) => 214,
            (_, code) => code,
        };
        assert_eq!(code, 214, "{case:?}: {}", done.stderr);
        assert!(
            ["exec", "was not found", "not in the"].iter().any(|word| done.stderr.contains(word)),
            "{}",
            done.stderr
        );
        let started = matches!(done.receipt.unwrap().start, Start::Started { .. });
        assert_eq!(started, done.code != 214, "{case:?}");
        // the image's own program, and an entry point that stays out of the way
        assert_eq!(case.job(&[]).run().stdout, "hello from cmd\n", "{case:?}");
        assert_eq!(
            case.job(&["hello", "$HOME", "a  b"]).run().stdout,
            "hello $HOME a  b\n",
            "{case:?}"
        );
        // unless it is to have the command
        let mut job = case.job(&["$HOME", "a  b"]);
        job.plan.job.terms.entrypoint = Some(Entrypoint::Image);
        assert_eq!(job.run().stdout, "hello from $HOME a  b\n", "{case:?}");
    }
}

/// What is written into the image goes with the job; a runtime that cannot have that says so before anything starts.
#[test]
fn a_layer_to_write_to() {
    for case in cases("runtimes::a_layer_to_write_to") {
        let new = "/opt/tools/new";
        let mut job = case.sh(&format!("echo new >{new} && cat {new}"));
        job.plan.job.terms.scratch_mib = Some(16);
        let done = job.run();
        let receipt = done.receipt.unwrap();
        if case.runtime == RuntimeChoice::Charliecloud {
            assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{case:?}: {}", done.stderr);
            assert!(why(&receipt).contains("no layer to write to"), "{receipt:?}");
            continue;
        }
        // an engine's container has no capabilities: the modes of the image's directories decide there
        if !case.is_oci() || done.code == 0 {
            let wrote = (done.code, done.stdout.as_str());
            assert_eq!(wrote, (0, "new\n"), "{case:?}: {}", done.stderr);
        }
        let layer = receipt.conditions.scratch.clone().unwrap();
        let limit = if case.is_oci() { SizeLimit::None } else { SizeLimit::Watched };
        assert_eq!((layer.size, layer.limit), (16 << 20, limit), "{case:?}");
        assert!(receipt.qualifiers().contains(&Qualifier::Writable), "{case:?}");
        let done = case.sh(&format!("cat {new} 2>/dev/null; true")).run();
        assert_eq!(done.stdout, "", "{case:?}");
    }
}

#[test]
fn mounts_with_odd_names() {
    for case in cases("runtimes::mounts_with_odd_names") {
        let mut job = case.sh(
            "for n in 0 1 2 3 4 5; do cat \"/m/$n/file\"; done; (touch /m/0/new) 2>/dev/null || echo ro; touch /m/1/new",
        );
        let names = ["plain", "a,b", "c d", "e\nf", "g\"h", "ö"];
        for (number, name) in names.iter().enumerate() {
            let source = job.path("tmp").join(name);
            fs::create_dir(&source).unwrap();
            fs::write(source.join("file"), format!("{name}\n")).unwrap();
            let mut mount = format!("/x:/m/{number}").parse::<moorline::job::Mount>().unwrap();
            mount.source = source.to_str().unwrap().into();
            if number == 0 && case.has_read_only() {
                mount.access = moorline::job::Access::Ro;
            }
            job.plan.job.mounts.push(mount);
        }
        let done = job.run();
        let expected = names.join("\n") + if case.has_read_only() { "\nro\n" } else { "\n" };
        assert_eq!((done.code, done.stdout), (0, expected), "{case:?}: {}", done.stderr);
        assert!(job.path("tmp/a,b/new").exists());
        assert_ne!(job.path("tmp/plain/new").exists(), case.has_read_only(), "{case:?}");
        if !case.has_read_only() {
            // less than what was asked for is not given
            job.plan.job.mounts[1].access = moorline::job::Access::Ro;
            let done = job.run();
            assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{case:?}: {}", done.stderr);
            assert!(done.stderr.contains("no read-only mounts"), "{}", done.stderr);
        }

        let job = case.sh("true").mount("/nowhere:/there");
        let done = job.run();
        assert_eq!(done.code, 0, "{case:?}: {}", done.stderr);
        assert!(done.stderr.contains("/nowhere is not mounted at /there"), "{}", done.stderr);
        let done = case.sh("true").mount("/nowhere:/there:required").run();
        assert_eq!(done.code, 212, "{case:?}: {}", done.stderr);
    }
}

#[test]
fn a_signal_leaves_nothing_behind() {
    for case in cases("runtimes::a_signal_leaves_nothing_behind") {
        for signal in ["TERM", "KILL"] {
            let mut job = case.sh(
                "trap 'echo tidied; exit 3' TERM; (while :; do sleep 0.05; done) & touch ready; while :; do sleep 0.01; done",
            );
            job.plan.job.terms.grace = Some(20);
            let mut child =
                job.worker().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            until(|| {
                // its message says more than a deadline that passed
                job.path("work/ready").exists() || child.try_wait().unwrap().is_some()
            });
            let pid = child.id().to_string();
            let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid).status();
            assert!(sent.unwrap().success());
            until(|| child.try_wait().unwrap().is_some());
            let done = job.done(&child.wait_with_output().unwrap());
            if signal == "TERM" && case.is_udocker() {
                // udocker passes no signal on
                assert_eq!(
                    (done.code, done.stdout.as_str()),
                    (143, ""),
                    "{case:?}: {}",
                    done.stderr
                );
            } else if signal == "TERM" {
                let found = (done.code, done.stdout.as_str());
                assert_eq!(found, (143, "tidied\n"), "{case:?}: {}", done.stderr);
                assert_eq!(done.receipt.unwrap().exit_code, 143);
            }
            until(|| !alive_in(&job.path("work")) && !stands_in(&job.path("work")));
            if case.is_oci() {
                let name = job.plan.job.id.to_string();
                // other tests have jobs of the same id: their containers have other attempts' names
                let attempt = job.receipts().pop().map(|receipt| receipt.attempt);
                if let Some(attempt) = attempt {
                    let name = format!("moorline-{name}-{}", &attempt[..12]);
                    assert!(!case.containers(&job).contains(&name), "{case:?}");
                }
            }
        }
    }
}

/// Whether a process has this directory as its own: without a namespace that is how a job's is known.
fn stands_in(dir: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd == dir)
}

/// Variables of the caller that steer the runtimes would change what runs unseen.
#[test]
fn inherited_variables_steer_nothing() {
    for case in cases("runtimes::inherited_variables_steer_nothing") {
        let mut job = case.sh("env; [ ! -e /inherited ] || echo inherited");
        for (name, value) in [
            ("APPTAINER_BIND", "/etc:/inherited"),
            ("SINGULARITY_BIND", "/etc:/inherited"),
            ("APPTAINERENV_INHERITED", "1"),
            ("CONTAINERS_CONF", "/nowhere/containers.conf"),
            ("CONTAINERS_STORAGE_CONF", "/nowhere/storage.conf"),
            ("CONTAINER_HOST", "unix:///nowhere"),
            ("DOCKER_HOST", "unix:///nowhere"),
            ("DOCKER_CONTEXT", "nowhere"),
            ("PODMAN_USERNS", "host"),
            ("HTTP_PROXY", "http://inherited.invalid"),
        ] {
            job.env.push((name.into(), value.into()));
        }
        let done = job.run();
        assert_eq!(done.code, 0, "{case:?}: {}", done.stderr);
        assert!(!done.stdout.to_lowercase().contains("inherited"), "{case:?}: {}", done.stdout);
        let names: BTreeSet<&str> =
            done.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        // what the shell sets by itself, and what docker cannot be kept from
        let own = [
            "GREETING",
            "HOME",
            "MOORLINE_JOB_ID",
            "PATH",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
            "HOSTNAME",
        ];
        let runtimes: &[&str] = match case.runtime {
            RuntimeChoice::Charliecloud => &["CH_RUNNING"],
            RuntimeChoice::Udocker => {
                &["USER", "LOGNAME", "USERNAME", "PS1", "PROOT_TMP_DIR", "container_"]
            }
            _ => &[],
        };
        let more: Vec<_> = names
            .iter()
            .filter(|name| !own.contains(name) && !runtimes.iter().any(|own| name.starts_with(own)))
            .collect();
        assert!(more.is_empty(), "{case:?}: {more:?}");
    }
}

/// A value of several lines would stand on the command line, and a tree that others reach is not *measured*.
#[test]
fn what_takes_a_directory_refuses_what_it_cannot_keep() {
    let all = cases("runtimes::what_takes_a_directory_refuses_what_it_cannot_keep");
    for case in all.into_iter().filter(|case| !case.takes_lines()) {
        let mut job = case.sh("echo it ran");
        job.plan.job.env.push("J=a\nsecret".parse().unwrap());
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{case:?}: {}", done.stderr);
        assert!(done.stderr.contains("several lines"), "{}", done.stderr);
        assert!(!done.stderr.contains("secret"), "{}", done.stderr);
        let mut job = case.sh("echo it ran");
        job.plan.job.terms.require = Some(Grade::Measured);
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{case:?}: {}", done.stderr);
    }
}

/// What udocker cannot do as it was asked is not done in another way.
#[test]
fn udocker_refuses() {
    let cases = cases("runtimes::udocker_refuses");
    let Some(case) = cases.into_iter().find(|case| case.is_udocker()) else { return };
    for (option, why) in [
        ("--execmode=S1", "take --runtime apptainer"),
        ("--execmode=F1", "rewrites the image's programs"),
        ("--location=/", "the image is the job's"),
    ] {
        let job = Case { option: Some(option), ..case }.sh("echo it ran");
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{option}: {}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
    }
    let done = case.job(&["sh", "-c", "echo it ran", ""]).run();
    assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{}", done.stderr);
    // R1 keeps both outputs apart, and adds nothing to them
    let done = Case { option: Some("--execmode=R1"), ..case }.sh("echo out; echo err >&2").run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "out\n"), "{}", done.stderr);
    assert!(done.stderr.lines().any(|line| line == "err"), "{}", done.stderr);
}

/// Another image under the pin's name is not run.
#[test]
fn another_image_is_a_mismatch() {
    for case in cases("runtimes::another_image_is_a_mismatch").into_iter().filter(|c| c.is_oci()) {
        let other = |change: &dyn Fn(&mut Pin)| {
            let mut job = case.sh("echo it ran");
            let Image::Oci { pin } = &mut job.plan.job.image else { panic!() };
            change(pin);
            job.run()
        };
        let done = other(&|pin| pin.config = ConfigDigest::of(b"other"));
        assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{case:?}: {}", done.stderr);
        assert!(done.stderr.contains("its configuration is sha256:"), "{}", done.stderr);
        let done = other(&|pin| pin.manifest = Digest::of(b"other"));
        assert_ne!(done.code, 0, "{case:?}: {}", done.stderr);
        assert_eq!(done.stdout, "");
        let mut job = case.sh("echo it ran");
        job.plan.job.delivery = Delivery::Shared { place: "/nowhere.tar".into() };
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (210, ""), "{case:?}: {}", done.stderr);
        // a grade that it cannot give is refused before anything starts
        let mut job = case.sh("echo it ran");
        job.plan.job.terms.require = Some(Grade::Measured);
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{case:?}: {}", done.stderr);
    }
}

/// Simulated: programs that are called podman and docker, and say what these never would.
#[test]
fn a_runtime_that_lies_is_not_believed() {
    let config = archive().1.config;
    let image =
        |layers: &str| format!("[{{\"Id\":\"{config}\",\"RootFS\":{{\"Layers\":[{layers}]}}}}]");
    let wrong = format!("\"{}\"", DiffId::of(b"other"));
    for (name, version, said, code, why) in [
        ("podman", "podman version 4.3.1", image(&wrong), 211, "its layers are"),
        ("podman", "podman version 4.3.1", image(""), 211, "its layers are"),
        ("docker", "podman version 4.3.1", image(&wrong), 211, "its layers are"),
        ("podman", "tool version 1", String::new(), 213, "neither podman nor docker"),
        ("docker", "Docker version 29.0.0", "[]".into(), 213, "start its daemon"),
    ] {
        let runtime = name.parse().unwrap();
        let mut job = Job::new(User::Me, &["sh", "-c", "echo it ran"]);
        let (path, pin) = archive().clone();
        job.plan.job.image = Image::Oci { pin };
        job.plan.job.delivery = Delivery::Shared { place: path };
        job.plan.job.runtime = runtime;
        let bin = job.path("bin");
        fs::create_dir(&bin).unwrap();
        // one word behind another, whatever flags come before
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n*--version*) echo '{version}';;\n*'image inspect'*) echo '{said}';;\n\
             *uid_map*) echo '0 0 1'; echo '1 1 1';;\n*info*) echo '{{}}';;\n*' run '*|'run '*) echo it ran;;\nesac\n"
        );
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        job.env.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display())));
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{name}: {}", done.stderr);
        assert!(done.stderr.contains(why), "{name}: {}", done.stderr);
    }
}

/// Podman without ids to map steps aside, and says what the administrator does.
#[test]
fn no_subordinate_ids() {
    const TEST: &str = "runtimes::no_subordinate_ids";
    if !have("podman", TEST, in_path("podman")) {
        return;
    }
    if !am_root() {
        skipped(TEST, "only root becomes a user who has none");
        return;
    }
    let case = Case { runtime: RuntimeChoice::Podman, user: User::Nobody, option: None };
    let done = case.sh("echo it ran").run();
    assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
    assert!(done.stderr.contains("--add-subuids"), "{}", done.stderr);
}

#[test]
fn auto_says_why_others_were_not_taken() {
    if !squashfs_tools("runtimes::auto_says_why_others_were_not_taken") {
        return;
    }
    let mut job = Job::new(User::Me, &["sh", "-c", "true"]);
    job.plan.job.runtime = RuntimeChoice::Auto;
    job.plan.runtimes =
        ["singularity", "podman", "builtin"].map(|name| name.parse().unwrap()).into();
    job.env.push(("PATH".into(), "/nowhere".into()));
    let done = job.run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let receipt = done.receipt.unwrap();
    assert_eq!(receipt.runtime.as_str(), "builtin");
    // podman takes no SIF, so it is no candidate
    let said: Vec<_> = receipt.notes.iter().filter(|note| note.starts_with("not taken")).collect();
    assert_eq!(said, ["not taken: singularity: not installed"]);
    job.plan.job.runtime = RuntimeChoice::Podman;
    let done = job.run();
    assert_eq!(done.code, 214, "{}", done.stderr);
    assert!(
        done.stderr.contains("podman runs an OCI archive, and the job has a SIF"),
        "{}",
        done.stderr
    );
}
