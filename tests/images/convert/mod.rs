//! Conversion, from hand-made layers to SIFs that other programs read.
//!
//! The expected tree is written down by hand and compared entry by entry with what three readers
//! find: `unsquashfs` (part `squashfs-tools`), a kernel mount (part `kernel-mount`, needs root) and
//! the `backhand` crate.

mod field;
mod hostile;
mod programs;
mod refused;
mod reuse;
mod scripts;
mod trees;
