//! What stops a submission.

use std::io;
use std::path::{Path, PathBuf};

use crate::backend::BackendError;
use crate::failure::{Failure, Kind, io_kind};
use crate::files::FileError;
use crate::job::{JobId, Name};
use crate::ledger::LedgerError;
use crate::oci::Digest;
use crate::runtime::udocker::UdockerError;
use crate::store::StoreError;

/// What stopped a submission.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// A file of the job's directory.
    #[error(transparent)]
    Io(#[from] FileError),
    /// A file of the submitter.
    #[error(transparent)]
    Input(FileError),
    /// An input of an earlier job is not there any more.
    #[error("job {job} cannot be repeated: {what} is lost ({})", path.display())]
    InputLost {
        /// The earlier job.
        job: JobId,
        /// What is lost.
        what: String,
        /// Where it was.
        path: PathBuf,
    },
    /// An input has other bytes than it had.
    #[error(
        "the input ./{name} was changed: {} has {found}, expected {expected}", path.display()
    )]
    InputChanged {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What it had.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
    /// The job's nodes have another processor, and no worker for it is at hand.
    #[error(
        "no worker for the nodes' processor ({processor}) can be sent: {}: {why}",
        path.display()
    )]
    NoWorker {
        /// As Go calls it.
        processor: String,
        /// Where it was looked for.
        path: PathBuf,
        /// Why that one is not taken.
        why: String,
    },
    /// Image and engine do not go together with the way that was asked for.
    #[error("--delivery {word}: {why}")]
    Delivery {
        /// What was asked for.
        word: &'static str,
        /// Why not.
        why: String,
        /// What to do instead.
        hint: String,
    },
    /// More tasks than may ask a registry by themselves.
    #[error("--delivery pull: {tasks} tasks would ask the registry, and {most} may")]
    TooManyPulls {
        /// The job's.
        tasks: u64,
        /// The most of one job.
        most: u64,
    },
    /// A credential that is handed to no worker.
    #[error("--delivery pull: the image is not public, and {why}")]
    NoToken {
        /// Why what is there is not sent.
        why: String,
    },
    /// The engine keeps copies of the job's files, and a credential is among them.
    #[error(
        "--delivery pull: {engine} copies the job's files, and a deploy token would be among them"
    )]
    Spooled {
        /// The engine.
        engine: &'static str,
    },
    /// The image's file has other bytes than a moment ago.
    #[error("{} was changed while it was copied into the job", path.display())]
    ImageChanged {
        /// The file.
        path: PathBuf,
    },
    /// A file is not the runtime that it should be.
    #[error("{} cannot be added: {source}", path.display())]
    Runtime {
        /// The file.
        path: PathBuf,
        /// Why.
        source: UdockerError,
    },
    /// A file of an added runtime is not in the store any more.
    #[error("the {kind} that was added has lost {name} ({sha256})")]
    RuntimeLost {
        /// The runtime.
        kind: Name,
        /// What the file was called.
        name: String,
        /// Its bytes.
        sha256: Digest,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A path that is not UTF-8 cannot stand in a plan.
    #[error("the job's plan cannot be written: {0}")]
    Plan(#[from] serde_json::Error),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The engine answered, and its answer could not be recorded.
    #[error("{what}; this could not be recorded: {source}")]
    Unrecorded {
        /// What the engine answered.
        what: String,
        /// Whether it has the job.
        taken: bool,
        /// Why not.
        source: LedgerError,
    },
    /// The ledger could not be written; the engine was not asked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The engine.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl SubmitError {
    pub(super) fn io<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        let about = FileError::about(doing, path);
        move |source| about(source).into()
    }
}

impl Failure for SubmitError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io(error) => io_kind(&error.source, Kind::Configuration),
            Self::Input(error) if error.source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Input(error) => io_kind(&error.source, Kind::Usage),
            Self::InputLost { .. } | Self::RuntimeLost { .. } => Kind::NotFound,
            Self::Runtime { source, .. } => source.kind(),
            Self::Store(error) => error.kind(),
            Self::InputChanged { .. } | Self::ImageChanged { .. } => Kind::Integrity,
            Self::Plan(_) | Self::Delivery { .. } | Self::Spooled { .. } => Kind::Usage,
            Self::TooManyPulls { .. } => Kind::Policy,
            Self::NoToken { .. } => Kind::Denied,
            Self::NoWorker { .. } | Self::Random(_) => Kind::Configuration,
            Self::Ledger(error) | Self::Unrecorded { source: error, .. } => error.kind(),
            Self::Backend(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Input(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
                Some("`ls -l` shows who may read it; name a copy that you can read".into())
            }
            Self::Input(_) => Some("name a file that you can read".into()),
            Self::Io(_) => Some("jobs_dir in the configuration names where jobs live".into()),
            Self::InputLost { .. } | Self::InputChanged { .. } => Some(
                "put the file back as it was, or submit a new job with the one of today".into(),
            ),
            Self::Unrecorded { taken: true, .. } => Some(
                "do not submit it again: moorline recover finds it when the ledger can be written"
                    .into(),
            ),
            Self::Ledger(error) | Self::Unrecorded { source: error, .. } => error.hint(),
            Self::Backend(error) => error.hint(),
            Self::NoWorker { .. } => Some(
                "build moorline-worker of this version for that processor and put it there".into(),
            ),
            Self::Delivery { hint, .. } => Some(hint.clone()),
            Self::TooManyPulls { .. } => Some(
                "transfer or shared ask the registry once for all; --force-pull does it all the same".into(),
            ),
            Self::NoToken { .. } => Some(
                "moorline login REGISTRY/PROJECT with a deploy token that has read_registry and nothing else"
                    .into(),
            ),
            Self::Spooled { .. } => Some(
                "--send-credential sends it all the same; --delivery transfer needs none".into(),
            ),
            Self::Runtime { source, .. } => source.hint(),
            Self::RuntimeLost { kind, .. } => {
                Some(format!("moorline runtime add {kind} FILE adds it again; another --runtime needs none"))
            }
            Self::Store(error) => error.hint(),
            Self::ImageChanged { .. } => Some("submit it again when nobody writes to it".into()),
            Self::Plan(_) | Self::Random(_) => None,
        }
    }
}
