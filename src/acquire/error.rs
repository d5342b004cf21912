//! What keeps an image from being obtained, beside what registries, archives, conversion and store say.

use std::path::PathBuf;

use crate::failure::{Failure, Kind, io_kind};
use crate::files::ForeignError;
use crate::gitlab::HandedError;
use crate::lock::{FILE, SIF_SCHEME};
use crate::oci::{ParseReferenceError, Platform, SifDigest};
use crate::registry::RegistryError;
use crate::text::one_line;

const WHOLE: &str =
    "write all 64 characters: moorline jobs --full and moorline tags --full show them";
const NAME_ONE: &str = "name one: group/project:tag, or --project GROUP/PROJECT --ref BRANCH";
const FORM: &str = "write registry/group/project:tag, or group/project:tag with registry = \"...\" in the configuration";
const MOUNT: &str = "a SIF file's name ends in .sif; a directory for the job is given with --mount SRC:DST before the image";
const VERBOSE: &str =
    "a directory for the job is given with --mount SRC:DST before the image; -v is --verbose";
const LOG_IN: &str =
    "write registry/group/project:tag; moorline login REGISTRY --username NAME keeps a credential";

/// What to write for a path; `-v SRC:DST` is docker's.
fn mount(what: &str) -> &'static str {
    if what.contains(':') { VERBOSE } else { MOUNT }
}

