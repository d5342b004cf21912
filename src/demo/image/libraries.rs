//! The shared libraries that a program needs, as its own program interpreter lists them.
//!
//! ```text
//!     linux-vdso.so.1 (0x00007ffc8a5f2000)                              kernel's own: no file
//!     libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f6a1a000000) a file
//!     /lib64/ld-linux-x86-64.so.2 (0x00007f6a1a2e5000)                  a file
//!     libgone.so.1 => not found
//! ```
//!
//! glibc and musl print the same form. Source: `ld.so(8)`, "--list"; musl `ldso/dynlink.c`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::DemoImageError;

/// Asks `interpreter` for the libraries of `program`, itself included, in its order.
///
/// The child gets no environment, so `LD_LIBRARY_PATH` and `LD_PRELOAD` of the caller play no part.
pub(super) fn list(interpreter: &Path, program: &Path) -> Result<Vec<PathBuf>, DemoImageError> {
    let failed = |said: String| DemoImageError::Interpreter {
        interpreter: interpreter.to_owned(),
        program: program.to_owned(),
        said,
    };
    let output = Command::new(interpreter)
        .arg("--list")
        .arg(program)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8(output.stdout)
        .map_err(|_| failed("its answer is not UTF-8 text".into()))?;
    let mut found = parse(&text).map_err(|library| DemoImageError::Library {
        program: program.to_owned(),
        library: library.to_owned(),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("{} ({})", said.trim(), output.status)));
    }
    if !found.iter().any(|path| path == interpreter) {
        found.push(interpreter.to_owned());
    }
    Ok(found)
}

/// The paths in a listing, or the name of the first library that was not found. Lines of no known
/// form name no file and are passed over.
fn parse(text: &str) -> Result<Vec<PathBuf>, &str> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        let place = place.rsplit_once(" (0x").map_or(place, |(path, _)| path);
        if place == "not found" {
            return Err(name);
        }
        if place.starts_with('/') && !paths.iter().any(|p| p == Path::new(place)) {
            paths.push(place.into());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn glibc_musl_and_store_paths() {
        let glibc = "\tlinux-vdso.so.1 (0x00007ffc8a5f2000)\n\
                     \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f6a1a000000)\n\
                     \t/lib64/ld-linux-x86-64.so.2 (0x00007f6a1a2e5000)\n";
        assert_eq!(
            parse(glibc).unwrap(),
            [
                Path::new("/lib/x86_64-linux-gnu/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        let musl = "\t/lib/ld-musl-x86_64.so.1 (0x7f5c)\n\
                    \tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f5c)\n";
        assert_eq!(parse(musl).unwrap(), [Path::new("/lib/ld-musl-x86_64.so.1")]);
        let store =
            "\t/nix/store/a b-glibc/lib/ld.so.2 => /nix/store/a b-glibc-64/lib/ld.so.2 (0x1)\n";
        assert_eq!(parse(store).unwrap(), [Path::new("/nix/store/a b-glibc-64/lib/ld.so.2")]);
    }

    #[test]
    fn other_lines() {
        assert_eq!(parse("\tstatically linked\n"), Ok(vec![]));
        assert_eq!(parse("\tlibgone.so.1 => not found\n"), Err("libgone.so.1"));
    }

    proptest! {
        #[test]
        fn any_text_gives_absolute_paths(text in "(?s).{0,200}") {
            for path in parse(&text).unwrap_or_default() {
                prop_assert!(path.is_absolute());
            }
        }
    }
}
