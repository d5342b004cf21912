//! What a node keeps of images: one place for all of a user's jobs on it.
//!
//! ```text
//! BASE/moorline-UID/       0700, hidden from containers (rootfs/place.rs); BASE is plan.node_cache, else the scratch's place
//!   HEX-XXXXXX/            unpacked trees (rootfs/unpack.rs)
//!   images/                a store (store/): SIFs that were pulled or copied to the node
//!     copying/HEX          locked by who copies; the others wait for it
//!     used/HEX             touched when a job begins to run from the SIF of this digest
//! ```
//!
//! Nothing here is believed: a job hashes a SIF of it, or checks each of its blocks, as one that lies anywhere else. What a
//! cleaner of temporary files took away, whole or in part, is noticed then and got again.
//!
//! | file | |
//! |---|---|
//! | `images.rs` | where it is, and how a job keeps a SIF of it for as long as it runs |
//! | `copy.rs` | one copy of a SIF for all jobs of the node |
//! | `pull.rs` | one pull for all jobs of the node, by a process of its own |
//! | `tidy.rs` | what goes when there is too much, or it is too old |

mod copy;
mod images;
mod pull;
mod tidy;

pub(super) use copy::{copied, is_worth_it};
pub(super) use images::{Images, InUse};
pub use pull::Pulled;
pub(super) use pull::{forget, forget_credential, pull};
pub(super) use tidy::make_room;
pub use tidy::{Bounds, Gone, Kept, tidy};
