//! Apptainer and Singularity: the same command line.
//!
//! ```text
//! apptainer -q exec --bind WORKDIR:/work_dir --pwd /work_dir --no-home [--bind ..] [OPTIONS] SIF CMD..
//! apptainer -q run  ...                                                             SIF
//! ```
//!
//! Source: `apptainer exec --help` of 1.4.5. `--bind` splits its value at `:` and `,`, so a path
//! with one of them goes through `--mount`, whose value is a CSV record.

use std::path::Path;

use super::{Bind, csv_field};
use crate::job::{Access, JobSpec, WORK_DIR};

/// The command line, program first. Variables are not in it: [`variables`].
#[must_use]
pub fn argv(
    program: &str,
    job: &JobSpec,
    sif: &Path,
    binds: &[Bind],
    workdir: &Path,
) -> Vec<String> {
    let verb = if job.command.is_empty() { "run" } else { "exec" };
    let mut argv: Vec<String> = [program, "-q", verb].map(String::from).into();
    bind(&mut argv, workdir, WORK_DIR, Access::Rw);
    argv.extend(["--pwd", WORK_DIR, "--no-home"].map(String::from));
    for b in binds {
        bind(&mut argv, &b.source, &b.target, b.access);
    }
    argv.extend(job.options.iter().cloned());
    argv.push(sif.to_string_lossy().into_owned());
    argv.extend(job.command.iter().cloned());
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

fn bind(argv: &mut Vec<String>, source: &Path, target: &str, access: Access) {
    let source = source.to_string_lossy();
    if source.contains([':', ',', '\\', '"']) || target.contains([':', ',', '\\', '"']) {
        let mut fields = vec![
            "type=bind".to_owned(),
            csv_field(&format!("source={source}")),
            csv_field(&format!("destination={target}")),
        ];
        if access == Access::Ro {
            fields.push("ro".into());
        }
        argv.extend(["--mount".to_owned(), fields.join(",")]);
    } else {
        let ro = if access == Access::Ro { ":ro" } else { "" };
        argv.extend(["--bind".to_owned(), format!("{source}:{target}{ro}")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::builtin::testing::{bind as a_bind, job};

    fn line(job: &JobSpec, binds: &[Bind]) -> String {
        argv("apptainer", job, Path::new("/store/x.sif"), binds, Path::new("/jobs/1/work"))
            .join(" ")
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
