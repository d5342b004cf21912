//! Charliecloud: `ch-run` starts a program in an unpacked directory, with a user and a mount namespace.
//!
//! ```text
//! ch-run --private-tmp --no-passwd --unset-env=* --env-no-expand --set-env=FILE
//!        --bind=WORKDIR:/work_dir [--bind=..] --cd=/work_dir [OPTIONS] DIR -- CMD..
//! ```
//!
//! Source: `ch-run --help` of 0.31 (Debian 12), and what it was seen to do (`tests/parts/runtimes.sh`):
//!
//! - It becomes the program, so that exit codes and signals are the program's own. Its own failures have code 1 or
//!   more and a message, and no sign that tells them from the program's: whether the program is there is looked at before,
//!   and whether it was started is seen in `/proc` (`witness.rs`).
//! - A mount point must be there: it is made in the tree, which is this job's own.
//! - Mounts cannot be read-only; the image is.
//! - Its variable `CH_RUNNING` reaches the program.
//! - It wants a `USER` and the directories `/dev`, `/proc`, `/sys` and `/tmp`.
//!
//! - A line of `FILE` holds one variable: a value of several lines is refused.
//!
//! The tree is this job's own, but nothing keeps other processes of this user away from it: hence no better grade than
//! *measured-cached*. When the program has ended, the tree is compared with its seal, as that of our own runtime is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::foreign::{self, Scratch, Telling};
use super::runtime::{Found, Prepared, Request, Runtime};
use super::unpacked::{self, Tree, on_lines, point, points, refuse, shown, spelled};
use crate::execute::ExecuteError;
use crate::execute::attend::Ended;
use crate::execute::container::Manner;
use crate::execute::form::Form;
use crate::execute::identify::{Asked, Program};
use crate::execute::probe::{self, Refusal};
use crate::execute::report::Report;
use crate::execute::starter::Start;
use crate::execute::tree as looked;
use crate::execute::witness::Sign;
use crate::job::{Evidence, Grade, JobSpec, Name, Terms, WORK_DIR};
use crate::runtime::Bind;
use crate::runtime::builtin::resolve;
use crate::worker::Hides;

/// The runtime.
pub(super) struct Charliecloud;

const NAME: &str = "charliecloud";
const PROGRAM: &str = "ch-run";
/// Its own failures: that of 0.31, and those that newer versions name (`ch_misc.h`, and its tests).
const FAILURES: [i32; 8] = [1, 31, 49, 57, 58, 59, 84, 87];

impl Runtime for Charliecloud {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wants(&self) -> Form {
        Form::Sif
    }

