//! What a worker needs to get its image where it does not read it at a place: a part of the plan. Nothing secret is in it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Realm;
use crate::sign::PublicKey;

/// How the image gets to the node, and what the node keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Getting {
    /// What to know of the registry, where the worker pulls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// Directories in which sites publish unpacked images, the first one with the image wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cvmfs: Vec<PathBuf>,
    /// Bytes that images and unpacked trees of this user may have on a node; `None` is the usual limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_size: Option<u64>,
    /// After so many seconds without use they go; `None` is the usual time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_age: Option<u64>,
    /// Whether an image that is to be hashed whole is copied to the node first; `None`: where it does not lie on a disk of
    /// the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<bool>,
    /// Whether jobs may run a tree that an earlier job of this user unpacked. The site's configuration says so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared_trees: bool,
}

impl Getting {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What a worker that pulls must know of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pull {
    /// `HOST[:PORT]` that may be plain http or have an unverified certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub insecure: Vec<String>,
    /// Registries below a path of their host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path_prefixes: Vec<String>,
    /// Who may be sent the credential in exchange for a token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub realms: Vec<Realm>,
    /// Who may have signed a SIF that lies beside the image and is taken; none: no SIF is looked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PublicKey>,
    /// Requests of a node that are on their way to the registry at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u64>,
    /// Whether `registry-credential` lies beside the plan.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub credential: bool,
    /// Whether `authorities.pem` lies beside the plan.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub authorities: bool,
}
