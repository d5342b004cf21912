//! Jobs and their engines when something is missing: accounting, the controller, the engine's commands,
//! an input file, standard output. The Slurm here is *simulated*: scripts of its commands' names that do
//! what a real one was seen to do. `backend_slurm.rs` and `slurm_away.rs` ask a real one.

mod arrays;
mod backend;
mod backend_htcondor;
mod backend_slurm;
mod backend_suite;
mod deliveries;
mod demo;
mod ganga;
mod here;
mod htcondor_arrays;
mod htcondor_whole;
mod in_ci;
mod inputs;
mod interrupted;
mod ledger;
mod line;
mod named;
mod podman;
mod pulling;
mod secrets;
mod settled;
mod silent;
mod simulated;
mod slurm_arrays;
mod slurm_away;
mod storm;
#[path = "../support/mod.rs"]
mod support;
