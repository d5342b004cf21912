//! Podman and docker: what is the same for both, and what is not.
//!
//! ```text
//! probe     podman: has this user ids to map? docker: does a daemon answer, and whose is it?
//! prepare   the image by its digest, else `load` of the archive; then compared with the pin
//! run       `run` in the foreground; the leader reads how the container ended, and removes it
//! ```
//!
//! | case | the program's ids | found by |
//! |---|---|---|
//! | root's engine (docker, or podman as root) | `--user UID:GID`, `--group-add` | `docker info`; the worker is root |
//! | podman of an ordinary user | `--userns keep-id` | the worker is not root |
//! | docker of an ordinary user | the container's root is the caller | `docker info` says `name=rootless` |
//! | podman without subordinate ids | none: it steps aside and says why | one line in its `uid_map` |
//!
//! Nothing is pulled: an image comes from the store's archive, whose manifest and configuration were compared with
//! the pin, and it is named by digest. What the engine then says of it is believed: the grade is `runtime-reported`.
//!
//! What they cannot do as our own runtime does: they set `HOSTNAME`, docker takes no umask; where no init is
//! installed, a program without a handler ignores a signal that would end it, and is killed after the grace
//! period; a mount below one that is read-only keeps its own flags.

mod argv;
mod devices;
mod engine;
mod said;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit};

use self::argv::{Ids, Kind, Run, handed_on};
use self::engine::Engine;
use self::said::{Info, Outcome, State, compare, names};
use super::foreign::{self, Scratch};
use super::runtime::{Found, Prepared, Request, Runtime};
use crate::backend;
use crate::execute::attend::Ended;
use crate::execute::confined::Confined;
use crate::execute::container::Manner;
use crate::execute::form::Form;
use crate::execute::identify::{Asked, Program};
use crate::execute::image::Archived;
use crate::execute::report::Report;
use crate::execute::starter::{After, Start, Word};
use crate::execute::{ExecuteError, find_program, gpu, layer, scratch, terminal, tickets};
use crate::files::{self, ForeignFile};
use crate::job::{Access, Evidence, Grade, Measured, Network, WORK_DIR};
use crate::mountinfo::Table;
use crate::oci::ContainerConfig;
use crate::runtime::builtin::Cover;
use crate::runtime::{Bind, environment};
use crate::store::Process;
use crate::worker::{Hides, SizeLimit, WritableLayer};

/// One of the two, by the name that the user says.
pub(super) struct Docker(Kind);

pub(super) const PODMAN: Docker = Docker(Kind::Podman);
pub(super) const DOCKER: Docker = Docker(Kind::Docker);

impl Runtime for Docker {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn wants(&self) -> Form {
        Form::Oci
    }

    fn look(&self) -> Result<(), ExecuteError> {
        foreign::find(self.name()).map(drop)
    }

    fn probe(&self) -> Result<Found, ExecuteError> {
        let path = foreign::find(self.name())?;
        // without a home of this user's, podman 5 does not even say its version
        let home = scratch::Scratch::make(scratch::PROBE, false)?;
        let env: &[(&str, &OsStr)] = &[("HOME", home.path().as_os_str())];
        let asked = Asked { words: &["--version"], env, on_stderr: false };
        let mut found = Found { program: Some(Program::asked(&path, &asked)?), answer: vec![] };
        let program = foreign::program(&found)?;
        let engine = Engine::of(kind(program)?, &program.path, scratch::PROBE)?;
        found.answer = match engine.kind {
            Kind::Podman => podman_answers(&engine).map(|()| Vec::new())?,
            Kind::Docker => docker_answers(&engine)?,
        };
        Ok(found)
    }

    /// With its own pid namespace and nothing mounted but what we say. A flag may change that.
    fn hides(&self, options: &[String]) -> Hides {
        if options.is_empty() { Hides::Yes } else { Hides::No }
    }

