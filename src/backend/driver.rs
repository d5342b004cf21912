//! The one place that runs engines' commands.
//!
//! A command gets an argument vector (never a shell line), an environment of listed names only,
//! nothing on standard input, a process group of its own (so that Ctrl-C in a terminal does not
//! end a submission half-way), a time limit, and room for a bounded amount of output.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::BackendError;
use crate::text::{Foreign, Hidden};

/// Names that every engine's commands get from the caller's environment; an engine's own are in its
/// [`Facts`](super::Facts).
///
/// Nothing that holds a secret: not `CI_*`, `MOORLINE_*`, `DOCKER_AUTH_CONFIG`. Nothing that
/// changes what a command does or prints.
const ENGINE_NAMES: [&str; 5] = ["PATH", "HOME", "USER", "LOGNAME", "TZ"];

/// What a local job gets: the session's folder is there for rootless containers.
pub(super) const JOB_NAMES: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"];

/// The caller's environment, of which only listed names are ever passed on.
#[derive(Clone)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Keeps the usual names and those of `own`, the engines'; everything else is forgotten here.
    pub(super) fn keeping(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        own: impl Fn(&OsStr) -> bool,
    ) -> Self {
        let known = |name: &OsStr| ENGINE_NAMES.iter().chain(&JOB_NAMES).any(|n| name == *n);
        Self(vars.into_iter().filter(|(name, _)| known(name) || own(name)).collect())
    }

    /// The variables with these names.
    pub(super) fn only<'a>(
        &'a self,
        names: &'a [&str],
    ) -> impl Iterator<Item = (&'a OsStr, &'a OsStr)> {
        self.0
            .iter()
            .filter(|(name, _)| names.iter().any(|n| name == *n))
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl std::fmt::Debug for Environment {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Exit(i32),
    Signal(i32),
    /// The time limit killed it.
    TimedOut,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub ended: Ended,
    pub stdout: String,
    /// One printable line, for messages.
    pub stderr: String,
}

impl Finished {
    pub fn succeeded(&self) -> bool {
        self.ended == Ended::Exit(0)
    }

    /// Why it did not succeed, for people.
    pub fn said(&self) -> String {
        let how = match self.ended {
            Ended::Exit(code) => format!("exit code {code}"),
            Ended::Signal(signal) => format!("ended by signal {signal}"),
            Ended::TimedOut => "no answer in time".to_owned(),
        };
        if self.stderr.is_empty() { how } else { format!("{} ({how})", self.stderr) }
    }
}

/// Runs one engine's commands.
#[derive(Clone, Debug)]
pub(super) struct Driver {
    pub engine: &'static str,
    /// Variables that its commands get beside the usual ones.
    pub own: &'static [&'static str],
    pub environment: Environment,
    /// For one command.
    pub limit: Duration,
}

/// More than this is not read; a status answer has some 100 bytes a job.
const MAX_STDOUT: u64 = 64 << 20;
const MAX_STDERR: u64 = 64 << 10;

impl Driver {
    /// Runs a command to its end or its time limit.
    ///
    /// # Errors
    /// [`BackendError::Absent`] when there is no such command, [`BackendError::Io`] when it cannot
    /// be started or read, or says too much. How the command ended is not an error here.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        extra: &[(String, String)],
        cwd: &Path,
    ) -> Result<Finished, BackendError> {
        let io = |what: &str| {
            let what = format!("{what} {program}");
            move |source| BackendError::Io { what, source }
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(self.environment.only(&ENGINE_NAMES))
            .envs(self.environment.only(self.own))
            .env("LC_ALL", "C")
            .envs(extra.iter().map(|(name, value)| (name, value)))
            .current_dir(cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound && cwd.is_dir() {
                BackendError::Absent { engine: self.engine, command: program.to_owned() }
            } else {
                io("starting")(source)
            }
        })?;
        let deadline = Instant::now() + self.limit;
        let stdout = read_aside(child.stdout.take(), MAX_STDOUT);
        let stderr = read_aside(child.stderr.take(), MAX_STDERR);
        let ended = wait(&mut child, deadline).map_err(io("waiting for"))?;
        // A process that it left behind may hold the pipes open; its words are not waited for.
        let patience = Duration::from_secs(2);
        let stdout = stdout.recv_timeout(patience).unwrap_or_default();
        let stderr = stderr.recv_timeout(patience).unwrap_or_default();
        if stdout.len() as u64 >= MAX_STDOUT {
            let source = std::io::Error::other(format!("more than {MAX_STDOUT} bytes"));
            return Err(io("reading the output of")(source));
        }
        Ok(Finished {
            ended,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: printable(&String::from_utf8_lossy(&stderr)),
        })
    }

    /// Runs a command that must succeed, and gives its standard output.
    ///
    /// # Errors
    /// As [`Driver::run`]; [`BackendError::Unreachable`] when it did not end in time, and
    /// [`BackendError::Failed`] when it did not succeed.
    pub fn ask<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        extra: &[(String, String)],
    ) -> Result<String, BackendError> {
        let finished = self.run(program, args, extra, Path::new("/"))?;
        if finished.succeeded() {
            return Ok(finished.stdout);
        }
        if finished.ended == Ended::TimedOut {
            let said = format!("{program}: {}", finished.said());
            return Err(BackendError::Unreachable { engine: self.engine, said });
        }
        Err(BackendError::Failed {
            engine: self.engine,
            command: program.to_owned(),
            said: finished.said(),
        })
    }

    /// The caller's account name, or its number when it has none.
    pub fn account(&self) -> String {
        let number = rustix::process::geteuid().as_raw().to_string();
        match self.ask("id", &["-un"], &[]) {
            Ok(name) if !name.trim().is_empty() => name.trim().to_owned(),
            _ => number,
        }
    }
}

