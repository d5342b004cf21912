//! The worker program alone, which is copied to the nodes. A job's script starts it, and it starts itself again for its
//! other processes.

use std::io::Write;
use std::process::ExitCode;

use moorline::{build, execute};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let mut stderr = std::io::stderr();
    let code = execute::early(&arguments, &mut stderr).unwrap_or_else(|| {
        if arguments.get(1).is_some_and(|word| word == "--version") {
            // a reader that went away wanted no answer
            let _ = std::io::stdout().write_all(build::worker_version().as_bytes());
            return 0;
        }
        let _ = writeln!(
            stderr,
            "usage: moorline-worker worker CONTROL_DIR [--plan-sha256 HEX]\n\
             It runs one job that moorline prepared; the command for people is moorline."
        );
        2
    });
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
