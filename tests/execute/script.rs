//! The script on the worker.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use moorline::job::{
    Grade, IntentId, JobId, JobSpec, Mount, Need, Nonce, Resources, RuntimeChoice,
};
use moorline::oci::{Digest, Sha256Digest, SifDigest};
use moorline::pin::Image;
use moorline::worker::script::{self, ScriptInput};
use moorline::worker::{PLAN_SCHEMA, Plan, Receipt, Start};

use crate::support::*;

/// A plan with fixed text, hostile where a user's text is.
fn golden_plan() -> Plan {
    let mut plan = Plan {
        schema: PLAN_SCHEMA,
        intent: IntentId::from_bytes([2; 16]),
        nonce: Nonce::from_bytes([3; 16]),
        job: JobSpec {
            id: JobId::from_parts(1_700_000_000_000, 7),
            name: Some("a $(name)".into()),
            image: Image::Sif {
                pin: None,
                manifest: None,
                digest: SifDigest::of(b"image"),
                recipe: None,
                place: "/store/it's here/x.sif".into(),
            },
            command: ["sh", "-c", "echo \"$A\" `id`; exit 3", "\n"].map(String::from).into(),
            mounts: vec![
                Mount::cvmfs(),
                "/data:/d:ro".parse().unwrap(),
                Mount { need: Need::Required, ..Mount::cvmfs() },
            ],
            env: vec!["A=$(touch /tmp/canary) '\"\\".parse().unwrap()],
            runtime: RuntimeChoice::Auto,
            options: vec!["--nv".into()],
            resources: Resources::default(),
            workdir: None,
            rerun_of: None,
            terms: moorline::job::Terms::default(),
        },
        workdir: "/jobs/x/work".into(),
        filter: None,
        node_cache: None,
        site_store: None,
        limits: std::collections::BTreeMap::new(),
        hide: Vec::new(),
    };
    plan.job.mounts[2].target = "/req uired".into();
    plan
}

fn golden_script() -> String {
    let plan = golden_plan();
    let runtime = script::runtime_sh(&plan);
    script::script(&ScriptInput::new(&plan, b"plan", &runtime, Digest::of(b"binary")))
}

#[test]
fn script_goldens() {
    snapbox::assert_data_eq!(golden_script(), snapbox::file!["../golden/script/job.sh"].raw());
    let runtime = script::runtime_sh(&golden_plan());
    snapbox::assert_data_eq!(runtime, snapbox::file!["../golden/script/runtime.sh"].raw());
}

#[test]
fn the_script_is_clean_and_holds_nothing_of_the_users() {
    let text = golden_script();
    for foreign in ["canary", "a $(name)", "/data", "/store", "/jobs", "cvmfs", "--nv"] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    let name = "the_script_is_clean_and_holds_nothing_of_the_users";
    if !have("shellcheck", name, in_path("shellcheck")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = script::runtime_sh(&golden_plan());
    for (name, text) in [("job.sh", text), ("runtime.sh", runtime)] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let checked =
            Command::new("shellcheck").args(["--shell", "sh"]).arg(&path).output().unwrap();
        assert!(checked.status.success(), "{name}:\n{}", String::from_utf8_lossy(&checked.stdout));
    }
}

impl Job {
    /// Writes the script and its files, and the binary where it is looked for if `with_binary`.
    fn scripted(&self, with_binary: bool) -> Command {
        let control = self.path("control");
        let plan = self.plan.to_bytes().unwrap();
        let runtime = script::runtime_sh(&self.plan);
        let binary = fs::read(world().program()).unwrap();
        let input = ScriptInput::new(&self.plan, &plan, &runtime, Digest::of(&binary));
        fs::write(control.join("plan.json"), &plan).unwrap();
        fs::write(control.join("runtime.sh"), &runtime).unwrap();
        fs::write(control.join("job.sh"), script::script(&input)).unwrap();
        if with_binary {
            // JOBS_DIR/bin, seen from JOBS_DIR/ID/control
            let bin = world().dir.path().join("bin").join(Digest::of(&binary).hex());
            fs::create_dir_all(&bin).unwrap();
            let there = bin.join("moorline");
            if !there.exists() {
                let new =
                    bin.join(format!("new-{}", self.dir.path().file_name().unwrap().display()));
                fs::copy(world().program(), &new).unwrap();
                fs::rename(new, there).unwrap();
            }
        }
        self.give_away();
        let mut command = self.as_user(OsStr::new("sh"));
        command.arg(control.join("job.sh"));
        command
    }
}

