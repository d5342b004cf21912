//! After the submission: what the engine says, what the workers wrote, and both into the ledger.
//!
//! ```text
//! whole stories      list.rs   the newest jobs           wait.rs     until jobs have ended
//!                    sweep.rs  the whole ledger          recover.rs  what was interrupted
//!                    cancel.rs one job                   prune.rs    images that no job needs
//!                    written.rs what a job printed        fetch.rs    the files that it left (left.rs)
//!                        |
//! jobs of any engine known.rs  each engine once          newest.rs   no more jobs than a list holds
//!                        |                               patience.rs how long a `wait` goes on without an answer
//! one engine's jobs  round.rs; each: refresh.rs, an array: array.rs
//!               --ask--> engine's word ------+
//!               --collect--> receipts -------+--> what counts; ledger (only what is new)   receipts.rs
//!               --release--> jobs that are held, once they are on record                   release.rs
//!               --settle--> open intents: found at the engine, or still uncertain          settle.rs
//! ```
//!
//! What all of it needs of its place is `surroundings.rs`: the command line implements it.
//!
//! An engine that does not answer hides nothing: what ledger and receipts know is given all the same.
//! Not promised: that an engine remembers a job for ever.

mod array;
mod cancel;
mod engines;
mod error;
mod fetch;
mod known;
mod left;
mod list;
mod newest;
mod patience;
mod prune;
mod receipts;
mod recover;
mod refresh;
mod release;
mod round;
mod settle;
mod surroundings;
mod sweep;
mod target;
#[cfg(test)]
mod tests;
mod wait;
mod written;

pub use cancel::{Cancelled, cancel};
pub use engines::Engines;
pub use error::FollowError;
pub use fetch::{Compared, Fetched, How, Order, fetch};
pub use known::{Known, Learnt, ask, refresh, refresh_by};
pub use left::{Left, Which, left, work_dir};
pub use list::list;
pub use newest::newest;
pub use patience::{Limits, NextRound, Patience};
pub use prune::prune;
pub use receipts::{Collected, collect};
pub use recover::{Recovered, recover};
pub use refresh::{Now, Refresh};
pub use round::Whom;
pub use settle::{Settled, settle};
pub use surroundings::Surroundings;
pub use sweep::{Swept, collect_all, collect_open};
pub use wait::{Heard, wait};
pub use written::{Stream, Written};
