//! What a program gets in every runtime: variables and command, from image, job and machine.
//!
//! Later ones win: [`DEFAULTS`], the machine's [`FROM_HOST`], the image's `ENV`
//! ([`ContainerConfig::variables`]), `HOME`, `MOORLINE_JOB_ID` and (of a task)
//! `MOORLINE_TASK_ID`, the job's own. Nothing else of the
//! machine's environment gets in: engines and CI put secrets there. A runtime file hands over exactly
//! these; what it cannot hand over is a note in the receipt.

use std::collections::BTreeMap;

use crate::job::{JobSpec, WORK_DIR};
use crate::oci::ContainerConfig;

/// What a program has when neither image nor job says otherwise.
pub const DEFAULTS: [(&str, &str); 1] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")];

/// Variables that are taken from the machine, beside those in which engines say a job's shape. The
/// language is the image's, which alone knows the locales that it has.
pub const FROM_HOST: [&str; 9] = [
    "TERM",
    "TZ",
    "USER",
    "LOGNAME",
    "OMP_NUM_THREADS",
    // which of a machine's graphics processors are the job's: engines set them
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
];

/// Where the loader looks for libraries besides the places that the image knows.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// The program's variables. `shape` names those of the engines' that tell a job's shape.
pub fn variables(
    image: &ContainerConfig,
    job: &JobSpec,
    shape: &[&str],
    host: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let names = FROM_HOST.iter().chain(shape);
    all.extend(names.filter_map(|name| Some(((*name).to_owned(), host(name)?))));
    all.extend(image.variables().into_iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(of_job(job));
    all
}

/// Those that no image decides. An image without a configuration sets its own by its scripts.
#[must_use]
pub fn of_job(job: &JobSpec) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    // the host's home is not there, and an image's own cannot be written
    all.insert("HOME".into(), WORK_DIR.into());
    all.insert("MOORLINE_JOB_ID".into(), job.id.to_string());
    // on the worker a task of an array is a job of one task
    if let Some(tasks) = job.terms.tasks.as_ref().filter(|tasks| tasks.count() == 1) {
        all.insert("MOORLINE_TASK_ID".into(), tasks.to_string());
    }
    all.extend(job.env.iter().map(|v| (v.name.clone(), v.value.clone())));
    all
}

/// Adds a directory of libraries, behind those that image and job name: theirs are taken first.
pub fn add_libraries(all: &mut BTreeMap<String, String>, directory: &str) {
    let value = all.entry(LIBRARIES.to_owned()).or_default();
    if !value.is_empty() {
        value.push(':');
    }
    value.push_str(directory);
}

/// The words to start: a given command as it is (`apptainer exec`: no entry point), or as the arguments of the
/// image's ENTRYPOINT where the job asks for that; without a command the image's ENTRYPOINT and CMD without any
/// shell evaluation. `None` when there is nothing to start.
#[must_use]
pub fn command(image: &ContainerConfig, job: &JobSpec) -> Option<Vec<String>> {
    let given = job.command.as_slice();
    let words = match (given.is_empty(), job.terms.starts_entrypoint()) {
        (true, _) => [image.entrypoint_words(), image.cmd.as_slice()].concat(),
        (false, true) => [image.entrypoint_words(), given].concat(),
        (false, false) => given.to_vec(),
    };
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Entrypoint;
    use crate::runtime::builtin::testing::job;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn later_ones_win_and_secrets_stay_out() {
        let image =
            ContainerConfig { env: words("PATH=/img LANG=C A=i B=i =x y"), ..Default::default() };
        let mut j = job(&["x"]);
        j.env.push("B=job".parse().unwrap());
        let host = |name: &str| match name {
            "LANG" | "LC_ALL" | "LC_CTYPE" => Some("de_DE".into()),
            "TERM" => Some("xterm".into()),
            "JOB_SHAPE" | "JOB_SECRET" => Some("2".into()),
            _ => None,
        };
        let all = variables(&image, &j, &["JOB_SHAPE"], host);
        for (name, value) in [
            ("PATH", "/img"),
            ("LANG", "C"),
            ("TERM", "xterm"),
            ("JOB_SHAPE", "2"),
            ("A", "i"),
            ("B", "job"),
            ("HOME", "/work_dir"),
        ] {
            assert_eq!(all[name], value, "{name}");
        }
        assert_eq!(all.len(), 8, "{all:?}");
        for secret in ["MOORLINE_PASSWORD", "CI_JOB_TOKEN", "DOCKER_AUTH_CONFIG"] {
            assert!(!FROM_HOST.contains(&secret));
        }
    }

    #[test]
    fn commands() {
        let image = |entrypoint, cmd| ContainerConfig {
            entrypoint: words(entrypoint),
            cmd: words(cmd),
            ..Default::default()
        };
        for (entrypoint, cmd, given, expected) in [
            ("/e -x", "a b", "", Some("/e -x a b")),
            ("", "sh", "", Some("sh")),
            ("/e", "", "", Some("/e")),
            ("", "", "", None),
            ("/e", "a", "prog 1", Some("prog 1")),
        ] {
            assert_eq!(started(&image(entrypoint, cmd), given, None), expected.map(words));
        }
        let reset = ContainerConfig { entrypoint: vec![String::new()], ..image("", "sh -l") };
        assert_eq!(started(&reset, "", None), Some(words("sh -l")));
        for (image, given, expected) in [
            (image("/e -x", "a b"), "", Some("/e -x a b")),
            (image("/e -x", "a b"), "prog 1", Some("/e -x prog 1")),
            (image("", "a"), "prog 1", Some("prog 1")),
            (reset.clone(), "prog 1", Some("prog 1")),
            (reset.clone(), "", Some("sh -l")),
        ] {
            let found = started(&image, given, Some(Entrypoint::Image));
            assert_eq!(found, expected.map(words), "{image:?} {given}");
            let out_of_the_way = started(&image, given, Some(Entrypoint::None));
            assert_eq!(out_of_the_way, started(&image, given, None));
        }
        assert_eq!(started(&ContainerConfig { cmd: vec![], ..reset }, "", None), None);
    }

    fn started(
        image: &ContainerConfig,
        given: &str,
        entrypoint: Option<Entrypoint>,
    ) -> Option<Vec<String>> {
        let mut job = job(&[]);
        job.command = words(given);
        job.terms.entrypoint = entrypoint;
        command(image, &job)
    }

    #[test]
    fn libraries_of_a_driver_come_last() {
        let mut all = BTreeMap::new();
        add_libraries(&mut all, "/run/gpu");
        assert_eq!(all["LD_LIBRARY_PATH"], "/run/gpu");
        all.insert("LD_LIBRARY_PATH".into(), "/image".into());
        add_libraries(&mut all, "/run/gpu");
        assert_eq!(all["LD_LIBRARY_PATH"], "/image:/run/gpu");
    }
}
