//! The index: which jobs a ledger holds and where their lines stand, so that no verb reads everything.
//!
//! ```text
//!            catalogue.rs   names, pages, images -> View of these jobs
//!                 |
//!            traits.rs      trait Index
//!            /         \
//!     memory.rs     sqlite.rs --- home.rs (where the file lies), sealed.rs (who may have written it)
//!            \         /
//!            scan.rs        what was appended since
//!            sketch.rs      one line, as far as it is needed      name.rs   the names of an image
//!            row.rs         one job: places, recorded state
//! ```
//!
//! It chooses and never judges: what is said of a job, its verdict above all, comes from the job's own lines,
//! each of them checked when it is read. A `PostgreSQL` of a site comes behind the same trait and the same suite
//! of tests (`suite.rs`).

mod catalogue;
mod error;
#[cfg(test)]
mod faults;
mod home;
mod memory;
mod name;
mod row;
mod scan;
mod sealed;
mod sketch;
mod sqlite;
#[cfg(test)]
mod suite;
mod traits;

pub use catalogue::{Catalogue, FindError, Where};
pub use error::IndexError;
pub use home::Home;
pub use memory::Memory;
pub use name::ImageName;
pub use scan::Cursor;
pub use sqlite::Sqlite;
pub use traits::{Counts, Filter, Index, LineAt, Page, Progress};
