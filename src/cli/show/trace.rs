//! What `-v` and `RUST_LOG` show on stderr. Headers with secrets are marked sensitive where they are
//! made; a test searches the trace for them.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

/// Where a trace goes: through the boundary that every text on stderr goes through.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::cli::show::output::stderr_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the subscriber: nothing, `-v` our own debugging, `-vv` the network's too.
pub fn start(verbose: u8) {
    let filter = match verbose {
        0 => match EnvFilter::try_from_default_env() {
            Ok(filter) => filter,
            Err(_) => return,
        },
        1 => EnvFilter::new("moorline=debug"),
        _ => EnvFilter::new("moorline=trace,hyper=debug,reqwest=debug"),
    };
    // a second start in one process is a test's business and changes nothing
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(false)
        .try_init();
}
