//! Arrays of tasks on a real `HTCondor`: the suite of `arrays.rs`, and the engine's own transfer of files.

use std::fs;

use crate::arrays::{of_engine, suite};
use crate::backend::Real;
use crate::support::Server;

const HTCONDOR: Real = Real { part: "htcondor", module: "htcondor_arrays" };

#[test]
fn on_htcondor() {
    let server = Server::with_image();
    let Some(bench) = of_engine(&HTCONDOR, "on_htcondor", &server, "htcondor") else { return };
    suite(&bench);
    let image = server.name(":v1");
    let refused = ["submit", "--backend", "htcondor", "--array", "1-9%2", &image, "true"];
    bench.home.run(&refused).fails(2, &["2 tasks at once", "leave out the %"]);
    // without a shared file system: each task's files come back to its own directory
    let flags = ["--array", "1-2", "--delivery", "transfer", "--output", "out"];
    let job = bench.submit(&flags, "echo $MOORLINE_TASK_ID >out");
    bench.home.run(&["wait", "--timeout", "300", &job]).exits(0);
    for task in [1, 2] {
        let out = bench.home.job(&job).join(format!("tasks/{task}/work/out"));
        assert_eq!(fs::read_to_string(out).unwrap(), format!("{task}\n"));
    }
    assert_eq!(bench.home.ok(&["fetch", &job, "-o", "brought"]), "brought/1/out\nbrought/2/out");
    let audit = bench.home.run(&["--json", "audit", "job", &job]).exits(0).json();
    assert_eq!(audit["verdict"], "match", "{audit}");
}
