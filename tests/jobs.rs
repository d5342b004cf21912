//! Jobs and their engines when something is missing: accounting, the controller, the engine's commands,
//! an input file, standard output. The Slurm here is *simulated*: scripts of its commands' names that do
//! what a real one was seen to do. `backend_slurm.rs` and `slurm_away.rs` ask a real one.

mod support;

#[path = "jobs/here.rs"]
mod here;
#[path = "jobs/inputs.rs"]
mod inputs;
#[path = "jobs/settled.rs"]
mod settled;
#[path = "jobs/silent.rs"]
mod silent;
#[path = "jobs/simulated.rs"]
mod simulated;
