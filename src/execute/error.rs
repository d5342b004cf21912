//! What ends an attempt before its program starts.

use std::io;
use std::path::PathBuf;

use crate::failure::{Failure, Kind, io_kind};
use crate::oci::SifDigest;
use crate::runtime::builtin::LayoutError;
use crate::sif::SifError;
use crate::worker::{PlanError, exit};

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
    #[error("the image {0} is no SIF; the worker's runtimes run SIF files")]
    NotSif(String),
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
    #[error("the job has the option {0}, and the built-in runtime takes no options")]
    Options(String),
    /// The image says nothing of what to run, and the job has no command.
    #[error("the job has no command, and its image has neither ENTRYPOINT nor CMD")]
    NothingToRun,
    /// The runtime did not start the program.
    #[error("the program was not started: {0}")]
    NotStarted(String),
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

impl ExecuteError {
    /// Names what an I/O error was about.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The job's exit code; see [`crate::worker::exit`].
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::ImageMissing { .. } => exit::IMAGE_MISSING,
            Self::Mismatch { .. } | Self::ChangedWhileRead(_) | Self::PlanChanged { .. } => {
                exit::IMAGE_MISMATCH
            }
            Self::MountMissing { .. } => exit::MOUNT_MISSING,
            Self::NoRuntime(_) => exit::NO_RUNTIME,
            Self::Told(signal) => 128 + signal,
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
            Self::ImageMissing { .. } | Self::MountMissing { .. } => Kind::NotFound,
            Self::Mismatch { .. }
            | Self::ChangedWhileRead(_)
            | Self::PlanChanged { .. }
            | Self::Sif { .. }
            | Self::Unpack { .. } => Kind::Integrity,
            Self::Io { source, .. } => io_kind(source, Kind::NoRuntime),
            Self::Plan { .. } => Kind::Configuration,
            Self::Layout(_) | Self::NothingToRun | Self::Options(_) => Kind::Usage,
            _ => Kind::NoRuntime,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ImageMissing { .. } => {
                "the job's nodes must see the store; set the cache to a shared file system".into()
            }
            Self::Mismatch { .. } => "moorline verify FILE says what the file holds".into(),
            Self::MountMissing { .. } => "leave out :required to run without this mount".into(),
            Self::Untrusted { .. } => {
                "remove it, or name another node cache in the configuration".into()
            }
            Self::Processor { image, .. } if image.matches('/').count() > 1 => {
                "ask the engine for other nodes, or name the image with --platform linux/amd64/v1"
                    .into()
            }
            Self::Processor { .. } => {
                "ask the engine for other nodes, or name the image with another --platform".into()
            }
            Self::NothingToRun => "put the command after --".into(),
            Self::Options(_) => {
                "leave --option out, or name the runtime that it is meant for with --runtime".into()
            }
            _ => return None,
        })
    }
}
