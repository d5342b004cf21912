//! `mount_setattr(2)` for what Moorline needs of it: adding restrictions to a mount and to all mounts
//! below it, by handle.
//!
//! The library itself forbids unsafe code, and neither rustix 1.1 nor nix 0.31 wraps this call, so its
//! only unsafe lines stand here. What is passed to the kernel is a handle that the caller owns and
//! a structure of this function's own.
//!
//! ```text
//! struct mount_attr { u64 attr_set, attr_clr, propagation, userns_fd }    32 bytes, since Linux 5.12
//! ```
//!
//! Source: `mount_setattr(2)`, `linux/mount.h`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `MOUNT_ATTR_RDONLY`.
const RDONLY: u64 = 0x01;
/// `MOUNT_ATTR_NOSUID`.
const NOSUID: u64 = 0x02;
/// `MOUNT_ATTR_NODEV`.
const NODEV: u64 = 0x04;

/// `struct mount_attr` of the kernel.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Whether the mounts below change too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only the mount of the handle.
    One,
    /// That and every mount below it, also those that are covered or that the caller cannot reach.
    All,
}

/// What a mount loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nothing can be written through it.
    pub read_only: bool,
    /// Devices on it can be opened.
    pub devices: bool,
}

/// Adds nosuid, and nodev and read-only as `limits` say, to the mount whose root `mount` is a handle of.
/// Restrictions that it has stay. All mounts change or none.
///
/// # Errors
/// What the kernel says; `ENOSYS` before Linux 5.12.
pub fn restrict(mount: BorrowedFd<'_>, limits: Limits, reach: Reach) -> io::Result<()> {
    let set =
        NOSUID | if limits.devices { 0 } else { NODEV } | if limits.read_only { RDONLY } else { 0 };
    let attr = MountAttr { set, clear: 0, propagation: 0, user_namespace: 0 };
    let all = if reach == Reach::All { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the handle is open for as long as it is borrowed, the path is a constant that ends with
    // NUL, and the kernel only reads `size_of::<MountAttr>()` bytes of a live structure with its layout.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | all,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_structure_has_the_kernels_size() {
        assert_eq!(size_of::<MountAttr>(), 32);
    }

    #[test]
    fn who_may_not_is_told_so() {
        // a file is no mount's root: the kernel looks at the structure and then refuses
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let error = restrict(file.as_fd(), Limits { read_only: false, devices: false }, Reach::One)
            .unwrap_err();
        let known = [libc::EINVAL, libc::EPERM, libc::ENOSYS];
        assert!(known.contains(&error.raw_os_error().unwrap()), "{error}");
    }
}
