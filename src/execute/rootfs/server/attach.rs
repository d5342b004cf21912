//! The container's side: it opens `/dev/fuse` and mounts, because the kernel wants both from one user namespace.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::mount::MountFlags;

use crate::execute::failed::{Failed, at};

/// Mounts at an empty directory and gives the handle by which the kernel asks. The caller has a mount namespace
/// of its own.
pub(in crate::execute) fn attach(point: &Path) -> Result<File, Failed> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(at("opening /dev/fuse"))?;
    // user 0 is this namespace's: the caller. The kernel checks modes; the program is in a namespace below, so
    // others are let in by `allow_other`, which ends at this namespace
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
        device.as_raw_fd()
    );
    let options = std::ffi::CString::new(options).map_err(at("mounting the image"))?;
    // read-only once the container's root is arranged: until then a directory of the server's can be removed
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("moorline", point, "fuse.moorline", flags, Some(options.as_c_str()))
        .map_err(at("mounting the image by FUSE"))?;
    Ok(device)
}
