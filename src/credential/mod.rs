//! Credentials: where they come from, and where `login` keeps them.
//!
//! ```text
//!  flag > environment > CI > login > DOCKER_AUTH_CONFIG > docker's files > nobody
//!                             \ keyring, kernel keyring or file: wherever `login` put it
//! ```
//!
//! Floor 4. One file per source; the order of [`SOURCES`](chain::SOURCES) is the precedence. Within a source the
//! longest repository prefix comes first, so that two deploy tokens for two projects of one host
//! both work. A source that has nothing to say is skipped; one that is *broken* (unreadable file,
//! half a credential) stops the search and is named: a broken source is never read as "nobody".
//!
//! A credential on the command line is an order: when there is one, no other source is asked.
//!
//! A new source is a file with a `find` function and its line in [`SOURCES`](chain::SOURCES). It gets a
//! [`SourceQuestion`], adds [`Candidate`]s to the answer, and takes everything that it reads from the
//! chain: this module reads no environment variable and no home directory. (The keyring's library
//! looks for the user's D-Bus session itself.)
//!
//! Not promised: that a credential is valid; `registry` asks.

mod api;
mod chain;
mod ci;
#[cfg(feature = "desktop-keyring")]
mod desktop;
mod docker;
mod environment;
mod error;
mod explanation;
mod file;
mod flag;
mod given;
mod handed;
mod helper;
mod helper_name;
mod keeper;
mod kernel;
mod keyring;
mod logins;
mod question;
mod run;
mod scope;
mod settings;
mod stored;
mod variable;
mod vault;
#[cfg(not(feature = "desktop-keyring"))]
mod without_desktop;

pub use api::ListedApi;
pub use chain::Chain;
#[cfg(feature = "desktop-keyring")]
pub use desktop::SystemKeyring;
pub use error::CredentialError;
pub use explanation::{Explanation, SourceReport};
pub use flag::Explicit;
pub use handed::two_lines;
pub use keeper::Keeper;
pub use kernel::KernelKeyring;
pub(crate) use question::SourceQuestion;
use question::read_sentence;
pub use scope::Scope;
pub use settings::{PATIENCE as HELPER_PATIENCE, Settings, Warn};
pub use stored::{Erased, Listed, Stored};
pub use vault::{Vault, VaultError};
#[cfg(not(feature = "desktop-keyring"))]
pub use without_desktop::SystemKeyring;
