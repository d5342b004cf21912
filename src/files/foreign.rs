//! A file that somebody else may have put there: a receipt, a lock file, a configuration.
//!
//! ```text
//! openat(O_PATH|O_NOFOLLOW)   what is it?  a pipe, device or socket is refused without being opened
//! openat(O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY)
//! fstat of what was opened    a regular file?  whose?  who can write it?  how large?
//! read                        at most the limit and one byte, however large it says it is
//! ```
//!
//! The checks are made on what was opened, so nobody can put another file in its place between the look and the
//! reading. A pipe is never waited for, and opening has no effect on a device.
//!
//! **Links.** A link is refused, except where a kind of file is a link by custom (dotfiles, a configuration that is
//! kept elsewhere): there [`ForeignFile::through_links`] follows a link that the caller or root made, as Linux does in
//! sticky directories (proc(5), `protected_symlinks`). Links in the directories on the way are followed by the kernel.
//!
//! **Pipes.** A pipe that the caller hands over is the caller's own input ([`ForeignFile::or_handed`]).
//!
//! **Namespaces.** Inside a user namespace the files of everybody outside of it, root included, seem to belong to uid
//! 65534. Moorline takes this uid for nobody, so such a file is refused where the owner matters.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Outsider, Writers};

/// Links that are followed one after the other at most; more are a mistake.
const MOST_LINKS: usize = 8;

/// The largest file of certificates that is read, in bytes; a distribution's bundle has 200,000.
pub const MOST_CA_BYTES: u64 = 16 << 20;

/// Why a foreign file is not read. The path is the caller's to name.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A pipe, a device, a directory.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// A link where none is followed.
    #[error("it is a symbolic link, which is not followed here")]
    Link,
    /// A link that neither the caller nor root made.
    #[error("it is a symbolic link of another user (uid {0})")]
    ForeignLink(u32),
    /// Somebody else owns or can write it.
    #[error("{0}")]
    Outsider(Outsider),
    /// It is too large.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// Its bytes are no text.
    #[error("it is not UTF-8 text")]
    NotText,
}

impl ForeignError {
    /// Whether nothing has this name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl From<Errno> for ForeignError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<ForeignError> for io::Error {
    /// An error of the system stays what it is; a refusal is `InvalidData` with the same words.
    fn from(error: ForeignError) -> Self {
        match error {
            ForeignError::Io(error) => error,
            refused => Self::new(io::ErrorKind::InvalidData, refused),
        }
    }
}

/// Whose file is read.
#[derive(Clone, Copy, Debug)]
enum Whose<'a> {
    /// The caller's.
    Mine,
    /// The caller's or root's.
    MineOrRoots,
    /// The caller's or root's, when nobody else can write it.
    Written(&'a Writers),
    /// Anybody's: the caller named the file.
    Anyones,
}

/// What a file must be like to be read.
#[derive(Clone, Copy, Debug)]
pub struct ForeignFile<'a> {
    whose: Whose<'a>,
    links: bool,
    handed: bool,
    most: u64,
}

impl<'a> ForeignFile<'a> {
    /// A regular file of the caller with at most so many bytes, and no link.
    #[must_use]
    pub fn own(most: u64) -> Self {
        Self::of(Whose::Mine, most)
    }

    /// The same of the caller or of root.
    #[must_use]
    pub fn own_or_roots(most: u64) -> Self {
        Self::of(Whose::MineOrRoots, most)
    }

    /// The same of the caller or of root, when nobody can write it whom `writers` does not accept.
    #[must_use]
    pub fn written_by(writers: &'a Writers, most: u64) -> Self {
        Self::of(Whose::Written(writers), most)
    }

    /// The same of anybody: for a file that the caller named, so that only its kind and size matter.
    #[must_use]
    pub fn anyones(most: u64) -> Self {
        Self::of(Whose::Anyones, most)
    }

    fn of(whose: Whose<'a>, most: u64) -> Self {
        Self { whose, links: false, handed: false, most }
    }

    /// And a pipe that the caller handed over: `-`, `/dev/fd/N`. For a file that the command line names.
    #[must_use]
    pub fn or_handed(self) -> Self {
        Self { handed: true, ..self }
    }

    /// And a link of the caller or of root is followed; with [`ForeignFile::anyones`] that of anybody.
    #[must_use]
    pub fn through_links(self) -> Self {
        Self { links: true, ..self }
    }

    /// Opens the file.
    ///
    /// # Errors
    /// When it is not there or not as it must be.
    pub fn open(self, path: &Path) -> Result<Opened, ForeignError> {
        self.open_at(CWD, path).map_err(|error| match error {
            ForeignError::Io(error) => ForeignError::Io(super::explained(path, error)),
            other => other,
        })
    }

    /// Opens the file in a directory that was opened before.
    ///
    /// # Errors
    /// As [`ForeignFile::open`].
    pub fn open_in(self, folder: &Folder, name: &Path) -> Result<Opened, ForeignError> {
        self.open_at(&folder.0, name)
    }

