//! udocker: programs in user space, without namespaces (proot), or with them (runc, crun).
//!
//! ```text
//! SCRATCH/repo/containers/ID/{ROOT,container.json}     the tree, as udocker's own `create` would leave it
//! sh -c 'exec "$@" 3>&1 4>&2' sh
//! udocker [--allow-root] --quiet run --user=.. --workdir=/work_dir --volume=WORKDIR:/work_dir [--volume=..]
//!         --env-file=FILE [OPTIONS] --nobanner ID CMD..
//! ```
//!
//! Source: udocker 1.3.17, and what it was seen to do (`tests/parts/runtimes.sh`):
//!
//! - It is never installed by a job, and neither are its engines (`UDOCKER_TARBALL` is empty). One that its submitter
//!   added comes with the job (`added.rs`) and is taken then; else that in `PATH`. `proot`, `runc` and `crun` of `PATH`
//!   come before those that came with the job (`mode.rs`).
//! - `load` and `create` look at no digest, so the tree is this worker's own. The program can write to it, and to what
//!   udocker adds there: hence no better grade than *measured-cached*.
//! - In the R modes it loses the exit code and mixes both outputs when no terminal is there. So the engine stands behind
//!   a few lines of shell ([`wrapper`]), which give it udocker's own outputs and keep its code.
//! - It passes no signal on: a program is ended at once. proot says 255 of one that a signal ended.
//! - proot 5.1 (Debian 12) does not know what newer C libraries ask of it: from glibc 2.33 on no program starts.
//! - It drops empty arguments, and blanks around a variable's value. A value of several lines is refused.
//! - It sets variables of its own ([`OWN`]).
//!
//! - Its F modes rewrite the image before the program starts (`setup`), and no engine stands above the program: the
//!   few lines of shell stand for `env`, by which udocker starts it. What ran is then udocker's word, and the receipt
//!   says so.
//!
//! `--option=--execmode=P1|P2|R1|F1|F2` chooses the mode. The S modes are apptainer's.

mod added;
mod mode;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use self::added::{ASKED, Brought};
use self::mode::{Engine, Mode, any_engine, mode};
use super::foreign::{self, Scratch, Telling};
use super::runtime::{Found, Prepared, Request, Runtime};
use super::unpacked::{self, Tree, on_lines, point, points, refuse, shown, spelled};
use crate::execute::attend::Ended;
use crate::execute::container::Manner;
use crate::execute::form::Form;
use crate::execute::identify::{Asked, Program};
use crate::execute::report::Report;
use crate::execute::starter::Start;
use crate::execute::witness::Sign;
use crate::execute::{ExecuteError, layer, scratch};
use crate::job::{AddedRuntime, Evidence, Grade, JobSpec, Name, Terms, WORK_DIR};
use crate::runtime::Bind;
use crate::worker::Hides;

/// The runtime.
pub(super) struct Udocker;

const NAME: &str = "udocker";
/// What it calls the job's container; its form is udocker's.
const ID: &str = "00000000-0000-0000-0000-000000000000";
/// What its answer begins with.
const ANSWER: &str = "version: ";
/// How its engines end when they fail: proot, runc, crun.
const FAILURES: [i32; 1] = [1];
/// Variables that the program gets from it.
const OWN: &str = "USER, LOGNAME, USERNAME, PS1, SHLVL, PROOT_TMP_DIR, container_*";

