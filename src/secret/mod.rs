//! Secrets: values that cannot be printed, serialised or compared by accident.
//!
//! Floor 0. [`Secret`] has no `Display`, no `Serialize`, a redacted `Debug`, and is wiped from
//! memory when dropped (`secrecy`, `zeroize`). The only way to its text is [`Secret::expose`],
//! which is called where a request's header or a credential store's entry is made and nowhere else
//! (`tests/rules/floors.rs` holds the list of files that may call it).

mod credential;
mod realm;
mod value;

pub use credential::Credential;
pub use realm::{Candidate, Candidates, ParseRealmError, Realm};
pub use value::{LONGEST, Secret};
