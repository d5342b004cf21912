//! The container's own first process: carries out the layout, gives up every privilege, leads the
//! program's session, and reaps.
//!
//! It is this very program, started by `between.rs` as process 1 of a new pid namespace and as root of
//! a new user namespace that maps to the caller, so that it may mount:
//!
//! ```text
//! worker --> between: user, pid and perhaps network namespace --> inside (pid 1)
//!   a session of its own; the program's terminal, if it has one
//!   unshare mounts, everything a slave of the machine's mounts (automounts arrive, nothing leaves)
//!   the image by FUSE as the root, where this program serves it (rootfs/server); its handle goes to the worker
//!   start the starter (pid 2), which waits
//!   elsewhere a tmpfs for a skeleton, or an overlay over the image (overlay.rs); pivot_root, steps (mounts by handle:
//!   attach.rs), hide, detach the machine's root
//!   empty the bounding set, drop all capabilities, no_new_privs
//!   starter: a second user namespace with the caller's own uid and gid: the program owns no mount;
//!            the same privileges given up; the program
//!   pass signals on, reap orphans, end with the program: the kernel ends the rest
//! ```

mod arrange;
mod attach;
mod first;
mod make;
mod order;
mod overlay;
pub(super) mod privileges;

pub(super) use arrange::own_mounts;
pub(super) use first::main;
pub(super) use order::{Inside, Writable};
