//! The program of podman or docker: where it keeps things, and how it is asked.
//!
//! ```text
//! root, or a session: podman's usual storage, which keeps the image for the next job
//! no XDG_RUNTIME_DIR, or a home on a network's file system (batch nodes):
//!     BASE/mlp-XXXXXX/{r,x,f}     --root, XDG_RUNTIME_DIR, TMPDIR; `process` says whose it is. It goes with
//!                                 the job; podman takes no --runroot of more than 50 bytes, so BASE is the
//!                                 job's only if it is short.
//! ```
//!
//! Podman's `--runroot` and `--tmpdir` follow from `XDG_RUNTIME_DIR`. They are not set: an ordinary user's podman would not
//! find its namespaces there before it begins, and start itself again below a parent that a signal ends at once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use super::argv::{Kind, LABEL};
use crate::execute::attend::still_wanted;
use crate::execute::scratch::Scratch;
use crate::execute::starter::Word;
use crate::execute::{ExecuteError, session};
use crate::files::{self, ForeignFile};
use crate::listing;
use crate::store::Process;

/// How long a question may take that moves no data.
const PATIENCE: Duration = Duration::from_secs(30);
/// Moving an image takes as long as it takes.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// More of an answer is not read.
const MOST: u64 = 16 << 20;

/// The program, ready to be asked.
pub(super) struct Engine {
    pub(super) kind: Kind,
    program: PathBuf,
    /// Its flags that come before everything else.
    global: Vec<OsString>,
    /// Its environment.
    pub(super) env: BTreeMap<String, String>,
    place: Option<Place>,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) good: bool,
    pub(super) stdout: Vec<u8>,
    stderr: String,
}

impl Answer {
    /// The last line of what it complained of.
    pub(super) fn complaint(&self) -> &str {
        let mut lines = self.stderr.lines().rev().map(str::trim);
        lines.find(|line| !line.is_empty()).unwrap_or("it does not say why")
    }
}

impl Engine {
    /// The program `path`, with a storage where it can have one.
    ///
    /// # Errors
    /// When there is no room for a private storage.
    pub(super) fn of(kind: Kind, path: &Path, prefix: &str) -> Result<Self, ExecuteError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut env: BTreeMap<String, String> = ["PATH", "HOME"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), set(name)?)))
            .collect();
        let session = set("XDG_RUNTIME_DIR").filter(|dir| is_mine(Path::new(dir)));
        let mut global = Vec::new();
        let mut place = None;
        let root = rustix::process::geteuid().is_root();
        let usual = root || session.is_some() && has_local_home(env.get("HOME"));
        if kind == Kind::Podman && !usual {
            let made = Place::make(prefix)?;
            global.extend(["--root".into(), made.path.join(STORAGE).into_os_string()]);
            let runtime = made.directory(RUNTIME)?;
            env.insert("XDG_RUNTIME_DIR".into(), runtime.to_string_lossy().into_owned());
            let files = made.directory("f")?;
            env.insert("TMPDIR".into(), files.to_string_lossy().into_owned());
            // it starts nothing for somebody whose home is not there, as on a node
            if !env.get("HOME").is_some_and(|home| is_usable(Path::new(home))) {
                env.insert("HOME".into(), made.path.to_string_lossy().into_owned());
            }
            place = Some(made);
        } else if let Some(session) = session {
            env.insert("XDG_RUNTIME_DIR".into(), session);
            env.extend(
                set("DBUS_SESSION_BUS_ADDRESS").map(|v| ("DBUS_SESSION_BUS_ADDRESS".into(), v)),
            );
        }
        Ok(Self { kind, program: path.to_owned(), global, env, place })
    }

    /// A whole command line.
    pub(super) fn words<I>(&self, rest: I) -> Vec<Word>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let first = std::iter::once(self.program.clone().into_os_string());
        let rest = rest.into_iter().map(Into::into);
        first.chain(self.global.iter().cloned()).chain(rest).map(Word::from).collect()
    }

    /// Asks something that moves no data.
    ///
    /// # Errors
    /// When it cannot be started, does not end, or the worker was told to end meanwhile.
    pub(super) fn ask<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Answer, ExecuteError> {
        self.run(words, PATIENCE)
    }

    /// The same for what takes long.
    ///
    /// # Errors
    /// As [`Engine::ask`].
    pub(super) fn move_data<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Answer, ExecuteError> {
        self.run(words, DAY)
    }

    fn run<S: AsRef<OsStr>>(
        &self,
        words: &[S],
        patience: Duration,
    ) -> Result<Answer, ExecuteError> {
        let verb = words.first().map(|word| word.as_ref().to_string_lossy().into_owned());
        let what = format!("{} {}", self.program.display(), verb.unwrap_or_default());
        let io = || ExecuteError::io(format!("a file for the answer of {what}"));
        let (mut stdout, mut stderr) =
            (tempfile::tempfile().map_err(io())?, tempfile::tempfile().map_err(io())?);
        // podman leaves processes behind that hold its namespaces
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let mut child = Command::new(&self.program)
            .args(&self.global)
            .args(words)
            .env_clear()
            .envs(&self.env)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().map_err(io())?)
            .stderr(stderr.try_clone().map_err(io())?)
            .spawn()
            .map_err(|e| ExecuteError::starting(what.clone(), e))?;
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(io())? {
                break status;
            }
            let wanted = still_wanted();
            if wanted.is_err() || Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                wanted?;
                let why = format!("{what} did not end within {} s", patience.as_secs());
                return Err(ExecuteError::NoRuntime(why));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let read = |file: &mut fs::File| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.take(MOST).read_to_end(&mut bytes)).map(|_| bytes)
        };
        Ok(Answer {
            good: status.success(),
            stdout: read(&mut stdout).map_err(io())?,
            stderr: String::from_utf8_lossy(&read(&mut stderr).map_err(io())?).into_owned(),
        })
    }

    /// Removes what killed workers of this user left on this machine: containers, private storages.
    pub(super) fn sweep(&self) {
        if let Some(place) = &self.place {
            for dir in place.left() {
                // the process that holds its namespaces, too
                let storage = dir.join(STORAGE).into_os_string();
                let runtime = dir.join(RUNTIME).to_string_lossy().into_owned();
                let mut env = self.env.clone();
                env.insert("XDG_RUNTIME_DIR".into(), runtime);
                let (kind, program) = (self.kind, self.program.clone());
                let global = vec!["--root".into(), storage];
                let theirs = Self { kind, program, global, env, place: None };
                let _ = theirs.ask(&["system", "migrate"]);
                self.remove(&dir);
                let _ = listing::remove_tree(&dir);
            }
            return;
        }
        let Some(here) = Process::current() else { return };
        let format = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}");
        let filter = format!("label={LABEL}");
        let Ok(answer) = self.ask(&["ps", "--all", "--filter", &filter, "--format", &format])
        else {
            return;
        };
        for line in String::from_utf8_lossy(&answer.stdout).lines() {
            let Some((id, process)) = line.split_once(' ') else { continue };
            if process.trim().parse::<Process>().is_ok_and(|process| process.is_dead(&here)) {
                // the next job tries it again
                let _ = self.ask(&["rm", "--force", id]);
            }
        }
    }
}

