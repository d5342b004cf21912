//! Running a job on this machine: find a runtime, measure the image, run exactly what was measured,
//! write a receipt.
//!
//! Floor 5, and the only room below `cli` that looks at its own machine: environment, `/proc`,
//! programs in `PATH`. What it does is in `docs/runtime.md`; what is pure is in [`crate::runtime`].
//!
//! ```text
//! work -> plan.json -> mounts -> choose a runtime -> measure -> prepare -> run
//!      -> receipt-ATTEMPT.json, exit code
//!
//! runtimes/   one file each: what they make of a job
//! rootfs/     the image's tree for our own          inside/     our own container, from within
//! gpu/        graphics processors of the machine
//! leader, session, starter, talk, attend            the processes between the worker and the program
//! ```

mod account;
mod advice;
mod answer;
mod asker;
mod attend;
mod between;
mod caller;
mod confined;
mod container;
mod delivered;
mod directory;
mod dumps;
mod early;
mod error;
mod failed;
mod filter;
mod floor;
mod form;
mod front;
mod gpu;
mod hiding;
mod identify;
mod image;
mod inside;
mod keyring;
mod layer;
mod leader;
mod loader;
mod looked;
mod marker;
mod measure;
mod mounts;
mod network;
mod node;
mod on_record;
mod outputs;
mod packed;
mod private;
mod probe;
mod processor;
mod programs;
mod report;
mod rootfs;
mod runtimes;
mod scratch;
mod session;
mod signals;
mod starter;
mod supply;
mod talk;
mod terminal;
mod tickets;
mod tree;
mod unseen;
mod unshare;
mod used;
mod user;
mod verbs;
mod witness;
mod worker;

pub use early::early;
pub use error::{ExecuteError, PassedOver};
pub use form::Form;
pub use front::run_here;
pub use loader::run_through_own_loader;
pub use node::{Bounds, Gone, Kept, Pulled, tidy as tidy_node};
pub use probe::{Refusal, probe};
pub use programs::find_program;
pub use runtimes::{
    Absent, builtin_works, directory_runtimes, installed, lacks, may_take, takes_directory,
    takes_options, usable, wants,
};
pub use scratch::demo_directory;
pub use tickets::forget as forget_tickets;
pub use worker::work;
