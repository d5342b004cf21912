//! What a job sees of the machine, and what it may write to.

use std::fs;

use moorline::job::RuntimeChoice;
use moorline::worker::{Qualifier, SizeLimit};

use super::case::cases;
use crate::support::*;

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
