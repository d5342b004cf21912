//! Text that somebody else wrote, on its way to a terminal, a log or an error message.
//!
//! ```text
//!  registry, GitLab, image, engine, receipt, file name
//!       |
//!       v  Foreign            has no `AsRef<str>`: it cannot be printed by accident
//!       |  1. harmful parts are taken out     (`harm`)
//!       |  2. secrets are replaced by ***     (`hidden`)
//!       |  3. it is cut to a length
//!       v
//!     Shown                   harmless; may stand in a message
//! ```
//!
//! The order matters. A server that echoes a credential can put an invisible character into it:
//! a search for the secret before step 1 does not find it, and step 1 then makes it whole. So there
//! is one function for all three steps ([`Foreign::words`]), and no other way.
//!
//! Floor 0. What reaches a terminal goes once more through step 1 where it is printed
//! (`cli/show/output.rs`), so that a text that nobody thought of is harmless too. A program's own output
//! (`run`, `shell`, `logs`) is the user's and passes as it is.

mod foreign;
mod harm;
mod hidden;
mod plural;

pub use foreign::{Foreign, Shown, listed};
pub use harm::{is_harmful, json, lines, one_line};
pub use hidden::Hidden;
pub use plural::plural;
