//! Images in files, without a registry: OCI layouts, the same in a tar, and docker archives.
//!
//! ```text
//! oci:DIR[:TAG]               layout.rs   index.json -> manifest -> blobs/sha256/HEX
//! oci-archive:FILE[:TAG]      the same in a tar (members.rs)
//! docker-archive:FILE[:TAG]   docker.rs   manifest.json -> configuration, layers
//! ```
//!
//! TAG is a name, a digest or a place (`choice.rs`).
//!
//! Floor 4. Manifest and configuration are verified when they are read. Of a layer only its place is given; whoever
//! reads the layer verifies it. The files may be written by anybody: sizes are bounded, only regular files are opened,
//! and no name in an archive is ever a path on this machine.
//!
//! As in other tools the path ends at its first colon, so a path with a colon cannot be named.
//! Sources: OCI image specification 1.1, `image-layout.md`; docker image specification 1.2.
//! Not promised: compressed archives (they would have to be unpacked first).

mod choice;
mod docker;
mod error;
mod files;
mod image;
mod layout;
mod location;
mod members;
mod open;
mod piece;

pub use error::ArchiveError;
use files::{Files, MAX_CONFIG, MAX_MANIFEST, blob_name, whole};
pub use image::Archive;
pub use location::{Form, Location};
pub use piece::Piece;
use piece::regular;