/// Why an image was not obtained. Texts from outside are kept harmless: one line, no control characters.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// WHAT and a flag that stands in its place.
    #[error("an image was named twice: IMAGE and --project")]
    NamedTwice,
    /// Neither.
    #[error("no image was named")]
    NotNamed,
    /// Neither, and it is not known what CI built here.
    #[error("no image was named")]
    NoBuild,
    /// A SIF file was to be resolved.
    #[error("{what}: a SIF file needs no resolving")]
    NeedsNone {
        /// As it was typed.
        what: String,
    },
    /// WHAT is no reference.
    #[error("{what}: {why}")]
    Reference {
        /// As it was typed, without a user part.
        what: String,
        /// What is wrong.
        why: ParseReferenceError,
    },
    /// WHAT is a path that is no SIF file.
    #[error("{what} is a path, and names no image")]
    Path {
        /// As it was typed.
        what: String,
    },
    /// A name without a registry that Docker Hub cannot have.
    #[error(
        "{what} names no registry, and Docker Hub has no names of {parts} parts: nothing was asked"
    )]
    NotOfHub {
        /// As it was typed.
        what: String,
        /// How many it has.
        parts: usize,
    },
    /// A name without a registry inside a clone of a GitLab project.
    #[error("{what} names no registry, and this is a clone of {host}: Docker Hub was not asked")]
    InClone {
        /// As it was typed.
        what: String,
        /// The clone's host.
        host: String,
    },
    /// A beginning of a digest that is unknown here.
    #[error("{0} is not a whole digest, and no job, lock or image here has one that begins so")]
    NoSuchDigest(String),
    /// A beginning of several digests.
    #[error("{what} is the beginning of several digests: {}", found.join(", "))]
    SeveralDigests {
        /// As it was typed.
        what: String,
        /// Some of them.
        found: Vec<String>,
    },
    /// A digest without a name in front of it.
    #[error("{what} is a digest alone: it names no repository")]
    BareDigest {
        /// As it was typed, or completed.
        what: String,
        /// The repositories that are known to have it.
        known: Vec<String>,
    },
    /// WHAT is a job file.
    #[error("{0} is a file, not an image")]
    JobFile(String),
    /// A reference was wanted, and the name stands for a build.
    #[error("{what} stands for what CI built ({words}), not for a reference")]
    Built {
        /// The name.
        what: String,
        /// What it stands for.
        words: String,
    },
    /// A reference was wanted, and WHAT is an archive or a file.
    #[error("{what}: this image is not in a registry")]
    InNoRegistry {
        /// As it was typed.
        what: String,
    },
    /// A reference was wanted, and WHAT is a SIF.
    #[error("{what}: this is a SIF, not a container image")]
    Sif {
        /// As it was typed.
        what: String,
    },
    /// The ledger is asked for an image, and a job keeps no name of this kind.
    #[error("{what}: the ledger does not keep {kind}")]
    ByDigestOnly {
        /// As it was typed.
        what: String,
        /// The kind.
        kind: &'static str,
    },
    /// The runtime takes an OCI archive, which is made of images in a registry only.
    #[error("podman and docker run images of a registry, and this image is in none")]
    NoArchive,
    /// A published tree has the name of an image in a registry.
    #[error("a tree below /cvmfs is that of an image of a registry, and this image is in none")]
    NotPublished,
    /// A kind of place that is not built yet.
    #[error("{what}: {kind} cannot be read yet")]
    NotYet {
        /// As it was typed.
        what: String,
        /// The kind.
        kind: &'static str,
    },
    /// WHAT is no name of a hub.
    #[error("{0}")]
    HubName(String),
    /// The hub does not answer.
    #[error("{error}")]
    HubAway {
        /// Who plays it.
        endpoint: String,
        /// What was met.
        error: Box<RegistryError>,
    },
    /// Between two steps it went.
    #[error("{0} was pruned just now")]
    Pruned(String),
    /// `--locked`, and it can be in no lock file.
    #[error("--locked: {0} is not in {FILE}")]
    Lockless(&'static str),
    /// `--locked`, and the lock file has no such pin.
    #[error("--locked: {FILE} has no pin of {what} for {platform}")]
    NotLocked {
        /// What was asked for.
        what: String,
        /// For which platform.
        platform: Platform,
    },
    /// A lock file was wanted.
    #[error("there is no {FILE} in this directory")]
    NoLock,
    /// An earlier job's image is gone and cannot be made again.
    #[error("the job's image {} is gone, and it came from no registry", .0.display())]
    Gone(PathBuf),
    /// An earlier job's image converts to other bytes now.
    #[error("{reference} gives the SIF {now}; the job used {then}")]
    OtherBytes {
        /// Its pin.
        reference: String,
        /// What it is now.
        now: SifDigest,
        /// What it was.
        then: SifDigest,
    },
    /// Neither a flag, CI nor a clone says which project.
    #[error("no project was named")]
    NoProject,
    /// It is unknown where GitLab's images are.
    #[error("it is not known which registry holds GitLab's images")]
    NoRegistry,
    /// As before, for the clone's GitLab.
    #[error("this clone belongs to {0}, and it is not known which registry holds its images")]
    UnknownHost(String),
    /// The clone cannot be read.
    #[error("cannot read this clone's remote: {0}")]
    Clone(String),
    /// Whether there is a clone cannot be seen.
    #[error("cannot see whether this is a clone: {0}")]
    CloneUnseen(String),
    /// `--pipeline` is neither a number nor `latest`.
    #[error("--pipeline {0}: write its number, or latest")]
    Pipeline(String),
    /// A pipeline has one ref.
    #[error("--ref cannot stand beside a pipeline's number, which already names the ref")]
    RefOfPipeline,
    /// A digest file cannot be read.
    #[error("cannot read the digest file {}: {error}", file.display())]
    DigestFile {
        /// Which.
        file: PathBuf,
        /// Why.
        error: ForeignError,
    },
    /// A digest file holds something else; nothing of it is repeated.
    #[error("the digest file {}: {error}", file.display())]
    NoDigest {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        error: HandedError,
    },
    /// A conversion made something else.
    #[error("the conversion made no SIF")]
    NoSif,
    /// A new file reads as other bytes than were written.
    #[error("{} was made just now and reads as {found}, not as {made}", path.display())]
    LosesBytes {
        /// The file.
        path: PathBuf,
        /// What was read.
        found: SifDigest,
        /// What was written.
        made: SifDigest,
    },
    /// A copy of a SIF.
    #[error("cannot write {}: {source}", path.display())]
    Unwritten {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A question got no answer: a mistake of the program.
    #[error("there was no answer for this reference")]
    NoAnswer,
}

impl AcquireError {
    /// With the reference as it was typed.
    pub(super) fn reference(what: &str, why: ParseReferenceError) -> Self {
        Self::Reference { what: one_line(what), why }
    }
}

impl Failure for AcquireError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoLock | Self::Gone(_) | Self::Pruned(_) => Kind::NotFound,
            Self::Lockless(_) | Self::NotLocked { .. } => Kind::Policy,
            Self::OtherBytes { .. } | Self::LosesBytes { .. } => Kind::Integrity,
            Self::NoSif => Kind::Conversion,
            Self::Unwritten { source, .. } => io_kind(source, Kind::Conversion),
            Self::HubAway { .. } => Kind::Network,
            Self::NoRegistry | Self::UnknownHost(_) | Self::Clone(_) | Self::CloneUnseen(_) => {
                Kind::Configuration
            }
            Self::DigestFile { error, .. } if error.is_missing() => Kind::NotFound,
            _ => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NamedTwice => {
                "leave one out; a command behind the flags stands behind --: --project GROUP/PROJECT --ref BRANCH -- COMMAND"
            }
            Self::NotNamed => NAME_ONE,
            Self::NoBuild => {
                "name one: group/project:tag, or --project GROUP/PROJECT --ref BRANCH; it may be left out only inside GitLab CI and in a clone"
            }
            Self::NeedsNone { .. } => "submit or run it as it is: it is pinned by its own digest",
            Self::JobFile(file) => {
                return Some(format!("a job file is given with -f: moorline submit -f {file}"));
            }
            Self::Reference { why: ParseReferenceError::User, .. } => LOG_IN,
            Self::Path { what } => mount(what),
            Self::Reference { .. } => FORM,
            Self::NotOfHub { what, .. } => {
                return Some(format!(
                    "write REGISTRY/{what}; --registry HOST, MOORLINE_REGISTRY or registry = \"HOST\" in \
                     ~/.config/moorline/config.toml names the registry of such names"
                ));
            }
            Self::InClone { what, .. } => {
                return Some(format!(
                    "write REGISTRY/{what}, or name the registry with --registry HOST, MOORLINE_REGISTRY or \
                     registry = \"HOST\" in moorline.toml; docker.io/{what} is the one of Docker Hub"
                ));
            }
            Self::NoSuchDigest(_) => WHOLE,
            Self::SeveralDigests { .. } => "write more characters of it",
            Self::BareDigest { what, known } => {
                let place = known.first().map_or("REGISTRY/GROUP/PROJECT", String::as_str);
                return Some(format!(
                    "write {place}@{what}; a job runs again by its own name: moorline rerun JOB"
                ));
            }
            Self::Built { .. } => {
                "resolve, lock, convert, run and submit take it; write a reference here"
            }
            Self::InNoRegistry { .. } => {
                "convert, run and submit take it on their command line, with a path"
            }
            Self::Sif { what } if !what.contains("://") => {
                "run and submit take it as it is; moorline audit image FILE.sif says which jobs used it"
            }
            Self::Sif { .. } => "resolve, run and submit take it on their command line",
            Self::ByDigestOnly { .. } => {
                "ask for the image by its digest, sha256:...: moorline audit job JOB shows the one of a job"
            }
            Self::NoArchive => {
                "leave --runtime out, or push the image to a registry and name it there"
            }
            Self::NotPublished => "leave --delivery out, or name the image in its registry",
            Self::NotYet { what, .. } if what.starts_with("cvmfs:") => {
                "name the image by its reference in its registry, with --delivery cvmfs; a SIF file below /cvmfs is \
                 named by its path"
            }
            Self::NotYet { .. } => "push the image to a registry and name it there",
            Self::HubAway { endpoint, .. } => {
                return Some(format!(
                    "{endpoint} stands for Singularity Hub, which has been a read-only archive since 2021 and \
                     may be switched off; name another server with [shub] endpoint in your \
                     configuration, or push the SIF to a registry and name it with {SIF_SCHEME}"
                ));
            }
            Self::Lockless(_) => "name an image of moorline.toml",
            Self::NotLocked { platform, .. } => {
                return Some(format!(
                    "write it into [images] of moorline.toml, then moorline lock --platform {platform}; of what stands \
                     there moorline lock --check says what differs"
                ));
            }
            Self::NoLock => "moorline lock writes it",
            Self::NoProject => {
                "add --project GROUP/PROJECT; it may be left out only inside GitLab CI and in a clone"
            }
            Self::NoRegistry => {
                "write [gitlab] url = \"https://...\" and registry = \"HOST\" into ~/.config/moorline/config.toml"
            }
            Self::UnknownHost(host) => {
                return Some(format!(
                    "write [gitlab] url = \"https://{host}\" and registry = \"HOST\" into ~/.config/moorline/config.toml, or name the project with --project"
                ));
            }
            Self::Clone(_) | Self::CloneUnseen(_) => "name the project with --project",
            Self::DigestFile {
                error: ForeignError::Outsider(_) | ForeignError::ForeignLink(_),
                ..
            } => "look at the file, then name a copy of your own that nobody else can write",
            Self::NoDigest { error, .. } => return error.hint(),
            Self::LosesBytes { .. } => {
                "the disk or memory of this machine loses bytes; set MOORLINE_CACHE to another disk"
            }
            Self::Unwritten { .. } if self.kind() == Kind::NoSpace => {
                "free space there, or choose another place for --output"
            }
            Self::Pruned(_) => "the same command makes it again",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
