//! `default_ccache_name` of krb5.conf(5), and what its `%{...}` mean.
//!
//! ```text
//! [libdefaults]
//!     default_ccache_name = KEYRING:persistent:%{uid}
//! include FILE
//! includedir DIR            names of letters, digits, - and _, and those that end in .conf
//! ```
//!
//! As in MIT's library, the first of several settings counts, and a file that cannot be read is skipped.

use std::path::{Path, PathBuf};

use super::KerberosError;
use crate::files::ForeignFile;
use crate::listing;

/// Where the library looks when nothing names another file.
const USUAL: &str = "/etc/krb5.conf";
/// Larger files are not read.
const MOST: u64 = 1 << 20;
/// Files that include each other.
const DEPTH: usize = 8;

/// The value in the files of `KRB5_CONFIG` (a list with colons), else in the usual one.
pub(super) fn default_cache(files: Option<&str>) -> Option<String> {
    files
        .unwrap_or(USUAL)
        .split(':')
        .filter(|file| !file.is_empty())
        .find_map(|file| in_file(Path::new(file), DEPTH))
}

fn in_file(file: &Path, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let text = ForeignFile::anyones(MOST).through_links().text(file).ok()?;
    let mut here = false;
    // braces hold settings of a realm
    let mut inside = 0_usize;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let included = |word: &str| {
            let rest = line.strip_prefix(word)?;
            rest.starts_with(char::is_whitespace).then(|| PathBuf::from(rest.trim()))
        };
        let found = if let Some(dir) = included("includedir") {
            included_names(&dir).iter().find_map(|name| in_file(&dir.join(name), depth))
        } else if let Some(file) = included("include") {
            in_file(&file, depth)
        } else {
            None
        };
        if found.is_some() {
            return found;
        }
        if let Some(section) = line.strip_prefix('[') {
            here = section.split(']').next() == Some("libdefaults");
            inside = 0;
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            inside = inside.saturating_sub(usize::from(line.starts_with('}')));
            continue;
        };
        let value = value.trim();
        if value.starts_with('{') {
            inside += 1;
        } else if here && inside == 0 && name.trim().trim_end_matches('*') == "default_ccache_name"
        {
            return Some(value.trim_matches('"').to_owned());
        }
    }
    None
}

fn included_names(dir: &Path) -> Vec<String> {
    let good = |name: &str| {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let conf = name.strip_suffix(".conf").is_some();
        !name.starts_with('.') && (plain || conf)
    };
    let names = listing::names(dir).unwrap_or_default();
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| good(name)).collect();
    names.sort();
    names
}

/// Fills in what the file leaves open.
///
/// # Errors
/// When a word is not known here: another cache than the meant one must not be taken.
pub(super) fn expand(text: &str, uid: u32, user: &str) -> Result<String, KerberosError> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%{") {
        shown.push_str(before);
        let word = after.split_once('}');
        let value = match word.map(|(word, _)| word) {
            Some("uid" | "euid" | "USERID") => uid.to_string(),
            Some("username") => user.to_owned(),
            Some("null") => String::new(),
            Some("TEMP") => "/tmp".to_owned(),
            _ => {
                let why = "default_ccache_name of krb5.conf has a word that moorline does not know";
                return Err(KerberosError::Name { name: text.to_owned(), why: why.into() });
            }
        };
        shown.push_str(&value);
        rest = word.map_or("", |(_, rest)| rest);
    }
    shown.push_str(rest);
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_people_have_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let found = |file: &str| default_cache(Some(file));
        let none = write("none", "[libdefaults]\n default_realm = R\n");
        let realm = "[realms]\nR = {\n default_ccache_name = FILE:/no\n}\n";
        let plain = write(
            "plain",
            &format!(
                "{realm}[libdefaults]\n a = {{\n default_ccache_name = FILE:/no\n }}\n\tdefault_ccache_name = KEYRING:persistent:%{{uid}}\n"
            ),
        );
        assert_eq!(found(&none), None);
        assert_eq!(found(&plain).as_deref(), Some("KEYRING:persistent:%{uid}"));
        assert_eq!(found(&format!("{none}:{plain}")), found(&plain));
        assert_eq!(found("/nowhere/krb5.conf"), None);
        // as Fedora has it
        write("d/kcm", "[libdefaults]\n default_ccache_name = KCM:\n");
        write("d/.hidden.conf", "[libdefaults]\n default_ccache_name = FILE:/hidden\n");
        write("d/a.bak~", "[libdefaults]\n default_ccache_name = FILE:/backup\n");
        let included = dir.path().join("d");
        let fedora = write(
            "fedora",
            &format!(
                "includedir {}/\n[libdefaults]\n default_ccache_name = FILE:/late\n",
                included.display()
            ),
        );
        assert_eq!(found(&fedora).as_deref(), Some("KCM:"));
        let own = dir.path().join("round").display().to_string();
        let round =
            write("round", &format!("include {own}\n[libdefaults]\ndefault_ccache_name=/x\n"));
        assert_eq!(found(&round).as_deref(), Some("/x"));
    }

    #[test]
    fn words_in_braces() {
        let filled = |text: &str| expand(text, 7, "ada").unwrap();
        assert_eq!(filled("FILE:%{TEMP}/cc_%{uid}_%{username}%{null}"), "FILE:/tmp/cc_7_ada");
        assert_eq!(filled("DIR:/a"), "DIR:/a");
        for unknown in ["FILE:%{LIBDIR}/x", "FILE:%{uid"] {
            assert!(expand(unknown, 7, "ada").unwrap_err().to_string().contains(unknown));
        }
    }
}
