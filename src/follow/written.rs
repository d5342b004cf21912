//! What a job wrote to its standard output or error, from its directory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{FollowError, PRINTED};
use super::known::Known;
use crate::backend::FOREGROUND;
use crate::files::{ForeignFile, Opened};
use crate::worker::task_dir;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What a job wrote, so far.
#[derive(Debug)]
pub struct Written {
    path: PathBuf,
    file: File,
}

impl Written {
    /// Opens it: a file that the user or root wrote, and nobody else.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(jobs_dir: &Path, job: &Known<'_>, stream: Stream) -> Result<Self, FollowError> {
        let name = stream.name();
        let which = job.record.which();
        if let Some(tasks) = job.record.last().tasks() {
            let first = tasks.at(0).unwrap_or_default();
            return Err(FollowError::OfWhichTask {
                job: job.record.id,
                tasks: tasks.clone(),
                first,
            });
        }
        let dir = task_dir(&jobs_dir.join(which.job.to_string()), which.task);
        let path = dir.join(name);
        let opened = ForeignFile::own_or_roots(u64::MAX).open(&path).map(Opened::into_file);
        match opened.map_err(io::Error::from) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let here = job.record.last().backend == FOREGROUND;
                let why = match (job.now.is_final(), job.now.silent.is_some()) {
                    _ if here => PRINTED,
                    (true, _) => "it wrote none, or the directory was removed",
                    (false, false) => "it has not started",
                    (false, true) => "as far as is known here, it has not started",
                };
                Err(FollowError::NoOutput { job: which, name, why })
            }
            Err(error) => Err(FollowError::Unreadable { file: path, source: error }),
        }
    }

    /// The bytes as they are, piece by piece.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    pub fn each(mut self, mut piece: impl FnMut(&[u8])) -> Result<(), FollowError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => piece(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(FollowError::Unreadable { file: self.path, source: error });
                }
            }
        }
    }
}