    fn prepare<'a>(
        &self,
        found: &Found,
        request: &Request<'a>,
        report: &mut Report,
    ) -> Result<Box<dyn Prepared + 'a>, ExecuteError> {
        let program = foreign::program(found)?.clone();
        let job = &request.plan.job;
        foreign::tell(report, &program, job);
        let pinned = request.image.archived()?;
        let engine = Engine::of(kind(&program)?, &program.path, scratch::JOB)?;
        let info = match engine.kind {
            Kind::Docker => Info::read(&found.answer).map_err(ExecuteError::NoRuntime)?,
            Kind::Podman => Info::default(),
        };
        report.elsewhere = engine.kind == Kind::Docker;
        let ids = ids(&engine, &info, report);
        let devices = if job.terms.gpu { gpus(&engine, &info, report)? } else { vec![] };
        engine.sweep();
        let (image, measured) = image(&engine, pinned, info.has_containerd_store())?;
        let measured_at = Some(jiff::Timestamp::now());
        let grade = Grade::RuntimeReported;
        let evidence = Evidence { grade, measured: Some(measured), measured_at };

        let scratch = Scratch::make(request.control, request.attempt)?;
        let binds = binds(request, &scratch, report)?;
        let none = ContainerConfig::default();
        let config = pinned.archive.config.config.as_ref().unwrap_or(&none);
        let shape: Vec<&str> =
            backend::engines().flat_map(|facts| facts.for_program).copied().collect();
        let host = |name: &str| std::env::var(name).ok();
        let mut env = environment::variables(config, job, &shape, host);
        env.extend(tickets::variables(job));
        let command = environment::command(config, job).ok_or(ExecuteError::NothingToRun)?;
        report.starts(&command);
        if let Some(size) = layer::asked(&job.terms) {
            let limit = SizeLimit::None;
            report.conditions.scratch = Some(WritableLayer { size, limit, used: None });
            let engine = engine.kind.name();
            report.notes.push(format!(
                "the container's layer is where {engine} keeps its storage, and its size is not limited"
            ));
        }
        let network = job.terms.network.unwrap_or(Network::Host);
        if ids == Ids::Root && network == Network::Host {
            report
                .notes
                .push("the program has the network of docker's daemon, not the machine's".into());
        }
        let short: String = request.attempt.chars().take(12).collect();
        let name = format!("moorline-{}-{short}", job.id);
        let process = Process::current().map_or_else(|| "unknown".to_owned(), |p| p.to_string());
        let init = has_init(engine.kind);
        if !init {
            report.notes.push(format!(
                "{} has no init here: a signal that the program does not handle does not end it before the \
                 grace period is over",
                engine.kind.name()
            ));
        }
        if engine.kind == Kind::Docker && job.terms.umask.is_some_and(|mask| mask != 0o022) {
            report.notes.push("docker takes no umask: the program has 0022".into());
        }
        // values that would steer the engine itself are on no command line either
        let by_file = argv::by_file(&env);
        let env_file = scratch.path().join("env");
        if !by_file.is_empty() {
            files::replace(&env_file, 0o600, by_file.as_bytes())
                .map_err(ExecuteError::io(format!("writing {}", env_file.display())))?;
        }
        let words = argv::run(&Run {
            kind: engine.kind,
            name: &name,
            cid: &scratch.path().join("cid"),
            process: &process,
            image: &image,
            ids: &ids,
            binds: &binds,
            command: &command,
            env: &env,
            env_file: (!by_file.is_empty()).then_some(env_file.as_path()),
            network,
            umask: job.terms.umask,
            limits: &limits(engine.kind, &ids),
            init,
            terminal: terminal::is_here(),
            devices: &devices,
            options: &job.options,
        })?;
        let mut own = handed_on(&env);
        own.extend(engine.env.clone());
        let state = scratch.path().join("state.json");
        let start = Start {
            after: vec![
                After {
                    words: engine.words(["container", "inspect", &name]),
                    output: Some(Word::from(state.clone())),
                },
                After { words: engine.words(["rm", "--force", &name]), output: None },
            ],
            ..foreign::start(request, engine.words(words), own, &binds)
        };
        let manner = Manner { alone: false, ..Manner::of(&job.terms)? };
        Ok(Box::new(Ready {
            start,
            manner,
            program,
            evidence,
            state,
            _scratch: scratch,
            _engine: engine,
        }))
    }
}

/// A job for one of them.
struct Ready {
    start: Start,
    manner: Manner<'static>,
    program: Program,
    evidence: Evidence,
    /// Where the leader puts how the container ended.
    state: PathBuf,
    _scratch: Scratch,
    _engine: Engine,
}

impl Prepared for Ready {
    fn identity(&self) -> Evidence {
        self.evidence.clone()
    }

    fn run(self: Box<Self>, report: &mut Report) -> Result<Ended, ExecuteError> {
        let mut ended = foreign::attend(self.start, &self.manner)?;
        foreign::check_program(report, &self.program);
        let state = ForeignFile::own(16 << 20).bytes(&self.state).ok();
        let state = state.and_then(|bytes| State::read(&bytes));
        match state.map(State::outcome) {
            Some(Outcome::Ended { code, out_of_memory }) => {
                if ended.told.is_none() {
                    ended.code = code;
                }
                if out_of_memory {
                    report.notes.push("the program was ended for want of memory".into());
                }
                Ok(ended)
            }
            // it was killed with the engine's program
            Some(Outcome::Running) => Ok(ended),
            Some(Outcome::Never { why }) => Err(ExecuteError::NotStarted(why)),
            None if ended.told.is_some() => Ok(ended),
            None => Err(ExecuteError::NotStarted(format!(
                "{} ended with {} and made no container; its message is on standard error",
                self.program.path.display(),
                ended.code
            ))),
        }
    }
}