impl Runtime for Udocker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wants(&self) -> Form {
        Form::Sif
    }

    fn lacks(&self, terms: &Terms) -> Option<&'static str> {
        unpacked::lacks(terms)
    }

    fn cannot(&self, job: &JobSpec) -> Option<String> {
        unpacked::cannot(job)
    }

    fn look(&self) -> Result<(), ExecuteError> {
        foreign::find(NAME)?;
        any_engine(&[])
    }

    fn look_at(&self, added: &AddedRuntime) -> Result<(), ExecuteError> {
        added::python()?;
        any_engine(added.brings())
    }

    fn probe(&self) -> Result<Found, ExecuteError> {
        let found = foreign::find(NAME)?;
        // it makes a repository before it says anything, at home if it may
        let scratch = scratch::Scratch::make(scratch::PROBE, false)?;
        let repository = repository(scratch.path())?;
        let env = [("UDOCKER_DIR", repository.as_os_str()), ("HOME", scratch.path().as_os_str())];
        let asked = Asked { words: ASKED, env: &env, on_stderr: false };
        let program = Program::asked(&found, &asked)?;
        is_one(&program)?;
        any_engine(&[])?;
        Ok(Found { program: Some(program), answer: Vec::new() })
    }

    /// Its files are compared and unpacked when the job is made ready.
    fn probe_added(&self, added: &AddedRuntime) -> Result<Found, ExecuteError> {
        self.look_at(added)?;
        Ok(Found { program: None, answer: Vec::new() })
    }

    /// Nothing keeps a program in proot's view of the files.
    fn hides(&self, _: &[String]) -> Hides {
        Hides::No
    }

    fn prepare<'a>(
        &self,
        found: &Found,
        request: &Request<'a>,
        report: &mut Report,
    ) -> Result<Box<dyn Prepared + 'a>, ExecuteError> {
        let job = &request.plan.job;
        let added = request.plan.added.iter().find(|one| one.runtime.kind == NAME);
        let brings = added.map_or(&[][..], |one| one.runtime.brings());
        if let Some(program) = &found.program {
            foreign::tell(report, program, job);
        }
        report.runtime = Name::known(NAME);
        report.rootfs = Some("unpacked".into());
        report.conditions.options.clone_from(&job.options);
        let (mode, options) = mode(&job.options)?;
        let mode = mode.unwrap_or_else(|| Mode::usual(brings));
        let engine = mode.engine(brings)?;
        refuse(NAME, request, report)?;
        if job.terms.gpu && !matches!(mode, Mode::P1 | Mode::P2) {
            let why = "only its P modes show devices of the machine; take --option=--execmode=P1";
            return Err(ExecuteError::Terms { runtime: NAME, why: why.into() });
        }
        let tree = Tree::of(request, report)?;
        on_lines(NAME, &tree.env)?;
        unpacked::plain(NAME, &tree.env)?;
        if mode == Mode::R1 {
            report.notes.push("the program has none of the caller's supplementary groups".into());
        }
        if tree.command.iter().any(String::is_empty) {
            return Err(ExecuteError::NotStarted(
                "udocker drops empty arguments, and the command has one; take --runtime builtin"
                    .into(),
            ));
        }
        let size = layer::asked(&job.terms);
        if let Some(size) = size {
            layer::room(tree.scratch.path(), size)?;
        }
        let scratch = Scratch::make(request.control, request.attempt)?;
        let binds = shown(request, &tree, &scratch)?;

        let repository = repository(tree.scratch.path())?;
        let program = match added {
            None => foreign::program(found)?.clone(),
            Some(staged) => {
                let places = (tree.scratch.path(), &*repository);
                let Brought { program, said, note } =
                    added::unpack(staged, request.control, places)?;
                is_one(&program)?;
                report.conditions.program = Some(said);
                report.notes.push(note);
                program
            }
        };
        let (engine, from) = match engine {
            Engine::Host(path) => (path.clone(), path.display().to_string()),
            Engine::Brought(name) => {
                let from = format!("{name}, which came with the job");
                (repository.join("bin").join(name), from)
            }
        };
        let root = container(&repository, &tree, &binds)?;
        let io = |what: &'static str| ExecuteError::io(what);
        let code = scratch.path().join("code");
        let engines = scratch.directory("engine")?;
        // udocker tells runc from crun by the file's name
        let wrapped = engines.join(engine.file_name().unwrap_or(OsStr::new(NAME)));
        fs::write(&wrapped, wrapper(mode, &engine, &code)?).map_err(io("writing the engine"))?;
        fs::set_permissions(&wrapped, fs::Permissions::from_mode(0o700))
            .map_err(io("writing the engine"))?;
        let variables = scratch.path().join("environment");
        fs::write(&variables, environment(&tree.env)).map_err(io("writing the variables"))?;
        tells(report, mode, &from);

        let words = argv(&Run {
            program: &program.path,
            setup: mode.rewrites().map(|_| mode),
            root: rustix::process::geteuid().is_root(),
            ids: mode.ids(),
            binds: &binds,
            variables: &variables,
            options: &options,
            command: &tree.command,
        })?;
        let env = surroundings(mode, &repository, &wrapped, &scratch)?;
        let start = foreign::start(request, words, env, &binds);
        let manner = Manner::of(&job.terms)?;
        let mut evidence = request.evidence.clone();
        // of what was rewritten only udocker knows what it is
        let best = mode.rewrites().map_or(Grade::MeasuredCached, |_| Grade::RuntimeReported);
        if evidence.grade.meets(&best) {
            evidence.grade = best;
        }
        Ok(Box::new(Ready {
            start,
            mode,
            manner,
            program,
            code,
            evidence,
            root,
            size,
            _tree: tree,
            _scratch: scratch,
        }))
    }
}

