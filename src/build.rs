//! Which source this program was built from.
//!
//! `moorline` gives a job the small `moorline-worker` that lies beside it, but only one of the same build: another one
//! may not understand the plan. A worker for another processor cannot be started and asked, so its bytes are searched
//! for the mark of the build.

/// Of the source, as `build.rs` has it.
const BUILD: &str = env!("MOORLINE_BUILD");

/// Stands in the bytes of every program of this build.
const MARK: &str = concat!("moorline build ", env!("MOORLINE_BUILD"), ";");

/// What `--version` of the worker says.
#[must_use]
pub fn worker_version() -> String {
    // the mark itself, so that no linker drops it
    let build = MARK.strip_prefix("moorline build ").and_then(|rest| rest.strip_suffix(';'));
    format!("moorline-worker {} ({})\n", env!("CARGO_PKG_VERSION"), build.unwrap_or(BUILD))
}

/// Whether a program's bytes are of this build.
#[must_use]
pub fn is_in(program: &[u8]) -> bool {
    program.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_found() {
        assert!(worker_version().contains(BUILD) && BUILD.len() == 32);
        assert!(is_in(format!("\x7fELF...{MARK}...").as_bytes()));
        assert!(!is_in(b"moorline build 00000000000000000000000000000000;"));
    }
}
