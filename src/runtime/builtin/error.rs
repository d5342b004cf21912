//! Why a container cannot be laid out.

use std::io;
use std::path::PathBuf;

/// Why a container cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Directory over file, or the other way round.
    #[error(
        "cannot mount at {target}: it is a {image} in the image and a {source_kind} on this machine"
    )]
    Kind {
        /// Where.
        target: PathBuf,
        /// What the image has there.
        image: &'static str,
        /// What the machine has.
        source_kind: &'static str,
    },
    /// A part of the path is no directory.
    #[error("cannot mount at {target}: {part} is no directory in the image")]
    NotDirectory {
        /// Where.
        target: PathBuf,
        /// What is in the way.
        part: PathBuf,
    },
    /// The links on the way to it lead in a circle.
    #[error("cannot mount at {0}: too many symbolic links in the image")]
    Links(PathBuf),
    /// The image's tree cannot be read.
    #[error("the image's tree cannot be read at {path}: {source}")]
    Tree {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
