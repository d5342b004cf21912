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
pub const FROM_HOST: [&str; 6] =
    ["TERM", "TZ", "USER", "LOGNAME", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"];

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

/// The words to start: a given command as it is (`apptainer exec`: no entry point), else the
/// image's ENTRYPOINT and CMD without any shell evaluation. `None` when the image has neither.
#[must_use]
pub fn command(image: &ContainerConfig, given: &[String]) -> Option<Vec<String>> {
    let words = if given.is_empty() {
        [image.entrypoint_words(), image.cmd.as_slice()].concat()
    } else {
        given.to_vec()
    };
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            assert_eq!(command(&image(entrypoint, cmd), &words(given)), expected.map(words));
        }
        let reset = ContainerConfig { entrypoint: vec![String::new()], ..image("", "sh -l") };
        assert_eq!(command(&reset, &[]), Some(words("sh -l")));
        assert_eq!(command(&ContainerConfig { cmd: vec![], ..reset }, &[]), None);
    }
}
