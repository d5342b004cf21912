//! Apptainer and Singularity: the same command line.
//!
//! ```text
//! apptainer -q exec --bind WORKDIR:/work_dir --pwd /work_dir --no-home [--bind ..] [OPTIONS] SIF CMD..
//! apptainer -q run  ...                                                             SIF
//!   --scratch: --overlay DIR      --gpu: --nv, --rocm      root: --no-privs
//! ```
//!
//! Source: `apptainer exec --help` of 1.4.5. `--bind` splits its value at `:` and `,`, so a path
//! with one of them goes through `--mount`, whose value is a CSV record.

mod given;
mod trial;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use self::given::{Given, PREFIXES};
use super::foreign::{self, Scratch, Telling};
use super::runtime::{Found, Prepared, Request, Runtime};
use crate::backend;
use crate::execute::attend::Ended;
use crate::execute::container::Manner;
use crate::execute::form::Form;
use crate::execute::gpu::{self, Vendor};
use crate::execute::identify::Program;
use crate::execute::layer::{self, Layer};
use crate::execute::measure::Measured;
use crate::execute::report::Report;
use crate::execute::starter::Start;
use crate::execute::witness::Sign;
use crate::execute::{ExecuteError, packed, scratch, tickets};
use crate::job::{Access, Evidence, Grade, JobSpec, Network, RuntimeChoice, WORK_DIR};
use crate::oci::ContainerConfig;
use crate::runtime::builtin::Cover;
use crate::runtime::{Bind, csv_field, environment};
use crate::sif::{self, SifReader};
use crate::worker::Hides;

/// A program with this command line.
pub(super) struct Apptainer(&'static str);

pub(super) const APPTAINER: Apptainer = Apptainer("apptainer");
/// The same, or its ancestor.
pub(super) const SINGULARITY: Apptainer = Apptainer("singularity");

/// Its own failures: flags that it does not know and what its starter (in C) meets, a crash of its Go program, all else.
const FAILURES: [i32; 3] = [1, 2, 255];

impl Runtime for Apptainer {
    fn name(&self) -> &'static str {
        self.0
    }

    fn wants(&self) -> Form {
        Form::Sif
    }

    fn takes_directory(&self) -> bool {
        true
    }

    fn look(&self) -> Result<(), ExecuteError> {
        foreign::find(self.0).map(drop)
    }

    fn probe(&self) -> Result<Found, ExecuteError> {
        let found = foreign::identified(self.0)?;
        let program = foreign::program(&found)?;
        match program.kind() {
            Some(kind) if RuntimeChoice::opens_by_name(kind) => Ok(found),
            _ => Err(ExecuteError::NoRuntime(format!(
                "{} is neither apptainer nor singularity: it says {:?}",
                program.path.display(),
                program.version.as_deref().unwrap_or_default()
            ))),
        }
    }

    fn starts(&self, found: &Found, form: Form) -> Result<(), ExecuteError> {
        trial::starts(&foreign::program(found)?.path, form)
    }

    fn hides(&self, options: &[String]) -> Hides {
        hides(options)
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
        let directory = request.image.directory();
        let measured = if directory.is_some() { None } else { Some(request.image.sif()?) };
        cover(report, measured, request);
        let (given, command, verb) = match (measured, directory) {
            (Some(measured), _) => given(measured, job)?,
            (None, directory) => {
                report.rootfs = Some("directory".to_owned());
                let config = directory.and_then(|directory| directory.config.config.clone());
                of_configuration(&config.unwrap_or_default(), job)?
            }
        };
        report.notes.extend_from_slice(&given.notes);
        let manner = Manner::of(&job.terms)?;
        let scratch = Scratch::make(request.control, request.attempt)?;
        let shown = [request.workdir, "/tmp".as_ref(), "/var/tmp".as_ref(), "/dev/shm".as_ref()];
        let mut binds = [request.binds, &foreign::covers(request, &scratch, &shown)?].concat();
        binds.extend(tickets::binds(request.plan, request.control, scratch.path())?);
        let vendor = if job.terms.gpu {
            let found = gpu::look()?;
            report.conditions.gpu = Some(found.said);
            Some(found.vendor)
        } else {
            None
        };
        let layer = layer::asked(&job.terms).map(OnDisk::make).transpose()?;
        let overlay = layer.as_ref().map(|on_disk| on_disk.layer.path());
        let handed = tickets::variables(job);
        report.starts(&command);
        let sought = packed::Sought {
            program: command.first().filter(|_| verb == "exec").cloned(),
            path: given.environment.get("APPTAINERENV_PATH").cloned().unwrap_or_default(),
            targets: binds.iter().map(|bind| bind.target.clone()).collect(),
        };
        let job = JobSpec { command, ..job.clone() };
        let here = (request.workdir, given.home.as_str());
        let root = rustix::process::geteuid().is_root();
        let more = More { verb, overlay, vendor, root };
        let words = argv(&program.path, &job, request.image.path(), &binds, here, &more)?;
        let mut env = given.environment;
        surroundings(&mut env, &scratch, &handed)?;
        let start = foreign::start(request, words, env, &binds);
        let mut evidence = request.evidence.clone();
        if let Some(why) = measured.and_then(|measured| foreign::exchangeable(&measured.path)) {
            report.notes.push(format!("others could exchange the image while it is opened: {why}"));
            if evidence.grade.meets(&Grade::MeasuredCached) {
                evidence.grade = Grade::MeasuredCached;
            }
        }
        Ok(Box::new(Ready {
            name: self.0,
            start,
            manner,
            program,
            measured,
            sought,
            evidence,
            layer,
            _scratch: scratch,
        }))
    }
}

