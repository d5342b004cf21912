//! Unpacking an image once into the node's cache.
//!
//! ```text
//! CACHE/moorline-UID/        0700, ours; a foreign or open one is never joined
//!   .new-XXXXXX/             being unpacked; renamed when complete
//!   HEX/                     HEX is the SIF's digest
//!     root/                  the tree
//!     complete               "1 sha256:HEX\n"
//! ```
//!
//! The image may be hostile: every path is walked with handles and without following links, names
//! come twice or escape never, devices and pipes are left out, setuid, setgid, sticky and
//! capabilities are dropped, owners are the caller. Several jobs may unpack the same image at once:
//! each has its own directory, the first rename wins, the others take what is there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use backhand::{FilesystemReader, InnerNode};
use rustix::fs::{Mode, OFlags};

use crate::execute::ExecuteError;
use crate::execute::measure::Measured;
use crate::execute::private_tempdir;
use crate::oci::{Sha256Digest, SifDigest};

const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

/// The tree of a measured image, and whether it was unpacked just now.
///
/// # Errors
/// When the image is damaged or hostile, or the cache cannot be used.
pub(in crate::execute) fn unpack(
    measured: &Measured,
    offset: u64,
    cache: &Path,
) -> Result<(PathBuf, bool), ExecuteError> {
    let cache = private_directory(cache)?;
    let entry = cache.join(measured.digest.hex());
    if complete(&entry, measured.digest)? {
        return Ok((entry.join("root"), false));
    }
    let new = private_tempdir(".new-")
        .tempdir_in(&cache)
        .map_err(ExecuteError::io(format!("making a directory in {}", cache.display())))?;
    let root = new.path().join("root");
    fs::create_dir(&root).map_err(ExecuteError::io("making a directory"))?;
    tree(&measured.file, offset, &root)?;
    if !measured.unchanged() {
        return Err(ExecuteError::ChangedWhileRead(measured.path.clone()));
    }
    fs::write(new.path().join("complete"), marker(measured.digest))
        .map_err(ExecuteError::io("marking the unpacked image"))?;
    match fs::rename(new.path(), &entry) {
        Ok(()) => {
            let _ = new.keep();
            Ok((entry.join("root"), true))
        }
        // somebody else was faster
        Err(_) if complete(&entry, measured.digest)? => Ok((entry.join("root"), false)),
        Err(source) => {
            Err(ExecuteError::Io { what: format!("renaming to {}", entry.display()), source })
        }
    }
}

fn marker(digest: SifDigest) -> String {
    format!("1 {digest}\n")
}

/// Whether `entry` is there and whole. One that is there and not whole is not ours to repair.
fn complete(entry: &Path, digest: SifDigest) -> Result<bool, ExecuteError> {
    match fs::symlink_metadata(entry) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(ExecuteError::io(entry.display().to_string())(e)),
        Ok(m) => check_private(entry, &m)?,
    }
    if fs::read_to_string(entry.join("complete")).is_ok_and(|text| text == marker(digest)) {
        return Ok(true);
    }
    Err(ExecuteError::Untrusted {
        path: entry.to_owned(),
        why: "it holds no complete marker of this image".into(),
    })
}

/// Makes or joins `BASE/moorline-UID`, which must be a directory of ours with mode 0700.
///
/// # Errors
/// [`ExecuteError::Untrusted`] for anything else at that place.
fn private_directory(base: &Path) -> Result<PathBuf, ExecuteError> {
    let uid = rustix::process::geteuid().as_raw();
    let path = base.join(format!("moorline-{uid}"));
    match rustix::fs::mkdir(&path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(ExecuteError::io(format!("making {}", path.display()))(e.into())),
    }
    let m = fs::symlink_metadata(&path).map_err(ExecuteError::io(path.display().to_string()))?;
    check_private(&path, &m)?;
    Ok(path)
}

