//! A root that can be written to: an overlay of the image's tree and a layer of the job's own.
//!
//! ```text
//! lowerdir=/proc/self/fd/N   the image, which stays as it is
//! upperdir, workdir          the job's, on the node's disk: every change of a file is a copy there
//! ```
//!
//! The image's own entries are there by themselves, so of the skeleton's steps only mount points are made. Directories are
//! named by handles: the options of a mount are text in which commas and colons mean something.
//!
//! Source: Documentation/filesystems/overlayfs.rst. In a user namespace since Linux 5.11, with `userxattr`.

use std::ffi::CString;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::{Writable, make};
use crate::execute::failed::{Failed, at};
use crate::runtime::builtin::Step;

pub(super) fn mount(layer: &Writable, root: &Path) -> Result<(), Failed> {
    let open = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map_err(at(format!("opening {}", path.display())))
    };
    let handles = [open(layer.image.path())?, open(layer.upper.path())?, open(layer.work.path())?];
    let [image, upper, work] = handles.each_ref().map(|handle| {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", handle.as_raw_fd())
    });
    let options = format!("lowerdir={image},upperdir={upper},workdir={work},userxattr");
    let options = CString::new(options).map_err(at("naming the layers"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("moorline", root, "overlay", flags, options.as_c_str()).map_err(refused)
}

fn refused(errno: Errno) -> Failed {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Failed(format!(
        "mounting a writable layer over the image: {errno} (Linux {release}; it needs 5.11, and a TMPDIR on a disk \
         of the node, not on a network's file system or an overlay); leave --scratch out, or take --runtime apptainer, \
         which may have fuse-overlayfs"
    ))
}

/// What a step of the skeleton means where the image's entries are there already.
pub(super) fn over_image(step: &Step) -> Result<(), Failed> {
    let (target, directory) = match step {
        Step::Directory { target } => (target, true),
        Step::File { target } => (target, false),
        Step::Link { .. } | Step::Image { .. } | Step::Mount { .. } => return Ok(()),
    };
    make::instead(target, directory).map_err(at(format!("making {}", target.display())))
}
