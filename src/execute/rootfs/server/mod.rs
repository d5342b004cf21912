//! An image that is served to its container by a process of ours: each block is checked against the pinned hash
//! tree before a byte of it reaches the program.
//!
//! ```text
//! worker --SIF, root of its hash tree--> server                     handle.rs, process.rs
//! container's first process: own mount namespace, opens /dev/fuse, mounts      attach.rs
//!        --handle of /dev/fuse--> worker --> server: answers the kernel        kernel.rs, answers.rs, added.rs
//! server --a block was refused--> worker: the job ends with 211
//!        --what it counted------> worker, when the last mount is gone
//! ```
//!
//! The mount is the container's root. It also shows the names that other mounts need and the image does not have
//! (added.rs), so that no name of the image costs a mount, and a directory for the machine's root until that is
//! detached.
//!
//! The mount is made in the container's own user and mount namespaces (Linux 4.18), so it needs no setuid helper, and
//! nothing of it stays when the container is killed. Only the server holds the handle of `/dev/fuse`: when it is killed,
//! the kernel answers every request with an error, and nobody waits for ever. The handle of the SIF is the one
//! that was checked; a file that takes its name is not looked at.
//!
//! All files belong to the caller, as in an unpacked tree: an owner that the container does not know could not be
//! shown. Devices are shown and cannot be opened, setuid bits are shown and do nothing: the mount says so.
//!
//! Sources: Linux `Documentation/filesystems/fuse.rst`, `fs/fuse/inode.c` (who may mount).

mod added;
mod answers;
pub(super) mod attach;
pub(super) mod handle;
mod kernel;
pub(super) mod order;
pub(super) mod process;
