//! An image's configuration document.
//!
//! Source: OCI image specification 1.1, `config.md`. Unknown fields are ignored on reading; the bytes that were hashed
//! are kept by whoever needs them, never written again from this struct. Go's `null` is read as an empty value
//! (`lenient.rs`). Parts of the platform may be missing.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::lenient;
use super::{DiffId, Platform};

/// The parts of an image configuration that Moorline uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made (RFC 3339), as its builder says.
    #[serde(
        default,
        deserialize_with = "lenient::some_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub created: Option<String>,
    /// The platform that the image is for.
    #[serde(flatten)]
    pub platform: Platform,
    /// How to start the program.
    #[serde(default)]
    pub config: Option<ContainerConfig>,
    /// The layers' uncompressed digests, bottom first.
    pub rootfs: RootFs,
    /// How each layer was made.
    #[serde(default, deserialize_with = "lenient::items", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// `rootfs` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default, deserialize_with = "lenient::text")]
    pub kind: String,
    /// Bottom layer first; none in an image without layers, of which docker leaves the list out.
    #[serde(default, deserialize_with = "lenient::null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

/// `config` of the configuration: what a container runtime applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// User or uid, `USER` of a Dockerfile.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub user: String,
    /// `NAME=value` entries in order, as they are written; [`Self::variables`] is what they mean.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::lines")]
    pub env: Vec<String>,
    /// `ENTRYPOINT` as it is written; [`Self::entrypoint_words`] is what it means.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::words")]
    pub entrypoint: Vec<String>,
    /// `CMD` words.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::words")]
    pub cmd: Vec<String>,
    /// `WORKDIR`.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::null_is_default"
    )]
    pub working_dir: String,
    /// `LABEL`s; foreign text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "lenient::texts")]
    pub labels: BTreeMap<String, String>,
}

/// One step of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The command that made the layer; foreign text.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "lenient::text")]
    pub created_by: String,
    /// Whether the step made no layer.
    #[serde(
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "lenient::null_is_default"
    )]
    pub empty_layer: bool,
}

impl ContainerConfig {
    /// The variables that the image sets: the one reading of `Env` for all runtimes and for the SIF's own
    /// script. The last entry of a name counts and keeps its place (runc: `libcontainer/env.go`). An entry
    /// without `=` sets nothing (moby: `ReplaceOrAppendEnvVars`), and neither does one without a name or
    /// with a NUL, which no process can have. Any other name is a name: a shell's rules are the shell's.
    #[must_use]
    pub fn variables(&self) -> Vec<(&str, &str)> {
        let mut seen = HashSet::new();
        let mut all: Vec<_> = self
            .env
            .iter()
            .rev()
            .filter(|entry| !entry.contains('\0'))
            .filter_map(|entry| entry.split_once('='))
            .filter(|(name, _)| !name.is_empty() && seen.insert(*name))
            .collect();
        all.reverse();
        all
    }

    /// The words of `ENTRYPOINT`. A single empty one is none: `ENTRYPOINT [""]` is how a Dockerfile takes
    /// a base image's away (moby: `daemon/create.go`).
    #[must_use]
    pub fn entrypoint_words(&self) -> &[String] {
        if self.entrypoint == [""] { &[] } else { &self.entrypoint }
    }
}

impl ImageConfig {
    /// The container part, empty when the image has none.
    #[must_use]
    pub fn container(&self) -> ContainerConfig {
        self.config.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ImageConfig {
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// podman#25045, alloy#5378: `null` for nil, an architecture that is empty or not there.
    #[test]
    fn what_go_writes_for_nil() {
        for rootfs in [
            r#"{"type":"layers","diff_ids":null}"#,
            r#"{"type":"layers"}"#,
            r#"{"type":null,"diff_ids":[]}"#,
        ] {
            let config = read(&format!(
                r#"{{"architecture":"","os":null,"created":null,"config":null,"history":null,
                    "rootfs":{rootfs}}}"#
            ));
            assert_eq!(config.rootfs.diff_ids, []);
            assert!(!config.platform.is_known() && config.history.is_empty());
        }
        let config = read(
            r#"{"architecture":"amd64","os":"linux","variant":null,"rootfs":{},
                "history":[null,{"created_by":null,"empty_layer":null},{"created_by":"x"}],
                "config":{"User":null,"Env":["A=1",null,"B=2"],"Entrypoint":null,"Cmd":"/run me",
                    "WorkingDir":null,"Labels":{"a":null,"b":"c","d":1}}}"#,
        );
        assert_eq!(config.history.len(), 3);
        let container = config.container();
        assert_eq!(container.env, ["A=1", "B=2"]);
        assert_eq!((container.entrypoint, container.cmd), (vec![], vec!["/run me".to_owned()]));
        let labels = [("a".into(), String::new()), ("b".into(), "c".into())];
        assert_eq!(container.labels, labels.into());
        let words = read(r#"{"rootfs":{},"config":{"Entrypoint":["a",null,""],"Labels":[]}}"#);
        assert_eq!(words.container().entrypoint, ["a", "", ""]);
    }

    /// One meaning of odd entries, whoever wrote them (bazel and kaniko repeat names).
    #[test]
    fn the_last_entry_of_a_name_counts() {
        let of = |entries: &[&str]| ContainerConfig {
            env: entries.iter().map(|e| (*e).to_owned()).collect(),
            ..Default::default()
        };
        let odd = of(&[
            "A=1",
            "B=x",
            "A=2",
            "NOEQ",
            "=v",
            "=",
            "",
            "E=",
            "my.var=a=b",
            "B",
            "C=\0",
            "A=3",
        ]);
        assert_eq!(odd.variables(), [("B", "x"), ("E", ""), ("my.var", "a=b"), ("A", "3")]);
        assert_eq!(of(&["E=1", "E="]).variables(), [("E", "")]);
        // a later entry that is none takes nothing away
        assert_eq!(of(&["E=1", "E"]).variables(), [("E", "1")]);
        assert_eq!(of(&["E=1", "E=\0"]).variables(), [("E", "1")]);

        let starts = |words: &[&str]| ContainerConfig {
            entrypoint: words.iter().map(|w| (*w).to_owned()).collect(),
            ..Default::default()
        };
        assert!(starts(&[""]).entrypoint_words().is_empty());
        assert!(starts(&[]).entrypoint_words().is_empty());
        assert_eq!(starts(&["", ""]).entrypoint_words().len(), 2);
        assert_eq!(starts(&["a", ""]).entrypoint_words().len(), 2);
    }

    #[test]
    fn what_is_no_configuration() {
        for text in ["{}", "[]", "null", "<html>", r#"{"rootfs":{"diff_ids":["sha512:00"]}}"#] {
            assert!(serde_json::from_str::<ImageConfig>(text).is_err(), "{text}");
        }
    }
}
