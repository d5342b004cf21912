//! Apptainer and Singularity: the same command line.
//!
//! ```text
//! apptainer -q exec --bind WORKDIR:/work_dir --pwd /work_dir --no-home [--bind ..] [OPTIONS] SIF CMD..
//! apptainer -q run  ...                                                             SIF
//! ```
//!
//! Source: `apptainer exec --help` of 1.4.5. `--bind` splits its value at `:` and `,`, so a path
//! with one of them goes through `--mount`, whose value is a CSV record.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Bind, csv_field};
use crate::job::{Access, JobSpec, Network, WORK_DIR};

/// The command line, program first. Variables are not in it: [`variables`].
#[must_use]
pub fn argv(
    program: &Path,
    job: &JobSpec,
    sif: &Path,
    binds: &[Bind],
    workdir: &Path,
) -> Vec<OsString> {
    let verb = if job.command.is_empty() { "run" } else { "exec" };
    let mut argv: Vec<OsString> = vec![program.into(), "-q".into(), verb.into()];
    bind(&mut argv, workdir, Path::new(WORK_DIR), Access::Rw);
    argv.extend(["--pwd", WORK_DIR, "--no-home"].map(OsString::from));
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

/// The job's variables as the two programs take them from their own environment: `--env` splits
/// values at commas.
#[must_use]
pub fn variables(job: &JobSpec) -> Vec<(String, String)> {
    job.env
        .iter()
        .flat_map(|v| {
            ["APPTAINERENV_", "SINGULARITYENV_"]
                .map(|prefix| (format!("{prefix}{}", v.name), v.value.clone()))
        })
        .collect()
}

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
        argv(program, job, Path::new("/store/x.sif"), binds, Path::new("/jobs/1/work"))
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
             --bind /cvmfs:/cvmfs:ro /store/x.sif python3 -c print(1)"
        );
        j.options = vec!["--nv".into()];
        j.command.clear();
        assert_eq!(
            line(&j, &[]),
            "apptainer -q run --bind /jobs/1/work:/work_dir --pwd /work_dir --no-home --nv /store/x.sif"
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
        assert_eq!(variables(&j)[0], ("APPTAINERENV_A".to_owned(), "b,c d".to_owned()));
    }
}
