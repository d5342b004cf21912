//! A mount by the kernel, for root only, and only of files that none but root can have written.
//!
//! The caller (the worker) is in a mount namespace of its own by then, so the mount and its loop
//! device go when the last process of the job does, however it ends.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::execute::measure::Measured;
use crate::sif::Partition;

/// A mounted image; unmounted when dropped.
#[derive(Debug)]
pub(super) struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // the namespace's end does it otherwise
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

pub(super) fn mount(
    measured: &Measured,
    partition: Partition,
    site_store: Option<&Path>,
    point: &Path,
) -> Result<Mounted, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("not root".into());
    }
    let store = site_store.ok_or("no site store is configured")?;
    let canonical =
        |p: &Path| std::fs::canonicalize(p).map_err(|e| format!("{}: {e}", p.display()));
    let (store, sif) = (canonical(store)?, canonical(&measured.path)?);
    if !sif.starts_with(&store) {
        return Err(format!("the image is not in the site store {}", store.display()));
    }
    for part in sif.ancestors() {
        let m = std::fs::symlink_metadata(part).map_err(|e| format!("{}: {e}", part.display()))?;
        if let Some(why) = writable_by_others(m.uid(), m.mode()) {
            return Err(format!("{} {why}", part.display()));
        }
    }
    if !measured.path_unchanged() {
        return Err("the path no longer leads to the measured file".into());
    }
    let options = format!("ro,nosuid,nodev,loop,offset={}", partition.offset);
    let output = Command::new("mount")
        .args(["-n", "-t", "squashfs", "-o", &options, "--"])
        .args([&sif, point])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("mount: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let mounted = Mounted(point.to_owned());
    if !measured.path_unchanged() {
        return Err("the path was exchanged while it was mounted".into());
    }
    Ok(mounted)
}

/// Why a path component is not good enough, if so.
fn writable_by_others(uid: u32, mode: u32) -> Option<&'static str> {
    if uid != 0 {
        Some("does not belong to root")
    } else if mode & 0o022 != 0 {
        Some("can be written by others than root")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components() {
        assert_eq!(writable_by_others(0, 0o40755), None);
        assert!(writable_by_others(1000, 0o40755).is_some());
        assert!(writable_by_others(0, 0o40775).is_some());
        assert!(writable_by_others(0, 0o41777).is_some(), "sticky is not enough");
    }
}
