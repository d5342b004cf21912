//! A credential is checked before it is kept, for a registry or for GitLab's API.
//!
//! ```text
//! registry --asked without a credential--> the realm of its tokens
//! realm.rs      may the secret go there?   named, configured, confirmed before, the registry's own, or asked now
//! keep.rs       the secret is asked for --> sent once, to realm and registry --> kept
//! api.rs        the same for an access token of GitLab, whose scopes are asked
//! sentences.rs  what the user is told of it
//! ```
//!
//! Floor 6. The place where the program runs is [`Surroundings`], and whoever types the secret is [`User`].
//! Nothing here prints. Nothing is kept when a check fails.

mod api;
mod error;
mod keep;
mod realm;
mod sentences;
mod surroundings;

pub use api::keep_api;
pub use error::LoginError;
pub use keep::{KeptLogin, LoginRequest, keep};
pub use surroundings::{Surroundings, User};
