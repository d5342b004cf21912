//! The leader above a runtime that is a program of its own.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::failed::at;
use super::session::{self, Fence};
use super::starter::{After, Start, Word};
use super::talk::{Line, Talk};
use crate::worker::exit;

/// The main function of the leader; returns its exit code.
pub(super) fn lead() -> i32 {
    let Ok(mut talk) = Talk::from_stdin() else { return exit::RUNTIME_FAILED };
    let (stdin, start): (_, Start) = match talk.take() {
        Ok(told) => told,
        Err(error) => {
            let _ = talk.say(&Line::Refused { why: format!("hearing the worker: {error}") });
            return exit::RUNTIME_FAILED;
        }
    };
    let before = || {
        // this end of the socket is the worker's business alone
        let null = File::open("/dev/null").map_err(at("opening /dev/null"))?;
        rustix::stdio::dup2_stdin(&null).map_err(at("setting standard input"))
    };
    let code = session::lead(talk, (stdin, &start), Fence::Reaper, before, || Ok(()));
    for one in &start.after {
        run_after(one, &start);
    }
    // such a command may leave something, too
    session::end_children();
    code
}

/// How long such a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command. Whoever needs what it does looks whether it was done.
fn run_after(one: &After, start: &Start) {
    let Some((program, arguments)) = one.words.split_first() else { return };
    let output = one.output.as_ref().and_then(|path| File::create_new(path.path()).ok());
    let child = Command::new(program.path())
        .args(arguments.iter().map(Word::path))
        .env_clear()
        .envs(&start.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return };
    let deadline = Instant::now() + PATIENCE;
    while let Ok(None) = child.try_wait() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
