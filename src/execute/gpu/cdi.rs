//! The Container Device Interface: how podman and docker are told of devices.
//!
//! A specification (JSON or YAML, by `nvidia-ctk cdi generate` or `amd-ctk cdi generate`) names a kind and its devices:
//! `--device nvidia.com/gpu=all`. The engine reads it by itself; here it is only looked at which kind it is, and whether
//! it names a device by its UUID.
//!
//! Source: the CDI specification 0.8 (`kind`, `devices`; directories `/etc/cdi` and `/var/run/cdi`).

use std::path::Path;

use super::found::Found;
use crate::files::ForeignFile;
use crate::listing;

/// Where specifications lie.
const PLACES: [&str; 2] = ["etc/cdi", "var/run/cdi"];
/// One of a machine with 16 devices has some 100 kB.
const MOST: u64 = 8 << 20;

/// All texts that speak of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::execute) struct Specification(String);

impl Specification {
    /// Those on this machine; `None` when there is none.
    pub(in crate::execute) fn of(kind: &str) -> Option<Self> {
        Self::below(Path::new("/"), kind)
    }

    /// The same on the machine whose root this is.
    fn below(root: &Path, kind: &str) -> Option<Self> {
        let mut all = String::new();
        for place in PLACES {
            let dir = root.join(place);
            let mut names = listing::names(&dir).unwrap_or_default();
            names.sort();
            for name in names {
                let path = dir.join(&name);
                let known = path.extension().is_some_and(|end| end == "json" || end == "yaml");
                let text = ForeignFile::own_or_roots(MOST).through_links();
                if known
                    && let Ok(text) = text.text(&path)
                    && speaks_of(&text, kind)
                {
                    all.push_str(&text);
                }
            }
        }
        (!all.is_empty()).then_some(Self(all))
    }
}

#[cfg(test)]
impl From<&str> for Specification {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Whether it says `kind: KIND`, in JSON or YAML.
fn speaks_of(text: &str, kind: &str) -> bool {
    let plain: String =
        text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r' | '"' | '\'')).collect();
    let line = format!("kind:{kind}");
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([',', '\n', '}', '#']);
    plain.match_indices(&line).any(|(at, _)| ends(&plain[at + line.len()..]))
}

/// What the engine is told, a device in each word.
///
/// # Errors
/// Why the devices of this job cannot be said: an engine's container is outside of the job's control group, so all of them
/// are named only where the job may use all.
pub(in crate::execute) fn devices(
    found: &Found,
    specification: &Specification,
) -> Result<Vec<String>, String> {
    let kind = found.vendor.cdi();
    if found.all {
        return Ok(vec![format!("{kind}=all")]);
    }
    let named = found.said.devices.iter().map(|gpu| {
        let uuid = gpu.uuid.as_deref().filter(|uuid| specification.0.contains(uuid));
        uuid.map(|uuid| format!("{kind}={uuid}"))
    });
    named.collect::<Option<Vec<_>>>().ok_or_else(|| {
        "the job may use some of the GPUs only, and the CDI specification does not name them by UUID \
         (nvidia-ctk cdi generate --device-name-strategy=uuid)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::super::found::{
        look_below,
        tests::{two_nvidia, write},
    };
    use super::*;

    #[test]
    fn simulated_specifications() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        two_nvidia(root);
        let mut found = look_below(root).unwrap();
        let kind = found.vendor.cdi();
        assert_eq!(Specification::below(root, kind), None);
        write(
            root,
            "etc/cdi/amd.json",
            r#"{"cdiVersion":"0.8.0","kind":"amd.com/gpu","devices":[]}"#,
        );
        write(root, "etc/cdi/other.yaml", "kind: nvidia.com/gpu-mig\n");
        write(root, "etc/cdi/notes.txt", "kind: nvidia.com/gpu\n");
        assert_eq!(Specification::below(root, kind), None);
        assert!(Specification::below(root, "amd.com/gpu").is_some());
        write(
            root,
            "var/run/cdi/nvidia.yaml",
            "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n",
        );
        let plain = Specification::below(root, kind).unwrap();
        assert_eq!(devices(&found, &plain).unwrap(), ["nvidia.com/gpu=all"]);
        found.all = false;
        assert!(devices(&found, &plain).unwrap_err().contains("by UUID"));
        write(
            root,
            "var/run/cdi/uuid.json",
            r#"{"kind": "nvidia.com/gpu", "devices": [{"name":"GPU-00"},{"name":"GPU-01"}]}"#,
        );
        let named = Specification::below(root, kind).unwrap();
        assert_eq!(
            devices(&found, &named).unwrap(),
            ["nvidia.com/gpu=GPU-00", "nvidia.com/gpu=GPU-01"]
        );
        found.said.devices[1].uuid = None;
        assert!(devices(&found, &named).is_err());
    }
}
