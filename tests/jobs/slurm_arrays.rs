//! Arrays of tasks on a real Slurm: the suite of `arrays.rs`.

use crate::arrays::{of_engine, so_many_at_once, suite};
use crate::backend::Real;
use crate::slurm_away::alone;
use crate::support::Server;

const SLURM: Real = Real { part: "slurm", module: "slurm_arrays" };

#[test]
fn on_slurm() {
    let server = Server::with_image();
    let Some(bench) = of_engine(&SLURM, "on_slurm", &server, "slurm") else { return };
    // a controller that another test stops meanwhile would lose a task that is being ended, and drain its node
    let _alone = alone();
    suite(&bench);
    so_many_at_once(&bench);
}
