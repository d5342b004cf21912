//! Audit: which image did this job use, and which jobs used this image.
//!
//! Floor 6. The ledger says what was asked, receipts say what workers measured; `verdict.rs` holds
//! the one against the other. Answers are plain data, ready for JSON: their texts (names, hosts,
//! labels, reasons) are foreign and raw; who prints them strips control characters.

mod drift;
mod image;
mod job;
mod junit;
mod markdown;
mod origins;
mod surroundings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verdict;

pub use drift::{Pinned, pinned, pinned_by};
pub use image::{ImageAnswer, ImageQuery, ImageUse, Matched, audit_image};
pub use job::{AttemptAnswer, JobAnswer, SubmissionAnswer, TasksAnswer, UsedImage, audit_job};
pub use junit::junit;
pub use markdown::markdown;
pub use origins::repositories;
pub use surroundings::{Each, Surroundings};
pub use verdict::{Because, Forger, Reason, Verdict, because, forgers, judge};
