//! Moorline's command: see [`moorline::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // the worker and its helpers need a process without threads: before everything else
    if let Some(code) = moorline::execute::early(&arguments, &mut std::io::stderr()) {
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
    moorline::cli::main()
}