/// What a program of this machine says, whatever its exit code; `None` when it is not there or gives
/// no answer within `limit`.
pub fn answer<S: AsRef<OsStr>>(
    environment: &Environment,
    (program, args): (&str, &[S]),
    limit: Duration,
) -> Option<String> {
    let driver =
        Driver { engine: "this machine", own: &[], environment: environment.clone(), limit };
    let finished = driver.run(program, args, &[], Path::new("/")).ok()?;
    (finished.ended != Ended::TimedOut).then_some(finished.stdout)
}

fn read_aside(pipe: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.take(most).read_to_end(&mut bytes);
        }
        let _ = send.send(bytes);
    });
    receive
}

fn wait(child: &mut Child, deadline: Instant) -> std::io::Result<Ended> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(match (status.code(), status.signal()) {
                (Some(code), _) => Ended::Exit(code),
                (None, signal) => Ended::Signal(signal.unwrap_or_default()),
            });
        }
        if Instant::now() >= deadline {
            if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                // Whole group first, then the child itself in case it changed its group.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            child.kill()?;
            child.wait()?;
            return Ok(Ended::TimedOut);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Characters of an engine's words that are shown.
const MOST_SHOWN: usize = 2000;

/// An engine's words as one line that does nothing to a terminal.
pub(super) fn printable(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    // engines get no secret of ours that they could repeat
    Foreign::new(&line).words(&Hidden::default(), MOST_SHOWN).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(limit: Duration) -> Driver {
        let vars = [
            ("PATH", "/usr/bin:/bin"),
            ("MOORLINE_PASSWORD", "sentinel"),
            ("SBATCH_PARTITION", "elsewhere"),
            ("CI_JOB_TOKEN", "sentinel"),
            ("LANG", "de_DE"),
        ];
        let environment = Environment::allowed(vars.map(|(n, v)| (n.into(), v.into())));
        Driver { engine: "test", own: &[], environment, limit }
    }

    #[test]
    fn only_listed_names_are_passed_on() {
        let long = Duration::from_secs(60);
        let said = driver(long).ask("env", &[] as &[&str], &[("EXTRA".into(), "1".into())]);
        let mut names: Vec<_> = said.unwrap().lines().map(str::to_owned).collect();
        names.sort();
        assert_eq!(names, ["EXTRA=1", "LC_ALL=C", "PATH=/usr/bin:/bin"]);
        assert!(!format!("{:?}", driver(long)).contains("sentinel"));
    }

    #[test]
    fn an_absent_command_is_told_apart() {
        let error = driver(Duration::from_secs(60)).ask("no-such-command", &[""], &[]).unwrap_err();
        assert!(matches!(error, BackendError::Absent { .. }), "{error}");
    }

    #[test]
    fn failure_keeps_the_words_and_drops_the_escapes() {
        let script = "printf 'it \\033[31mbroke\\nbadly\\n' >&2; exit 3";
        let error = driver(Duration::from_secs(60)).ask("sh", &["-c", script], &[]).unwrap_err();
        assert_eq!(error.to_string(), "test: sh failed: it broke; badly (exit code 3)");
    }

    #[test]
    fn the_time_limit_kills_children_too() {
        let run = driver(Duration::from_millis(100)).run(
            "sh",
            &["-c", "sleep 600 & sleep 600"],
            &[],
            Path::new("/"),
        );
        assert_eq!(run.unwrap().ended, Ended::TimedOut);
    }
}
