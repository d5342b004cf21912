//! From a job to an engine's id, with the ledger on both sides of the engine.
//!
//! ```text
//! job --prepare--> job directory --intend--> ledger --submit--> engine --held, submitted--> ledger
//!     --key--> control/submission.json --release--> engine --released--> ledger
//! ```
//!
//! The intent is durable before the engine hears of the job. A crash in between leaves an open
//! entry, which `recover` settles by asking the engine for the intent: at most one submission per
//! intent, or the honest answer *uncertain*. Where the engine can hold, the job begins only when its key is on
//! the disk: a copy that the engine took without saying so never runs. A crash after that leaves a held job,
//! which every verb that asks for it releases.

mod added;
mod delivery;
mod error;
mod extras;
mod inputs;
mod jobdir;
mod one;
mod program;

pub use added::{Added, add_udocker};
pub use delivery::{Chosen, Pulls, Target, Way, choose, pulled};
pub use error::SubmitError;
pub use extras::Extras;
pub use inputs::{Earlier, Source, of_earlier, script_hints};
pub use jobdir::{JobDir, install_binary};
pub use one::{HandedOver, Prepared, Site, dry_run, new_job_id, prepare, submit};
