//! What every verb needs: the global flags, the environment, the directories, the configuration.
//!
//! ```text
//!  environment, flags, configuration  --read-->  Context
//!      where things are                 places.rs      what was configured   settings.rs, settled.rs
//!      jobs of the ledger               jobs.rs        beginnings of digests   digests.rs
//!      own store, site's, ledger        stores.rs      installed programs    programs.rs
//!      registry, its credentials        registry.rs, network.rs
//!      the project around us            project.rs, of_project.rs
//!      engines                          engines.rs, adapters.rs
//!      what the stories ask of it all   surroundings.rs (`acquire`), following.rs (`follow`), audited.rs (`audit`),
//!                                       logging_in.rs (`login`), examined.rs (`doctor`)
//!      GitLab, its token                gitlab.rs
//! ```
//!
//! The only place where `moorline` reads the process's environment and the home directory; a worker
//! reads its own job's.

mod audited;
mod digests;
mod examined;
mod following;
mod gitlab;
mod jobs;
mod logging_in;
mod network;
mod of_project;
mod places;
mod programs;
mod project;
mod records;
mod registry;
mod settings;
mod settled;
mod stores;
mod surroundings;
mod whole;

pub mod adapters;
pub mod delivery;
pub mod dumps;
pub mod engines;
pub mod machine;
pub mod mark;
pub mod prune;
pub mod push;
pub mod room;
pub mod tickets;

pub use whole::{Context, Global, Threads, given};
