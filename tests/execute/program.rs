//! What a program in the built-in container is and may.

use std::fs::{self};
use std::path::Path;
use std::process::{Command, Stdio};

use moorline::job::Grade;
use moorline::worker::Start;

use crate::support::*;

/// `NAME: value` of a `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|l| l.starts_with(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).split_once(':').unwrap().1.trim()
}

#[test]
fn a_program_has_the_callers_ids_and_no_privileges() {
    if !squashfs_tools("a_program_has_the_callers_ids_and_no_privileges") {
        return;
    }
    for user in users() {
        let job =
            Job::sh(user, "pwd; id -u; id -g; id -un; cat /proc/self/status; cat /proc/1/comm");
        let done = job.run();
        assert_eq!(done.code, 0, "{}", done.stderr);
        let uid = if user == User::Nobody { NOBODY } else { rustix::process::getuid().as_raw() };
        let mut lines = done.stdout.lines();
        assert_eq!(lines.next(), Some("/work_dir"));
        assert_eq!(lines.next(), Some(uid.to_string().as_str()));
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(&done.stdout, set), "0000000000000000", "{set} of {user:?}");
        }
        assert_eq!(field(&done.stdout, "NoNewPrivs"), "1");
        // only this container's processes are there
        assert!(field(&done.stdout, "Pid").parse::<u32>().unwrap() < 20);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.evidence.grade, Grade::Measured, "{receipt:?}");
        assert_eq!(receipt.evidence.sif(), Some(image().1));
        assert_eq!((receipt.intent, receipt.nonce), (job.plan.intent, job.plan.nonce));
        assert_eq!((receipt.runtime.as_str(), receipt.exit_code), ("builtin", 0));
        assert!(matches!(receipt.start, Start::Started { at } if at <= receipt.ended_at));
        assert!(receipt.skipped_mounts.is_empty() && done.stderr.is_empty(), "{}", done.stderr);
    }
}

#[test]
fn only_the_working_directory_and_tmp_can_be_written() {
    if !squashfs_tools("only_the_working_directory_and_tmp_can_be_written") {
        return;
    }
    for user in users() {
        let script = "touch made; echo mine >/tmp/t && cat /tmp/t; echo x >/dev/null && echo dev; \
            for f in /x /etc/x /opt/tools/x /sys/x /usr/x /proc/sys/kernel/core_pattern /etc/hosts; do \
            (echo x >$f) 2>/dev/null && echo \"wrote $f\"; done; ls -d /proc/self/fd/3 2>/dev/null; true";
        let job = Job::sh(user, script);
        let pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
        let done = job.run();
        assert_eq!(done.stdout, "mine\ndev\n", "{user:?} {}", done.stderr);
        assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), pattern);
        assert!(job.path("work/made").exists());
        // nothing is left on the machine but the unpacked image
        let left: Vec<_> =
            fs::read_dir(job.path("tmp")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|n| n.to_string_lossy().starts_with("moorline-")), "{left:?}");
    }
}

#[test]
fn variables_are_the_images_and_the_jobs() {
    if !squashfs_tools("variables_are_the_images_and_the_jobs") {
        return;
    }
    let mut job = Job::new(User::Me, &["env"]);
    job.plan.job.env.push("J=a b\nc".parse().unwrap());
    job.env = [("MOORLINE_PASSWORD", "geheim"), ("CI_JOB_TOKEN", "geheim"), ("TERM", "vt100")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let done = job.run();
    for line in [
        "GREETING=it's \"so\" $x",
        "J=a b\nc",
        "HOME=/work_dir",
        "TERM=vt100",
        "PATH=/usr/bin:/bin:/opt/tools",
    ] {
        assert!(done.stdout.contains(&format!("{line}\n")), "{line}: {}", done.stdout);
    }
    assert!(!done.stdout.contains("geheim") && !done.stdout.contains("TMPDIR"), "{}", done.stdout);
}

#[test]
fn the_images_own_program_runs_when_none_is_given() {
    if !squashfs_tools("the_images_own_program_runs_when_none_is_given") {
        return;
    }
    let run = |command: &[&str]| Job::new(User::Me, command).run().stdout;
    assert_eq!(run(&[]), "hello from cmd\n");
    // a given command replaces both, as `apptainer exec` does; found in the image's PATH
    assert_eq!(run(&["hello", "you"]), "hello you\n");
    // an image without oci-config.json has nothing to run
    let mut job = Job::new(User::Me, &[]);
    let path = job.path("bare.sif");
    let digest = make_sif(tree(), None, &path);
    job.set_image(digest, path);
    let done = job.run();
    assert_eq!(done.code, 214);
    assert!(done.stderr.contains("neither ENTRYPOINT nor CMD"), "{}", done.stderr);
}

#[test]
fn exit_codes_are_passed_on() {
    if !squashfs_tools("exit_codes_are_passed_on") {
        return;
    }
    for user in users() {
        for (script, code) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 210", 210),
            ("kill -KILL $$", 137),
            ("kill -TERM $$", 143),
            ("kill -ABRT $$", 134),
        ] {
            let done = Job::sh(user, script).run();
            assert_eq!(done.code, code, "{script}: {}", done.stderr);
            assert_eq!(done.receipt.unwrap().exit_code, code);
        }
        let done = Job::new(user, &["no-such-program"]).run();
        assert_eq!(done.code, 214);
        assert!(
            done.stderr.contains("\"no-such-program\" was not found in the image"),
            "{}",
            done.stderr
        );
        assert!(why(&done.receipt.unwrap()).contains("no-such-program"));
    }
}

