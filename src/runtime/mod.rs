//! What container runtimes have in common that asks no machine: the variables and words of a program, how a
//! mount is spelled, and the layout of our own container. The runtimes themselves are in `execute/runtimes`,
//! whose `mod.rs` says how one is added.

mod bind;
pub mod builtin;
pub mod docker;
pub mod environment;
pub mod path_json;
pub mod udocker;

pub use bind::{Bind, csv_field};
