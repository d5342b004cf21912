//! After the submission: what the engine says, what the workers wrote, and both into the ledger.
//!
//! ```text
//! ledger's view --ask--> engine's word ------+
//!               --collect--> receipts -------+--> what counts; ledger (only what is new)   refresh.rs, receipts.rs
//!               --settle--> open intents: found at the engine, or still uncertain           settle.rs
//! ledger's index --newest--> no more jobs than a list holds                              newest.rs
//!               --patience--> how long a `wait` goes on without an answer                   patience.rs
//! ```
//!
//! An engine that does not answer hides nothing: what ledger and receipts know is given all the same.
//! Not promised: that an engine remembers a job for ever.

mod error;
mod newest;
mod patience;
mod receipts;
mod refresh;
mod settle;

pub use error::FollowError;
pub use newest::newest;
pub use patience::{Limits, Patience, Verdict};
pub use receipts::{Collected, collect};
pub use refresh::{Now, Refresh};
pub use settle::{Settled, settle};
