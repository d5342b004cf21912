//! How an image gets to its worker. Which image it is says [`Image`](crate::pin::Image) alone.
//!
//! ```text
//! Image::Sif   the file is a SIF: the worker measures it, and runs what it measured
//! Image::Oci   the file is an OCI archive (a tar with an `oci-layout`) of the pin's manifest, for runtimes that
//!              take no SIF; or, with the delivery `cvmfs`, there is no file, but a tree that a site publishes
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Name;

/// The way of an image to its worker. Its name is stored in the ledger and in receipts; the path can name a
/// person, and is erased with what else can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Delivery {
    /// The worker reads it in the store, where it was staged.
    Shared {
        /// Its path, the same on both machines.
        place: PathBuf,
    },
    /// The worker reads a file that the user named.
    File {
        /// Its path, the same on both machines.
        place: PathBuf,
    },
    /// The engine brings it beside the job's `control/`, under its own name.
    Transfer {
        /// Its path on the submitter's machine.
        place: PathBuf,
    },
    /// The worker gets it from its registry, by its digest, into the node's cache.
    Pull {
        /// Whether the engine brings the job's other files, and takes back what the job leaves.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        brought: bool,
    },
    /// The worker takes the unpacked tree that a site publishes below `/cvmfs`.
    Cvmfs {},
    /// A way that only a newer program knows. The job can be shown, and not be run.
    #[serde(untagged)]
    Other {
        /// What the newer program calls it.
        kind: Name,
    },
}

impl Delivery {
    /// The delivery of a record: its name, where it has one, and the path, which may be erased.
    #[must_use]
    pub fn recorded(kind: Option<Name>, place: Option<PathBuf>) -> Self {
        let place = place.unwrap_or_default();
        match kind.as_ref().map_or("shared", Name::as_str) {
            "shared" => Self::Shared { place },
            "file" => Self::File { place },
            "transfer" => Self::Transfer { place },
            "pull" => Self::Pull { brought: false },
            "cvmfs" => Self::Cvmfs {},
            _ => Self::Other { kind: kind.unwrap_or(Name::known("shared")) },
        }
    }

    /// As it is stored and shown.
    #[must_use]
    pub fn name(&self) -> Name {
        match self {
            Self::Shared { .. } => Name::known("shared"),
            Self::File { .. } => Name::known("file"),
            Self::Transfer { .. } => Name::known("transfer"),
            Self::Pull { .. } => Name::known("pull"),
            Self::Cvmfs {} => Name::known("cvmfs"),
            Self::Other { kind } => *kind,
        }
    }

    /// Where the submitter has the image's file.
    #[must_use]
    pub fn place(&self) -> Option<&Path> {
        match self {
            Self::Shared { place } | Self::File { place } | Self::Transfer { place } => Some(place),
            Self::Pull { .. } | Self::Cvmfs {} | Self::Other { .. } => None,
        }
    }

    /// Whether the engine brings the job's files to the worker, and what the job leaves back.
    #[must_use]
    pub fn is_brought(&self) -> bool {
        matches!(self, Self::Transfer { .. } | Self::Pull { brought: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_way_keeps_its_name() {
        let read: Delivery = serde_json::from_str(r#"{"kind":"lfn","name":"/grid/a"}"#).unwrap();
        assert_eq!((read.name().as_str(), read.place()), ("lfn", None));
        for known in ["shared", "file", "transfer"] {
            let text = format!(r#"{{"kind":"{known}","place":"/a.sif"}}"#);
            let read: Delivery = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
            let place = read.place().map(Path::to_owned);
            assert_eq!(Delivery::recorded(Some(read.name()), place), read);
        }
        for (text, brought) in [
            (r#"{"kind":"pull"}"#, false),
            (r#"{"kind":"pull","brought":true}"#, true),
            (r#"{"kind":"cvmfs"}"#, false),
        ] {
            let read: Delivery = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
            assert_eq!((read.place(), read.is_brought()), (None, brought), "{text}");
            assert_eq!(Delivery::recorded(Some(read.name()), None).name(), read.name());
        }
        let before = Delivery::recorded(None, Some("/a.sif".into()));
        assert_eq!(before, Delivery::Shared { place: "/a.sif".into() }, "schema 1 had no names");
    }
}
