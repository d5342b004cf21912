//! The caller's Kerberos tickets, copied for a job that asks for them (`--krb`).
//!
//! ```text
//! KRB5CCNAME, else default_ccache_name of krb5.conf, else FILE:/tmp/krb5cc_UID     name.rs, profile.rs
//!   FILE, DIR      the file of the cache is read                                   copy.rs
//!   KEYRING        the keys are read and put into the form of a file               keyring.rs
//!   other kinds    refused by name
//! --> the bytes of a FILE cache, whole and not expired                             cache.rs
//! ```
//!
//! Floor 4: it reads files and kernel keys. `submit` and `execute` decide where the copy goes. Nothing here prints or
//! stores a ticket, and [`Tickets`] has no text form.
//!
//! A new kind of cache is one file that returns [`Tickets`], and its arm in [`copy`].

mod cache;
mod copy;
mod error;
mod keyring;
mod name;
mod profile;

pub use cache::Tickets;
pub use copy::{Caller, copy};
pub use error::KerberosError;
