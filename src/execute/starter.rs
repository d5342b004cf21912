//! The process that becomes the program: it waits until everything around is ready, takes on what the
//! program is to have, gives up the rest, and executes it.
//!
//! It is this very program again, because between a fork and an exec there is no safe code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use super::failed::{Failed, at};
use super::inside::privileges;
use super::talk::{Line, Talk};
use super::{filter, keyring};
use crate::runtime::path_json;
use crate::worker::exit;

/// A word of a command line or a path: bytes, which need not be UTF-8.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Word(#[serde(with = "path_json")] PathBuf);

impl Word {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl<T: Into<OsString>> From<T> for Word {
    fn from(word: T) -> Self {
        Self(PathBuf::from(word.into()))
    }
}

/// What to start and how.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// Program and arguments; empty when only the way there is tried.
    pub(super) program: Vec<Word>,
    /// Its variables, all of them.
    pub(super) env: BTreeMap<String, String>,
    /// Where it starts.
    #[serde(with = "path_json")]
    pub(super) cwd: PathBuf,
    /// Standard input is a terminal of the program's own.
    pub(super) terminal: bool,
    /// The file mode mask; `None` for the worker's.
    pub(super) umask: Option<u32>,
    /// Whether a bound path is on AFS, whose tokens are kernel keys.
    pub(super) afs: bool,
    /// What the leader runs when the program has ended, however it ended, also when the worker is gone.
    #[serde(default)]
    pub(super) after: Vec<After>,
    /// What a container's program gives up; an installed runtime does that by itself.
    pub(super) container: Option<Container>,
}

/// A command of the leader's, with the environment of the program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct After {
    /// Program and arguments.
    pub(super) words: Vec<Word>,
    /// A new file for what it prints.
    pub(super) output: Option<Word>,
}

/// Only in our own container.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Container {
    /// The caller.
    pub(super) uid: u32,
    /// The caller's group.
    pub(super) gid: u32,
    /// Whether the filter of system calls is installed.
    pub(super) filter: bool,
}

impl Container {
    /// For the caller's own ids.
    pub(super) fn of_this_process(filter: bool) -> Self {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Self { uid, gid, filter }
    }
}

/// The main function of the process; returns its exit code when it did not become the program.
pub(super) fn main() -> i32 {
    let Ok(mut talk) = Talk::from_stdin() else { return exit::RUNTIME_FAILED };
    if talk.say(&Line::Ready).is_err() {
        return exit::RUNTIME_FAILED;
    }
    let Ok((stdin, start)) = talk.take() else { return exit::RUNTIME_FAILED };
    let Failed(why) = match prepare(&mut talk, &stdin, &start) {
        Ok(()) => match start.program.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program.path());
                command.args(arguments.iter().map(Word::path));
                let error = command.env_clear().envs(&start.env).exec();
                not_started(&program.path().to_string_lossy(), &error)
            }
            // the way there is all that was wanted
            None => return 0,
        },
        Err(failed) => failed,
    };
    // the leader knows nothing but what it is told here
    let _ = talk.say(&Line::Refused { why });
    exit::RUNTIME_FAILED
}

fn prepare(talk: &mut Talk, stdin: &OwnedFd, start: &Start) -> Result<(), Failed> {
    let filtered = start.container.as_ref().is_some_and(|container| container.filter);
    let keys = keyring::own_session(start.afs, filtered)?;
    if let Some(container) = &start.container {
        privileges::own_namespace(container.uid, container.gid)?;
        privileges::give_up()?;
    }
    std::env::set_current_dir(&start.cwd)
        .map_err(at(format!("entering {}", start.cwd.display())))?;
    if let Some(mask) = start.umask {
        rustix::process::umask(Mode::from_raw_mode(mask & 0o777));
    }
    rustix::stdio::dup2_stdin(stdin).map_err(at("setting standard input"))?;
    // what the caller had open is not the job's business: a lock, a pipe, a directory of the machine
    close_fds::set_fds_cloexec(3, &[]);
    let said = Line::Started { at: jiff::Timestamp::now(), keys };
    talk.say(&said).map_err(at("telling the leader"))?;
    if filtered {
        filter::install().map_err(at("installing the filter of system calls"))?;
    }
    Ok(())
}

fn not_started(program: &str, error: &std::io::Error) -> Failed {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    Failed(match error.kind() {
        NotFound => {
            let hint = match program {
                program if program.starts_with("./") => {
                    "./ is the job's working directory, a program of the image is named without it"
                }
                program if program.contains(char::is_whitespace) => {
                    "it is one word; a line for a shell is written sh -c '...'"
                }
                _ => "or its interpreter is not there",
            };
            format!("{program:?} was not found in the image ({hint})")
        }
        PermissionDenied => format!("{program:?} in the image may not be executed"),
        _ => format!("{program:?} could not be executed: {error}"),
    })
}