impl Engine {
    /// Removes what podman made in a private storage: its files belong to ids that only podman's own user
    /// namespace has.
    fn remove(&self, dir: &Path) {
        let storage = dir.join(STORAGE).into_os_string();
        let words = ["unshare", "rm", "-rf", "--"].map(OsString::from);
        let words: Vec<OsString> = words.into_iter().chain([storage]).collect();
        let _ = self.run(&words, PATIENCE);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.remove(&place.path);
            session::end_children();
            drop(place);
        }
    }
}

/// Where podman keeps images and containers in a private place.
const STORAGE: &str = "r";
/// Its `XDG_RUNTIME_DIR`.
const RUNTIME: &str = "x";
/// How the name of a private storage begins.
const PREFIX: &str = "mlp-";
/// The longest `--runroot` that podman takes, in bytes.
const LONGEST: usize = 50;

/// A private storage; it goes with its value.
struct Place {
    path: PathBuf,
}

impl Place {
    fn make(prefix: &str) -> Result<Self, ExecuteError> {
        let base = Scratch::make(prefix, false)?.base.clone();
        let bases = [base, "/tmp".into(), "/var/tmp".into()];
        let mut failed = None;
        for base in bases {
            let Ok(base) = fs::canonicalize(base) else { continue };
            if base.as_os_str().len() + "/mlp-XXXXXX/x/containers".len() > LONGEST {
                continue;
            }
            let mut builder = tempfile::Builder::new();
            builder.prefix(PREFIX).permissions(fs::Permissions::from_mode(0o700));
            match builder.tempdir_in(&base) {
                Ok(made) => {
                    let place = Self { path: made.keep() };
                    if let Some(process) = Process::current() {
                        let path = place.path.join("process");
                        fs::write(&path, process.to_string())
                            .map_err(ExecuteError::io("writing"))?;
                    }
                    return Ok(place);
                }
                Err(error) => failed = Some((base, error)),
            }
        }
        let (base, error) = failed.unwrap_or_else(|| {
            ("/tmp".into(), std::io::Error::new(std::io::ErrorKind::NotFound, "it is not there"))
        });
        Err(ExecuteError::io(format!("making a directory for podman in {}", base.display()))(error))
    }

    fn directory(&self, name: &str) -> Result<PathBuf, ExecuteError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(ExecuteError::io(format!("making {}", path.display())))?;
        Ok(path)
    }

    /// Private storages beside this one that dead processes of this user left.
    fn left(&self) -> Vec<PathBuf> {
        let (Some(base), Some(here)) = (self.path.parent(), Process::current()) else {
            return vec![];
        };
        let me = rustix::process::geteuid().as_raw();
        let names = listing::names(base).unwrap_or_default().into_iter();
        let ours = names.filter(|name| name.to_str().is_some_and(|name| name.starts_with(PREFIX)));
        ours.map(|name| base.join(name))
            .filter(|dir| fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir() && m.uid() == me))
            .filter(|dir| {
                let process = ForeignFile::own(4096).text(&dir.join("process")).unwrap_or_default();
                process.trim().parse::<Process>().is_ok_and(|process| process.is_dead(&here))
            })
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // what stays is removed by a later job
        let _ = listing::remove_tree(&self.path);
    }
}

/// Whether a session's directory is there and this user's.
fn is_mine(dir: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    dir.is_absolute() && fs::metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == me)
}

/// Whether a home is there, this user may enter it, and podman finds or makes its directory for configuration there.
fn is_usable(home: &Path) -> bool {
    access(home, Access::READ_OK | Access::EXEC_OK).is_ok()
        && (access(home, Access::WRITE_OK).is_ok() || home.join(".config").is_dir())
}

/// Whether podman's usual storage of a user lies on a disk of this machine.
fn has_local_home(home: Option<&String>) -> bool {
    let Some(home) = home.map(Path::new).filter(|home| is_usable(home)) else { return false };
    let storage = home.join(".local/share/containers");
    let there = storage.ancestors().find(|dir| dir.is_dir());
    there
        .and_then(|dir| rustix::fs::statfs(dir).ok())
        .is_some_and(|stat| files::is_local(stat.f_type))
}
