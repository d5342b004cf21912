//! The ledger: what was asked, what the engine said, what the workers measured. Append-only.
//!
//! Floor 4. JSON lines, one file per writer and segment, each line chained to the one before by the
//! hash of its raw bytes (`record.rs` draws a line, `writer.rs` the directory, `personal.rs` what
//! can be erased). Format and limits for people: `docs/ledger.md`.
//!
//! ```text
//! intend --> Recorded --> submitted | refused | uncertain --> observed* receipt* cancelled? note*
//!   |                                                        |
//!   durable before the engine hears of the job               View::read -> jobs, with their history
//! ```
//!
//! Which jobs there are is answered by `index/`, without reading everything.
//!
//! Promised: a call that returned `Ok` is on the disk; nothing that was written is changed; readers
//! see whole records only. Not promised: an order between writers other than by their clocks; that
//! a local chain was not written anew as a whole by its owner ([`LIMITS`]).
//!
//! Secrets have no field here. Values of variables that the user gives are kept, in the erasable
//! payload: a credential in `--env` is on this disk.

mod batch;
mod beside;
mod body;
mod conversions;
mod dir;
mod error;
#[cfg(test)]
mod golden;
mod hash;
pub mod index;
mod kept;
mod lookup;
mod merge;
mod merged;
mod own;
mod personal;
mod readings;
mod record;
mod salvage;
mod segment;
mod settled;
mod tasks;
#[cfg(test)]
#[path = "../../tests/support/records.rs"]
pub(crate) mod testing;
mod verify;
mod view;
mod writer;

pub use batch::Batch;
pub use body::{Body, EngineName};
pub use conversions::Conversions;
pub use error::{LedgerError, LookupError};
pub use hash::RecordHash;
pub use kept::Kept;
pub use merge::{Merged, Wanted, merge};
pub use own::{Conversion, Intent, Ledger, Recorded};
pub use personal::{Payload, Personal};
pub use readings::{note_reading, read_before};
pub use record::{Content, LineError, RECORD_SCHEMA, Record, WriterId};
pub use segment::SegmentName;
pub use settled::{Settled, Source, latest_receipt};
pub use tasks::COMPLETE;
pub use verify::{Finding, LIMITS, Note, Report, verify};
pub use view::{Event, JobRecord, Outcome, Payloads, ReceiptRecord, Submission, View};
