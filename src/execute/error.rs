//! What ends an attempt before its program starts.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::form::Form;
use crate::failure::{Failure, Kind, io_kind};
use crate::job::{Grade, Tasks};
use crate::oci::{Digest, SifDigest};
use crate::runtime::builtin::LayoutError;
use crate::sif::SifError;
use crate::sif::hash_tree::HashTreeError;
use crate::worker::{PlanError, exit};

/// A directory that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub base: PathBuf,
    /// Whether `TMPDIR` named it.
    pub named: bool,
    /// What is wrong with it.
    pub why: String,
    /// Whether that is lack of room.
    pub full: bool,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = if self.named { "TMPDIR=" } else { "" };
        write!(f, "{named}{}: {}", self.base.display(), self.why)
    }
}

/// A refusal; [`ExecuteError::exit_code`] is the job's exit code.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The plan cannot be used.
    #[error("the plan {path}: {source}")]
    Plan {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PlanError,
    },
    /// The plan has other bytes than the script expects.
    #[error("the plan {path} was changed: it is {found}, the script expects {expected}")]
    PlanChanged {
        /// Which file.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// What the script says.
        expected: String,
    },
    /// The engine took the job more than once, and this is not the one that counts.
    #[error("this is not the submission on record, its program is not started: {0}")]
    Duplicate(String),
    /// An array's task does not know which one it is.
    #[error("which task of {tasks} this is is not known: {variable} says {said:?}")]
    Task {
        /// Where the engine says it.
        variable: String,
        /// What it says.
        said: String,
        /// The job's tasks.
        tasks: Tasks,
    },
    /// An input is another one than was submitted.
    #[error("the input {} is {found}, and {expected} was submitted: it was changed since", path.display())]
    Input {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: Digest,
        /// What it was.
        expected: Digest,
    },
    /// A mount of a project's file leads elsewhere since the job was submitted.
    #[error(
        "the mount {mount}: it leads to {found} now, and lay in {below} without a link when the job was submitted"
    )]
    MountMoved {
        /// The mount.
        mount: String,
        /// Where it leads.
        found: PathBuf,
        /// Where it must lie.
        below: String,
    },
    /// The image is not there.
    #[error("the image {path} cannot be opened: {source}")]
    ImageMissing {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image has other bytes.
    #[error("the image {path} is {found}, the job is pinned to {expected}")]
    Mismatch {
        /// Where.
        path: PathBuf,
        /// What it is.
        found: SifDigest,
        /// What it should be.
        expected: SifDigest,
    },
    /// No site publishes the image's tree here.
    #[error("the image {image} is not published on this machine: {why}")]
    Unpublished {
        /// Which.
        image: String,
        /// What there is in each place.
        why: String,
    },
    /// The image could not be had from its registry.
    #[error("the image could not be pulled: {why}")]
    Pull {
        /// What kind of trouble.
        kind: Kind,
        /// Why.
        why: String,
        /// What to try.
        hint: Option<String>,
    },
    /// The image is not what the root of its hash tree stands for.
    #[error("the image {path}: {source}")]
    Sealed {
        /// Where.
        path: PathBuf,
        /// Why.
        source: HashTreeError,
    },
    /// The image was written to while it was read.
    #[error("the image {0} was changed while it was read")]
    ChangedWhileRead(PathBuf),
    /// The file is no usable SIF.
    #[error("the image {path}: {source}")]
    Sif {
        /// Where.
        path: PathBuf,
        /// Why.
        source: SifError,
    },
    /// The plan holds an image that this runtime cannot run.
    #[error("the image {0} is not a SIF; the worker's runtimes run SIF files")]
    NotSif(String),
    /// The plan holds a SIF, and the runtime takes another form.
    #[error("the image {0} is a SIF and no OCI archive")]
    NotOci(String),
    /// The image's archive cannot be used.
    #[error("the image {path}: {why}")]
    Archive {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Something has not the digests of the image that the job is pinned to.
    #[error("{what} is not the image of the job: {why}")]
    OtherImage {
        /// Which.
        what: String,
        /// What differs.
        why: String,
    },
    /// The runtime does not take the image.
    #[error("{runtime} does not load {path}: {why}")]
    NotLoaded {
        /// Which.
        runtime: &'static str,
        /// The archive.
        path: PathBuf,
        /// Its own words.
        why: String,
    },
    /// The runtime's command line has no way to say a mount.
    #[error("{runtime} cannot mount {}: {why}", path.display())]
    Unspelled {
        /// The path.
        path: PathBuf,
        /// The runtime.
        runtime: &'static str,
        /// What stands in the way.
        why: String,
    },
    /// The runtime takes another form of an image.
    #[error("{name} runs {wants}, and the job has {form}")]
    Form {
        /// The runtime.
        name: &'static str,
        /// What it takes.
        wants: Form,
        /// What the job has.
        form: Form,
    },
    /// The evidence that this runtime can give is not what the job requires.
    #[error("the job requires evidence of the grade {}, and that of {runtime} is {}", required.name(), grade.name())]
    Evidence {
        /// The runtime.
        runtime: String,
        /// What it gives.
        grade: Grade,
        /// What is required.
        required: Grade,
    },
    /// The image cannot be served here, so that no block of it can be checked when it is read.
    #[error("the blocks of the image cannot be checked when they are read: {0}")]
    NotServed(String),
    /// A word that the runtime could take for the image.
    #[error("--option {option:?} is not an option of {runtime}: it could be taken for the image")]
    Option {
        /// The word.
        option: String,
        /// The runtime.
        runtime: &'static str,
    },
    /// The plan names a way of the image that this program does not know.
    #[error("this worker knows no delivery {0:?}")]
    Delivery(crate::job::Name),
    /// This machine's processor cannot run it.
    #[error("the image is for {image} and needs {needs}")]
    Processor {
        /// What it is for.
        image: String,
        /// What is missing here.
        needs: String,
    },
    /// A required mount's source is missing.
    #[error("the required mount {mount}: {why}")]
    MountMissing {
        /// Which.
        mount: String,
        /// Why.
        why: String,
    },
    /// No runtime works here.
    #[error("no container runtime works on this machine: {0}")]
    NoRuntime(String),
    /// None of the configured runtimes takes what `auto` has.
    #[error("no container runtime is left: {why}")]
    NoneFits {
        /// Why of each.
        why: String,
        /// The first of them.
        first: &'static str,
    },
    /// A runtime's program is here, and its daemon does not answer this user.
    #[error("{runtime} has no daemon that answers: {why}")]
    NoDaemon {
        /// The runtime.
        runtime: &'static str,
        /// Its own words.
        why: String,
        /// Whether the worker is in a container.
        inside: bool,
    },
    /// Nowhere can a directory for the job be made.
    #[error("the job's directory cannot be made: {}", told(.0))]
    NoScratch(Vec<PassedOver>),
    /// The system starts no further process or thread for this user.
    #[error("{what}: {source}: {}", process_limit())]
    NoProcess {
        /// What was to be started.
        what: String,
        /// The system's word.
        source: io::Error,
    },
    /// Something that the runtime needs kept it from working.
    #[error("{said}")]
    Hindered {
        /// What kind of trouble.
        kind: Kind,
        /// What was said of it.
        said: String,
        /// What to try.
        fix: Option<String>,
    },
    /// No worker of this version can give the evidence that the job requires.
    #[error("the job requires evidence of the grade {}, which this moorline cannot give", .0.name())]
    Requirement(Grade),
    /// The image's squashfs is damaged or hostile.
    #[error("the image cannot be unpacked: {path}: {why}")]
    Unpack {
        /// The path in the image, or of the image.
        path: String,
        /// Why.
        why: String,
    },
    /// A directory that another may write to, or that belongs to another.
    #[error("the directory {path} cannot be used: {why}")]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The mounts cannot be arranged.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Options for a runtime that takes none.
    #[error("the job has the option {option}, and the runtime {runtime} takes no options")]
    Options {
        /// The first of them.
        option: String,
        /// The runtime.
        runtime: &'static str,
    },
    /// The runtime cannot run a job on the terms that it was submitted with.
    #[error("the runtime {runtime}: {why}")]
    Terms {
        /// The runtime.
        runtime: &'static str,
        /// What it cannot give.
        why: String,
    },
    /// There is no graphics processor for a job that wants one.
    #[error("the job wants a GPU, and gets none here: {0}")]
    NoGpu(String),
    /// The disk has less room than the job may write into its image.
    #[error("the disk of {} has {} MiB left, and the job may write {} MiB into its image (--scratch)",
        directory.display(), free >> 20, size >> 20)]
    NoRoom {
        /// The directory on the disk.
        directory: PathBuf,
        /// What was asked for, in bytes.
        size: u64,
        /// What is left, in bytes.
        free: u64,
    },
    /// The image says nothing of what to run, and the job has no command.
    #[error("the job has no command, and its image has neither ENTRYPOINT nor CMD")]
    NothingToRun,
    /// The runtime did not start the program.
    #[error("the program was not started: {0}")]
    NotStarted(String),
    /// The runtime ended as it does when it fails, and nobody saw a program of the image.
    #[error("{runtime} ended with {code}, as it does when it fails, and no program of the image was seen to start{}",
        if *works { "" } else { "; it starts nothing else here either" })]
    NotSeen {
        /// The runtime.
        runtime: &'static str,
        /// Its exit code.
        code: i32,
        /// Whether it starts anything here.
        works: bool,
        /// Whether the program may have run, for too short a time to be seen.
        maybe: bool,
    },
    /// A signal came first.
    #[error("the job was told to end by signal {0} before its program was started")]
    Told(i32),
    /// A file of ours.
    #[error("{what}: {source}")]
    Io {
        /// What failed, on what.
        what: String,
        /// Why.
        source: io::Error,
    },
}