/// A layer on the node's disk: the job's own directory may lie on a network's file system.
struct OnDisk {
    layer: Layer,
    _scratch: scratch::Scratch,
}

impl OnDisk {
    fn make(size: u64) -> Result<Self, ExecuteError> {
        let scratch = scratch::Scratch::make(scratch::JOB, false)?;
        let layer = Layer::make(scratch.path(), size)?;
        if layer.path().as_os_str().as_bytes().contains(&b':') {
            return Err(ExecuteError::Unspelled {
                path: layer.path().to_owned(),
                runtime: "apptainer",
                why: "a colon ends the path of an overlay there; set TMPDIR to another directory"
                    .into(),
            });
        }
        Ok(Self { layer, _scratch: scratch })
    }
}

/// A job for one of them.
struct Ready<'a> {
    name: &'static str,
    start: Start,
    manner: Manner<'static>,
    program: Program,
    measured: Option<&'a Measured>,
    sought: packed::Sought,
    evidence: Evidence,
    layer: Option<OnDisk>,
    _scratch: Scratch,
}

impl Prepared for Ready<'_> {
    fn identity(&self) -> Evidence {
        self.evidence.clone()
    }

    fn run(self: Box<Self>, report: &mut Report) -> Result<Ended, ExecuteError> {
        let watch = self.layer.as_ref().map(|on_disk| on_disk.layer.watch(report)).transpose()?;
        let manner = Manner { watch: watch.as_ref(), ..self.manner };
        let works = || foreign::starts_anything(&self.program, trial);
        let there =
            || !self.measured.is_some_and(|measured| self.sought.is_missing(&measured.file));
        let telling = Telling {
            runtime: self.name,
            failures: &FAILURES,
            sign: Sign::Root,
            program: None,
            lasting: true,
            works: &works,
            there: &there,
        };
        let mut ended = foreign::attend_seen(self.start, &manner, telling, |_| Ok(()));
        if let (Some(watch), Ok(ended)) = (watch, &mut ended) {
            watch.finish(ended, report);
        }
        foreign::check_program(report, &self.program);
        // it opened the path by itself: the same file before and after, or no evidence
        if self.measured.is_some_and(|measured| !measured.path_unchanged()) {
            report.nothing_is_known();
        }
        ended
    }
}

/// The arguments that start something in a tree which holds nothing.
fn trial(tree: &str, shown: &[&str]) -> Vec<String> {
    let words = ["-q", "exec", "--no-home", "--bind", &shown.join(","), tree];
    words.map(String::from).into()
}

/// What lies over the image's files.
fn cover(report: &mut Report, measured: Option<&Measured>, request: &Request<'_>) {
    let looked = match measured {
        Some(measured) => packed::covered(&measured.file, request.asked()),
        None => Err("the image is a directory".to_owned()),
    };
    let covers = looked.unwrap_or_else(|why| {
        report.notes.push(format!(
            "which mounts lie over files of the image cannot be seen ({why}): all are listed"
        ));
        // each could lie over something
        request
            .asked()
            .map(|b| Cover { target: b.target.clone(), source: b.source.clone() })
            .collect()
    });
    report.covered_by(&covers);
}

