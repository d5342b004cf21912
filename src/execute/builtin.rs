//! The built-in runtime on this machine: the image's tree, the mounts around it, and the container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::asker::Asker;
use super::container::{self, Ended, Manner};
use super::hiding::{self, Hidden, Secrets};
use super::inside::Inside;
use super::measure::Measured;
use super::mounts::Passed;
use super::packed::Packed;
use super::rootfs::server::{Served, Server};
use super::rootfs::{self, Rootfs};
use super::scratch::Scratch;
use super::starter::{Container, Start, Word};
use super::{ExecuteError, account, filter, keyring, mounts, packed, tickets};
use crate::backend;
use crate::files::ForeignFile;
use crate::job::{Access, JobSpec, Mount, WORK_DIR};
use crate::listing;
use crate::oci::ContainerConfig;
use crate::runtime::builtin::{
    Cover, ImageTree, Layout, LayoutError, Node, Point, Role, What, layout, resolve,
};
use crate::runtime::{Bind, environment};
use crate::sif::SifReader;
use crate::sif::hash_tree::Checked;
use crate::worker::Plan;

/// What the worker has found before.
pub(super) struct Request<'a> {
    pub(super) plan: &'a Plan,
    pub(super) measured: &'a Measured,
    pub(super) binds: &'a [Bind],
    /// Mounts below the binds that cannot be reached.
    pub(super) passed: &'a [Passed],
    /// Must not be seen inside, the control directory among it.
    pub(super) hide: &'a [PathBuf],
    pub(super) control: &'a Path,
    pub(super) workdir: &'a Path,
    /// The job's own directory.
    pub(super) scratch: &'a Scratch,
    /// Whether a tree that an earlier job unpacked is good enough.
    pub(super) may_share: bool,
}

/// What came of it, for the receipt.
pub(super) struct Ran {
    pub(super) ended: Ended,
    /// Whether the program ran behind the filter of system calls.
    pub(super) filtered: bool,
    /// Which way the root file system was provided.
    pub(super) rootfs: &'static str,
    /// Whether the tree was made from the measured bytes just now.
    pub(super) fresh: bool,
    /// Why better ways were not taken, and what gave way to an odd image.
    pub(super) notes: Vec<String>,
    /// Mounts of the machine that the container does not show.
    pub(super) passed: Vec<Passed>,
    /// Mounts over files of the image.
    pub(super) covers: Vec<Cover>,
    /// What happened to an unpacked image while the program ran.
    pub(super) damage: Option<String>,
    /// What the image's server did, where one served it.
    pub(super) served: Option<Served>,
}

/// The image's tree before the container is there: on this machine, or in its squashfs.
enum Looked {
    Tree(Tree),
    Packed(Box<Packed<Checked<File>>>),
}

impl Looked {
    fn tree(&self) -> &dyn ImageTree {
        match self {
            Self::Tree(tree) => tree,
            Self::Packed(packed) => &**packed,
        }
    }

    /// A text file of the image; empty when it has none.
    fn text(&self, path: &str) -> Result<Vec<u8>, ExecuteError> {
        match self {
            Self::Tree(tree) => tree.text(path),
            Self::Packed(packed) => Ok(packed.text(path)?),
        }
    }
}