/// What the receipt has to say of a job in udocker.
fn tells(report: &mut Report, mode: Mode, from: &str) {
    report.notes.push(format!("udocker {mode:?}, by {from}"));
    report.conditions.modified = mode.rewrites().map(str::to_owned);
    report.notes.push(format!("udocker sets variables of its own: {OWN}"));
    report.notes.push("the program can write to the image's tree, which goes with the job".into());
    report.notes.push("udocker passes no signal on: a program that is to end is killed".into());
}

/// Whether a program that was asked is udocker.
///
/// # Errors
/// [`ExecuteError::NoRuntime`] with what it says.
fn is_one(program: &Program) -> Result<(), ExecuteError> {
    let said = program.version.as_deref().unwrap_or_default();
    if said.starts_with(ANSWER) {
        return Ok(());
    }
    let path = program.path.display();
    Err(ExecuteError::NoRuntime(format!("{path} is no udocker: it says {said:?}")))
}

/// A job for it.
struct Ready {
    start: Start,
    mode: Mode,
    manner: Manner<'static>,
    program: Program,
    /// Where the engine's exit code is put.
    code: PathBuf,
    evidence: Evidence,
    /// The image's tree.
    root: PathBuf,
    /// How many bytes the program may write into it.
    size: Option<u64>,
    _tree: Tree,
    _scratch: Scratch,
}

impl Prepared for Ready {
    fn identity(&self) -> Evidence {
        self.evidence.clone()
    }

    fn run(self: Box<Self>, report: &mut Report) -> Result<Ended, ExecuteError> {
        let watch =
            self.size.map(|size| layer::watch_tree(&self.root, size, report)).transpose()?;
        let manner = Manner { watch: watch.as_ref(), ..self.manner };
        let tree = fs::canonicalize(&self.root).unwrap_or(self.root);
        let sign = if self.mode == Mode::R1 { Sign::Root } else { Sign::Below(tree) };
        // its engine was started
        let telling = Telling {
            runtime: NAME,
            failures: &FAILURES,
            sign,
            // udocker itself opens files of the image
            program: None,
            lasting: false,
            works: &|| true,
            there: &|| true,
        };
        let ended = foreign::attend_seen(self.start, &manner, telling, |ended| {
            let code = fs::read_to_string(&self.code).ok();
            match code.and_then(|text| text.trim().parse::<u8>().ok()) {
                Some(code) if ended.told.is_none() => ended.code = code.into(),
                Some(_) => {}
                None if ended.told.is_some() => {}
                None => {
                    return Err(ExecuteError::NotStarted(format!(
                        "udocker ended with {} before it started its engine; perhaps the program is not in the \
                         image: what it says is on standard error",
                        ended.code
                    )));
                }
            }
            Ok(())
        });
        foreign::check_program(report, &self.program);
        let mut ended = ended?;
        if let Some(watch) = watch {
            watch.finish(&mut ended, report);
        }
        Ok(ended)
    }
}

