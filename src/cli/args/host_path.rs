//! Paths of this machine as people type them in `--mount`: `.`, `../data`, `~/data`, and names that are here.
//!
//! A shell expands `~` only at the beginning of a word, so `--mount=~/data` arrives as it is. A bare word is a path
//! when something here has that name. Otherwise it is a mistake, and the mount's own error says so.

use std::path::{Path, PathBuf};

/// The mount `SRC[:DST][...]` with an absolute SRC; other forms stay as they are.
pub fn absolute_source(mount: &str) -> String {
    absolute(mount, std::env::home_dir().as_deref())
}

fn absolute(mount: &str, home: Option<&Path>) -> String {
    let (source, rest) = match mount.find(':') {
        Some(at) => mount.split_at(at),
        None => (mount, ""),
    };
    // type=bind,source=...; a path with escaped characters is written out
    if source.starts_with('/') || source.contains(['=', '\\']) {
        return mount.to_owned();
    }
    let below_home = match source.strip_prefix('~') {
        Some("") => home.map(Path::to_owned),
        Some(rest) => rest.strip_prefix('/').zip(home).map(|(rest, home)| home.join(rest)),
        None => None,
    };
    let typed =
        source.starts_with("./") || source.starts_with("../") || matches!(source, "." | "..");
    let here =
        || (typed || !source.is_empty() && Path::new(source).exists()).then(|| whole(source));
    match below_home.or_else(here).as_deref().and_then(Path::to_str) {
        Some(path) => format!("{}{rest}", path.replace('\\', "\\\\").replace(':', "\\:")),
        None => mount.to_owned(),
    }
}

/// Without links and dots where it exists: a container sees the place, and not the way to it.
fn whole(path: &str) -> PathBuf {
    let plain = || std::path::absolute(path).unwrap_or_else(|_| path.into());
    std::fs::canonicalize(path).unwrap_or_else(|_| plain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_typed() {
        let here = std::fs::canonicalize(".").unwrap().display().to_string();
        let read = |mount: &str| absolute(mount, Some(Path::new("/home/me")));
        for (typed, expected) in [
            ("/data:/in:ro", "/data:/in:ro".to_owned()),
            (".:/in", format!("{here}:/in")),
            ("./src:/in:ro", format!("{here}/src:/in:ro")),
            ("src:/in", format!("{here}/src:/in")),
            ("src", format!("{here}/src")),
            ("~:/in", "/home/me:/in".to_owned()),
            ("~/data:/in", "/home/me/data:/in".to_owned()),
            // somebody else's home, a mistake, the other form
            ("~you/data:/in", "~you/data:/in".to_owned()),
            ("nothing-here:/in", "nothing-here:/in".to_owned()),
            ("type=bind,source=.,target=/x", "type=bind,source=.,target=/x".to_owned()),
        ] {
            assert_eq!(read(typed), expected, "{typed}");
        }
    }
}
