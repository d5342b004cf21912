//! Moorline's command: see [`moorline::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    moorline::cli::main()
}
