//! Why a container cannot be laid out.

use std::io;
use std::path::PathBuf;

/// A mount that was asked for and cannot be made, or an image that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Directory over file, or the other way round.
    #[error(
        "cannot mount at {target}: it is a {there} {whose} and a {source_kind} on this machine"
    )]
    Kind {
        /// Where.
        target: PathBuf,
        /// What is there.
        there: &'static str,
        /// `in the image`, or in which directory of this machine.
        whose: String,
        /// What the machine has.
        source_kind: &'static str,
    },
    /// A part of the path is not a directory.
    #[error("cannot mount at {target}: {part} is a {what} {whose}, not a directory")]
    NotDirectory {
        /// Where.
        target: PathBuf,
        /// What is in the way.
        part: PathBuf,
        /// What it is.
        what: &'static str,
        /// `in the image`, or in which directory of this machine.
        whose: String,
    },
    /// A link stands in a directory that is mounted; it could lead anywhere.
    #[error(
        "cannot mount at {target}: {link} is a symbolic link on this machine, and links in directories that are \
         mounted are not followed; remove it, or mount elsewhere"
    )]
    Link {
        /// Where.
        target: PathBuf,
        /// The link.
        link: PathBuf,
    },
    /// It lies below another mount, in a directory that is not Moorline's.
    #[error(
        "cannot mount at {target}: there is no {missing} on this machine, and Moorline makes nothing \
         in directories that are mounted; make it first ({how} {missing}), or mount elsewhere"
    )]
    NoMountPoint {
        /// Where.
        target: PathBuf,
        /// What is not there.
        missing: PathBuf,
        /// The command that makes it.
        how: &'static str,
    },
    /// Two mounts for one place.
    #[error(
        "two mounts have one target: {first} and {second} both lead to {target} in the image; leave \
         one out"
    )]
    Twice {
        /// Where.
        target: PathBuf,
        /// As it was asked for.
        first: String,
        /// As it was asked for.
        second: String,
    },
    /// The links on the way to it lead in a circle.
    #[error("cannot mount at {0}: too many symbolic links in the image")]
    Links(PathBuf),
    /// A name that is needed while the root is put together.
    #[error("cannot mount at {0}: this name is Moorline's own")]
    Reserved(PathBuf),
    /// The image's tree cannot be read.
    #[error("the image's tree cannot be read at {path}: {source}")]
    Tree {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
