//! The file as it stands on disk.

use serde::{Deserialize, Serialize};

use super::{HubEntry, LockEntry};
use crate::oci::{ConfigDigest, Digest, Reference, SifDigest};
use crate::pin::{Built, Origin, Pin};

#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) schema: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) image: Vec<Block>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) hub: Vec<HubEntry>,
}

/// An entry as it stands in the file. What `asked` says is not said again: a block whose text names
/// one place and pins another cannot be written.
#[derive(Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) asked: Reference,
    pub(super) platform: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<Digest>,
    pub(super) manifest: Digest,
    pub(super) config: ConfigDigest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sif: Option<SifDigest>,
    pub(super) resolved_at: jiff::Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Built>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
}

impl Block {
    pub(super) fn of(entry: &LockEntry) -> Self {
        let LockEntry { name, from, sif, pin } = entry.clone();
        Self {
            name,
            asked: pin.asked,
            platform: pin.platform.to_string(),
            index: pin.index,
            manifest: pin.manifest,
            config: pin.config,
            sif,
            resolved_at: pin.resolved_at,
            from,
            origin: pin.origin,
        }
    }

    pub(super) fn entry(self) -> Result<LockEntry, String> {
        let platform = self.platform.parse().map_err(|e| format!("{:?}: {e}", self.name))?;
        let pin = Pin {
            registry: self.asked.registry.clone(),
            repository: self.asked.repository.clone(),
            index: self.index,
            manifest: self.manifest,
            config: self.config,
            platform,
            asked: self.asked,
            resolved_at: self.resolved_at,
            origin: self.origin,
        };
        Ok(LockEntry { name: self.name, from: self.from, sif: self.sif, pin })
    }
}
