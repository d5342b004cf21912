//! The image's tree on this machine, in three ways, the best first; each that does not work leaves a
//! note and the next is tried.
//!
//! | way | when | file |
//! |---|---|---|
//! | kernel mount | root, and the SIF lies in a store that only root can write to | `kernel.rs` |
//! | `squashfuse` | it is installed, `/dev/fuse` may be opened, and no ordinary user wants a layer over it | `fuse.rs` |
//! | unpacked once, kept for other jobs | the node's cache is hidden from containers | `place.rs`, `unpack.rs`, `tidy.rs` |
//! | unpacked for the job | always, and when the job requires it to be measured | `unpack.rs` |
//!
//! A kernel's squashfs code trusts its input more than it should, so foreign images do not get there.
//! `tree.rs` writes a tree, `seal.rs` tells whether it is still whole.

mod fuse;
mod kernel;
mod place;
mod provide;
mod seal;
mod server;
mod tidy;
mod tree;
mod unpack;

pub(super) use place::{is_private, shared as shared_directory, to_hide};
pub(super) use provide::{Room, Rootfs, provide};
pub(super) use server::attach::attach;
pub(super) use server::handle::Server;
pub(super) use server::order::Served;
pub(super) use server::process::main as serve;
pub(super) use unpack::{Unpacked, for_one as unpack};
