//! What the registry client is told of this place: prefixes, documents at hand, where processes meet.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::cli::output::{CliError, Report};
use crate::config::Config;
use crate::oci::Sha256Digest;
use crate::registry::{Kept, PathPrefix, Sharing};

/// The registries that are below a path of their host.
///
/// # Errors
/// When one is no `host/path`; the configuration has looked at them already.
pub(super) fn path_prefixes(config: &Config) -> Result<Vec<PathPrefix>, Report> {
    let parse = |text: &str| {
        text.parse().map_err(|e| CliError::usage(format!("path_prefixes: {e}")).into())
    };
    config.path_prefixes.iter().map(|value| parse(&value.value)).collect()
}

/// Manifests and configurations that lie in the own store; nothing is made for asking.
pub(super) fn kept_documents(cache: &Path) -> Kept {
    // as large as the largest document that is taken from a registry
    const MOST: u64 = 8 << 20;
    let blobs = cache.join("blobs/sha256");
    Arc::new(move |digest| {
        let mut bytes = Vec::new();
        let file = File::open(blobs.join(digest.hex())).ok()?;
        if file.metadata().ok()?.len() > MOST {
            return None;
        }
        file.take(MOST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    })
}

/// Where the processes of this user count their requests together: a directory that is this
/// machine's, or else the cache, which counts when it is on a local file system.
pub(super) fn sharing(cache: &Path, runtime_dir: Option<&str>, at_once: Option<u64>) -> Sharing {
    let runtime = runtime_dir.map(Path::new).filter(|dir| dir.is_absolute() && dir.is_dir());
    let dir = runtime.map_or_else(|| cache.to_owned(), |dir| dir.join("moorline")).join("hosts");
    let set = at_once.and_then(|number| usize::try_from(number).ok());
    Sharing { dir: Some(dir), at_once: set.unwrap_or(Sharing::default().at_once) }
}
