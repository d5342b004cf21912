//! Podman and docker: which image it is, and who may start one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use moorline::job::{Delivery, Grade, RuntimeChoice};
use moorline::oci::{ConfigDigest, DiffId, Digest, Sha256Digest};
use moorline::pin::{Image, Pin};

use super::archive::archive;
use super::case::{Case, cases};
use crate::support::*;

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
    // of containerd's store, which calls an image by its manifest
    let other = format!("[{{\"Id\":\"{}\",\"RootFS\":{{}}}}]", Digest::of(b"other"));
    for (name, version, said, code, why) in [
        ("podman", "podman version 4.3.1", image(&wrong), 211, "its layers are"),
        ("podman", "podman version 4.3.1", image(""), 211, "its layers are"),
        ("docker", "podman version 4.3.1", image(&wrong), 211, "its layers are"),
        ("podman", "tool version 1", String::new(), 213, "neither podman nor docker"),
        ("docker", "Docker version 28.5.2", other, 211, "its manifest"),
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
        let info = if version.ends_with("28.5.2") {
            r#"{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}"#
        } else {
            "{}"
        };
        // one word behind another, whatever flags come before
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n*--version*) echo '{version}';;\n*'image inspect'*) echo '{said}';;\n\
             *uid_map*) echo '0 0 1'; echo '1 1 1';;\n*info*) echo '{info}';;\n*' run '*|'run '*) echo it ran;;\nesac\n"
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