    /// Opens the file if it is there.
    ///
    /// # Errors
    /// When something has the name and is not as it must be.
    pub fn find(self, path: &Path) -> Result<Option<Opened>, ForeignError> {
        match self.open(path) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens and reads the file.
    ///
    /// # Errors
    /// As [`ForeignFile::open`] and [`Opened::bytes`].
    pub fn bytes(self, path: &Path) -> Result<Vec<u8>, ForeignError> {
        self.open(path)?.bytes()
    }

    /// Opens and reads the file as text.
    ///
    /// # Errors
    /// As [`ForeignFile::open`] and [`Opened::text`].
    pub fn text(self, path: &Path) -> Result<String, ForeignError> {
        self.open(path)?.text()
    }

    fn open_at(self, folder: impl AsFd, path: &Path) -> Result<Opened, ForeignError> {
        if let Some(handed) = self.handed.then(|| handed::open(path)).flatten() {
            let file = handed?;
            let meta = file.metadata()?;
            return match FileType::from_raw_mode(meta.mode()) {
                FileType::RegularFile => self.checked(file, meta),
                FileType::Fifo | FileType::Socket | FileType::CharacterDevice => {
                    Ok(Opened { file, meta, most: self.most })
                }
                other => Err(ForeignError::NotRegular(describe(other))),
            };
        }
        let mut at = path.to_owned();
        for _ in 0..=MOST_LINKS {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let named = rustix::fs::openat(&folder, &at, flags, Mode::empty())?;
            let stat = rustix::fs::fstat(&named)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => return self.open_regular(&folder, &at),
                FileType::Symlink => {
                    let target = self.target(&named, stat.st_uid)?;
                    at = at.parent().unwrap_or(Path::new("")).join(target);
                }
                other => return Err(ForeignError::NotRegular(describe(other))),
            }
        }
        Err(Errno::LOOP.into())
    }

    fn target(self, link: impl AsFd, owner: u32) -> Result<PathBuf, ForeignError> {
        if !self.links {
            return Err(ForeignError::Link);
        }
        let named = matches!(self.whose, Whose::Anyones);
        if !named && owner != rustix::process::geteuid().as_raw() && owner != 0 {
            return Err(ForeignError::ForeignLink(owner));
        }
        let target = rustix::fs::readlinkat(link, "", Vec::new())?;
        Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }

    /// What was seen may have been exchanged since, so everything is looked at once more.
    fn open_regular(self, folder: impl AsFd, path: &Path) -> Result<Opened, ForeignError> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(folder, path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP) => return Err(ForeignError::Link),
            Err(error) => return Err(error.into()),
        };
        let meta = file.metadata()?;
        let kind = FileType::from_raw_mode(meta.mode());
        if kind != FileType::RegularFile {
            return Err(ForeignError::NotRegular(describe(kind)));
        }
        self.checked(file, meta)
    }

    /// Whose a regular file is, and how large.
    fn checked(self, file: File, meta: Metadata) -> Result<Opened, ForeignError> {
        let me = rustix::process::geteuid().as_raw();
        let stranger = || ForeignError::Outsider(Outsider::Owner { uid: meta.uid() });
        match self.whose {
            Whose::Mine if meta.uid() != me => return Err(stranger()),
            Whose::MineOrRoots if meta.uid() != me && meta.uid() != 0 => return Err(stranger()),
            Whose::Written(writers) => {
                if let Some(outsider) = writers.outsider(&file)? {
                    return Err(ForeignError::Outsider(outsider));
                }
            }
            Whose::Mine | Whose::MineOrRoots | Whose::Anyones => {}
        }
        if meta.len() > self.most {
            return Err(ForeignError::TooLarge(self.most));
        }
        Ok(Opened { file, meta, most: self.most })
    }
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a named pipe",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Socket => "a socket",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        _ => "something else",
    }
}

mod handed;

/// A foreign file that is as it must be.
#[derive(Debug)]
pub struct Opened {
    file: File,
    meta: Metadata,
    most: u64,
}

impl Opened {
    /// The handle, for a reader with limits of its own.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }

    /// The handle.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What was looked at when it was opened.
    #[must_use]
    pub fn meta(&self) -> &Metadata {
        &self.meta
    }

    /// Whether it is a file, and no pipe that was handed over.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.meta.is_file()
    }

    /// All bytes.
    ///
    /// # Errors
    /// When it cannot be read, or gives more bytes than it may: a file can grow while it is read.
    pub fn bytes(self) -> Result<Vec<u8>, ForeignError> {
        let mut bytes = Vec::with_capacity(self.room());
        let most = self.most;
        self.file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most { Err(ForeignError::TooLarge(most)) } else { Ok(bytes) }
    }

    /// All of it as text.
    ///
    /// # Errors
    /// As [`Opened::bytes`], and when it is no UTF-8.
    pub fn text(self) -> Result<String, ForeignError> {
        String::from_utf8(self.bytes()?).map_err(|_| ForeignError::NotText)
    }

    /// All of it as text, behind what `text` holds: for a buffer that is wiped when it is dropped. Room is
    /// made once, so that no copy stays behind in memory.
    ///
    /// # Errors
    /// As [`Opened::text`]; `text` may then hold a part.
    pub fn text_into(self, text: &mut String) -> Result<(), ForeignError> {
        text.reserve(self.room());
        let most = self.most;
        let read = self.file.take(most.saturating_add(1)).read_to_string(text);
        let read = read.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ForeignError::NotText,
            _ => error.into(),
        })?;
        if read as u64 > most { Err(ForeignError::TooLarge(most)) } else { Ok(()) }
    }

    /// Its size and a byte, by which the end is seen without growing.
    fn room(&self) -> usize {
        usize::try_from(self.meta.len().min(self.most)).unwrap_or(0).saturating_add(1)
    }
}

/// An opened directory: what it was checked for holds for the files that are opened in it.
#[derive(Debug)]
pub struct Folder(File);

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Folder {
    /// Opens a directory; links on the way are followed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?.into()))
    }

    /// One that was opened before.
    #[must_use]
    pub fn of(handle: OwnedFd) -> Self {
        Self(handle.into())
    }

    /// Who owns what has a name in it, links not followed; `None` when nothing has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn owner_of(&self, name: &Path) -> io::Result<Option<u32>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.st_uid)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Who besides those that `writers` accepts owns it or can write in it.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn outsider(&self, writers: &Writers) -> io::Result<Option<Outsider>> {
        writers.outsider(&self.0)
    }
}

#[cfg(test)]
mod tests;