#[test]
fn the_script_starts_the_worker() {
    if !squashfs_tools("the_script_starts_the_worker") {
        return;
    }
    for user in users() {
        let job = Job::sh(user, "echo \"in $PWD\"; exit 9");
        // by its own place, by argument, by variable
        for way in 0..3 {
            let mut command = job.scripted(true);
            match way {
                0 => {}
                1 => drop(command.arg(job.path("control"))),
                _ => drop(command.env("MOORLINE_CONTROL", job.path("control"))),
            }
            let done = job.done(&command.output().unwrap());
            assert_eq!((done.code, done.stdout.as_str()), (9, "in /work_dir\n"), "{}", done.stderr);
            assert!(done.receipt.unwrap().writer.starts_with("moorline "));
        }
        assert_eq!(job.receipts().len(), 3);
    }
}

#[test]
fn a_transferred_binary_is_found_and_a_changed_one_is_not() {
    if !squashfs_tools("a_transferred_binary_is_found_and_a_changed_one_is_not") {
        return;
    }
    let job = Job::sh(User::Me, "echo ran");
    // in a place of its own, without JOBS_DIR/bin
    let apart = tempfile::tempdir().unwrap();
    let moved = |command: &mut Command| {
        command.current_dir(apart.path());
        command.output().unwrap()
    };
    let away = apart.path().join("a/b");
    fs::create_dir_all(&away).unwrap();
    drop(job.scripted(false));
    for name in ["plan.json", "runtime.sh", "job.sh"] {
        fs::copy(job.path("control").join(name), away.join(name)).unwrap();
    }
    let command = || {
        let mut c = job.as_user(OsStr::new("sh"));
        c.arg(away.join("job.sh")).arg(&away);
        c
    };
    fs::copy(world().program(), apart.path().join("moorline")).unwrap();
    assert_eq!(job.done(&moved(&mut command())).stdout, "ran\n");
    // one byte more: not run, and nothing else is here
    let mut file = File::options().append(true).open(apart.path().join("moorline")).unwrap();
    file.write_all(b"x").unwrap();
    drop(file);
    if !in_path("apptainer") && !in_path("singularity") {
        let done = job.done(&moved(&mut command()));
        assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
    }
}

#[test]
fn without_the_binary_the_script_says_what_is_missing() {
    if !squashfs_tools("without_the_binary_the_script_says_what_is_missing") {
        return;
    }
    if in_path("apptainer") || in_path("singularity") {
        skipped("without_the_binary_the_script_says_what_is_missing", "a runtime is here");
        return;
    }
    let jobs = tempfile::Builder::new().prefix("jobs-").tempdir_in(world().dir.path()).unwrap();
    let job = Job::sh(User::Me, "echo ran");
    drop(job.scripted(false));
    let control = jobs.path().join("id/control");
    fs::create_dir_all(&control).unwrap();
    for name in ["plan.json", "runtime.sh", "job.sh"] {
        fs::copy(job.path("control").join(name), control.join(name)).unwrap();
    }
    let run = || job.as_user(OsStr::new("dash")).arg(control.join("job.sh")).output().unwrap();
    let receipts = || -> Vec<Receipt> {
        fs::read_dir(&control)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("receipt-"))
            .map(|p| Receipt::parse(&fs::read(p).unwrap()).unwrap())
            .collect()
    };
    if !have("dash", "without_the_binary_the_script_says_what_is_missing", in_path("dash")) {
        return;
    }
    let output = run();
    assert_eq!(output.status.code(), Some(213), "{}", String::from_utf8_lossy(&output.stderr));
    let receipt = receipts().pop().unwrap();
    assert_eq!((receipt.writer.as_str(), receipt.exit_code), ("script", 213));
    assert_eq!((receipt.nonce, receipt.evidence.grade), (job.plan.nonce, Grade::None));
    assert!(why(&receipt).contains("container runtime"));
    // data that was changed is not read
    let mut file = File::options().append(true).open(control.join("runtime.sh")).unwrap();
    file.write_all(b"touch /tmp/moorline-canary\n").unwrap();
    drop(file);
    assert_eq!(run().status.code(), Some(211));
    assert!(!Path::new("/tmp/moorline-canary").exists());
}

/// A stand-in that writes down how it was called; the real apptainer is another suite's.
const RECORDER: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
for word; do printf '<%s>\n' "$word"; done
env | grep -E '^(APPTAINERENV_|XDG_RUNTIME)' | sort
exit 6
"#;

