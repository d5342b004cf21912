//! The built-in runtime on this machine: the image's tree, the mounts around it, and the container.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::runtime::{Found, Prepared, Request, Runtime};
use crate::backend;
use crate::execute::asker::Asker;
use crate::execute::attend::Ended;
use crate::execute::container::{self, Manner};
use crate::execute::form::Form;
use crate::execute::hiding::{self, Hidden, Secrets};
use crate::execute::inside::{Inside, Writable};
use crate::execute::layer::{self, Layer};
use crate::execute::looked::Looked;
use crate::execute::measure::Measured;
use crate::execute::mounts::Passed;
use crate::execute::packed::Packed;
use crate::execute::probe::{self, Refusal};
use crate::execute::report::Report;
use crate::execute::rootfs::{self, Rootfs, Served, Server};
use crate::execute::scratch::{self, Scratch};
use crate::execute::starter::{Container, Start, Word};
use crate::execute::tree::Tree;
use crate::execute::unseen::unseen;
use crate::execute::{ExecuteError, account, filter, gpu, keyring, mounts, packed, tickets};
use crate::job::{Access, CallFilter, Evidence, Grade, JobSpec, WORK_DIR};
use crate::oci::ContainerConfig;
use crate::runtime::builtin::{Cover, Ground, Layout, Node, Point, Role, What, layout};
use crate::runtime::{Bind, environment};
use crate::sif::hash_tree::Counted;
use crate::sif::{Partition, SifReader};
use crate::worker::{Hides, ServedImage, exit};

/// Our own runtime.
pub(super) struct Builtin;

