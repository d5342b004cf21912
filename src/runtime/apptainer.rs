//! Apptainer and Singularity: the same command line.
//!
//! ```text
//! apptainer -q exec --bind WORKDIR:/work_dir --pwd /work_dir --no-home [--bind ..] [OPTIONS] SIF CMD..
//! apptainer -q run  ...                                                             SIF
//! ```
//!
//! Source: `apptainer exec --help` of 1.4.5. `--bind` splits its value at `:` and `,`, so a path
//! with one of them goes through `--mount`, whose value is a CSV record.
//!
//! # Variables
//! [`Given::of`] hands over those of `environment.rs`, so that a program sees what it sees in the built-in
//! runtime. Measured with 1.4.5 (`tests/apptainer.rs`):
//!
//! - `APPTAINERENV_NAME` wins over image and host, and sets `PATH` without the directories that apptainer adds.
//!   Its value is shell text unless `APPTAINER_NO_EVAL` is set. One name that a shell cannot set, or that is
//!   read-only there, ends the file with these variables, and all behind it are lost.
//! - A name that a shell cannot set reaches the program from apptainer's own environment.
//! - `HOME` is taken from `--home` alone.
//! - A few names are those of apptainer's own script ([`KEPT`]) and cannot be had.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::bind::{Bind, csv_field};
use crate::job::{Access, JobSpec, Network, WORK_DIR};
use crate::sif::is_name;

/// The command line, program first. Variables are not in it but for the home directory: [`Given`].
#[must_use]
pub fn argv(
    program: &Path,
    job: &JobSpec,
    sif: &Path,
    binds: &[Bind],
    (workdir, home): (&Path, &str),
) -> Vec<OsString> {
    let verb = if job.command.is_empty() { "run" } else { "exec" };
    let mut argv: Vec<OsString> = vec![program.into(), "-q".into(), verb.into()];
    bind(&mut argv, workdir, Path::new(WORK_DIR), Access::Rw);
    argv.extend(["--pwd", WORK_DIR, "--no-home", "--home", home].map(OsString::from));
    if job.terms.network == Some(Network::None) {
        argv.extend(["--net", "--network", "none"].map(OsString::from));
    }
    for b in binds {
        bind(&mut argv, &b.source, &b.target, b.access);
    }
    argv.extend(job.options.iter().map(OsString::from));
    argv.push(sif.into());
    argv.extend(job.command.iter().map(OsString::from));
    argv
}

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
pub struct Given {
    /// Their environment, besides what they need to run at all: `--env` splits values at commas.
    pub environment: BTreeMap<String, String>,
    /// The value of `--home`.
    pub home: String,
    /// What they cannot hand over, for people.
    pub notes: Vec<String>,
}

impl Given {
    /// From the program's variables.
    #[must_use]
    pub fn of(variables: &BTreeMap<String, String>) -> Self {
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
const PREFIXES: [&str; 2] = ["APPTAINERENV_", "SINGULARITYENV_"];

fn bind(argv: &mut Vec<OsString>, source: &Path, target: &Path, access: Access) {
    let odd = |path: &Path| path.as_os_str().as_bytes().iter().any(|b| b":,\\\"\n\r".contains(b));
    if odd(source) || odd(target) {
        let mut value = OsString::from("type=bind,");
        value.push(csv_field("source", source));
        value.push(",");
        value.push(csv_field("destination", target));
        if access == Access::Ro {
            value.push(",ro");
        }
        argv.extend(["--mount".into(), value]);
    } else {
        let mut value = source.as_os_str().to_owned();
        value.push(":");
        value.push(target);
        if access == Access::Ro {
            value.push(":ro");
        }
        argv.extend(["--bind".into(), value]);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::runtime::builtin::testing::{bind as a_bind, job};

    fn line(job: &JobSpec, binds: &[Bind]) -> String {
        let program = Path::new("apptainer");
        let here = (Path::new("/jobs/1/work"), "/work_dir");
        argv(program, job, Path::new("/store/x.sif"), binds, here)
            .join(OsStr::new(" "))
            .into_string()
            .unwrap()
    }

    #[test]
    fn command_lines() {
        let mut j = job(&["python3", "-c", "print(1)"]);
        assert_eq!(
            line(&j, &[a_bind("/cvmfs", "/cvmfs", Access::Ro)]),
            "apptainer -q exec --bind /jobs/1/work:/work_dir --pwd /work_dir --no-home \
             --home /work_dir --bind /cvmfs:/cvmfs:ro /store/x.sif python3 -c print(1)"
        );
        j.options = vec!["--nv".into()];
        j.command.clear();
        assert_eq!(
            line(&j, &[]),
            "apptainer -q run --bind /jobs/1/work:/work_dir --pwd /work_dir --no-home \
             --home /work_dir --nv /store/x.sif"
        );
    }

    #[test]
    fn paths_with_separators_are_quoted() {
        let shown = line(&job(&["x"]), &[a_bind("/a,b", "/c:d", Access::Ro)]);
        assert!(
            shown.contains("--mount type=bind,\"source=/a,b\",destination=/c:d,ro /store"),
            "{shown}"
        );
    }

    #[test]
    fn variables_are_not_on_the_command_line() {
        let mut j = job(&["x"]);
        j.env.push("A=b,c d".parse().unwrap());
        assert!(!line(&j, &[]).contains("b,c"));
    }

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