fn check_private(path: &Path, m: &fs::Metadata) -> Result<(), ExecuteError> {
    let why = if !m.is_dir() {
        "it is no directory".to_owned()
    } else if m.uid() != rustix::process::geteuid().as_raw() {
        format!("it belongs to uid {}", m.uid())
    } else if m.mode() & 0o077 != 0 {
        format!("its mode is {:o}, not 700", m.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(ExecuteError::Untrusted { path: path.to_owned(), why })
}

fn bad(path: impl AsRef<Path>, why: &impl ToString) -> ExecuteError {
    let path = path.as_ref().display().to_string();
    ExecuteError::Unpack { path, why: why.to_string() }
}

/// A failure to write, which may be a full disk.
fn writing(path: &Path) -> impl FnOnce(rustix::io::Errno) -> ExecuteError {
    let what = format!("unpacking {}", path.display());
    move |e| match e {
        rustix::io::Errno::EXIST => {
            ExecuteError::Unpack { path: what, why: "the name is in the image twice".into() }
        }
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
            ExecuteError::Unpack { path: what, why: "its parent is no directory".into() }
        }
        e => ExecuteError::Io { what, source: e.into() },
    }
}

/// Writes a squashfs' tree below `root`, an empty directory.
fn tree(image: &File, offset: u64, root: &Path) -> Result<(), ExecuteError> {
    let mut image = image.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
    image.rewind().map_err(ExecuteError::io("reading the image"))?;
    let squashfs = FilesystemReader::from_reader_with_offset(BufReader::new(image), offset)
        .map_err(|e| bad("its squashfs", &e))?;
    let top = rustix::fs::open(root, DIRECTORY, Mode::empty()).map_err(writing(root))?;
    // directories get their modes last, deepest first: a read-only one could not be filled
    let mut directories: Vec<(PathBuf, Mode)> = Vec::new();
    let mut parent: (PathBuf, OwnedFd) = (PathBuf::new(), reopen(&top)?);
    for node in squashfs.files() {
        let path = relative(&node.fullpath)?;
        let mode = Mode::from_raw_mode(u32::from(node.header.permissions) & 0o777);
        let Some(name) = path.file_name() else {
            let InnerNode::Dir(_) = node.inner else {
                return Err(bad(&node.fullpath, &"the root is no directory"));
            };
            directories.push((PathBuf::from("."), mode | Mode::RWXU));
            continue;
        };
        let above = path.parent().unwrap_or(Path::new(""));
        if parent.0 != above {
            parent = (above.to_owned(), walk(&top, above)?);
        }
        match &node.inner {
            InnerNode::Dir(_) => {
                rustix::fs::mkdirat(&parent.1, name, Mode::RWXU).map_err(writing(&path))?;
                directories.push((path, mode | Mode::RWXU));
            }
            InnerNode::File(file) => {
                let mut reader =
                    squashfs.file(file).reader_checked().map_err(|e| bad(&node.fullpath, &e))?;
                let out = create(&parent.1, name, &path)?;
                copy(&mut reader, out, mode, &path, file.file_len())?;
            }
            InnerNode::Symlink(link) => {
                rustix::fs::symlinkat(&link.link, &parent.1, name).map_err(writing(&path))?;
            }
            InnerNode::CharacterDevice(_)
            | InnerNode::BlockDevice(_)
            | InnerNode::NamedPipe
            | InnerNode::Socket => {}
        }
    }
    for (path, mode) in directories.iter().rev() {
        let handle = walk(&top, path)?;
        rustix::fs::fchmod(&handle, *mode).map_err(writing(path))?;
    }
    Ok(())
}

/// A node's path without the leading slash; backhand checks names, this does not rely on it.
fn relative(full: &Path) -> Result<PathBuf, ExecuteError> {
    let mut path = PathBuf::new();
    for part in full.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => path.push(name),
            _ => return Err(bad(full, &"the path leaves the image")),
        }
    }
    Ok(path)
}

fn reopen(directory: &OwnedFd) -> Result<OwnedFd, ExecuteError> {
    directory.try_clone().map_err(ExecuteError::io("duplicating a handle"))
}

/// Opens a directory below `top`, part by part, following no links.
fn walk(top: &OwnedFd, path: &Path) -> Result<OwnedFd, ExecuteError> {
    let mut here = reopen(top)?;
    for part in path.components().filter(|c| *c != Component::CurDir) {
        here = rustix::fs::openat(&here, part.as_os_str(), DIRECTORY, Mode::empty())
            .map_err(writing(path))?;
    }
    Ok(here)
}

fn create(parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<File, ExecuteError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle =
        rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(writing(path))?;
    Ok(File::from(handle))
}

fn copy(
    from: &mut impl io::Read,
    mut to: File,
    mode: Mode,
    path: &Path,
    length: usize,
) -> Result<(), ExecuteError> {
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        let n = from.read(&mut buffer).map_err(|e| bad(path, &e))?;
        if n == 0 {
            break;
        }
        done += n;
        to.write_all(&buffer[..n])
            .map_err(ExecuteError::io(format!("unpacking {}", path.display())))?;
    }
    if done != length {
        return Err(bad(path, &format!("it has {done} bytes instead of {length}")));
    }
    let permissions = fs::Permissions::from_mode(mode.as_raw_mode());
    to.set_permissions(permissions)
        .map_err(ExecuteError::io(format!("unpacking {}", path.display())))
}