impl Runtime for Builtin {
    fn name(&self) -> &'static str {
        "builtin"
    }

    fn wants(&self) -> Form {
        Form::Sif
    }

    fn takes_options(&self) -> bool {
        false
    }

    fn takes_directory(&self) -> bool {
        true
    }

    fn checks_blocks(&self) -> bool {
        true
    }

    fn look(&self) -> Result<(), ExecuteError> {
        probe::look().map_err(Refusal::into_error)
    }

    fn probe(&self) -> Result<Found, ExecuteError> {
        probe::probe().map_err(Refusal::into_error)?;
        Ok(Found { program: None, answer: Vec::new() })
    }

    fn unprobed(&self) -> Option<Found> {
        let found = Found { program: None, answer: Vec::new() };
        (!probe::is_too_old()).then_some(found)
    }

    fn hides(&self, _: &[String]) -> Hides {
        Hides::Yes
    }

    fn prepare<'a>(
        &self,
        _: &Found,
        request: &Request<'a>,
        report: &mut Report,
    ) -> Result<Box<dyn Prepared + 'a>, ExecuteError> {
        let job = &request.plan.job;
        let directory = request.image.directory();
        let measured = if directory.is_some() { None } else { Some(request.image.sif()?) };
        let scratch = scratch(report)?;
        let read = measured.map(front).transpose()?;
        let config = match (&read, directory) {
            (Some((_, config)), _) => config.clone(),
            // an image without one sets nothing
            (None, Some(directory)) => Some(directory.config.config.clone().unwrap_or_default()),
            (None, None) => None,
        };

        // links resolved, because the container is put together from the other side
        let scratch_path =
            fs::canonicalize(scratch.path()).map_err(ExecuteError::io("the scratch directory"))?;
        let cache = request.plan.node_cache.as_ref().unwrap_or(&scratch.base);
        let shared = sharing(request, cache);
        // made by now, so that it can be hidden also from a container that does not need it
        let mut places = unseen(request.plan, request.control);
        places.extend(rootfs::to_hide(Some(cache)));
        places.extend([request.control.to_owned(), scratch_path.clone()]);
        let room = rootfs::Room {
            shared: shared.as_ref().map(|s| s.as_deref().map_err(String::as_str)),
            scratch: &scratch_path,
            layered: layer::asked(&job.terms).is_some(),
            limits: &request.plan.limits,
        };
        let site_store = request.plan.site_store.as_deref();
        let sealed = measured.and_then(|measured| Some((measured, measured.sealed.as_ref()?)));
        let (tree, mut source) = if let Some((measured, sealed)) = sealed {
            let limits = &request.plan.limits;
            let server = Server::start(&measured.file, sealed.root(), limits)?;
            let packed = Packed::sealed(&measured.file, sealed, limits).map_err(|why| {
                ExecuteError::Unpack { path: measured.path.display().to_string(), why }
            })?;
            report.rootfs = Some("served".to_owned());
            (Looked::Packed(Box::new(packed)), Source::Served(Box::new(server)))
        } else if let (Some(measured), Some((partition, _))) = (measured, &read) {
            let mut rootfs = rootfs::provide(measured, *partition, site_store, room)?;
            rootfs.path =
                fs::canonicalize(&rootfs.path).map_err(ExecuteError::io("the image's tree"))?;
            report.rootfs = Some(rootfs.how.to_owned());
            report.notes.append(&mut rootfs.notes);
            (Looked::Here(Tree(rootfs.path.clone())), Source::Provided(Box::new(rootfs)))
        } else {
            let root = request.image.path().to_owned();
            report.rootfs = Some("directory".to_owned());
            (Looked::Here(Tree(root.clone())), Source::Published(root))
        };

        let mut points = points(request, &tree, &scratch_path)?;
        let program = program(job, config.as_ref(), &tree)?;
        report.starts(&program);
        let mut start = start(request, program, config.as_ref());
        let handed = tickets::binds(request.plan, request.control, &scratch_path)?;
        points.extend(handed.into_iter().map(needed));
        start.env.extend(tickets::variables(job));
        if job.terms.gpu {
            points.extend(gpus(&mut start, report)?);
        }
        let layer = layer::asked(&job.terms).map(|size| Layer::make(&scratch_path, size));
        let layer = layer.transpose()?;
        // a layer lies over the image, which is somewhere else than at the root then
        let image_at = layer.as_ref().map(|_| source.beside(&scratch_path)).transpose()?;
        let machine = Tree(PathBuf::from("/"));
        let laid = layout(source.ground(), (tree.tree(), &machine), &points)?;
        let shown = binds(request).into_iter().filter(|b| laid.place_of(&b.target).is_some());
        report.shows(&shown.collect::<Vec<_>>());
        let hide = hide(request, places, &laid)?;
        let passed = passed_over(request, &report.passed, &points)?;
        let out_of_reach = passed.iter().filter_map(|p| laid.place_below(Path::new(&p.target)));
        let passed_over = out_of_reach.map(Into::into).collect();
        let Layout { steps, lacking, notes, covers, .. } = laid;
        if let Source::Served(server) = &mut source {
            server.shows(lacking);
        }
        let inside = Inside {
            root: made(scratch_path.join("root"))?,
            steps,
            hide,
            passed_over,
            served: matches!(source, Source::Served(_)),
            writable: layer.as_ref().zip(image_at).map(|(layer, image)| Writable {
                image: Word::from(image),
                upper: Word::from(layer.upper()),
                work: Word::from(layer.work()),
            }),
            uid: rustix::process::getuid().as_raw(),
            terminal: None,
            start,
        };
        let manner = Manner::of(&job.terms)?;
        let evidence = request.evidence.clone();
        let laid = Laid { notes, covers, passed };
        let what = request.image.path().display().to_string();
        Ok(Box::new(Ready {
            inside,
            manner,
            laid,
            source,
            layer,
            measured,
            what,
            evidence,
            _scratch: scratch,
        }))
    }
}

/// Whether a tree that an earlier job unpacked is good enough, and where it may be; `None` where nobody allowed it.
fn sharing(request: &Request<'_>, cache: &Path) -> Option<Result<PathBuf, String>> {
    let required = request.plan.job.terms.require;
    request.plan.getting.shared_trees.then(|| {
        if required.is_none_or(|grade| Grade::MeasuredCached.meets(&grade)) {
            rootfs::shared_directory(cache)
        } else {
            Err("the job requires an image that it measured itself".to_owned())
        }
    })
}

/// The job's temporary directory; what is odd about it is said.
fn scratch(report: &mut Report) -> Result<Scratch, ExecuteError> {
    let scratch = Scratch::make(scratch::JOB, false)?;
    report.warnings.extend_from_slice(&scratch.notes);
    report.notes.extend_from_slice(&scratch.notes);
    Ok(scratch)
}