#[test]
fn the_scripts_words_reach_the_runtime_as_they_are() {
    if !squashfs_tools("the_scripts_words_reach_the_runtime_as_they_are") {
        return;
    }
    let hostile = "it's $(touch canary) `touch canary`; \"x\" \\ \n<END>";
    let mut job = Job::new(User::Me, &["sh", "-c", hostile, "", "-x"]);
    job.plan.job.runtime = RuntimeChoice::Apptainer;
    job.plan.job.env.push(format!("A={hostile}").parse().unwrap());
    job.plan.job.options = vec!["--opt=a b".into()];
    job = job.mount("/etc:/host etc:ro").mount("/nowhere/x:/x");
    job =
        job.mount("type=bind,source=/etc,\"target=/o:d,\"\"d\"\"\",readonly").mount(r"/etc:/a\:b");
    let bin = job.path("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("apptainer"), RECORDER).unwrap();
    fs::set_permissions(bin.join("apptainer"), fs::Permissions::from_mode(0o755)).unwrap();
    job.env.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display())));
    job.env.push(("CI_JOB_TOKEN".into(), "geheim".into()));

    let work = job.path("work").display().to_string();
    let sif = image().0.display().to_string();
    let common = format!(
        "<--bind>\n<{work}:/work_dir>\n<--pwd>\n</work_dir>\n<--no-home>\n<--bind>\n</etc:/host etc:ro>\n\
         <--mount>\n<type=bind,source=/etc,\"destination=/o:d,\"\"d\"\"\",ro>\n\
         <--mount>\n<type=bind,source=/etc,destination=/a:b>\n\
         <--opt=a b>\n<{sif}>\n<sh>\n<-c>\n<{hostile}>\n<>\n<-x>\nAPPTAINERENV_A={}\n",
        // `env | sort` takes the value's second line for one of its own
        hostile.split('\n').next().unwrap()
    );
    // the worker and the script without the worker say the same
    for (with_binary, clean, writer) in
        [(true, "", "moorline "), (false, "<--cleanenv>\n", "script")]
    {
        let jobs =
            tempfile::Builder::new().prefix("apart-").tempdir_in(world().dir.path()).unwrap();
        let mut command = job.scripted(with_binary);
        if !with_binary {
            let away = jobs.path().join("id/control");
            fs::create_dir_all(&away).unwrap();
            for name in ["plan.json", "runtime.sh", "job.sh"] {
                fs::copy(job.path("control").join(name), away.join(name)).unwrap();
            }
            command = job.as_user(OsStr::new("dash"));
            command.arg(away.join("job.sh"));
        }
        let output = command.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(6), "{stderr}");
        let expected = format!("<-q>\n<exec>\n{clean}{common}XDG_RUNTIME_DIR=");
        // what hides the control directory and, with the binary, the node's cache in the machine's /tmp
        // stands somewhere before the image
        let (hiding, rest): (Vec<&str>, Vec<&str>) =
            stdout.lines().partition(|l| l.contains("/empty"));
        let mut stdout = rest.join("\n");
        while stdout.contains("<--bind>\n<--bind>") {
            stdout = stdout.replace("<--bind>\n<--bind>", "<--bind>");
        }
        let stdout = stdout.replace("<--bind>\n<--opt", "<--opt");
        assert!(hiding.iter().any(|line| line.ends_with("/control:ro>")), "{hiding:?}");
        let trees = format!(":/tmp/moorline-{}:ro>", rustix::process::getuid().as_raw());
        assert_eq!(hiding.iter().any(|line| line.ends_with(&trees)), with_binary, "{hiding:?}");
        assert!(stdout.starts_with(&expected), "{stdout}\n---\n{expected}");
        assert!(stderr.contains("warning: /nowhere/x is not mounted at /x"), "{stderr}");
        assert!(!stdout.contains("geheim"));
        let control =
            if with_binary { job.path("control") } else { jobs.path().join("id/control") };
        let name = |e: &fs::DirEntry| e.file_name().to_string_lossy().into_owned();
        let entries: Vec<_> = fs::read_dir(&control).unwrap().map(|e| e.unwrap()).collect();
        assert!(!entries.iter().any(|e| name(e).starts_with("runtime-")), "scratch stays");
        let receipt = entries.iter().find(|e| name(e).starts_with("receipt-")).unwrap();
        let receipt = Receipt::parse(&fs::read(receipt.path()).unwrap()).unwrap();
        assert!(receipt.writer.starts_with(writer));
        assert_eq!(receipt.evidence.grade, Grade::Measured);
        assert_eq!((receipt.evidence.sif(), receipt.exit_code), (Some(image().1), 6));
        assert!(matches!(receipt.start, Start::Started { .. }));
    }
    assert!(!job.path("work/canary").exists());
}
