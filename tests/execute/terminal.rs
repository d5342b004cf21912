//! Sessions on a real pseudo-terminal, played by `terminal.py` (python's standard library).

use std::process::{Command, Stdio};

use crate::support::*;

/// Plays a case with a job that runs `script`, as every user.
fn play(case: &str, script: &str) {
    play_command(case, &["sh", "-c", script]);
}

fn play_command(case: &str, command: &[&str]) {
    let test = format!("terminal::{case}");
    if !squashfs_tools(&test) || !have("python3", &test, in_path("python3")) {
        return;
    }
    for user in users() {
        let mut job = Job::new(user, command);
        job.plan.job.env.push("PS1=INNER> ".parse().unwrap());
        let worker = job.worker();
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/execute/terminal.py");
        let mut played = Command::new("python3");
        played.args([driver, case]).arg(job.path("work")).arg("--");
        played.arg(worker.get_program()).args(worker.get_args());
        played.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", job.path("tmp"));
        let output = played.stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "{user:?}: {}\nreceipts: {:?}",
            String::from_utf8_lossy(&output.stderr),
            job.receipts()
        );
    }
}

#[test]
fn exit_codes_and_the_programs_own_terminal() {
    play(
        "code",
        "for h in 0 1 2; do test -t $h && t=\"$t $h\"; done; echo \"terminals$t\"; \
         echo \"size $(stty size)\"; echo through tty >/dev/tty; exit 7",
    );
}

#[test]
fn keys_make_signals() {
    play("interrupt", "echo ready; exec sleep 600");
    play("quit", "echo ready; exec sleep 600");
}

#[test]
fn stopped_and_continued() {
    let script = "echo ready; while read -r line; do echo \"got $line\"; done; exit 5";
    play("stop", script);
    play("background", script);
}

#[test]
fn a_shell_with_job_control() {
    play_command("jobs", &["sh", "-i", "-m"]);
}

#[test]
fn a_new_size() {
    play(
        "resize",
        "trap 'echo \"size $(stty size)\"' WINCH; echo ready; while :; do sleep 0.1; done",
    );
}

#[test]
fn a_paste_of_100_kb() {
    play("paste", "stty -echo; echo ready; cat >/work_dir/pasted; exec cat /work_dir/pasted");
}

#[test]
fn the_settings_are_given_back() {
    play("killed", "echo ready; exec sleep 600");
    play("told", "trap 'echo tidied; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
}

#[test]
fn redirected_handles() {
    play(
        "handles",
        "r=; for h in 0 1 2; do if test -t $h; then r=\"$r $h=tty\"; else r=\"$r $h=other\"; fi; done; \
         if (: </dev/tty) 2>/dev/null; then t=opens; else t=none; fi; echo \"${r# } tty=$t\"",
    );
    if have("less", "terminal::redirected_handles", in_path("less")) {
        play("less", "n=0; while [ $n -lt 200 ]; do n=$((n+1)); echo \"line $n\"; done");
    }
}