/// What the program itself needs to run: nothing of the caller's environment but `PATH` and `HOME`, and
/// directories of the job's own.
fn surroundings(
    env: &mut BTreeMap<String, String>,
    scratch: &Scratch,
    handed: &[(String, String)],
) -> Result<(), ExecuteError> {
    for name in ["PATH", "HOME"] {
        if let Ok(value) = std::env::var(name) {
            env.insert(name.to_owned(), value);
        }
    }
    for (name, value) in handed {
        env.extend(PREFIXES.map(|prefix| (format!("{prefix}{name}"), value.clone())));
    }
    for (name, directory) in [("CACHEDIR", "cache"), ("TMPDIR", "tmp"), ("CONFIGDIR", "config")] {
        let path = scratch.directory(directory)?.to_string_lossy().into_owned();
        env.insert(format!("APPTAINER_{name}"), path.clone());
        env.insert(format!("SINGULARITY_{name}"), path);
    }
    let run = scratch.directory("run")?.to_string_lossy().into_owned();
    env.insert("XDG_RUNTIME_DIR".into(), run);
    // the runtime's business and a path that the container has not: empty means none
    env.entry("APPTAINERENV_XDG_RUNTIME_DIR".into()).or_default();
    Ok(())
}

/// What the runtime is given so that the program has its variables, and the words to start: those that the built-in
/// runtime starts, because a shell between (`apptainer run`) would lose variables that it cannot set. A SIF that Moorline did not make sets its own
/// by its scripts, which may say more than its configuration (`%environment`); they see what the machine has.
///
/// # Errors
/// When the SIF cannot be read.
fn given(
    measured: &Measured,
    job: &JobSpec,
) -> Result<(Given, Vec<String>, &'static str), ExecuteError> {
    let host = |name: &str| std::env::var(name).ok();
    let shape: Vec<&str> =
        backend::engines().flat_map(|facts| facts.for_program).copied().collect();
    let sif_error = |source| ExecuteError::Sif { path: measured.path.clone(), source };
    let handle = measured.file.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
    let mut reader = SifReader::open(handle).map_err(sif_error)?;
    let ours = reader.object(sif::PROVENANCE).is_ok();
    let config = packed::configuration(&mut reader).map_err(sif_error)?;
    if let Some(config) = config.filter(|_| ours) {
        return of_configuration(&config, job);
    }
    let mut given = Given::of(&environment::of_job(job));
    let there = environment::FROM_HOST.iter().chain(&shape);
    given.environment.extend(there.filter_map(|&name| Some((name.to_owned(), host(name)?))));
    // its own script starts its ENTRYPOINT, with the command as arguments
    let scripted = job.command.is_empty() || job.terms.starts_entrypoint();
    Ok((given, job.command.clone(), if scripted { "run" } else { "exec" }))
}

/// The same by the image's configuration alone.
///
/// # Errors
/// When there is nothing to run.
fn of_configuration(
    config: &ContainerConfig,
    job: &JobSpec,
) -> Result<(Given, Vec<String>, &'static str), ExecuteError> {
    let host = |name: &str| std::env::var(name).ok();
    let shape: Vec<&str> =
        backend::engines().flat_map(|facts| facts.for_program).copied().collect();
    let command = environment::command(config, job);
    let given = Given::of(&environment::variables(config, job, &shape, host));
    Ok((given, command.ok_or(ExecuteError::NothingToRun)?, "exec"))
}

/// Whether the container cannot get at what is covered. Without a pid namespace and a user namespace of
/// its own it can, by `/proc/PID/root` of another process of this user.
fn hides(options: &[String]) -> Hides {
    // short flags may stand together in one word
    let has = |long: &[&str], short: char| {
        options.iter().any(|o| {
            long.contains(&o.as_str())
                || o.starts_with('-') && !o.starts_with("--") && o[1..].contains(short)
        })
    };
    let pid = has(&["--pid", "--containall"], 'p') || has(&[], 'C');
    if pid && has(&["--userns"], 'u') { Hides::Yes } else { Hides::No }
}

/// The command line, program first. Variables are not in it but for the home directory: [`Given`].
///
/// # Errors
/// For a word that could be taken for the image.
fn argv(
    program: &Path,
    job: &JobSpec,
    sif: &Path,
    binds: &[Bind],
    (workdir, home): (&Path, &str),
    more: &More<'_>,
) -> Result<Vec<OsString>, ExecuteError> {
    let mut argv: Vec<OsString> = vec![program.into(), "-q".into(), more.verb.into()];
    bind(&mut argv, workdir, Path::new(WORK_DIR), Access::Rw);
    argv.extend(["--pwd", WORK_DIR, "--no-home", "--home", home].map(OsString::from));
    if more.root {
        // an ordinary user has none in the container
        argv.push("--no-privs".into());
    }
    if job.terms.network == Some(Network::None) {
        argv.extend(["--net", "--network", "none"].map(OsString::from));
    }
    if let Some(layer) = more.overlay {
        argv.extend(["--overlay".into(), layer.into()]);
    }
    match more.vendor {
        Some(Vendor::Nvidia) => argv.push("--nv".into()),
        Some(Vendor::Amd) => argv.push("--rocm".into()),
        None => {}
    }
    for b in binds {
        bind(&mut argv, &b.source, &b.target, b.access);
    }
    argv.extend(foreign::options(&job.options, "apptainer", "--pwd=/work_dir")?);
    argv.push(sif.into());
    argv.extend(job.command.iter().map(OsString::from));
    Ok(argv)
}

