//! The same meaning everywhere: ids, variables, outputs, exit codes, grades.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use moorline::job::{Entrypoint, Grade, Measured, RuntimeChoice};
use moorline::worker::Start;

use super::archive::archive;
use super::case::{cases, has_containerd_store};
use crate::support::*;

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
            let pin = &archive().1;
            let identity = if case.runtime == RuntimeChoice::Docker && has_containerd_store() {
                Measured::Manifest(pin.manifest)
            } else {
                Measured::Config(pin.config)
            };
            assert_eq!(receipt.evidence.measured, Some(identity), "{receipt:?}");
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