    fn lacks(&self, terms: &Terms) -> Option<&'static str> {
        let why = "its images are read-only, so that --scratch has no layer to write to";
        terms.scratch_mib.map(|_| why).or_else(|| unpacked::lacks(terms))
    }

    fn cannot(&self, job: &JobSpec) -> Option<String> {
        unpacked::cannot(job)
    }

    fn look(&self) -> Result<(), ExecuteError> {
        foreign::find(PROGRAM).map(drop)
    }

    fn probe(&self) -> Result<Found, ExecuteError> {
        let user = [("USER", OsStr::new("moorline"))];
        let asked = Asked { words: &["--version"], env: &user, on_stderr: true };
        let program = Program::asked(&foreign::find(PROGRAM)?, &asked)?;
        let said = program.version.as_deref().unwrap_or_default();
        // it says a number and no name
        if !said.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(ExecuteError::NoRuntime(format!(
                "{} is not ch-run: it says {said:?}",
                program.path.display()
            )));
        }
        // it has no other way to a container, and says little when that is closed
        probe::look().map_err(Refusal::into_error)?;
        Ok(Found { program: Some(program), answer: Vec::new() })
    }

    /// Without a pid namespace the files of other processes of this user can be reached.
    fn hides(&self, _: &[String]) -> Hides {
        Hides::No
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
        report.runtime = Name::known(NAME);
        report.rootfs = Some("unpacked".into());
        refuse(NAME, request, report)?;
        let mut tree = Tree::of(request, report)?;
        on_lines(NAME, &tree.env)?;
        let scratch = Scratch::make(request.control, request.attempt)?;
        let binds = shown(request, &tree, &scratch)?;
        let root = tree.unpacked.root.clone();
        for directory in ["/dev", "/proc", "/sys", "/tmp"] {
            point(NAME, &root, Path::new(directory), true)?;
        }
        points(NAME, &root, &binds)?;
        tree.unpacked.seal_again().map_err(ExecuteError::io("the image's tree"))?;
        let file = there(&root, &binds, &tree)?;

        let set = scratch.path().join("environment");
        fs::write(&set, variables(&tree.env))
            .map_err(ExecuteError::io(format!("writing {}", set.display())))?;
        report.notes.push("charliecloud sets the variable CH_RUNNING as well".into());
        let words = argv(&Run {
            program: &program.path,
            variables: &set,
            binds: &binds,
            options: &job.options,
            root: &root,
            command: &tree.command,
        })?;
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        for name in ["PATH", "HOME"] {
            if let Ok(value) = std::env::var(name) {
                env.insert(name.to_owned(), value);
            }
        }
        env.insert("USER".into(), "moorline".into());
        let start = foreign::start(request, words, env, &binds);
        let manner = Manner::of(&job.terms)?;
        let mut evidence = request.evidence.clone();
        // no namespace keeps other jobs of this user away from the tree
        if evidence.grade.meets(&Grade::MeasuredCached) {
            evidence.grade = Grade::MeasuredCached;
        }
        Ok(Box::new(Ready { start, manner, program, file, tree, evidence, _scratch: scratch }))
    }
}

/// A job for it.
struct Ready {
    start: Start,
    manner: Manner<'static>,
    program: Program,
    /// The file of the job's program, where it is known.
    file: Option<PathBuf>,
    tree: Tree,
    evidence: Evidence,
    _scratch: Scratch,
}

impl Prepared for Ready {
    fn identity(&self) -> Evidence {
        self.evidence.clone()
    }

    fn run(self: Box<Self>, report: &mut Report) -> Result<Ended, ExecuteError> {
        let works = || foreign::starts_anything(&self.program, trial);
        let telling = Telling {
            runtime: NAME,
            failures: &FAILURES,
            sign: Sign::Root,
            // what was not opened was not started
            lasting: self.file.is_some(),
            program: self.file,
            works: &works,
            there: &|| true,
        };
        let ended = foreign::attend_seen(self.start, &self.manner, telling, |_| Ok(()));
        foreign::check_program(report, &self.program);
        // the program runs as the tree's owner, and nothing but its namespace keeps it away
        if let Some(why) = self.tree.unpacked.damage() {
            report
                .notes
                .push(format!("the unpacked image was damaged while the program ran: {why}"));
            report.nothing_is_known();
        }
        ended
    }
}

/// The arguments that start something in a tree which holds nothing.
fn trial(tree: &str, shown: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = ["--private-tmp", "--no-passwd"].map(String::from).into();
    words.extend(shown.iter().map(|path| format!("--bind={path}:{path}")));
    words.extend([tree, "--"].map(String::from));
    words
}

