//! From WHAT a user typed to an image in the store.
//!
//! ```text
//! WHAT --what.rs--> What      parsed once: a file, an archive, a reference, a SIF in a registry or at a hub,
//!                             or what CI built (build.rs, with clone.rs and home.rs)
//! What --pin.rs-->  Pin       or the pin of moorline.lock (locked.rs)
//! Pin  --obtain.rs--> Image   and its Delivery: known, the site's, beside the image in its registry (published.rs), or
//!                             converted now; for runtimes that take no SIF its archive (archive.rs)
//! words --resolution.rs-->    Resolution each, for `resolve`
//! [images] --relock.rs-->     the pins of all names, for moorline.lock
//! job  --again.rs-->  Image   the same digest, for `rerun`
//! job  --on_worker.rs-->      the same SIF on a worker that pulls
//! SIF  --outgoing.rs-->       a file, a site's store, a registry: whole, or made once more
//! ```
//!
//! The place where the program runs is passed in as [`Surroundings`]: configuration, clients, store, and the
//! one who is told. Nothing here prints.

mod again;
mod archive;
mod build;
mod clone;
mod error;
mod home;
mod locked;
mod manners;
mod names;
mod obtain;
mod on_worker;
mod outgoing;
mod pin;
pub mod published;
mod relock;
mod resolution;
mod surroundings;
mod trial;
mod what;

pub use again::restage;
pub use archive::{obtain_archive, obtain_published};
pub use build::Build;
pub use clone::remote;
pub use error::AcquireError;
pub use home::{is_registry_of, registry_of_clone};
pub use locked::{existing as existing_lock, read as read_lock};
pub use manners::Manners;
pub use names::Names;
pub use obtain::{Obtained, Ready, convert, obtain, of_hub, tell};
pub use on_worker::{OnWorker, on_worker};
pub use outgoing::{Conversion, Copied, folder};
pub use pin::{pin, resolve};
pub use relock::{Relocked, Wish, project_names, registry_of, repositories};
pub use resolution::{Resolution, Words, beside, resolve_built};
pub use surroundings::{Surroundings, block_on};
pub use trial::{Trial, Tried};
pub use what::{Asked, What, reference};