/// Which of the two a program is, by its own words: `docker` may be podman.
fn kind(program: &Program) -> Result<Kind, ExecuteError> {
    match program.kind() {
        Some("podman") => Ok(Kind::Podman),
        Some("docker") => Ok(Kind::Docker),
        _ => Err(ExecuteError::NoRuntime(format!(
            "{} is neither podman nor docker: it says {:?}",
            program.path.display(),
            program.version.as_deref().unwrap_or_default()
        ))),
    }
}

/// Whether podman can start something for this user.
fn podman_answers(engine: &Engine) -> Result<(), ExecuteError> {
    let refuse = |why: String| Err(ExecuteError::NoRuntime(why));
    if rustix::process::geteuid().is_root() {
        let answer = engine.ask(&["info"])?;
        return if answer.good { Ok(()) } else { refuse(answer.complaint().to_owned()) };
    }
    let answer = engine.ask(&["unshare", "cat", "/proc/self/uid_map"])?;
    let map = String::from_utf8_lossy(&answer.stdout);
    if answer.good && map.lines().count() > 1 {
        return Ok(());
    }
    if Confined::own().no_new_privileges {
        return refuse(
            "it needs subordinate ids, and nothing in the container around this worker may set them \
             (no_new_privs); take --runtime builtin or auto"
                .into(),
        );
    }
    if find_program("newuidmap").is_none() {
        return refuse("newuidmap is not installed (the package uidmap)".into());
    }
    if answer.good {
        let uid = rustix::process::getuid().as_raw();
        return refuse(format!(
            "uid {uid} has no subordinate ids, which it needs for the users of an image; the administrator \
             gives some with usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME"
        ));
    }
    refuse(answer.complaint().to_owned())
}

/// What docker's daemon says of itself.
fn docker_answers(engine: &Engine) -> Result<Vec<u8>, ExecuteError> {
    let answer = engine.ask(&["info", "--format", "{{json .}}"])?;
    let silent = |why: String| {
        let (runtime, inside) = (engine.kind.name(), Confined::own().at_all());
        Err(ExecuteError::NoDaemon { runtime, why, inside })
    };
    match Info::read(&answer.stdout) {
        Ok(_) => Ok(answer.stdout),
        Err(_) if !answer.good => silent(answer.complaint().to_owned()),
        Err(why) => silent(why),
    }
}

fn ids(engine: &Engine, info: &Info, report: &mut Report) -> Ids {
    let uid = rustix::process::geteuid();
    let lost = "the program has none of the caller's supplementary groups";
    match engine.kind {
        Kind::Podman if !uid.is_root() => {
            report.notes.push(lost.into());
            Ids::Kept
        }
        Kind::Docker if info.is_rootless() => {
            report.notes.push(lost.into());
            report
                .notes
                .push("the program has the limits of docker's daemon, not the caller's".into());
            Ids::Root
        }
        _ => {
            let gid = rustix::process::getegid().as_raw();
            let groups = rustix::process::getgroups().unwrap_or_default();
            let groups = groups.into_iter().map(rustix::process::Gid::as_raw);
            let groups = groups.filter(|group| *group != gid).collect();
            Ids::Named { uid: uid.as_raw(), gid, groups }
        }
    }
}

/// The machine's graphics processors, as words for the engine.
fn gpus(engine: &Engine, info: &Info, report: &mut Report) -> Result<Vec<String>, ExecuteError> {
    let found = gpu::look()?;
    let specification = gpu::Specification::of(found.vendor.cdi());
    let words = devices::words(engine.kind, info, &found, specification.as_ref())?;
    report.conditions.gpu = Some(found.said);
    Ok(words)
}