fn told(passed: &[PassedOver]) -> String {
    passed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The limit that a process or thread may have met.
fn process_limit() -> String {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let row = limits.lines().find_map(|line| line.strip_prefix("Max processes"));
    let soft = row.and_then(|row| row.split_whitespace().next()).unwrap_or("unknown");
    format!(
        "the limit on processes is reached (ulimit -u is {soft}, a control group may set a lower one)"
    )
}

/// Whether a path is that of the SIF in a store.
fn in_store(path: &std::path::Path, sif: &SifDigest) -> bool {
    use crate::oci::Sha256Digest;
    path.ends_with(format!("sifs/sha256/{}.sif", sif.hex()))
}

impl ExecuteError {
    /// A failure to start something: the limit on processes has an error of its own.
    pub(super) fn starting(what: impl Into<String>, source: io::Error) -> Self {
        let what = what.into();
        if source.raw_os_error() == Some(rustix::io::Errno::AGAIN.raw_os_error()) {
            return Self::NoProcess { what, source };
        }
        Self::NotStarted(format!("{what}: {source}"))
    }

    /// Names what an I/O error was about.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The job's exit code; see [`crate::worker::exit`].
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Duplicate(_) => exit::DUPLICATE,
            Self::ImageMissing { .. } | Self::Unpublished { .. } => exit::IMAGE_MISSING,
            Self::Pull { kind: Kind::Denied | Kind::NotFound, .. } => exit::PULL_DENIED,
            Self::Pull { kind: Kind::Integrity, .. }
            | Self::Mismatch { .. }
            | Self::ChangedWhileRead(_)
            | Self::PlanChanged { .. }
            | Self::OtherImage { .. }
            | Self::Evidence { .. }
            | Self::NotServed(_)
            | Self::Requirement(_)
            | Self::Sealed {
                source: HashTreeError::Root { .. } | HashTreeError::Changed(_), ..
            } => exit::IMAGE_MISMATCH,
            Self::MountMissing { .. } | Self::MountMoved { .. } => exit::MOUNT_MISSING,
            Self::NoRuntime(_) | Self::NoDaemon { .. } | Self::NoneFits { .. } => exit::NO_RUNTIME,
            Self::Told(signal) => 128 + signal,
            Self::NotSeen { code, maybe: true, .. } => *code,
            Self::NoScratch(passed) if passed.iter().any(|p| p.full) => exit::NO_SPACE,
            Self::Pull { kind: Kind::NoSpace, .. }
            | Self::Hindered { kind: Kind::NoSpace, .. }
            | Self::NoRoom { .. } => exit::NO_SPACE,
            Self::Pull { .. } => exit::PULL_FAILED,
            Self::Io { source, .. } if io_kind(source, Kind::NoRuntime) == Kind::NoSpace => {
                exit::NO_SPACE
            }
            _ => exit::RUNTIME_FAILED,
        }
    }
}

