//! The own store: verified blobs and converted SIFs of one user, by digest.
//!
//! ```text
//! STORE/                     0700, owned by the user
//!   version                  "1"
//!   blobs/sha256/HEX         0444, a registry's blobs; the name is the digest of the bytes
//!   sifs/sha256/HEX.sif      0444, SIFs, converted or fetched; the name is the digest of the bytes
//!   pins/HEX/RECIPE.json     which SIF a manifest digest gave under a recipe (pins.rs)
//!   packs/RECIPE/HEX         where blocks lie in a SIF (packs.rs)
//!   layers/RECIPE/HEX        what is in a layer (packs.rs)
//!   leases/                  who is making what right now (lease.rs)
//!   marks/                   jobs that need a SIF or an archive (marks.rs)
//!   trash/                   pruned SIFs until no job can be using them any more (prune.rs)
//!   archives/HEX.tar         OCI archives, by their manifests, for runtimes that take no SIF
//!   node/                    0700, images that this machine unpacked (written by `execute`)
//!   runtimes/                runtimes that the user added (runtimes.rs); never pruned
//!   hosts/                   locks of requests that are on their way, and HEX.realm: which token realm
//!                            a registry named last (written by `registry`, where there is no
//!                            runtime directory)
//!   tags/HEX                 which digest a tag named last (written by `cli`)
//!   tmp/                     files being written; those of dead processes are removed (sweep.rs)
//! ```
//!
//! Directories that are not named here hold indexes: other parts of Moorline, or a newer version, keep there what they
//! can make again. They may be removed at any time.
//!
//! A file gets its name only after its bytes were hashed: written in `tmp/`, synced, renamed, and
//! the directory synced. Not promised: that a file is still unchanged later; whoever runs a SIF
//! measures it.

mod archives;
mod clock;
mod error;
mod found;
mod held;
mod incoming;
mod inventory;
mod lease;
mod marks;
mod own;
mod packs;
mod pins;
mod process;
mod prune;
mod records;
mod room;
mod runtimes;
mod safe;
mod seen;
mod site;
mod sound;
mod sweep;
mod temporary;
mod turn;
mod verify;
mod witness;
mod writeback;

pub use error::StoreError;
pub use held::{Held, is_elsewhere, machine, remove_unheld};
pub use incoming::Incoming;
pub use inventory::{Inventory, Item, What};
pub use lease::{Holder, Lease, Timing};
pub use marks::{Mark, Needed};
use own::DIRS;
pub use own::Store;
pub use packs::StoredPack;
pub use pins::StoredSif;
pub use process::Process;
pub use prune::{Limits, Pruned, Wanted};
pub use records::Witness;
pub use room::{Of, QuotaQuestion, Room};
pub use runtimes::StoredRuntime;
pub use site::SiteStore;
pub use temporary::{temporary_beside, temporary_directory};
pub use turn::Turn;
pub use verify::{Checked, Fault};
pub use writeback::Writeback;
