//! Namespaces of the calling thread.

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

/// Makes a namespace of the calling thread's own.
pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // deprecated for CLONE_FILES, which can take handles away from other threads: never used here
    #[expect(deprecated, reason = "safe for these flags; the replacement is unsafe for all")]
    rustix::thread::unshare(flags)
}