#[test]
fn a_signal_ends_the_container_and_all_its_processes() {
    if !squashfs_tools("a_signal_ends_the_container_and_all_its_processes") {
        return;
    }
    for user in users() {
        for (signal, code) in [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)] {
            // a grandchild in a session of its own that ignores everything, and a tidy program
            let script = "trap 'echo tidied; exit 3' TERM INT; (trap '' TERM INT HUP; while :; do sleep 0.05; echo $$ >>beat; done) & \
                touch ready; while :; do sleep 0.01; done";
            let job = Job::sh(user, script);
            let mut child =
                job.worker().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            until(|| job.path("work/ready").exists() && job.path("work/beat").exists());
            // setpriv execs, so this is the worker
            let sent =
                Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
            assert!(sent.unwrap().success());
            until(|| child.try_wait().unwrap().is_some());
            let done = job.done(&child.wait_with_output().unwrap());
            if let Some(code) = code {
                assert_eq!(
                    (done.code, done.stdout.as_str()),
                    (code, "tidied\n"),
                    "{signal} {}",
                    done.stderr
                );
                assert_eq!(done.receipt.unwrap().exit_code, code);
            }
            until(|| !alive_in(&job.path("work")));
        }
    }
}

/// Whether any process of this machine works in `dir`.
pub fn alive_in(dir: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.filter(|p| p.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())).any(
        |p| {
            let info = fs::read_to_string(p.path().join("mountinfo")).unwrap_or_default();
            info.contains(&format!("{} /work_dir ", dir.display()))
        },
    )
}

#[test]
fn orphans_do_not_outlive_the_program() {
    if !squashfs_tools("orphans_do_not_outlive_the_program") {
        return;
    }
    let job = Job::sh(
        User::Me,
        "(while :; do sleep 0.05; done) >/dev/null 2>&1 & (sleep 0; true) & exit 5",
    );
    let done = job.run();
    assert_eq!(done.code, 5);
    until(|| !alive_in(&job.path("work")));
}

/// The program itself leaves no core behind; what it runs keeps the limit of who started it.
#[test]
fn a_job_keeps_the_limit_for_core_files() {
    if !squashfs_tools("program::a_job_keeps_the_limit_for_core_files") {
        return;
    }
    for user in users() {
        let job = Job::new(user, &[]);
        let (moorline, image) = (world().program(), image().0.clone());
        // in blocks of 512 bytes; a hard limit of 0 is nothing that this user could raise
        let line = format!(
            "ulimit -c 77 2>/dev/null || ulimit -c; cd {} && exec {} -q run --runtime builtin {} -- sh -c 'ulimit -c'",
            job.path("work").display(),
            moorline.display(),
            image.display(),
        );
        let home = job.path("tmp");
        let output = job
            .as_user("/bin/sh".as_ref())
            .args(["-c", &line])
            .env("HOME", &home)
            .output()
            .unwrap();
        let done = job.done(&output);
        if done.stdout == "0\n0\n" {
            skipped("program::a_job_keeps_the_limit_for_core_files", "the hard limit is 0");
            continue;
        }
        assert_eq!((done.code, done.stdout.as_str()), (0, "77\n"), "{}", done.stderr);
    }
}
