//! SIF, the Singularity image format: one file that holds a root file system and what is known of it.
//!
//! ```text
//! 0        header                                header.rs
//! 4096     48 descriptors of 585 bytes           descriptor.rs
//! 32176    definition file, JSON objects
//! ...      squashfs, on a multiple of 4096       written and read elsewhere
//! ...      hash tree, on a multiple of 4096      hash_tree/
//! ```
//!
//! Floor 3: readers and writers are passed in. [`SifReader`] takes bytes from anybody and never
//! panics on them; [`SifWriter`] takes clock and ids as arguments, so that equal input gives equal
//! bytes. Source: sylabs/sif `pkg/sif` (format version 01), checked against files that apptainer
//! 1.4.5 wrote.
//!
//! Not promised: signatures and encrypted partitions are listed, not understood.

mod arch;
mod descriptor;
mod error;
pub mod hash_tree;
mod header;
mod names;
mod reader;
mod singularity_d;
mod writer;

pub use arch::Arch;
pub use descriptor::{DataType, Descriptor};
pub use error::SifError;
pub use header::Header;
pub use names::{HASH_TREE, INSPECT, MANIFEST, OCI_CONFIG, PROVENANCE};
pub use reader::{MAX_DESCRIPTORS, MAX_OBJECT, Partition, SifReader};
pub use singularity_d::{Added, Addition, TEMPLATE, Texts, is_name, pretty};
pub use writer::{Ended, Identity, SifWriter};