/// Where the file system of a SIF lies, and the image's configuration.
fn front(measured: &Measured) -> Result<(Partition, Option<ContainerConfig>), ExecuteError> {
    let sif_error = |source| ExecuteError::Sif { path: measured.path.clone(), source };
    if let Some(sealed) = &measured.sealed {
        let mut reader = sealed.sif().map_err(|source| measured.wrong(source))?;
        return Ok((sealed.partition(), packed::configuration(&mut reader).map_err(sif_error)?));
    }
    let handle = measured.file.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
    let mut reader = SifReader::open(handle).map_err(sif_error)?;
    let partition = reader.partition().map_err(sif_error)?;
    Ok((partition, packed::configuration(&mut reader).map_err(sif_error)?))
}

/// A job for it.
struct Ready<'a> {
    inside: Inside,
    manner: Manner<'static>,
    laid: Laid,
    source: Source,
    layer: Option<Layer>,
    measured: Option<&'a Measured>,
    /// Where the image lies, for people.
    what: String,
    evidence: Evidence,
    // after the tree, which may lie in it
    _scratch: Scratch,
}

/// Where the image's files come from.
enum Source {
    /// A tree on this machine.
    Provided(Box<Rootfs>),
    /// A server of ours.
    Served(Box<Server>),
    /// A tree of the site's, which lies here.
    Published(PathBuf),
}

impl Source {
    /// Where the image lies, or is to be served, when it is not the root.
    fn beside(&self, scratch: &Path) -> Result<PathBuf, ExecuteError> {
        match self {
            Self::Served(_) => made(scratch.join("image")),
            Self::Provided(rootfs) => Ok(rootfs.path.clone()),
            Self::Published(tree) => Ok(tree.clone()),
        }
    }

    fn ground(&self) -> Ground<'_> {
        match self {
            Self::Provided(rootfs) => Ground::Skeleton(&rootfs.path),
            Self::Served(_) => Ground::Served,
            Self::Published(tree) => Ground::Skeleton(tree),
        }
    }
}

/// What the receipt says of the layout of a container that ran.
struct Laid {
    notes: Vec<String>,
    covers: Vec<Cover>,
    passed: Vec<Passed>,
}

impl Prepared for Ready<'_> {
    fn identity(&self) -> Evidence {
        let mut evidence = self.evidence.clone();
        if matches!(&self.source, Source::Provided(rootfs) if !rootfs.fresh) {
            // the tree was made from the same bytes, by an earlier job of this user
            evidence.grade = Grade::MeasuredCached;
        }
        evidence
    }

    fn run(mut self: Box<Self>, report: &mut Report) -> Result<Ended, ExecuteError> {
        let filtered = self.inside.start.container.as_ref().is_some_and(|one| one.filter);
        let server = match &mut self.source {
            Source::Served(server) => Some(&mut **server),
            Source::Provided(_) | Source::Published(_) => None,
        };
        let watch = self.layer.as_ref().map(|layer| layer.watch(report)).transpose()?;
        let manner = Manner { watch: watch.as_ref(), ..self.manner };
        let mut ended = match (container::run(self.inside, manner, server), self.source) {
            (Ok(ended), source) => {
                self.source = source;
                ended
            }
            // nothing was served: the attempt goes on in another way
            (Err(error @ ExecuteError::NotServed(_)), _) => return Err(error),
            (Err(ExecuteError::NotStarted(why)), Source::Provided(_)) => {
                return Err(explained(why));
            }
            (Err(error), Source::Served(server)) => {
                // a block that was refused is the reason why nothing could be started
                return Err(match counted(server.finish(), report) {
                    0 => match error {
                        ExecuteError::NotStarted(why) => explained(why),
                        error => error,
                    },
                    refused => ExecuteError::OtherImage {
                        what: self.what,
                        why: format!("{refused} of its blocks are not what was pinned ({error})"),
                    },
                });
            }
            (Err(error), Source::Provided(_) | Source::Published(_)) => return Err(error),
        };
        if let Some(watch) = watch {
            watch.finish(&mut ended, report);
        }
        report.conditions.filter = Some(if filtered { CallFilter::On } else { CallFilter::Off });
        report.notes.extend(self.laid.notes);
        report.passed = self.laid.passed;
        report.covered_by(&self.laid.covers);
        let rootfs = match self.source {
            Source::Provided(rootfs) => rootfs,
            Source::Served(server) => {
                served(server.finish(), &mut ended, report);
                return Ok(ended);
            }
            Source::Published(_) => return Ok(ended),
        };
        if let Some(why) = rootfs.damage() {
            // what it ran is not known any more
            report.notes.push(format!(
                "the unpacked image was damaged while the program ran: {why}; perhaps by a cleaner of \
                 temporary files"
            ));
            report.nothing_is_known();
        } else if rootfs.fresh
            && rootfs.how != "unpacked"
            && self.measured.is_some_and(|measured| !measured.unchanged())
        {
            report.nothing_is_known();
        }
        Ok(ended)
    }
}

