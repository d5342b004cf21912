//! A runtime that is tried as a user, and which of them are here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use moorline::job::{Delivery, RuntimeChoice};
use moorline::oci::SifDigest;
use moorline::pin::Image;

use super::archive::archive;
use crate::support::*;

/// A runtime that is tried as a user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) runtime: RuntimeChoice,
    pub(super) user: User,
    pub(super) option: Option<&'static str>,
}

impl Case {
    pub(super) fn is_oci(self) -> bool {
        matches!(self.runtime, RuntimeChoice::Podman | RuntimeChoice::Docker)
    }

    pub(super) fn is_udocker(self) -> bool {
        self.runtime == RuntimeChoice::Udocker
    }

    /// Whether its mounts can be read-only.
    pub(super) fn has_read_only(self) -> bool {
        !self.is_udocker() && self.runtime != RuntimeChoice::Charliecloud
    }

    /// Whether a variable's value may have several lines. Those that do not take them run a tree in a directory.
    pub(super) fn takes_lines(self) -> bool {
        !self.is_udocker() && self.runtime != RuntimeChoice::Charliecloud
    }

    /// The user's number inside.
    pub(super) fn uid(self) -> u32 {
        match self.user {
            _ if self.option == Some("--execmode=R1") => 0,
            // the daemon is this user's own: root of its container is this user
            _ if self.runtime == RuntimeChoice::Docker && !am_root() => 0,
            User::Nobody => NOBODY,
            User::Me => rustix::process::getuid().as_raw(),
        }
    }

    pub(super) fn job(self, command: &[&str]) -> Job {
        let mut job = Job::new(self.user, command);
        job.plan.job.runtime = self.runtime;
        if self.is_oci() {
            let (path, pin) = archive().clone();
            job.plan.job.image = Image::Oci { pin };
            job.plan.job.delivery = Delivery::Shared { place: path };
            let docker = docker_home().filter(|_| self.runtime == RuntimeChoice::Docker);
            let home = docker.or_else(|| std::env::var_os("HOME").map(PathBuf::from));
            let home = home.unwrap_or_else(|| "/".into());
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

    pub(super) fn sh(self, script: &str) -> Job {
        self.job(&["sh", "-c", script])
    }

    /// The engine's own program, asked as the job asks it.
    pub(super) fn containers(self, job: &Job) -> String {
        let mut command = job.as_user(self.runtime.name().as_ref());
        let output = command.args(["ps", "--all", "--format", "{{.Names}}"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A SIF whose programs need no library, made once.
pub(super) fn busybox() -> &'static (PathBuf, SifDigest) {
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

pub(super) fn udocker() -> Option<PathBuf> {
    std::env::var_os("MOORLINE_TEST_UDOCKER").map(PathBuf::from)
}

pub(super) fn docker_home() -> Option<PathBuf> {
    std::env::var_os("MOORLINE_TEST_DOCKER_HOME").map(PathBuf::from)
}

/// Whether the daemon keeps images in containerd's store, which names them by their manifests.
pub(super) fn has_containerd_store() -> bool {
    std::env::var("MOORLINE_TEST_DOCKER_STORE").is_ok_and(|store| store == "containerd")
}

/// Whether this run is about a runtime. One that is about a few says so; the others were tried elsewhere.
fn is_meant(runtime: &str) -> bool {
    std::env::var("MOORLINE_TEST_RUNTIMES")
        .map_or(true, |named| named.split(',').any(|name| name == runtime))
}

/// What can be tried here; says what cannot.
pub(super) fn cases(test: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let have =
        |runtime: &str, test: &str, there: bool| is_meant(runtime) && have(runtime, test, there);
    if squashfs_tools(test) {
        let each =
            |runtime, option| users().into_iter().map(move |user| Case { runtime, user, option });
        if have("builtin", test, true) {
            cases.extend(each(RuntimeChoice::Builtin, None));
        }
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