/// Whether the program is there, as far as can be seen from outside: what is mounted, and links, are the container's business.
/// Its file, where it is in the tree.
fn there(root: &Path, binds: &[Bind], tree: &Tree) -> Result<Option<PathBuf>, ExecuteError> {
    let Some(program) = tree.command.first() else { return Err(ExecuteError::NothingToRun) };
    let seen = |path: &Path| {
        let covered = binds.iter().any(|bind| path.starts_with(&bind.target));
        let below = path.strip_prefix("/").unwrap_or(path);
        // a link on the way is taken for the best
        let linked = below
            .ancestors()
            .any(|part| root.join(part).symlink_metadata().is_ok_and(|meta| meta.is_symlink()));
        covered || linked || root.join(below).is_file()
    };
    let path = tree.env.get("PATH").map_or("/bin", String::as_str);
    // ch-run adds /bin
    let places = path.split(':').chain(["/bin"]);
    let paths: Vec<PathBuf> = if program.contains('/') {
        vec![Path::new(WORK_DIR).join(program)]
    } else {
        places.map(|dir| Path::new(WORK_DIR).join(dir).join(program)).collect()
    };
    if !paths.iter().any(|path| seen(path)) {
        return Err(ExecuteError::NotStarted(format!("{program:?} was not found in the image")));
    }
    for path in &paths {
        let Ok(inside) = resolve(&looked::Tree(root.to_owned()), path) else { return Ok(None) };
        if binds.iter().any(|bind| inside.starts_with(&bind.target)) {
            return Ok(None);
        }
        let file = root.join(inside.strip_prefix("/").unwrap_or(&inside));
        if file.is_file() {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// The file for `--set-env`. ch-run takes single quotes around a value away.
fn variables(all: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in all {
        let _ = writeln!(text, "{name}='{value}'");
    }
    text
}

/// What stands on the command line.
struct Run<'a> {
    program: &'a Path,
    variables: &'a Path,
    binds: &'a [Bind],
    options: &'a [String],
    root: &'a Path,
    command: &'a [String],
}

fn argv(run: &Run<'_>) -> Result<Vec<OsString>, ExecuteError> {
    let joined = |flag: &str, value: &OsStr| {
        let mut word = OsString::from(flag);
        word.push(value);
        word
    };
    let mut argv: Vec<OsString> = vec![run.program.into()];
    argv.extend(
        ["--private-tmp", "--no-passwd", "--unset-env=*", "--env-no-expand"].map(Into::into),
    );
    if run.variables.as_os_str().as_encoded_bytes().contains(&b'=') {
        return Err(ExecuteError::Unspelled {
            path: run.variables.to_owned(),
            runtime: NAME,
            why: "it holds an equals sign, which makes it a variable there".into(),
        });
    }
    argv.push(joined("--set-env=", run.variables.as_os_str()));
    for bind in run.binds {
        let (source, target) = (spelled(NAME, &bind.source)?, spelled(NAME, &bind.target)?);
        argv.push(format!("--bind={source}:{target}").into());
    }
    let cd = format!("--cd={WORK_DIR}");
    argv.push(cd.clone().into());
    argv.extend(foreign::options(run.options, NAME, &cd)?);
    argv.push(run.root.into());
    argv.push("--".into());
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
        let (command, binds) = (
            ["python3".into(), "-c".into(), "print(1)".into()],
            [bind("/a b,c", "/d", Access::Rw)],
        );
        let line = |options: &[String]| {
            argv(&Run {
                program: Path::new("ch-run"),
                variables: Path::new("/s/environment"),
                binds: &binds,
                options,
                root: Path::new("/t/image"),
                command: &command,
            })
            .map(|words| words.join(OsStr::new(" ")).into_string().unwrap())
        };
        assert_eq!(
            line(&["--write".into()]).unwrap(),
            "ch-run --private-tmp --no-passwd --unset-env=* --env-no-expand --set-env=/s/environment \
             --bind=/a b,c:/d --cd=/work_dir --write --cd=/work_dir /t/image -- python3 -c print(1)"
        );
        for image in ["/other/image", "-", "--", ""] {
            assert!(line(&[image.into()]).is_err(), "{image}");
        }
    }

    #[test]
    fn each_variable_is_a_quoted_line() {
        let all = [("A", "it's \"so\" $x"), ("B", "'q'"), ("C", "")];
        let all = all.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        assert_eq!(variables(&all), "A='it's \"so\" $x'\nB=''q''\nC=''\n");
    }
}
