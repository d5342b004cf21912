//! From a job to an engine's id, with the ledger on both sides of the engine.
//!
//! ```text
//! job --prepare--> job directory --intend--> ledger --submit--> engine --submitted--> ledger
//! ```
//!
//! The intent is durable before the engine hears of the job. A crash in between leaves an open
//! entry, which `recover` settles by asking the engine for the intent: at most one submission per
//! intent, or the honest answer *uncertain*.
