//! Unpacking an image: for one job, or once for all of this user's jobs on a node.
//!
//! ```text
//! CACHE/moorline-UID/        place.rs
//!   .new-PROCESS-XXXXXX/     being unpacked; renamed when complete
//!   .lock                    held for the moment in which a tree gets its name
//!   HEX-XXXXXX/              HEX is the SIF's digest; held (store/held.rs) by each job that runs it
//!     root/                  the tree
//!     seal                   "2 sha256:HEX HOST SEAL\n", written when all else is on the disk
//! ```
//!
//! Before a tree is used, and again when its job has ended, it is compared with its seal (`seal.rs`):
//! cleaners of `/tmp` remove what was not read for long. A damaged tree loses its seal, is unpacked anew
//! under another name, and goes when nobody holds it. One without a seal is none.
//!
//! The image may be hostile: what it says is checked by [`crate::squashfs::read`], every path is
//! walked with handles and without following links, and what is there already is never opened.
//! Devices, pipes and sockets are left out, setuid, setgid, sticky and capabilities are dropped, owners are the
//! caller. Files keep their times (Python compares its caches by them) and their holes. Several jobs may
//! unpack the same image at once: each has its own directory, the first that is whole is named, the others
//! take that. How the tree is written stands in `tree.rs`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::place::{check_private, is_full};
use super::seal::Seal;
use super::tidy;
use super::tree::{self, Configured};
use crate::execute::ExecuteError;
use crate::execute::measure::Measured;
use crate::execute::private::PrivateDir;
use crate::listing;
use crate::oci::{Sha256Digest, SifDigest};
use crate::sif::Partition;
use crate::store::{Held, machine, temporary_directory};

/// A tree on the disk.
#[derive(Debug)]
pub(in crate::execute) struct Unpacked {
    /// The image's root directory.
    pub(in crate::execute) root: PathBuf,
    /// Whether it was made from the measured file by this very attempt.
    pub(super) fresh: bool,
    seal: Seal,
    _held: Option<Held>,
}

impl Unpacked {
    /// Takes the tree as it is now for whole, after what this process did to it.
    ///
    /// # Errors
    /// When it cannot be walked.
    pub(in crate::execute) fn seal_again(&mut self) -> io::Result<()> {
        self.seal = Seal::of(&self.root)?;
        Ok(())
    }

    /// What happened to the tree since it was looked at; `None` when it is as it was.
    pub(in crate::execute) fn damage(&self) -> Option<String> {
        match Seal::of(&self.root) {
            Ok(found) => damage(self.seal, found),
            Err(error) => Some(error.to_string()),
        }
    }
}

fn damage(expected: Seal, found: Seal) -> Option<String> {
    let (had, has) = (expected.entries, found.entries);
    match found {
        found if found == expected => None,
        _ if had == has => Some("files in it were changed".into()),
        _ => Some(format!("it has {has} entries of {had}")),
    }
}

/// Unpacks an image for one job into `dir/image`.
///
/// # Errors
/// When the image is damaged or hostile, or there is no room.
pub(in crate::execute) fn for_one(
    measured: &Measured,
    partition: Partition,
    limits: &Configured,
    dir: &Path,
) -> Result<Unpacked, ExecuteError> {
    let root = dir.join("image");
    fs::create_dir(&root).map_err(ExecuteError::io(format!("making {}", root.display())))?;
    let seal = fill(measured, partition, limits, &root)?;
    Ok(Unpacked { root, fresh: true, seal, _held: None })
}

/// The tree of a measured image in a directory that jobs share: found whole, or unpacked now.
///
/// # Errors
/// When the image is damaged or hostile, or the directory cannot be used.
pub(super) fn shared(
    measured: &Measured,
    partition: Partition,
    limits: &Configured,
    cache: &Path,
    notes: &mut Vec<String>,
) -> Result<Unpacked, ExecuteError> {
    if let Some(found) = find(cache, measured.digest, notes) {
        return Ok(found);
    }
    tidy::tidy(cache, tidy::Need::Usual);
    match make(measured, partition, limits, cache, notes) {
        Err(error) if is_full(&error) && tidy::tidy(cache, tidy::Need::Room) > 0 => {
            notes.push("unpacked images that no job uses were removed: the disk was full".into());
            make(measured, partition, limits, cache, notes)
        }
        other => other,
    }
}

