//! Unpacking an image once into the node's cache.
//!
//! ```text
//! CACHE/moorline-UID/        0700, ours; a foreign or open one is never joined
//!   .new-XXXXXX/             being unpacked; renamed when complete
//!   HEX/                     HEX is the SIF's digest
//!     root/                  the tree
//!     complete               "1 sha256:HEX\n", written when all else is on the disk
//! ```
//!
//! The image may be hostile: what it says is checked by [`crate::squashfs::read`], every path is
//! walked with handles and without following links, and what is there already is never opened.
//! Devices, pipes and sockets are left out, setuid, setgid, sticky and capabilities are dropped, owners are the
//! caller. Files keep their times (Python compares its caches by them) and their holes. Several jobs may
//! unpack the same image at once: each has its own directory, the first rename wins, the others take
//! what is there. How the tree is written stands in `tree.rs`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use super::{Configured, tree};
use crate::execute::ExecuteError;
use crate::execute::PrivateDir;
use crate::execute::measure::Measured;
use crate::oci::{Sha256Digest, SifDigest};
use crate::sif::Partition;
use crate::store::temporary_directory;

/// The tree of a measured image, and whether it was unpacked just now.
///
/// # Errors
/// When the image is damaged or hostile, or the cache cannot be used.
pub(in crate::execute) fn unpack(
    measured: &Measured,
    partition: Partition,
    (cache, limits): (&Path, &Configured),
) -> Result<(PathBuf, bool), ExecuteError> {
    let cache = private_directory(cache)?;
    let entry = cache.join(measured.digest.hex());
    if complete(&entry, measured.digest)? {
        return Ok((entry.join("root"), false));
    }
    // what a killed worker left there goes
    let new = temporary_directory(&cache)
        .map(PrivateDir)
        .map_err(ExecuteError::io(format!("making a directory in {}", cache.display())))?;
    let root = new.path().join("root");
    fs::create_dir(&root).map_err(ExecuteError::io("making a directory"))?;
    tree::write(&measured.file, partition, limits, &root)?;
    if !measured.unchanged() {
        return Err(ExecuteError::ChangedWhileRead(measured.path.clone()));
    }
    mark(new.path(), measured.digest).map_err(ExecuteError::io("marking the unpacked image"))?;
    match fs::rename(new.path(), &entry) {
        Ok(()) => {
            // when the name is lost the image is unpacked again
            let _ = File::open(&cache).and_then(|dir| dir.sync_all());
            Ok((entry.join("root"), true))
        }
        // somebody else was faster
        Err(_) if complete(&entry, measured.digest)? => Ok((entry.join("root"), false)),
        Err(source) => {
            Err(ExecuteError::Io { what: format!("renaming to {}", entry.display()), source })
        }
    }
}

/// Says that a tree is whole, when it is on the disk: after a power cut the mark must not stand beside
/// files that are empty. One call for the file system, because a tree has too many files for one each.
fn mark(new: &Path, digest: SifDigest) -> io::Result<()> {
    let dir = File::open(new)?;
    rustix::fs::syncfs(&dir)?;
    let mut file = File::create_new(new.join("complete"))?;
    file.write_all(marker(digest).as_bytes())?;
    file.sync_all()?;
    dir.sync_all()
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
    let make = || rustix::fs::mkdir(&path, Mode::RWXU);
    let made = match make() {
        // by default it is below the store, which somebody who never converted does not have
        Err(rustix::io::Errno::NOENT) => {
            let mut missing = fs::DirBuilder::new();
            missing
                .recursive(true)
                .mode(0o700)
                .create(base)
                .map_err(ExecuteError::io(format!("making {}", base.display())))?;
            make()
        }
        other => other,
    };
    match made {
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
