//! From a reference to a pin: ask the registry once, and keep only digests.
//!
//! ```text
//!  reference --manifest--> index? --platform's entry--> manifest --config--> platform, labels
//!                          |         (oci/walk.rs)      |           |
//!                          pin.index                    pin.manifest pin.config
//! ```
//!
//! "What CI built" becomes references first (`facts`), of which the registry knows one (`origin`);
//! whether a pin still is what its tag names is `drift`'s question, and what somebody attached to it is `sbom`'s.
//!
//! Floor 5. A typed digest decides; a typed tag beside it is only compared.

pub mod artifact;
pub mod drift;
mod error;
pub mod facts;
pub mod labels;
mod many;
mod named;
pub mod origin;
mod reference;
mod remote;
pub mod sbom;

pub use error::ResolveError;
use error::not_an_image;
pub use many::resolve_many;
pub use reference::resolve;