/// Why a container was not started: where none can be made at all, what refuses it. It may not have been asked
/// before.
fn explained(why: String) -> ExecuteError {
    match probe::probe() {
        Ok(()) => ExecuteError::NotStarted(why),
        Err(refusal) => refusal.into_error(),
    }
}

/// What the image's server says that it did; a block that it refused is the end of the job.
fn served(served: Served, ended: &mut Ended, report: &mut Report) {
    let refused = counted(served, report);
    if refused > 0 {
        report.notes.push(format!(
            "{refused} blocks of the image's file were not what was pinned; the program got errors for \
             them, and ended with {}",
            ended.code
        ));
        ended.code = exit::IMAGE_MISMATCH;
    }
}

/// Records what the image's server did; the number of blocks that it refused.
fn counted(served: Served, report: &mut Report) -> u64 {
    if let Some(trouble) = served.trouble {
        report.notes.push(format!("the image could not be read everywhere: {trouble}"));
    }
    let Some(Counted { read, refused, failed }) = served.counted else {
        // the program got errors from then on, and how much it had read before is not known
        report.notes.push("the image's server was killed before the job ended".to_owned());
        report.nothing_is_known();
        return 0;
    };
    report.conditions.served = Some(ServedImage { tree: served.root, read, refused, failed });
    refused
}

/// What is started in the container.
fn start(request: &Request<'_>, program: Vec<String>, config: Option<&ContainerConfig>) -> Start {
    let sources = request.binds.iter().map(|bind| &*bind.source).chain([request.workdir]);
    Start {
        program: program.into_iter().map(Word::from).collect(),
        env: variables(&request.plan.job, config),
        cwd: WORK_DIR.into(),
        terminal: false,
        umask: request.plan.job.terms.umask,
        afs: sources.into_iter().any(keyring::on_afs),
        after: vec![],
        container: Some(Container::of_this_process(filter::wanted(request.plan.filter))),
    }
}

/// The words to start. An image without `oci-config.json` (older apptainer, definition files) brings
/// scripts that set its environment and run its program.
fn program(
    job: &JobSpec,
    config: Option<&ContainerConfig>,
    tree: &Looked,
) -> Result<Vec<String>, ExecuteError> {
    if let Some(config) = config {
        return environment::command(config, job).ok_or(ExecuteError::NothingToRun);
    }
    let (script, arguments) = if job.command.is_empty() || job.terms.starts_entrypoint() {
        ("/.singularity.d/runscript", job.command.clone())
    } else {
        ("/.singularity.d/actions/exec", job.command.clone())
    };
    if tree.tree().node(Path::new(script)).is_ok_and(|n| n == Some(Node::File)) {
        return Ok([vec![script.to_owned()], arguments].concat());
    }
    environment::command(&ContainerConfig::default(), job).ok_or(ExecuteError::NothingToRun)
}

fn variables(job: &JobSpec, config: Option<&ContainerConfig>) -> BTreeMap<String, String> {
    let none = ContainerConfig::default();
    let shape: Vec<&str> =
        backend::engines().flat_map(|facts| facts.for_program).copied().collect();
    environment::variables(config.unwrap_or(&none), job, &shape, |name| std::env::var(name).ok())
}

