//! Provides an image's tree in the best way that works.

use std::path::{Path, PathBuf};

use super::tree::Configured;
use super::{fuse, kernel, unpack};
use crate::execute::ExecuteError;
use crate::execute::measure::Measured;
use crate::execute::scratch::{self, Scratch};
use crate::sif::Partition;

/// Where an image may be unpacked.
#[derive(Clone, Copy, Debug)]
pub(in crate::execute) struct Room<'a> {
    /// Where jobs may share a tree: the directory, hidden from the containers, or why there is none.
    pub(in crate::execute) shared: Option<Result<&'a Path, &'a str>>,
    /// The job's own.
    pub(in crate::execute) scratch: &'a Path,
    /// Whether a layer that the program writes to will lie over the tree.
    pub(in crate::execute) layered: bool,
    /// What an image may ask for at most.
    pub(in crate::execute) limits: &'a Configured,
}

/// A tree that can be bound into a container while this lives.
#[derive(Debug)]
pub(in crate::execute) struct Rootfs {
    /// Where.
    pub(in crate::execute) path: PathBuf,
    /// `kernel`, `squashfuse` or `unpacked`, as receipts say it.
    pub(in crate::execute) how: &'static str,
    /// Whether the tree was made from the measured file by this very attempt.
    pub(in crate::execute) fresh: bool,
    /// Why better ways were not taken.
    pub(in crate::execute) notes: Vec<String>,
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
    pub(in crate::execute) fn damage(&self) -> Option<String> {
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
pub(in crate::execute) fn provide(
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
    let fused = if room.layered && !rustix::process::geteuid().is_root() {
        // its files are root's, whom the job's user namespace does not know: no copy of them could be made
        Err("a layer over files of other users cannot be written to (--scratch)".to_owned())
    } else {
        fuse::mount(measured, partition, &point)
    };
    match fused {
        Ok(mount) => {
            return Ok(done(point, "squashfuse", true, notes, Guard::Fuse { _mount: mount }));
        }
        Err(why) => notes.push(format!("no squashfuse: {why}")),
    }
    let mut elsewhere = None;
    let tree = match room.shared {
        Some(Ok(cache)) => unpack::shared(measured, partition, room.limits, cache, &mut notes)?,
        alone => {
            if let Some(Err(why)) = alone {
                notes.push(format!("unpacked for this job alone: {why}"));
            }
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
