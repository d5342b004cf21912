//! The variables that apptainer and singularity are given for a program: those of `environment.rs`, so that a program sees what it sees in the built-in
//! runtime. Measured with 1.4.5 (`tests/parts/apptainer.sh`):
//!
//! - `APPTAINERENV_NAME` wins over image and host, and sets `PATH` without the directories that apptainer adds.
//!   Its value is shell text unless `APPTAINER_NO_EVAL` is set. One name that a shell cannot set, or that is
//!   read-only there, ends the file with these variables, and all behind it are lost.
//! - A name that a shell cannot set reaches the program from apptainer's own environment.
//! - `HOME` is taken from `--home` alone.
//! - A few names are those of apptainer's own script ([`KEPT`]) and cannot be had.

use std::collections::BTreeMap;

use crate::job::WORK_DIR;
use crate::sif::is_name;

/// Names of apptainer's own script: read-only, overwritten or unset there, or an order to it.
const KEPT: [&str; 12] = [
    "APPEND_PATH",
    "EUID",
    "GID",
    "PREPEND_PATH",
    "SINGULARITY_APPNAME",
    "SINGULARITY_SHELL",
    "UID",
    "__apptainer_cmd__",
    "__exported_env__",
    "__script__",
    "e",
    "key",
];

/// What the two programs themselves are given, so that the program in the container has its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Their environment, besides what they need to run at all: `--env` splits values at commas.
    pub(super) environment: BTreeMap<String, String>,
    /// The value of `--home`.
    pub(super) home: String,
    /// What they cannot hand over, for people.
    pub(super) notes: Vec<String>,
}

impl Given {
    /// From the program's variables.
    pub(super) fn of(variables: &BTreeMap<String, String>) -> Self {
        let no_eval = ["APPTAINER_NO_EVAL", "SINGULARITY_NO_EVAL"];
        let mut given = Self {
            environment: no_eval.map(|name| (name.to_owned(), "1".to_owned())).into(),
            home: WORK_DIR.to_owned(),
            notes: Vec::new(),
        };
        let mut kept = Vec::new();
        for (name, value) in variables {
            let foreign = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            match name.as_str() {
                "HOME" if value.starts_with('/') && !value.contains([':', ',']) => {
                    given.home.clone_from(value);
                }
                "HOME" => kept.push(format!("{name} (it is {WORK_DIR})")),
                name if KEPT.contains(&name) || name.starts_with("SING_USER_DEFINED_") => {
                    kept.push(name.to_owned());
                }
                name if is_name(name) => given
                    .environment
                    .extend(PREFIXES.map(|prefix| (format!("{prefix}{name}"), value.clone()))),
                name if foreign => kept.push(name.escape_debug().to_string()),
                name => drop(given.environment.insert(name.to_owned(), value.clone())),
            }
        }
        if !kept.is_empty() {
            let kept = kept.join(", ");
            given.notes.push(format!("this runtime has no way to set these variables: {kept}"));
        }
        given
    }
}

/// How the names begin that they set in the container.
pub(super) const PREFIXES: [&str; 2] = ["APPTAINERENV_", "SINGULARITYENV_"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_goes_the_way_that_exists() {
        let given = |all: &[(&str, &str)]| {
            Given::of(&all.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect())
        };
        let all = given(&[("A", "b,c $d"), ("my.var", "1"), ("HOME", "/h"), ("E", "")]);
        assert_eq!(all.environment["APPTAINERENV_A"], "b,c $d");
        assert_eq!(all.environment["SINGULARITYENV_E"], "");
        assert_eq!(all.environment["my.var"], "1");
        assert_eq!((all.environment["APPTAINER_NO_EVAL"].as_str(), all.home.as_str()), ("1", "/h"));
        assert_eq!((all.environment.len(), all.notes.len()), (7, 0), "{all:?}");
        let cannot = ["UID", "e", "PREPEND_PATH", "SING_USER_DEFINED_PATH", "APPTAINERENV_a.b"];
        for name in cannot {
            let one = given(&[(name, "1")]);
            assert_eq!(one.environment.len(), 2, "{name}");
            assert!(one.notes[0].ends_with(&format!(": {name}")), "{:?}", one.notes);
        }
        for home in ["", "relative", "/a:b"] {
            let one = given(&[("HOME", home)]);
            assert_eq!((one.home.as_str(), one.notes.len()), (WORK_DIR, 1), "{home}");
        }
    }
}