/// What else stands on the command line.
struct More<'a> {
    /// `exec` or `run`.
    verb: &'static str,
    /// The directory of a writable layer.
    overlay: Option<&'a Path>,
    /// Whose graphics processors the program gets.
    vendor: Option<Vendor>,
    /// Whether the caller is root.
    root: bool,
}

fn bind(argv: &mut Vec<OsString>, source: &Path, target: &Path, access: Access) {
    let odd = |path: &Path| path.as_os_str().as_bytes().iter().any(|b| b":,\\\"\n\r".contains(b));
    if odd(source) || odd(target) {
        let mut value = OsString::from("type=bind,");
        value.push(csv_field("source", source));
        value.push(",");
        value.push(csv_field("destination", target));
        if access == Access::Ro {
            value.push(",ro");
        }
        argv.extend(["--mount".into(), value]);
    } else {
        let mut value = source.as_os_str().to_owned();
        value.push(":");
        value.push(target);
        if access == Access::Ro {
            value.push(":ro");
        }
        argv.extend(["--bind".into(), value]);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::runtime::builtin::testing::{bind as a_bind, job};

    fn line(job: &JobSpec, binds: &[Bind]) -> String {
        let verb = if job.command.is_empty() { "run" } else { "exec" };
        line_of(job, binds, &More { verb, overlay: None, vendor: None, root: false })
    }

    fn line_of(job: &JobSpec, binds: &[Bind], more: &More<'_>) -> String {
        let program = Path::new("apptainer");
        let here = (Path::new("/jobs/1/work"), "/work_dir");
        argv(program, job, Path::new("/store/x.sif"), binds, here, more)
            .unwrap()
            .join(OsStr::new(" "))
            .into_string()
            .unwrap()
    }

    #[test]
    fn command_lines() {
        let mut j = job(&["python3", "-c", "print(1)"]);
        assert_eq!(
            line(&j, &[a_bind("/cvmfs", "/cvmfs", Access::Ro)]),
            "apptainer -q exec --bind /jobs/1/work:/work_dir --pwd /work_dir --no-home \
             --home /work_dir --bind /cvmfs:/cvmfs:ro /store/x.sif python3 -c print(1)"
        );
        j.options = vec!["--nv".into()];
        j.command.clear();
        assert_eq!(
            line(&j, &[]),
            "apptainer -q run --bind /jobs/1/work:/work_dir --pwd /work_dir --no-home \
             --home /work_dir --nv --pwd=/work_dir /store/x.sif"
        );
    }

    #[test]
    fn layers_and_graphics_processors() {
        let overlay = Some(Path::new("/tmp/layer"));
        let mut more = More { verb: "run", overlay, vendor: Some(Vendor::Nvidia), root: false };
        let expected = |flag: &str| {
            format!(
                "apptainer -q run --bind /jobs/1/work:/work_dir --pwd /work_dir --no-home --home /work_dir \
                 --overlay /tmp/layer {flag} /store/x.sif --events 10"
            )
        };
        let job = job(&["--events", "10"]);
        assert_eq!(line_of(&job, &[], &more), expected("--nv"));
        more.vendor = Some(Vendor::Amd);
        assert_eq!(line_of(&job, &[], &more), expected("--rocm"));
        let root = More { verb: "run", overlay: None, vendor: None, root: true };
        let line = line_of(&job, &[], &root);
        assert!(line.contains("--home /work_dir --no-privs /store/x.sif"), "{line}");
    }

    #[test]
    fn paths_with_separators_are_quoted() {
        let shown = line(&job(&["x"]), &[a_bind("/a,b", "/c:d", Access::Ro)]);
        assert!(
            shown.contains("--mount type=bind,\"source=/a,b\",destination=/c:d,ro /store"),
            "{shown}"
        );
    }

    #[test]
    fn variables_are_not_on_the_command_line() {
        let mut j = job(&["x"]);
        j.env.push("A=b,c d".parse().unwrap());
        assert!(!line(&j, &[]).contains("b,c"));
    }

    #[test]
    fn only_both_namespaces_hide() {
        let said = |options: &str| hides(&options.split(' ').map(String::from).collect::<Vec<_>>());
        for yes in ["--userns --pid", "-u -p", "-up", "-u --containall", "-C --userns --nv"] {
            assert_eq!(said(yes), Hides::Yes, "{yes}");
        }
        for no in ["", "--userns", "--pid", "--nv --userns-not", "--containall"] {
            assert_eq!(said(no), Hides::No, "{no}");
        }
    }
}