/// Everything that is mounted, the defaults first.
fn points(
    request: &Request<'_>,
    tree: &Looked,
    scratch: &Path,
) -> Result<Vec<Point>, ExecuteError> {
    let bind = |source, access, directory| What::Bind { source, access, directory };
    let point = |target: &str, what, role| Point {
        target: target.into(),
        what,
        role,
        supplied: role == Role::Default,
    };
    let dev = What::Dev { own_shm: false };
    let mut points = vec![
        point("/proc", What::Proc, Role::Fixed),
        Point { supplied: true, ..point("/dev", dev, Role::Fixed) },
    ];
    for (path, role) in
        [("/sys", Role::Fixed), ("/etc/resolv.conf", Role::File), ("/etc/hosts", Role::File)]
    {
        if let Ok(source) = fs::canonicalize(path) {
            let directory = source.is_dir();
            points.push(point(path, bind(source, Access::Ro, directory), role));
        }
    }
    for (target, name) in [("/tmp", "tmp"), ("/var/tmp", "var-tmp")] {
        let source = made(scratch.join(name))?;
        points.push(point(target, bind(source, Access::Rw, true), Role::Default));
    }
    for (target, source) in account_files(tree, scratch)? {
        points.push(point(target, bind(source, Access::Ro, false), Role::File));
    }

    let job = &request.plan.job;
    points.extend(binds(request).into_iter().map(|b| {
        let is_workdir = b.target == Path::new(WORK_DIR);
        let role = match () {
            () if is_workdir => Role::Fixed,
            () if request.is_default(&b) => Role::Default,
            () => Role::Asked,
        };
        // `work/` was made for this job: a mount point in it goes with it, and is nobody's litter
        let supplied = is_workdir && job.workdir.is_none();
        Point { target: b.target, what: bind(b.source, b.access, b.directory), role, supplied }
    }));
    Ok(points)
}

/// The machine's graphics processors, and their driver's libraries where the loader finds them.
fn gpus(start: &mut Start, report: &mut Report) -> Result<Vec<Point>, ExecuteError> {
    let found = gpu::look()?;
    let libraries = gpu::libraries(&found)?;
    if !libraries.is_empty() {
        environment::add_libraries(&mut start.env, gpu::PLACE);
    }
    let points = found.binds().chain(libraries).map(needed).collect();
    report.conditions.gpu = Some(found.said);
    Ok(points)
}

/// What is there, or the job does not start.
fn needed(bind: Bind) -> Point {
    let what = What::Bind { source: bind.source, access: bind.access, directory: bind.directory };
    Point { target: bind.target, what, role: Role::Asked, supplied: false }
}

/// The job's mounts and its working directory.
fn binds(request: &Request<'_>) -> Vec<Bind> {
    request.binds.iter().cloned().chain([Bind::workdir(request.workdir)]).collect()
}

/// What is covered, in the binds where [`layout`] put them: those that gave way are not there.
fn hide(
    request: &Request<'_>,
    places: Vec<PathBuf>,
    laid: &Layout,
) -> Result<Vec<Hidden>, ExecuteError> {
    let placed = binds(request)
        .into_iter()
        .filter_map(|b| Some(Bind { target: laid.place_of(&b.target)?.to_owned(), ..b }));
    let jobs = hiding::jobs_of(request.control);
    let secrets = Secrets { places, jobs, work: request.workdir };
    hiding::cover(&secrets, &placed.collect::<Vec<_>>())
}

/// What cannot be reached below the job's mounts, and below the other directories that are bound.
fn passed_over(
    request: &Request<'_>,
    before: &[Passed],
    points: &[Point],
) -> Result<Vec<Passed>, ExecuteError> {
    let mut asker = Asker::as_the_program();
    let mut passed = before.to_vec();
    for point in points {
        if let What::Bind { source, directory: true, .. } = &point.what
            && !request.binds.iter().any(|b| b.target == point.target)
        {
            passed.extend(mounts::pass_over(source, &point.target, &mut asker)?);
        }
    }
    Ok(passed)
}

fn made(directory: PathBuf) -> Result<PathBuf, ExecuteError> {
    fs::create_dir(&directory)
        .map_err(ExecuteError::io(format!("making {}", directory.display())))?;
    Ok(directory)
}

/// Writes `passwd` and `group` for the container.
fn account_files(
    tree: &Looked,
    scratch: &Path,
) -> Result<[(&'static str, PathBuf); 2], ExecuteError> {
    let host = |path: &str| fs::read(path).unwrap_or_default();
    let ids = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let image = (tree.text("/etc/passwd")?, tree.text("/etc/group")?);
    let files = account::account(
        ids,
        (&image.0, &image.1),
        (&host("/etc/passwd"), &host("/etc/group")),
        WORK_DIR,
    );
    let write = |name: &str, text: &[u8]| {
        let path = scratch.join(name);
        fs::write(&path, text).map_err(ExecuteError::io(format!("writing {name}")))?;
        Ok::<_, ExecuteError>(path)
    };
    Ok([
        ("/etc/passwd", write("passwd", &files.passwd)?),
        ("/etc/group", write("group", &files.group)?),
    ])
}
