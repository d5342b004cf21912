//! `moorline doctor`: what works here, what does not, and the remedy.
//!
//! ```text
//! images.rs    the project, its registry, credentials, GitLab       where images come from
//! machine.rs   runtimes, mounting, engines                          where jobs run
//! places.rs    store, room, ledger, clock                           where things are kept
//!     \--> finding.rs   one finding each, a problem with its kind
//! ```
//!
//! Floor 7: it looks at what every story needs, so it stands above them. Nothing is changed but the directories
//! that every verb makes. A thing that does not work is a finding and never an error, so the list is always whole.
//! Nothing here prints; the kind of a problem becomes an exit code in `cli`.

mod examine;
mod finding;
mod images;
mod machine;
mod places;
mod surroundings;

pub use examine::examine;
pub use finding::{Finding, Health};
pub use surroundings::Surroundings;
