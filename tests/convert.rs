//! Conversion, from hand-made layers to SIFs that other programs read.
//!
//! The expected tree is written down by hand and compared entry by entry with what three readers
//! find: `unsquashfs` (part `squashfs-tools`), a kernel mount (part `kernel-mount`, needs root) and
//! the `backhand` crate.

#[path = "convert/archive.rs"]
mod archive;
#[path = "convert/field.rs"]
mod field;
#[path = "convert/hostile.rs"]
mod hostile;
#[path = "differential/layout.rs"]
#[allow(dead_code, reason = "a test program uses a part of it")]
mod layout;
#[path = "convert/oracle.rs"]
mod oracle;
#[path = "convert/programs.rs"]
mod programs;
#[path = "convert/refused.rs"]
mod refused;
#[path = "convert/reuse.rs"]
mod reuse;
#[path = "convert/scripts.rs"]
mod scripts;
#[path = "convert/trees.rs"]
mod trees;
