//! `moorline.lock`: the pins of a project's named images, for its repository.
//!
//! ```toml
//! schema = 1
//!
//! [[image]]
//! name = "analysis"
//! asked = "registry.gitlab.example/group/analysis:v3"
//! platform = "linux/amd64"
//! index = "sha256:..."        # when the tag names an index
//! manifest = "sha256:..."     # what runs
//! config = "sha256:..."
//! sif = "sha256:..."          # of oras:// alone: the file itself; manifest is then the artifact's
//! resolved_at = "2026-01-02T03:04:05Z"
//! ```
//!
//! Names of a hub's SIFs stand in `[[hub]]` (`hub`).
//!
//! Floor 3, pure: text in, text out. One block for each name and platform, sorted by both; a block
//! whose digests did not change is kept as it stands, `resolved_at` included, so that a diff shows
//! the images that moved and nothing else.
//!
//! A lock file is somebody else's input, like `moorline.toml`: it chooses among images, and decides neither whom to
//! trust nor what to start. Everything in it is checked again when it is used: the bytes must have the digest.

mod content;
mod document;
mod entry;
mod error;
mod finding;
mod hub;
mod named;

pub use content::Lock;
use document::{Block, Document};
pub use entry::{HubEntry, LockEntry};
use error::SCHEMA;
pub use error::{FILE, LockError};
pub use finding::Finding;
pub use named::{Named, SIF_SCHEME, complete};
