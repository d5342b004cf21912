//! What a name of the project file stands for.

use serde::Serialize;

use crate::oci::{HubName, Reference};
use crate::pin::Built;

/// What a name of the project file stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Named {
    /// A reference.
    Reference(Reference),
    /// A SIF that lies in a registry.
    #[serde(serialize_with = "with_scheme")]
    Sif(Reference),
    /// A SIF of a hub.
    Hub(HubName),
    /// What CI built.
    Built(Built),
}

/// In front of a SIF that lies in a registry.
pub const SIF_SCHEME: &str = "oras://";

fn with_scheme<S: serde::Serializer>(sif: &Reference, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{SIF_SCHEME}{sif}"))
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Sif(reference) => write!(f, "{SIF_SCHEME}{reference}"),
            Self::Hub(name) => name.fmt(f),
            Self::Built(built) => built.fmt(f),
        }
    }
}

/// A reference as a pin keeps it: `latest` where neither tag nor digest was typed.
#[must_use]
pub fn complete(reference: &Reference) -> Reference {
    let mut asked = reference.clone();
    if asked.tag.is_none() && asked.digest.is_none() {
        asked.tag = "latest".parse().ok();
    }
    asked
}