/// A repository in `directory`, so that udocker makes none at home.
fn repository(directory: &Path) -> Result<PathBuf, ExecuteError> {
    let path = directory.join("repo");
    for name in ["", "bin", "lib", "doc", "repos", "layers", "containers"] {
        let path = path.join(name);
        fs::create_dir(&path).map_err(ExecuteError::io(format!("making {}", path.display())))?;
    }
    Ok(path)
}

/// The container in `repository`, as udocker's own `create` would leave it; where its tree is.
fn container(repository: &Path, tree: &Tree, binds: &[Bind]) -> Result<PathBuf, ExecuteError> {
    let container = repository.join("containers").join(ID);
    let root = container.join("ROOT");
    let io = |what: &'static str| ExecuteError::io(what);
    fs::create_dir(&container).map_err(io("making udocker's container"))?;
    fs::rename(&tree.unpacked.root, &root).map_err(io("moving the image's tree"))?;
    fs::write(container.join("container.json"), r#"{"config":{}}"#)
        .map_err(io("writing container.json"))?;
    for file in ["/etc/passwd", "/etc/group"] {
        point(NAME, &root, Path::new(file), false)?;
    }
    points(NAME, &root, binds)?;
    Ok(root)
}

/// What stands for the engine: it keeps the engine's exit code, and in the R modes gives it the outputs of
/// udocker, which would be a pseudo-terminal. What is asked of it besides goes straight to the engine.
fn wrapper(mode: Mode, engine: &Path, code: &Path) -> Result<String, ExecuteError> {
    let quoted = |path: &Path| {
        let text = path.to_str().and_then(|text| shlex::try_quote(text).ok());
        text.map(String::from).ok_or_else(|| ExecuteError::Unspelled {
            path: path.to_owned(),
            runtime: NAME,
            why: "it is not UTF-8".into(),
        })
    };
    let (engine, code) = (quoted(engine)?, quoted(code)?);
    // udocker leaves as soon as nobody holds its pseudo-terminal
    let outputs = match mode {
        Mode::R1 => "[ -t 1 ] && exec 5>&1 >&3 2>&4\n",
        Mode::P1 | Mode::P2 | Mode::F1 | Mode::F2 => "",
    };
    Ok(format!(
        "#!/bin/sh\ncase \"$1\" in --help|spec) exec {engine} \"$@\" ;; esac\n{outputs}{engine} \"$@\" 3>&- 4>&- 5>&-\n\
         code=$?\necho \"$code\" >{code}\nexit \"$code\"\n"
    ))
}

/// What udocker itself gets: nothing of the caller's but `PATH`, and directories of the job's own.
fn surroundings(
    mode: Mode,
    repository: &Path,
    engine: &Path,
    scratch: &Scratch,
) -> Result<BTreeMap<String, String>, ExecuteError> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut env = BTreeMap::from([
        ("UDOCKER_DIR".to_owned(), text(repository)),
        ("UDOCKER_TMP".to_owned(), text(&scratch.directory("tmp")?)),
        ("HOME".to_owned(), text(&scratch.directory("home")?)),
        ("UDOCKER_TARBALL".to_owned(), String::new()),
        // what `setup` sets comes before it
        ("UDOCKER_DEFAULT_EXECUTION_MODE".to_owned(), format!("{:?}", mode.before_setup())),
        ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
    ]);
    let which = match mode {
        Mode::P1 | Mode::P2 => Some("UDOCKER_USE_PROOT_EXECUTABLE"),
        Mode::R1 => Some("UDOCKER_USE_RUNC_EXECUTABLE"),
        Mode::F1 | Mode::F2 => None,
    };
    let path = std::env::var("PATH").ok();
    if let Some(which) = which {
        env.insert(which.to_owned(), text(engine));
        env.extend(path.map(|path| ("PATH".to_owned(), path)));
    } else {
        // it looks for `env` there
        let folder = text(engine.parent().unwrap_or(engine));
        let path = path.map_or_else(|| folder.clone(), |path| format!("{folder}:{path}"));
        env.insert("PATH".to_owned(), path);
    }
    Ok(env)
}

