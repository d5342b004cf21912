//! The image's tree on this machine, in three ways, the best first; each that does not work leaves a
//! note and the next is tried.
//!
//! | way | when | file |
//! |---|---|---|
//! | kernel mount | root, and the SIF lies in a store that only root can write to | `kernel.rs` |
//! | `squashfuse` | it is installed and `/dev/fuse` may be opened | `fuse.rs` |
//! | unpacked once, kept for other jobs | the node's cache is hidden from containers | `place.rs`, `unpack.rs`, `tidy.rs` |
//! | unpacked for the job | always, and when the job requires it to be measured | `unpack.rs` |
//!
//! A kernel's squashfs code trusts its input more than it should, so foreign images do not get there.
//! `tree.rs` writes a tree, `seal.rs` tells whether it is still whole.

mod fuse;
mod kernel;
mod place;
mod seal;
pub(super) mod server;
mod tidy;
mod tree;
mod unpack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use super::measure::Measured;
use super::scratch::{self, Scratch};
use crate::mountinfo::Table;
use crate::sif::Partition;

pub(super) use place::{shared as shared_directory, to_hide};
pub(super) use unpack::for_one as unpack;

/// `[limits]` that were set, by name.
type Configured = BTreeMap<String, u64>;

/// Where an image may be unpacked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'a> {
    /// The directory that jobs share, hidden from the containers; why there is none.
    pub(super) shared: Result<&'a Path, &'a str>,
    /// The job's own.
    pub(super) scratch: &'a Path,
    /// What an image may ask for at most.
    pub(super) limits: &'a Configured,
}

/// A tree that can be bound into a container while this lives.
#[derive(Debug)]
pub(super) struct Rootfs {
    /// Where.
    pub(super) path: PathBuf,
    /// `kernel`, `squashfuse` or `unpacked`, as receipts say it.
    pub(super) how: &'static str,
    /// Whether the tree was made from the measured file by this very attempt.
    pub(super) fresh: bool,
    /// Why better ways were not taken.
    pub(super) notes: Vec<String>,
    guard: Guard,
}

#[derive(Debug)]
enum Guard {
    Unpacked { tree: unpack::Unpacked, _elsewhere: Option<Scratch> },
    Kernel { _mount: kernel::Mounted },
    Fuse { _mount: fuse::Mounted },
}

impl Rootfs {
    /// What happened to an unpacked tree while the program ran; `None` when it is as it was.
    pub(super) fn damage(&self) -> Option<String> {
        match &self.guard {
            Guard::Unpacked { tree, .. } => tree.damage(),
            Guard::Kernel { .. } | Guard::Fuse { .. } => None,
        }
    }
}

/// Provides the tree of a measured image.
///
/// # Errors
/// When even unpacking does not work.
pub(super) fn provide(
    measured: &Measured,
    partition: Partition,
    site_store: Option<&Path>,
    room: Room<'_>,
) -> Result<Rootfs, ExecuteError> {
    let mut notes = Vec::new();
    let point = room.scratch.join("rootfs");
    std::fs::create_dir_all(&point).map_err(ExecuteError::io("making a mount point"))?;
    let done = |path: PathBuf, how, fresh, notes, guard| Rootfs { path, how, fresh, notes, guard };
    match kernel::mount(measured, partition, site_store, &point) {
        Ok(mount) => {
            return Ok(done(point, "kernel", true, notes, Guard::Kernel { _mount: mount }));
        }
        Err(why) => notes.push(format!("no kernel mount: {why}")),
    }
    match fuse::mount(measured, partition, &point) {
        Ok(mount) => {
            return Ok(done(point, "squashfuse", true, notes, Guard::Fuse { _mount: mount }));
        }
        Err(why) => notes.push(format!("no squashfuse: {why}")),
    }
    let mut elsewhere = None;
    let tree = match room.shared {
        Ok(cache) => unpack::shared(measured, partition, room.limits, cache, &mut notes)?,
        Err(why) => {
            notes.push(format!("unpacked for this job alone: {why}"));
            let mut place = room.scratch;
            if scratch::forbids_programs(place) {
                let other = elsewhere.insert(Scratch::make(scratch::JOB, true)?);
                notes.extend_from_slice(&other.notes);
                place = other.path();
            }
            unpack::for_one(measured, partition, room.limits, place)?
        }
    };
    let (path, fresh) = (tree.root.clone(), tree.fresh);
    Ok(done(path, "unpacked", fresh, notes, Guard::Unpacked { tree, _elsewhere: elsewhere }))
}

/// Whether something is mounted at exactly this path.
pub(super) fn is_mount_point(path: &Path) -> bool {
    Table::own().is_ok_and(|table| table.is_point(path))
}
