//! The worker and the built-in runtime, for real: as root and as an ordinary user.
//!
//! Images are made by `mksquashfs` (part `squashfs-tools`) and our own SIF writer out of this
//! machine's `/bin/sh` and a few tools.

mod image;
mod machine;
mod mounts;
mod program;
mod script;
mod support;
