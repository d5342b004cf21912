//! Images: from layers, archives and registries to SIFs that other programs read.
//!
//! `archive` makes images by hand, `oracle` reads a tree with other programs, `layout` makes files
//! that other programs read. Real apptainer runs our SIFs in `apptainer`.

mod apptainer;
mod archive;
mod archives;
mod convert;
mod demo_image;
mod differential;
mod layout;
mod many_entries;
mod oracle;
mod squashfs_reader;
#[path = "../support/mod.rs"]
mod support;
