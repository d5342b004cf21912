//! What everybody needs who talks to a server: trusted certificates, what a failed handshake means,
//! how long a server asks to wait.
//!
//! ```text
//!  --ca-file, ca_files  --Roots-->  the TLS configuration of an HTTP client
//!  an error of that client  --Fault-->  why the certificate was not taken, and what helps
//!  Retry-After  --wanted_pause-->  a pause, never shorter than the client's own
//! ```
//!
//! Nothing here sends anything.

mod fault;
mod page;
mod pause;
mod pinned;
mod roots;

pub use fault::Fault;
pub use page::Page;
pub use pause::{longer, wanted_pause};
pub use roots::{Roots, RootsError};
