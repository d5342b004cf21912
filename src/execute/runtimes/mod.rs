//! Container runtimes on this machine, one file each, and which of them runs a job.
//!
//! ```text
//! known.rs    the list, in the order of `auto`          choose --> probe --> prepare --> identity --> run
//! runtime.rs  what each has to be: the trait `Runtime`
//! unpacked.rs the image's tree on the disk, for those that take a directory
//! foreign.rs  what those have in common that are programs of their own
//! ```
//!
//! # Adding a runtime
//! Write `NAME.rs` with a type that is a [`Runtime`](runtime::Runtime), and its command line as a pure
//! function with a table of cases. Then its line in `known.rs`, and its name in `job/runtime.rs`, which
//! says what users may type. The suite in `tests/execute/runtimes/` runs what is installed through the same
//! cases. What all of them owe a job:
//!
//! - the working directory at `/work_dir`, the program started in it, files that belong to the caller;
//! - exactly the variables of `runtime/environment.rs`; what cannot be handed over is a note;
//! - the job's mounts; one that cannot be spelled is an error before anything starts;
//! - the program's exit code and its signals, and nothing of the job left when it has ended;
//! - an image that is chosen by nothing but a digest or a measured file, and evidence no better than
//!   what was compared.
//!
//! A program that is found is identified before it is used ([`identify`](super::identify)): `singularity` may be a
//! link to apptainer, `docker` may be podman. It gets an environment of its own: variables such as
//! `APPTAINER_BIND` or `DOCKER_HOST` of the caller would change what runs unseen, so none gets through.

mod apptainer;
mod builtin;
mod charliecloud;
mod docker;
mod foreign;
mod known;
mod runtime;
mod udocker;
mod unpacked;

pub use known::{
    Absent, builtin_works, directory_runtimes, installed, lacks, may_take, takes_directory,
    takes_options, usable, wants,
};
pub(super) use known::{Chosen, choose};
pub(super) use runtime::Request;