/// The file for `--env-file`.
fn environment(all: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in all {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// What stands on the command line.
struct Run<'a> {
    program: &'a Path,
    /// The mode that the image is made ready for.
    setup: Option<Mode>,
    root: bool,
    ids: String,
    binds: &'a [Bind],
    variables: &'a Path,
    options: &'a [String],
    command: &'a [String],
}

fn argv(run: &Run<'_>) -> Result<Vec<OsString>, ExecuteError> {
    // its outputs as 3 and 4, for the engine's wrapper
    let mut shell = String::from("exec \"$@\" 3>&1 4>&2");
    if let Some(mode) = run.setup {
        let root = if run.root { " --allow-root" } else { "" };
        let setup = format!("\"$1\"{root} --quiet setup --execmode={mode:?} {ID} >&2 || exit 1");
        shell = format!("{setup}; {shell}");
    }
    let mut argv: Vec<OsString> = ["/bin/sh", "-c", &shell, "sh"].map(OsString::from).into();
    argv.push(run.program.into());
    if run.root {
        argv.push("--allow-root".into());
    }
    argv.extend(["--quiet", "run"].map(OsString::from));
    argv.push(format!("--user={}", run.ids).into());
    argv.push(format!("--workdir={WORK_DIR}").into());
    for bind in run.binds {
        let (source, target) = (spelled(NAME, &bind.source)?, spelled(NAME, &bind.target)?);
        argv.push(format!("--volume={source}:{target}").into());
    }
    let mut file = OsString::from("--env-file=");
    file.push(run.variables);
    argv.push(file);
    argv.extend(run.options.iter().map(OsString::from));
    // behind a word that ends with an equals sign the name would be its value
    argv.extend(["--nobanner", ID].map(OsString::from));
    argv.extend(run.command.iter().map(OsString::from));
    Ok(argv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Access;
    use crate::runtime::builtin::testing::bind;

    #[test]
    fn command_lines() {
        let binds = [bind("/jobs/1/work", "/work_dir", Access::Rw)];
        let run = |root, ids: &str, setup| {
            argv(&Run {
                program: Path::new("udocker"),
                setup,
                root,
                ids: ids.into(),
                binds: &binds,
                variables: Path::new("/s/environment"),
                options: &["--hostauth".into()],
                command: &["sh".into(), "-c".into(), "exit 7".into()],
            })
            .unwrap()
            .join(OsStr::new(" "))
            .into_string()
            .unwrap()
        };
        let shell = "/bin/sh -c exec \"$@\" 3>&1 4>&2 sh";
        let rest = "--workdir=/work_dir --volume=/jobs/1/work:/work_dir --env-file=/s/environment \
                    --hostauth --nobanner 00000000-0000-0000-0000-000000000000 sh -c exit 7";
        assert_eq!(
            run(false, "7:8", None),
            format!("{shell} udocker --quiet run --user=7:8 {rest}")
        );
        assert_eq!(
            run(true, "root", None),
            format!("{shell} udocker --allow-root --quiet run --user=root {rest}")
        );
        let rewritten = run(true, "root", Some(Mode::F1));
        let setup =
            format!("\"$1\" --allow-root --quiet setup --execmode=F1 {ID} >&2 || exit 1; exec ");
        assert!(rewritten.contains(&setup), "{rewritten}");
    }

    #[test]
    fn the_wrapper_keeps_the_code() {
        let dir = tempfile::tempdir().unwrap();
        let (code, script) = (dir.path().join("co de"), dir.path().join("wrapper"));
        fs::write(&script, wrapper(Mode::P1, Path::new("/bin/sh"), &code).unwrap()).unwrap();
        let run = |words: &[&str]| {
            let mut command = std::process::Command::new("/bin/sh");
            command.arg(&script).args(words).output().unwrap().status.code()
        };
        run(&["--help"]);
        assert!(!code.exists());
        assert_eq!(run(&["-c", "exit 7"]), Some(7));
        assert_eq!(fs::read_to_string(&code).unwrap(), "7\n");
    }
}
