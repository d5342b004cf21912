//! The token realm that a registry named last time, so that a run need not begin with a 401.
//!
//! ```text
//! DIR/HEX.realm     {"realm":"https://gitlab.example/jwt/auth","service":"container_registry"}
//! ```
//!
//! HEX is the hash of the registry's base URL; DIR is where this user's processes meet. It is only a guess. The realm
//! is checked as if the registry had named it just now, and when anything goes wrong with it, the registry is asked and
//! the request is made again (`call`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::challenge::{Bearer, Challenge};
use super::endpoint::Endpoint;
use crate::files::{self, ForeignFile};
use crate::oci::{Digest, Sha256Digest};

/// In bytes; a realm is a URL.
const MOST: u64 = 4096;

pub(super) struct Remembered {
    dir: Option<PathBuf>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Realm {
    realm: String,
    service: Option<String>,
}

impl Remembered {
    /// In a directory that is there already and this user's alone.
    pub(super) fn new(dir: Option<&Path>) -> Self {
        Self { dir: dir.map(Path::to_owned) }
    }

    fn path(&self, endpoint: &Endpoint) -> Option<PathBuf> {
        let name = Digest::of(endpoint.base.as_str().as_bytes()).hex();
        Some(self.dir.as_ref()?.join(format!("{name}.realm")))
    }

    fn read(&self, endpoint: &Endpoint) -> Option<Realm> {
        let text = ForeignFile::own_or_roots(MOST).bytes(&self.path(endpoint)?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn look(&self, endpoint: &Endpoint) -> Option<Challenge> {
        let Realm { realm, service } = self.read(endpoint)?;
        Some(Challenge::Bearer(Bearer { realm, service, error: None }))
    }

    /// What the registry asked for just now; nothing that is no realm is remembered.
    pub(super) fn note(&self, endpoint: &Endpoint, challenge: Option<&Challenge>) {
        let Some(path) = self.path(endpoint) else { return };
        let Some(Challenge::Bearer(Bearer { realm, service, .. })) = challenge else {
            // it may never have been there
            let _ = std::fs::remove_file(path);
            return;
        };
        let now = Realm { realm: realm.clone(), service: service.clone() };
        if self.read(endpoint).is_some_and(|known| known == now) {
            return;
        }
        let work = || -> std::io::Result<()> {
            let text = serde_json::to_vec(&now)?;
            files::jot(&path, 0o600, &text)
        };
        // without it the next run is turned away once
        if let Err(error) = work() {
            tracing::debug!(%error, "the realm was not remembered");
        }
    }
}