fn make(
    measured: &Measured,
    partition: Partition,
    limits: &Configured,
    cache: &Path,
    notes: &mut Vec<String>,
) -> Result<Unpacked, ExecuteError> {
    let io = || ExecuteError::io(format!("making a directory in {}", cache.display()));
    // what a killed worker left there goes
    let new = temporary_directory(cache).map(PrivateDir).map_err(io())?;
    let held = Held::hold(new.path()).map_err(io())?;
    let root = new.path().join("root");
    fs::create_dir(&root).map_err(io())?;
    let seal = fill(measured, partition, limits, &root)?;
    seal_up(new.path(), measured.digest, seal)
        .map_err(ExecuteError::io("sealing the unpacked image"))?;
    let _naming = naming(cache);
    // somebody else may have been faster
    if let Some(found) = find(cache, measured.digest, notes) {
        return Ok(found);
    }
    let mut random = [0; 6];
    getrandom::fill(&mut random)
        .map_err(|e| ExecuteError::io("random numbers")(io::Error::other(e.to_string())))?;
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let entry = cache.join(format!("{}-{random}", measured.digest.hex()));
    fs::rename(new.path(), &entry)
        .map_err(ExecuteError::io(format!("renaming to {}", entry.display())))?;
    // when the name is lost the image is unpacked again
    let _ = File::open(cache).and_then(|dir| dir.sync_all());
    Ok(Unpacked { root: entry.join("root"), fresh: true, seal, _held: held })
}

/// One at a time looks whether there is a tree and names its own; where there are no locks two trees
/// of an image may stay.
fn naming(cache: &Path) -> Option<File> {
    let path = cache.join(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// Writes the tree below an empty directory; its seal.
fn fill(
    measured: &Measured,
    partition: Partition,
    limits: &Configured,
    root: &Path,
) -> Result<Seal, ExecuteError> {
    tree::write(&measured.file, partition, limits, root)?;
    if !measured.unchanged() {
        return Err(ExecuteError::ChangedWhileRead(measured.path.clone()));
    }
    Seal::of(root).map_err(ExecuteError::io(format!("reading {}", root.display())))
}

/// Says that a tree is whole, when it is on the disk: after a power cut the seal must not stand beside
/// files that are empty. One call for the file system, because a tree has too many files for one each.
fn seal_up(new: &Path, digest: SifDigest, seal: Seal) -> io::Result<()> {
    let dir = File::open(new)?;
    rustix::fs::syncfs(&dir)?;
    let mut file = File::create_new(new.join(tidy::SEAL))?;
    file.write_all(format!("2 {digest} {} {seal}\n", machine()).as_bytes())?;
    file.sync_all()?;
    dir.sync_all()
}

/// Reads a seal; `None` when it is not of this image and machine.
fn read_seal(entry: &Path, digest: SifDigest) -> Option<Seal> {
    let text = fs::read_to_string(entry.join(tidy::SEAL)).ok()?;
    text.strip_prefix(&format!("2 {digest} {} ", machine()))?.strip_suffix('\n')?.parse().ok()
}

/// A whole tree of the image, held; damaged ones lose their seal and go.
fn find(cache: &Path, digest: SifDigest, notes: &mut Vec<String>) -> Option<Unpacked> {
    let hex = digest.hex();
    let mut names = listing::names(cache).unwrap_or_default();
    names.retain(|name| {
        name.to_str().and_then(|n| n.strip_prefix(&*hex)).is_some_and(|rest| rest.starts_with('-'))
    });
    names.sort();
    for name in names {
        let entry = cache.join(name);
        let private = fs::symlink_metadata(&entry).is_ok_and(|m| check_private(&entry, &m).is_ok());
        let Some(seal) = read_seal(&entry, digest).filter(|_| private) else { continue };
        // held before it is looked at, so that nobody of ours removes it in between
        let Ok(Some(held)) = Held::hold(&entry) else { continue };
        let root = entry.join("root");
        let found = Seal::of(&root).map_err(|error| error.to_string());
        match found.map_or_else(Some, |found| damage(seal, found)) {
            None => {
                tidy::used(&held);
                return Some(Unpacked { root, fresh: false, seal, _held: Some(held) });
            }
            Some(why) => {
                notes.push(format!(
                    "the image unpacked in {} was damaged ({why}), perhaps by a cleaner of {}: it is \
                     unpacked again",
                    entry.display(),
                    cache.display()
                ));
                drop(held);
                tidy::give_up(&entry);
            }
        }
    }
    None
}
