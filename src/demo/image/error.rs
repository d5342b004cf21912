//! Why the demo's image could not be made.

use std::path::PathBuf;

use crate::failure::{Failure, Kind, io_kind};

/// What went wrong while the machine's files were gathered.
#[derive(Debug, thiserror::Error)]
pub enum DemoImageError {
    /// A file or link could not be read.
    #[error("cannot read {} for the demo's image: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A path leads through more links than a kernel would follow.
    #[error("{} leads through more than {limit} symbolic links", path.display())]
    Links {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A device, socket or pipe where a file was expected.
    #[error("{} is neither a file, a directory nor a symbolic link", .0.display())]
    Kind(PathBuf),
    /// Something of another type stands in the image's place for a file.
    #[error("{} cannot be put into the demo's image: this machine has something else there", .0.display())]
    Conflict(PathBuf),
    /// A program whose header cannot be read.
    #[error("{} is not a program that can be copied: {source}", path.display())]
    Program {
        /// Which.
        path: PathBuf,
        /// Why.
        source: crate::elf::ElfError,
    },
    /// The program interpreter could not be started or failed.
    #[error("{} --list {} failed: {said}", interpreter.display(), program.display())]
    Interpreter {
        /// The loader.
        interpreter: PathBuf,
        /// What it was asked about.
        program: PathBuf,
        /// Its words, or the system's.
        said: String,
    },
    /// The program interpreter did not find a library.
    #[error("{} needs the library {library}, which is not on this machine", program.display())]
    Library {
        /// Which program.
        program: PathBuf,
        /// Which library.
        library: String,
    },
    /// The shell and its libraries are too large for a demo.
    #[error("the shell {} and its libraries have {bytes} bytes; the demo takes at most {limit}", path.display())]
    TooLarge {
        /// The shell.
        path: PathBuf,
        /// Its size with libraries.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The tar or gzip writer failed.
    #[error("cannot write a layer of the demo's image: {0}")]
    Write(#[source] std::io::Error),
    /// A document could not be written as JSON.
    #[error("cannot write the demo image's documents: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure for DemoImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } | Self::Write(source) => io_kind(source, Kind::Conversion),
            _ => Kind::Conversion,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { path, .. } | Self::Program { path, .. } if path.ends_with("bin/sh") => {
                Some("the demo copies this machine's /bin/sh; run it where one is".into())
            }
            _ => None,
        }
    }
}
