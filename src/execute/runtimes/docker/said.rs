//! What podman and docker say: of themselves, of an image, of a container that ended.
//!
//! | store | `Id` of an image | what is compared |
//! |---|---|---|
//! | podman, docker's classic one | digest of the configuration | that, and the layers' `diff_ids` |
//! | docker with containerd's (the default of Docker 29) | digest of the manifest, or of an index | the manifest's, and the `diff_ids` |
//!
//! Source: docker engine API 1.41 to 1.48 (`/info`, `/images/{name}/json`, `/containers/{id}/json`);
//! `podman image inspect` and `podman container inspect` of 4.3.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::execute::image::Archived;
use crate::job::Measured;
use crate::oci::{DiffId, Digest, Sha256Digest};

/// `docker info`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Info {
    security_options: Option<Vec<String>>,
    driver_status: Option<Vec<(String, String)>>,
    server_errors: Option<Vec<String>>,
    server_version: String,
    #[serde(rename = "CDISpecDirs")]
    cdi_spec_dirs: Option<Vec<String>>,
    runtimes: Option<BTreeMap<String, serde_json::Value>>,
}

impl Info {
    /// Reads what `docker info --format '{{json .}}'` printed.
    ///
    /// # Errors
    /// Why there is no answer of a daemon.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let info: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        match info.server_errors.iter().flatten().next() {
            Some(why) => Err(why.clone()),
            None if info.server_version.is_empty() => Err("no daemon answers".into()),
            None => Ok(info),
        }
    }

    /// Whether the daemon is an ordinary user, whose own ids are the container's root.
    pub(super) fn is_rootless(&self) -> bool {
        self.security_options.iter().flatten().any(|option| option.contains("name=rootless"))
    }

    /// Whether it knows the devices of the Container Device Interface.
    pub(super) fn knows_cdi(&self) -> bool {
        self.cdi_spec_dirs.as_ref().is_some_and(|dirs| !dirs.is_empty())
    }

    /// Whether NVIDIA's own runtime is set up, which `--gpus` needs.
    pub(super) fn has_nvidia(&self) -> bool {
        self.runtimes.as_ref().is_some_and(|all| all.contains_key("nvidia"))
    }

    /// Whether images lie in containerd's store, which names them by their manifests.
    pub(super) fn has_containerd_store(&self) -> bool {
        let types = self.driver_status.iter().flatten();
        types.into_iter().any(|(name, value)| {
            name == "driver-type" && value.starts_with("io.containerd.snapshotter")
        })
    }
}

/// An image, as `image inspect` shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    #[serde(rename = "RootFS")]
    root_fs: RootFs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RootFs {
    layers: Option<Vec<DiffId>>,
}

/// Compares what `image inspect` printed with the pinned image; gives the identity that was the same.
///
/// # Errors
/// What differs, for people.
pub(super) fn compare(bytes: &[u8], pinned: &Archived) -> Result<Measured, String> {
    let images: Vec<Image> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let [image] = images.as_slice() else {
        return Err(format!("{} images have its digest", images.len()));
    };
    let hex = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
    let archive = &pinned.archive;
    let config = archive.manifest.config.digest;
    let same = if hex == config.hex() {
        Measured::Config(Sha256Digest::from_bytes(*config.bytes()))
    } else if hex == archive.digest.hex() {
        Measured::Manifest(archive.digest)
    } else {
        return Err(format!(
            "it is called {}, and its configuration is {config}, its manifest {}",
            image.id, archive.digest
        ));
    };
    let layers = image.root_fs.layers.as_deref().unwrap_or_default();
    let expected = &archive.config.rootfs.diff_ids;
    if layers != expected.as_slice() {
        return Err(format!("its layers are {}, not {}", listed(layers), listed(expected)));
    }
    Ok(same)
}

fn listed(layers: &[DiffId]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The names that an image may have, the most likely first.
pub(super) fn names(pinned: &Archived, containerd: bool) -> [Digest; 2] {
    let (config, manifest) = (pinned.archive.manifest.config.digest, pinned.archive.digest);
    if containerd { [manifest, config] } else { [config, manifest] }
}

/// How a container is, as `container inspect` shows it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    status: String,
    exit_code: i32,
    error: Option<String>,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    started_at: String,
}

/// What became of a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its program ended.
    Ended { code: i32, out_of_memory: bool },
    /// Its program ran still.
    Running,
    /// Its program was never started.
    Never { why: String },
}

impl State {
    /// Reads what `container inspect` printed; `None` when there is no container.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Container {
            state: State,
        }
        let mut all: Vec<Container> = serde_json::from_slice(bytes).ok()?;
        all.pop().map(|container| container.state)
    }

    pub(super) fn outcome(self) -> Outcome {
        match self.status.as_str() {
            // docker; podman
            "created" | "configured" | "initialized" => self.never(),
            // Go's zero: it has no time of a start
            _ if self.started_at.is_empty() || self.started_at.starts_with("0001-") => self.never(),
            "exited" | "stopped" | "dead" | "removing" => {
                Outcome::Ended { code: self.exit_code, out_of_memory: self.oom_killed }
            }
            _ => Outcome::Running,
        }
    }

    fn never(self) -> Outcome {
        let said = self.error.filter(|text| !text.is_empty());
        let why = said.unwrap_or_else(|| "its message is on standard error".into());
        Outcome::Never { why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_silent_or_rootless() {
        let read = |text: &str| Info::read(text.as_bytes());
        let error =
            read(r#"{"ServerErrors":["Cannot connect to the Docker daemon"]}"#).unwrap_err();
        assert!(error.contains("Cannot connect"), "{error}");
        assert!(read("{}").is_err() && read("x").is_err());
        let info = read(
            r#"{"ServerVersion":"20.10.24","SecurityOptions":["name=seccomp,profile=default"],
                "DriverStatus":[["Backing Filesystem","extfs"]]}"#,
        );
        let info = info.unwrap();
        assert!(!info.is_rootless() && !info.has_containerd_store());
        let info = read(
            r#"{"ServerVersion":"29.0.0","SecurityOptions":["name=rootless","name=cgroupns"],
                "DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}"#,
        );
        let info = info.unwrap();
        assert!(info.is_rootless() && info.has_containerd_store());
    }

    #[test]
    fn how_a_container_ended() {
        let outcome = |state: &str| {
            let text = format!(r#"[{{"Id":"ab","State":{state}}}]"#);
            State::read(text.as_bytes()).map(State::outcome)
        };
        let at = r#""StartedAt":"2026-11-30T20:47:45.1Z""#;
        assert_eq!(
            outcome(&format!(r#"{{"Status":"exited","ExitCode":7,{at}}}"#)),
            Some(Outcome::Ended { code: 7, out_of_memory: false })
        );
        assert_eq!(
            outcome(&format!(r#"{{"Status":"exited","ExitCode":137,"OOMKilled":true,{at}}}"#)),
            Some(Outcome::Ended { code: 137, out_of_memory: true })
        );
        assert_eq!(
            outcome(&format!(r#"{{"Status":"running","ExitCode":0,{at}}}"#)),
            Some(Outcome::Running)
        );
        let never = r#"{"Status":"created","ExitCode":127,"Error":"no such file",
            "StartedAt":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(outcome(never), Some(Outcome::Never { why: "no such file".into() }));
        assert_eq!(State::read(b"[]"), None);
        assert_eq!(State::read(b"Error: no such container"), None);
    }
}
