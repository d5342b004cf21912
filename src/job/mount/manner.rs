//! How a mount is made: may the job write, and what a missing source means.

use serde::{Deserialize, Serialize};

/// Whether the job may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read only.
    Ro,
    /// As the host allows.
    #[default]
    Rw,
}

/// What a missing source means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Nothing: for built-in mounts.
    Silent,
    /// A warning on the job's stderr and a note in the receipt.
    #[default]
    Optional,
    /// The job ends with 212 before its program starts.
    Required,
}
