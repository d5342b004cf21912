//! A file that a job left is copied to where the user wants it, as a whole, and compared with the receipt.
//!
//! ```text
//! WORK/path   opened without following a link     left.rs says which files
//!   |  read once: hashed and copied               more bytes than the receipt says are not read
//! DIR/.moorline-...                               target.rs
//!   |  SHA-256 and size are the receipt's         else it is refused, or named, when it was asked for
//! DIR/path    nothing is overwritten unasked; the same bytes there are what was asked for
//! ```
//!
//! Not promised: that a file without a SHA-256 in the receipt is what the job left; only its size is compared.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::error::FollowError;
use super::left::Left;
use super::target::{Target, There, there};
use crate::files::{FileError, Folder, ForeignError, ForeignFile, Opened, handles};
use crate::job::JobRef;
use crate::oci::{Digest, Hasher, Sha256Digest};
use crate::procstatus::ProcStatus;
use crate::worker::Output;

/// Why a file is not found.
const GONE: &str = "it is not there any more";
/// Why one is not found whose name a receipt cannot hold.
const NO_TEXT: &str = "its name is no UTF-8, and the receipt has U+FFFD in place of some bytes";

/// How files are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Into which directory.
    pub to: &'a Path,
    /// Also a file that is not as the job left it.
    pub changed: bool,
    /// Also over another file.
    pub force: bool,
}

/// A file that was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Of which job or task.
    pub which: JobRef,
    /// Where it stands now.
    pub to: PathBuf,
    /// Its bytes now.
    pub sha256: Digest,
    /// Their number.
    pub size: u64,
    /// How it came to stand there.
    pub how: How,
    /// What the comparison with the receipt gave.
    pub compared: Compared,
}

/// How a file came to stand where it was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was copied.
    Copied,
    /// The same bytes were there already.
    There,
}

/// What the comparison with the receipt gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The SHA-256 is the same.
    Same,
    /// It is another file than the job left.
    Changed,
    /// The receipt holds no SHA-256; the size is the same.
    SizeOnly,
}

/// Fetches one file.
///
/// # Errors
/// When it is gone, no regular file, or not what the job left; and when it cannot stand where it is wanted.
pub fn fetch(left: &Left, output: &Output, order: Order<'_>) -> Result<Fetched, FollowError> {
    let below = below(&output.path)
        .ok_or_else(|| FollowError::Astray { job: left.which, path: output.path.clone() })?;
    let dir = order.to.join(&left.place);
    // as the user would write it
    let to = if dir == Path::new(".") { below.to_owned() } else { dir.join(below) };
    let unwritten = |error| FollowError::File(FileError::about("cannot write", &to)(error));
    let done = |sha256, size, how, compared| Fetched {
        which: left.which,
        to: to.clone(),
        sha256,
        size,
        how,
        compared,
    };
    if let (Some(expected), false) = (output.sha256, order.changed)
        && let There::File(sum) = there(&dir, below, Some(output.size)).map_err(unwritten)?
        && Digest::from_bytes(sum.sha256) == expected
    {
        return Ok(done(expected, sum.length, How::There, Compared::Same));
    }
    let file = left.work.join(below);
    let opened = left.open(below)?;
    let mask = ProcStatus::own().umask().unwrap_or(0o022);
    let mode = opened.meta().mode() & 0o777 & !mask;
    let target = Target::make(&dir, below).map_err(unwritten)?;
    let mut copy = target.begin().map_err(unwritten)?;
    // one that grows meanwhile is not read for ever
    let most = if order.changed { u64::MAX } else { output.size.saturating_add(1) };
    let (sha256, size) = copied(&mut opened.into_file().take(most), copy.as_file_mut()).map_err(
        |(part, error)| match part {
            Part::Read => FollowError::Unreadable { file: file.clone(), source: error },
            Part::Write => unwritten(error),
        },
    )?;
    let compared = match output.sha256 {
        Some(expected) if expected == sha256 => Compared::Same,
        None if size == output.size => Compared::SizeOnly,
        _ => Compared::Changed,
    };
    if compared == Compared::Changed && !order.changed {
        return Err(FollowError::Changed { job: left.which, file });
    }
    copy.as_file().set_permissions(Permissions::from_mode(mode)).map_err(unwritten)?;
    match target.publish(copy, order.force) {
        Ok(()) => Ok(done(sha256, size, How::Copied, compared)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !order.force => {
            match target.there(size).map_err(unwritten)? {
                There::File(sum) if Digest::from_bytes(sum.sha256) == sha256 => {
                    Ok(done(sha256, size, How::There, compared))
                }
                _ => Err(FollowError::Occupied { to }),
            }
        }
        Err(error) => Err(unwritten(error)),
    }
}

/// A path that stays below the directory to which it is relative.
fn below(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let plain = |part| matches!(part, Component::Normal(_));
    (path.file_name().is_some() && path.components().all(plain)).then_some(path)
}

impl Left {
    /// Opens one of its files.
    fn open(&self, below: &Path) -> Result<Opened, FollowError> {
        let file = self.work.join(below);
        let no_file =
            |why: String| FollowError::NoFile { job: self.which, file: file.clone(), why };
        let not_regular = |why: String| FollowError::NotRegular { file: file.clone(), why };
        let unreadable = |source| FollowError::Unreadable { file: file.clone(), source };
        let root = Folder::open(&self.work).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => no_file("its working directory is not there".into()),
            _ => unreadable(error),
        })?;
        let above = below.parent().unwrap_or(Path::new(""));
        let folder = handles::open(root.as_fd(), above).map_err(|refused| match refused {
            handles::Refused::System(_, Errno::NOENT) => no_file(GONE.into()),
            refused => not_regular(refused.to_string()),
        })?;
        let name = below.file_name().unwrap_or_default();
        let opened = ForeignFile::anyones(u64::MAX).open_in(&Folder::of(folder), Path::new(name));
        opened.map_err(|error| match error {
            ForeignError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                let lossy = below.to_str().is_some_and(|text| text.contains('\u{fffd}'));
                no_file(if lossy { NO_TEXT } else { GONE }.into())
            }
            ForeignError::Io(error) => unreadable(error),
            refused => not_regular(refused.to_string()),
        })
    }
}

/// Which side an error is of.
enum Part {
    Read,
    Write,
}

/// Copies and hashes; the digest and the number of bytes.
fn copied(from: &mut impl Read, to: &mut File) -> Result<(Digest, u64), (Part, io::Error)> {
    let (mut hasher, mut size) = (Hasher::default(), 0);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                to.write_all(&buffer[..count]).map_err(|error| (Part::Write, error))?;
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((Part::Read, error)),
        }
    }
}
