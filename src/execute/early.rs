//! What must run before any thread exists: the worker, and the hidden processes that it starts.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::verbs::{
    ALONE, ASK, BETWEEN, DIE_WITH_PARENT, INSIDE, LEADER, NAMESPACES, PLAIN, PROBE, SERVE, STARTER,
    WITH_PARENT, WORKER,
};
use super::{asker, between, caller, inside, leader, probe, rootfs, starter, work};

/// Ignores what is meant for a program, then becomes another one. HUP is how its parent's end is told.
const UNTOUCHED: &str = "trap '' TERM INT QUIT USR1 USR2 ALRM VTALRM PROF XCPU; exec \"$@\"";

/// Runs the verbs that need a process without threads: `worker CONTROL_DIR [--plan-sha256 HEX]` and
/// the hidden ones. `main` calls this first; `None` means that the arguments are for the ordinary
/// command line.
///
/// `arguments` starts with the program's name. Warnings go to `stderr`, the job's own.
pub fn early(arguments: &[OsString], stderr: &mut dyn Write) -> Option<i32> {
    let rest = arguments.get(2..).unwrap_or_default();
    match arguments.get(1)?.to_str()? {
        BETWEEN => Some(between::main(rest.iter().any(|word| word == ALONE))),
        INSIDE => Some(inside::main()),
        LEADER => Some(leader::lead()),
        STARTER => Some(starter::main()),
        ASK => {
            let proc = Path::new(rest.first()?);
            let plain = rest.get(1).is_some_and(|word| word == PLAIN);
            Some(asker::main((proc, plain), std::io::stdin(), &mut std::io::stdout()))
        }
        SERVE => Some(rootfs::serve()),
        PROBE => {
            let namespaces = rest.iter().any(|word| word == NAMESPACES);
            Some(probe::main(namespaces, &mut std::io::stdout()))
        }
        DIE_WITH_PARENT => {
            let signal = Some(rustix::process::Signal::HUP);
            let _ = rustix::process::set_parent_process_death_signal(signal);
            let error = Command::new("/bin/sh").args(["-c", UNTOUCHED, "sh"]).args(rest).exec();
            let _ = writeln!(stderr, "moorline: /bin/sh: {error}");
            Some(127)
        }
        WORKER => {
            let (mut control, mut sha256) = (None, None);
            let mut rest = rest.iter();
            while let Some(word) = rest.next() {
                if word == "--plan-sha256" {
                    sha256 = Some(rest.next()?.to_str()?.to_owned());
                } else if word == WITH_PARENT {
                    let signal = Some(rustix::process::Signal::TERM);
                    // without it a job may outlive its `run`: no reason not to run it
                    let _ = rustix::process::set_parent_process_death_signal(signal);
                    if let Some(parent) = rustix::process::getppid() {
                        caller::set(parent);
                    }
                } else if control.is_none() && !word.as_encoded_bytes().starts_with(b"-") {
                    control = Some(PathBuf::from(word));
                } else {
                    // clap's business: --help, or an error
                    return None;
                }
            }
            Some(work(&control?, sha256.as_deref(), stderr))
        }
        _ => None,
    }
}
