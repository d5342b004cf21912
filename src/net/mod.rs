//! What every client of a server needs: how a connection is made, which certificates are trusted, what a failed
//! handshake means, how many requests a host gets, and how long a server asks to wait.
//!
//! ```text
//!  Roots, Proxy          --client-->        what all our HTTP clients have in common
//!  --ca-file, ca_files   --Roots-->         the TLS configuration of an HTTP client
//!  its error             --Fault-->         why the certificate was not taken, and what helps
//!  Retry-After           --retry_after-->   a pause, never shorter than the client's own (Backoff)
//!  a request             --HostBudget-->    a place among those to its host, of all processes of a user
//! ```
//!
//! Floor 3. Nothing here sends anything.

mod backoff;
mod client;
mod fault;
mod host_budget;
mod page;
mod passing;
mod pause;
mod pinned;
mod proxy;
mod roots;

pub use backoff::Backoff;
pub use client::{ClientError, client};
pub use fault::Fault;
pub use host_budget::{HostBudget, Notice, Permit, Sharing};
pub use page::Page;
pub use passing::{is_final, is_of_gateway, is_passing};
pub use pause::{longer, retry_after, wanted_pause};
pub use proxy::{Proxies, Proxy, ProxyError, hint as proxy_hint, refuses as proxy_refuses};
pub use roots::{Roots, RootsError};