/// Runs the job.
///
/// # Errors
/// When the program was not started.
pub(super) fn run(request: &Request<'_>) -> Result<Ran, ExecuteError> {
    let job = &request.plan.job;
    let sif_error = |source| ExecuteError::Sif { path: request.measured.path.clone(), source };
    let handle =
        request.measured.file.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
    let sealed = request.measured.sealed.as_ref();
    let (partition, config) = match sealed {
        Some(sealed) => {
            let mut reader = sealed.sif().map_err(|source| request.measured.wrong(source))?;
            (sealed.partition(), packed::configuration(&mut reader).map_err(sif_error)?)
        }
        None => {
            let mut reader = SifReader::open(handle).map_err(sif_error)?;
            let partition = reader.partition().map_err(sif_error)?;
            (partition, packed::configuration(&mut reader).map_err(sif_error)?)
        }
    };

    let scratch = request.scratch;
    // links resolved, because the container is put together from the other side
    let scratch_path =
        fs::canonicalize(scratch.path()).map_err(ExecuteError::io("the scratch directory"))?;
    let cache = request.plan.node_cache.as_ref().unwrap_or(&scratch.base);
    let shared = if request.may_share {
        rootfs::shared_directory(cache)
    } else {
        Err("the job requires an image that it measured itself".to_owned())
    };
    // made by now, so that it can be hidden also from a container that does not need it
    let mut hidden = rootfs::to_hide(Some(cache));
    hidden.extend([request.control.to_owned(), scratch_path.clone()]);
    let room = rootfs::Room {
        shared: shared.as_deref().map_err(String::as_str),
        scratch: &scratch_path,
        limits: &request.plan.limits,
    };
    let site_store = request.plan.site_store.as_deref();
    let (mut server, mut serve, mut rootfs) = (None, None, None);
    let (root, tree) = if let Some(sealed) = sealed {
        let (file, limits) = (&request.measured.file, &request.plan.limits);
        server = Some(Server::start(file, sealed.root(), limits)?);
        let point = made(scratch_path.join("rootfs"))?;
        serve = Some(Word::from(point.clone()));
        let packed = Packed::sealed(file, sealed, limits).map_err(|why| ExecuteError::Unpack {
            path: request.measured.path.display().to_string(),
            why,
        })?;
        (point, Looked::Packed(Box::new(packed)))
    } else {
        let provided = rootfs::provide(request.measured, partition, site_store, room)?;
        let root =
            fs::canonicalize(&provided.path).map_err(ExecuteError::io("the image's tree"))?;
        rootfs = Some(provided);
        (root.clone(), Looked::Tree(Tree(root)))
    };

    let mut points = points(request, &tree, &scratch_path)?;
    let tickets = tickets::bind(job, request.control, &scratch_path)?;
    let mut start = start(request, program(job, config.as_ref(), &tree)?, config.as_ref());
    if let Some(bind) = tickets {
        points.push(tickets_point(bind));
        start.env.insert(tickets::VARIABLE.to_owned(), tickets::value());
    }
    let machine = Tree(PathBuf::from("/"));
    let laid = layout(&root, (tree.tree(), &machine), &points)?;
    let mut places = request.hide.to_vec();
    places.extend(hidden);
    let hide = hide(request, places, &laid)?;
    let passed = passed_over(request, &points)?;
    let out_of_reach = passed.iter().filter_map(|p| laid.place_below(Path::new(&p.target)));
    let passed_over = out_of_reach.map(Into::into).collect();
    let Layout { steps, notes: gave_way, covers, .. } = laid;
    let inside = Inside {
        root: made(scratch_path.join("root"))?,
        steps,
        hide,
        passed_over,
        serve,
        uid: rustix::process::getuid().as_raw(),
        terminal: None,
        start,
    };
    let filtered = inside.start.container.as_ref().is_some_and(|container| container.filter);
    let ended = container::run(inside, Manner::of(&job.terms)?, server.as_mut())?;
    let served = server.map(Server::finish);
    let damage = rootfs.as_ref().and_then(Rootfs::damage);
    let (how, fresh, mut notes) = match rootfs {
        Some(Rootfs { how, fresh, notes, .. }) => (how, fresh, notes),
        None => ("served", true, Vec::new()),
    };
    notes.extend(gave_way);
    Ok(Ran { ended, filtered, rootfs: how, fresh, notes, passed, covers, damage, served })
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
        return environment::command(config, &job.command).ok_or(ExecuteError::NothingToRun);
    }
    let (script, arguments) = if job.command.is_empty() {
        ("/.singularity.d/runscript", vec![])
    } else {
        ("/.singularity.d/actions/exec", job.command.clone())
    };
    if tree.tree().node(Path::new(script)).is_ok_and(|n| n == Some(Node::File)) {
        return Ok([vec![script.to_owned()], arguments].concat());
    }
    environment::command(&ContainerConfig::default(), &job.command)
        .ok_or(ExecuteError::NothingToRun)
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
            () if is_default(&b, job) => Role::Default,
            () => Role::Asked,
        };
        // `work/` was made for this job: a mount point in it goes with it, and is nobody's litter
        let supplied = is_workdir && job.workdir.is_none();
        Point { target: b.target, what: bind(b.source, b.access, b.directory), role, supplied }
    }));
    Ok(points)
}

/// The tickets are there, or the job does not start.
fn tickets_point(bind: Bind) -> Point {
    let what = What::Bind { source: bind.source, access: bind.access, directory: bind.directory };
    Point { target: bind.target, what, role: Role::Asked, supplied: false }
}

/// The job's mounts and its working directory.
fn binds(request: &Request<'_>) -> Vec<Bind> {
    let workdir = Bind {
        source: request.workdir.to_owned(),
        target: WORK_DIR.into(),
        access: Access::Rw,
        directory: true,
    };
    request.binds.iter().cloned().chain([workdir]).collect()
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
fn passed_over(request: &Request<'_>, points: &[Point]) -> Result<Vec<Passed>, ExecuteError> {
    let mut asker = Asker::as_the_program();
    let mut passed = request.passed.to_vec();
    for point in points {
        if let What::Bind { source, directory: true, .. } = &point.what
            && !request.binds.iter().any(|b| b.target == point.target)
        {
            passed.extend(mounts::pass_over(source, &point.target, &mut asker)?);
        }
    }
    Ok(passed)
}

/// Whether a mount is there although nobody asked for it.
pub(super) fn is_default(bind: &Bind, job: &JobSpec) -> bool {
    let mut same = job.mounts.iter().filter(|m| Path::new(&m.target) == bind.target);
    same.next_back() == Some(&Mount::cvmfs())
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

/// The largest text file of an image that is read, in bytes.
const MOST_TEXT: u64 = 16 << 20;

/// An image's tree in a directory of this machine.
pub(super) struct Tree(pub(super) PathBuf);

impl Tree {
    fn at(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A text file of the image; links are followed inside the image only. Empty when it has none.
    fn text(&self, path: &str) -> Result<Vec<u8>, ExecuteError> {
        let path = match resolve(self, Path::new(path)) {
            // no file of the image, then
            Err(LayoutError::Links(_)) => return Ok(Vec::new()),
            found => found?,
        };
        if self.node(&path).ok().flatten() != Some(Node::File) {
            return Ok(Vec::new());
        }
        // an image may hold a file of a terabyte; then the container gets the host's entries alone
        let most = ForeignFile::anyones(MOST_TEXT);
        Ok(most.bytes(&self.at(&path)).unwrap_or_default())
    }
}

impl ImageTree for Tree {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        let here = self.at(path);
        let kind = match fs::symlink_metadata(&here) {
            Ok(m) => m.file_type(),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        Ok(Some(if kind.is_dir() {
            Node::Directory
        } else if kind.is_file() {
            Node::File
        } else if kind.is_symlink() {
            Node::Link(fs::read_link(&here)?)
        } else {
            Node::Other
        }))
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names = listing::names(&self.at(path))?;
        names.sort();
        Ok(names)
    }
}
