//! A client for container registries: challenge, token, manifest, blob.
//!
//! ```text
//!  GET /v2/group/project/manifests/v1          -> 401 Bearer realm=..., service=...
//!  GET <realm>?service=...&scope=... + Basic   -> {"token": ...}      only to a confirmed realm
//!  GET /v2/group/project/manifests/v1 + Bearer -> bytes               hashed, never believed
//!  GET /v2/group/project/blobs/sha256:...      -> bytes, or a redirect to storage (no Bearer)
//! ```
//!
//! Sending is drawn in `push.rs`.
//!
//! Floor 4. Sources: OCI distribution specification 1.1; docker distribution's token
//! specification. Why this is not `oci-client`: `docs/registry.md`.
//!
//! Everything that a registry says is taken for a claim: bytes count only when they have the
//! digest that was asked for, sizes are capped, and a credential goes only to the registry's own
//! host or to a realm that was confirmed for it ([`crate::secret::Realm`]).

mod basic;
mod blob;
mod call;
mod challenge;
mod check;
mod claims;
mod client;
mod endpoint;
mod error;
mod gates;
mod hub;
mod image;
mod known;
mod manifest;
mod names;
mod options;
mod push;
mod remembered;
mod token;
mod token_request;
mod transport;

pub use challenge::{Bearer, Challenge};
pub use check::Grant;
pub use client::Client;
use client::Host;
pub use error::{RegistryError, Said};
pub use hub::HubFile;
pub use image::ImageDocuments;
pub use known::{Kept, Look, Note, TagMemory};
pub use manifest::{Fetched, Named, Wanted};
pub use names::{Names, system_names};
pub use options::{HostPort, Limits, Lookup, Options, PathPrefix, Patience, anonymous};
pub use push::Content;
