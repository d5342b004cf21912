//! Arrays of tasks on a real Slurm: the suite of `arrays.rs`.

use crate::arrays::{of_engine, so_many_at_once, suite};
use crate::backend::Real;
use crate::support::Server;

const SLURM: Real = Real { part: "slurm", module: "slurm_arrays" };

#[test]
fn on_slurm() {
    let server = Server::with_image();
    let Some(bench) = of_engine(&SLURM, "on_slurm", &server, "slurm") else { return };
    suite(&bench);
    so_many_at_once(&bench);
}
