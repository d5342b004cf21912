//! The image's tree on this machine, in three ways, the best first; each that does not work leaves a
//! note and the next is tried.
//!
//! | way | when | file |
//! |---|---|---|
//! | kernel mount | root, and the SIF lies in a store that only root can write to | `kernel.rs` |
//! | `squashfuse` | it is installed and `/dev/fuse` may be opened | `fuse.rs` |
//! | unpacked once | always; kept in the node's cache | `unpack.rs`, `tree.rs` |
//!
//! A kernel's squashfs code trusts its input more than it should, so foreign images do not get there.

mod fuse;
mod kernel;
mod tree;
mod unpack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use super::measure::Measured;
use crate::sif::Partition;

pub(super) use unpack::unpack;

/// `[limits]` that were set, by name.
type Configured = BTreeMap<String, u64>;

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
    /// Ends the mount.
    _guard: Guard,
}

#[derive(Debug)]
enum Guard {
    None,
    Kernel { _mount: kernel::Mounted },
    Fuse { _mount: fuse::Mounted },
}

/// Provides the tree of a measured image.
///
/// # Errors
/// When even unpacking does not work.
pub(super) fn provide(
    measured: &Measured,
    partition: Partition,
    site_store: Option<&Path>,
    (cache, limits): (&Path, &Configured),
    scratch: &Path,
) -> Result<Rootfs, ExecuteError> {
    let mut notes = Vec::new();
    let point = scratch.join("rootfs");
    std::fs::create_dir_all(&point).map_err(ExecuteError::io("making a mount point"))?;
    match kernel::mount(measured, partition, site_store, &point) {
        Ok(mount) => {
            let guard = Guard::Kernel { _mount: mount };
            return Ok(Rootfs { path: point, how: "kernel", fresh: true, notes, _guard: guard });
        }
        Err(why) => notes.push(format!("no kernel mount: {why}")),
    }
    match fuse::mount(measured, partition, &point) {
        Ok(mount) => {
            let guard = Guard::Fuse { _mount: mount };
            return Ok(Rootfs {
                path: point,
                how: "squashfuse",
                fresh: true,
                notes,
                _guard: guard,
            });
        }
        Err(why) => notes.push(format!("no squashfuse: {why}")),
    }
    let (path, fresh) = unpack(measured, partition, (cache, limits))?;
    Ok(Rootfs { path, how: "unpacked", fresh, notes, _guard: Guard::None })
}

/// Whether something is mounted at exactly this path.
fn is_mount_point(path: &Path) -> bool {
    let Ok(table) = std::fs::read("/proc/self/mountinfo") else { return false };
    super::mountinfo::parse(&table).iter().any(|entry| entry.point == path)
}
