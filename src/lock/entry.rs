//! A name and what it is pinned to.

use serde::{Deserialize, Serialize};

use super::{Named, complete};
use crate::oci::{HubName, SifDigest};
use crate::pin::{Built, Pin};

/// A name and what it is pinned to on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockEntry {
    /// As in `[images]`.
    pub name: String,
    /// The words that the name stood for, where it was no reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Built>,
    /// Of a name that stands for a SIF of a registry: the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sif: Option<SifDigest>,
    /// The pin; its `asked` is the reference that the name stood for, or that was found.
    #[serde(flatten)]
    pub pin: Pin,
}

impl LockEntry {
    /// What its name stood for.
    #[must_use]
    pub fn stood_for(&self) -> Named {
        match &self.from {
            Some(built) => Named::Built(built.clone()),
            None if self.sif.is_some() => Named::Sif(self.pin.asked.clone()),
            None => Named::Reference(self.pin.asked.clone()),
        }
    }

    /// Whether its name stands for the same as before.
    #[must_use]
    pub fn is(&self, named: &Named) -> bool {
        match named {
            Named::Reference(reference) => {
                self.from.is_none() && self.sif.is_none() && self.pin.asked == complete(reference)
            }
            Named::Sif(reference) => self.sif.is_some() && self.pin.asked == complete(reference),
            Named::Hub(_) => false,
            Named::Built(built) => self.from.as_ref() == Some(built),
        }
    }
}

/// A name and the file that it is pinned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubEntry {
    /// As in `[images]`.
    pub name: String,
    /// What the name stood for.
    pub asked: HubName,
    /// The file.
    pub sif: SifDigest,
    /// When the hub was asked.
    pub resolved_at: jiff::Timestamp,
}
