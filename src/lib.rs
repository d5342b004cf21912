//! Moorline: run a job in exactly the image that your GitLab CI built, and be able to prove it later.
//!
//! ```text
//! reference --resolve--> pin --stage--> image --plan--> job --submit--> job id --record--> ledger --audit--> verdict
//! ```
//!
//! The modules stand in the order of the floors, lowest first; a module uses only floors below its
//! own (`tests/rules/floors.rs`). `docs/architecture.md` draws the house.
#![forbid(unsafe_code)]

// the tests of the library and the test programs share `tests/support/records.rs`, which says `moorline::`
#[cfg(test)]
extern crate self as moorline;

// floor 0: names and documents
pub mod build;
pub mod failure;
pub mod files;
pub mod listing;
pub mod mountinfo;
pub mod oci;
mod procstatus;
mod recent;
pub mod sealed;
pub mod secret;
pub mod text;

// floor 1: what cannot move
pub mod pin;
pub mod sign;

// floor 2: what is to be done
pub mod job;
pub mod tree;

// floor 3: formats; no I/O of their own
pub mod config;
pub mod elf;
pub mod import;
pub mod layer;
pub mod lock;
pub mod net;
pub mod sif;
pub mod squashfs;
pub mod worker;

// floor 4: adapters
pub mod archive;
pub mod backend;
pub mod credential;
pub mod gitlab;
pub mod grid_proxy;
pub mod kerberos;
pub mod ledger;
pub mod registry;
pub mod runtime;
pub mod standin;
pub mod store;

// floor 5: one step of the line each
pub mod execute;
pub mod resolve;
pub mod stage;

// floor 6: whole stories
pub mod acquire;
pub mod audit;
pub mod follow;
pub mod login;
pub mod submit;

// floor 7: all of them, shown or looked at
pub mod demo;
pub mod doctor;

// floor 8: arguments in, text out
pub mod cli;
