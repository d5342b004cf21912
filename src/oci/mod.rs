//! The documents and names of the Open Container Initiative: digests, references, manifests.
//!
//! Floor 0: no I/O, no clock, no environment. Sources: OCI image specification 1.1 and OCI
//! distribution specification 1.1.
//!
//! These types are our own, not `oci-spec`'s, because a digest of a manifest, of a configuration
//! and of an unpacked layer must be different types here, checked while the document is parsed.

mod config;
mod descriptor;
mod digest;
mod hub;
mod index;
mod lenient;
mod manifest;
pub mod media_type;
mod platform;
mod reference;
mod userinfo;
pub mod walk;

pub use config::{ContainerConfig, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{
    ConfigDigest, DiffId, Digest, Hasher, ParseDigestError, Sha256Digest, SifDigest, TreeRoot,
};
pub use hub::{HubName, ParseHubNameError};
pub use index::{Index, IndexEntry, OddEntry};
pub use manifest::{Document, DocumentError, Manifest};
pub use platform::{Fit, ParsePlatformError, Platform};
pub use reference::{DOCKER_HUB, ParseReferenceError, Reference, Registry, Repository, Tag};
pub use userinfo::{may_hold_secret, shown, without_users};