impl Failure for ExecuteError {
    fn kind(&self) -> Kind {
        match self {
            Self::ImageMissing { .. } | Self::MountMissing { .. } | Self::Unpublished { .. } => {
                Kind::NotFound
            }
            Self::Mismatch { .. }
            | Self::ChangedWhileRead(_)
            | Self::PlanChanged { .. }
            | Self::Layout(LayoutError::Tree { .. })
            | Self::Sif { .. }
            | Self::Archive { .. }
            | Self::OtherImage { .. }
            | Self::Unpack { .. } => Kind::Integrity,
            Self::Sealed { source, .. } => source.kind(),
            Self::Requirement(_)
            | Self::Evidence { .. }
            | Self::NotServed(_)
            | Self::MountMoved { .. } => Kind::Policy,
            Self::Duplicate(_) => Kind::Engine,
            Self::Io { source, .. } => io_kind(source, Kind::NoRuntime),
            Self::NoScratch(passed) if passed.iter().any(|p| p.full) => Kind::NoSpace,
            Self::NoRoom { .. } => Kind::NoSpace,
            Self::Pull { kind, .. } | Self::Hindered { kind, .. } => *kind,
            Self::Plan { .. } | Self::NoScratch(_) | Self::NoProcess { .. } => Kind::Configuration,
            Self::Layout(_)
            | Self::NothingToRun
            | Self::Option { .. }
            | Self::Options { .. }
            | Self::Terms { .. }
            | Self::Form { .. }
            | Self::Unspelled { .. }
            | Self::NotSif(_)
            | Self::NotOci(_) => Kind::Usage,
            _ => Kind::NoRuntime,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ImageMissing { .. } => {
                "the job's nodes must see the store; set the cache to a shared file system".into()
            }
            Self::Pull { hint, .. } => return hint.clone(),
            Self::Unpublished { .. } => {
                "submit it again with another --delivery, or ask whoever publishes images there".into()
            }
            Self::Mismatch { path, found, expected } if in_store(path, expected) => format!(
                "the store's file is damaged ({found}): moorline cache verify puts it away, then the \
                 image is made again when it is asked for"
            ),
            Self::Option { .. } => "write an option and its value as one word: --option=--NAME=VALUE".into(),
            Self::Sealed { source, .. } => return source.hint(),
            Self::Mismatch { path, .. } => format!(
                "put the file back that the job was submitted with, or submit it anew as it is now; moorline verify \
                 {} compares it with the image that it says it was made from",
                path.display()
            ),
            Self::Io { what, source }
                if what.starts_with("the working directory")
                    && source.kind() == io::ErrorKind::PermissionDenied =>
            {
                "start it in a directory of yours; submit takes another one with --workdir".into()
            }
            Self::NoScratch(passed) if passed.iter().any(|p| p.full) => {
                "free space in one of them, or set TMPDIR to a directory of yours on another disk".into()
            }
            Self::NoScratch(passed) if passed.iter().any(|p| p.why.contains("noexec")) => {
                "install squashfuse, or set TMPDIR to a directory of yours that is not mounted noexec"
                    .into()
            }
            Self::NoScratch(_) => "set TMPDIR to a directory that you can write to".into(),
            Self::NoProcess { .. } => {
                "end some of your processes on this machine, or raise the limit (ulimit -u)".into()
            }
            Self::MountMissing { .. } => "leave out :required to run without this mount".into(),
            Self::MountMoved { mount, .. } => {
                format!("if you want it as it is now, give it yourself: --mount {mount}")
            }
            Self::Untrusted { .. } => {
                "remove it, or name another node cache in the configuration".into()
            }
            Self::Hindered { fix: Some(fix), .. } => fix.clone(),
            Self::Requirement(_) => "require measured, or use a newer moorline on the workers".into(),
            Self::Processor { image, .. } if image.matches('/').count() > 1 => {
                "ask the engine for other nodes, or name the image with --platform linux/amd64/v1"
                    .into()
            }
            Self::Processor { .. } => {
                "ask the engine for other nodes, or name the image with another --platform".into()
            }
            Self::NoDaemon { runtime, inside: true, .. } => format!(
                "take --runtime builtin or auto: the worker is in a container, and a {runtime} daemon outside of it would \
                 not find the job's files"
            ),
            Self::NoDaemon { runtime, .. } => format!(
                "`{runtime} info` shows the same: start its daemon, or ask its administrator to let you use it; podman, \
                 apptainer and builtin (--runtime) need none"
            ),
            Self::NoneFits { first, .. } => format!(
                "name it, so that its form of the image is staged: --runtime {first}; or put builtin into runtimes of the \
                 configuration"
            ),
            Self::NothingToRun => "put the command after --".into(),
            Self::Evidence { required: Grade::VerifiedOnRead, .. } => {
                "take --runtime builtin and an image that has a hash tree (moorline convert makes one), or \
                 --require measured: then the whole file is hashed before the program starts"
                    .into()
            }
            Self::Evidence { .. } => {
                "name another runtime: builtin measures the image by itself".into()
            }
            Self::NotServed(_) => {
                "--require measured is possible here: the whole file is hashed before the program starts. For \
                 verified-on-read the machine's administrator lets users open /dev/fuse (modprobe fuse; chmod 0666 \
                 /dev/fuse); a container that the job runs in is started with --device /dev/fuse"
                    .into()
            }
            Self::Form { name, .. } => format!("submit it again with --runtime {name}"),
            Self::Options { .. } => {
                "leave --option out, or name the runtime that it is meant for with --runtime".into()
            }
            Self::Terms { .. } => "take another runtime: --runtime builtin, or auto".into(),
            Self::NotSeen { works: false, runtime, .. } => format!(
                "{runtime} said above what it lacks, often user namespaces or setuid: its administrator can mend that, and \
                 --runtime builtin shows whether that one works"
            ),
            Self::NotSeen { runtime, .. } => format!(
                "{runtime} said above what it met: look whether the image has the program, or try --runtime builtin"
            ),
            Self::NoGpu(_) => "ask the engine for a GPU of a node, or leave --gpu out".into(),
            Self::NoRoom { .. } => {
                "ask for less, or set TMPDIR to a directory of yours on another disk".into()
            }
            _ => return None,
        })
    }
}
