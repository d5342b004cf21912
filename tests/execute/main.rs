//! The worker and the built-in runtime, for real: as root and as an ordinary user.
//!
//! Images are made by `mksquashfs` (part `squashfs-tools`) and our own SIF writer out of this
//! machine's `/bin/sh` and a few tools.

mod added;
mod faults;
mod filter;
mod hiding;
mod image;
mod inherited;
mod layout;
mod machine;
#[allow(dead_code, reason = "each test program uses its part of it")]
#[path = "../images/squashfs_reader/made.rs"]
mod made;
mod mounts;
mod points;
mod program;
mod runtimes;
mod scratch;
mod script;
mod served;
mod signals;
mod started;
mod support;
mod terminal;
mod terms;
mod zoo;
