//! How well it is known which image an attempt ran.
//!
//! A receipt is the job owner's own word: worker and submitter have one uid. The grade says how
//! the image was measured; who could have forged it is said beside each verdict.

use serde::{Deserialize, Serialize};

use crate::oci::SifDigest;

/// How an image was measured, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// The very file that ran was hashed (private copy or one open handle).
    Measured,
    /// Hashed earlier on this node: same device, inode, size, times and boot.
    MeasuredCached,
    /// The container runtime said so.
    RuntimeReported,
    /// Only a path or link was looked at.
    PathOnly,
    /// Nothing was measured; never a match.
    None,
}

/// What a worker measured of the image that it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// How.
    pub grade: Grade,
    /// The digest of the SIF that ran, where one was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sif: Option<SifDigest>,
    /// When it was hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<jiff::Timestamp>,
}