/// The image in the engine's store, loaded where it is not there, and compared with the pin.
fn image(
    engine: &Engine,
    pinned: &Archived,
    containerd: bool,
) -> Result<(String, Measured), ExecuteError> {
    let look = || -> Result<Option<(String, Vec<u8>)>, ExecuteError> {
        for digest in names(pinned, containerd) {
            let name = digest.to_string();
            let answer = engine.ask(&["image", "inspect", &name])?;
            if answer.good {
                return Ok(Some((name, answer.stdout)));
            }
        }
        Ok(None)
    };
    let found = if let Some(found) = look()? {
        found
    } else {
        let archive = pinned.path.clone().into_os_string();
        let words = [OsString::from("load"), "--quiet".into(), "--input".into(), archive];
        let answer = engine.move_data(&words)?;
        let what = || format!("what {} loaded from {}", engine.kind.name(), pinned.path.display());
        if !answer.good {
            return Err(ExecuteError::NotLoaded {
                runtime: engine.kind.name(),
                path: pinned.path.clone(),
                why: answer.complaint().to_owned(),
            });
        }
        look()?.ok_or_else(|| ExecuteError::OtherImage {
            what: what(),
            why: "no image has the digest of its configuration or of its manifest".into(),
        })?
    };
    let (name, said) = found;
    let measured = compare(&said, pinned).map_err(|why| ExecuteError::OtherImage {
        what: format!("the image {name} of {}", engine.kind.name()),
        why,
    })?;
    Ok((name, measured))
}

/// The working directory, the job's mounts, its tickets, and what covers those places that it must not see.
fn binds(
    request: &Request<'_>,
    scratch: &Scratch,
    report: &mut Report,
) -> Result<Vec<Bind>, ExecuteError> {
    let workdir = Bind {
        source: request.workdir.to_owned(),
        target: WORK_DIR.into(),
        access: Access::Rw,
        directory: true,
    };
    // the machine's memory, which processes of one node share
    let shm = Path::new("/dev/shm");
    let source = std::fs::canonicalize(shm).ok().filter(|path| path.is_dir());
    let asked_for = request.binds.iter().any(|bind| bind.target == shm);
    let shared = source.filter(|_| !asked_for).map(|source| Bind {
        source,
        target: shm.to_owned(),
        access: Access::Rw,
        directory: true,
    });
    let shown: &[&Path] = if shared.is_some() { &[shm] } else { &[] };
    let mut binds = vec![workdir];
    binds.extend(shared);
    binds.extend_from_slice(request.binds);
    binds.extend(foreign::covers(request, scratch, shown)?);
    binds.extend(tickets::binds(request.plan, request.control, scratch.path())?);
    // which of them lie over files of the image is not known without its tree: each could
    let asked = request.asked();
    let covers: Vec<Cover> =
        asked.map(|b| Cover { target: b.target.clone(), source: b.source.clone() }).collect();
    report.covered_by(&covers);
    let table = Table::own().map_err(ExecuteError::io("reading the mount table"))?;
    for bind in binds.iter().filter(|bind| bind.access == Access::Ro && bind.directory) {
        if let Some(below) = table.below(&bind.source).next() {
            report.notes.push(format!(
                "{} is mounted below {}, which is read-only in the container, and keeps its own flags",
                below.point.display(),
                bind.source.display()
            ));
        }
    }
    Ok(binds)
}

/// Whether an init can stand above the program.
fn has_init(kind: Kind) -> bool {
    match kind {
        Kind::Docker => find_program("docker-init").is_some(),
        Kind::Podman => {
            const PLACES: [&str; 4] = [
                "/usr/libexec/podman/catatonit",
                "/usr/local/libexec/podman/catatonit",
                "/usr/local/lib/podman/catatonit",
                "/usr/lib/podman/catatonit",
            ];
            PLACES.iter().any(|path| Path::new(path).exists())
                || Path::new("/usr/bin/catatonit").exists()
        }
    }
}

/// The worker's own limits, which the container gets: an engine has others, and may not be allowed to set them. The
/// number of processes is docker's own business; podman lowers its own to 32768 before it sets any. A daemon without
/// root cannot set a higher one than its own, so it sets none.
fn limits(kind: Kind, ids: &Ids) -> Vec<(&'static str, String, String)> {
    const MOST: u64 = 32768;
    if *ids == Ids::Root {
        return Vec::new();
    }
    let shown = |limit: Option<u64>| limit.map_or_else(|| "-1".to_owned(), |n| n.to_string());
    let all = [("core", Resource::Core), ("nofile", Resource::Nofile), ("nproc", Resource::Nproc)];
    let mut limits = Vec::new();
    for (name, resource) in all {
        let mut limit = getrlimit(resource);
        if resource == Resource::Nproc {
            if kind == Kind::Docker {
                continue;
            }
            let lower = |limit: Option<u64>| Some(limit.map_or(MOST, |n| n.min(MOST)));
            limit = Rlimit { current: lower(limit.current), maximum: lower(limit.maximum) };
        }
        limits.push((name, shown(limit.current), shown(limit.maximum)));
    }
    limits
}
