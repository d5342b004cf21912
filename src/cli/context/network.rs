//! The settings of the registry client that belong to this place: path prefixes, documents that were kept, and the
//! directory that all processes of a user share.
//!
//! `tags/HEX` in the own store: the digest that the tag with this hash named when its manifest lay in
//! the store. An index that may be removed at any time; it decides only whether HEAD or GET is sent.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use crate::cli::show::output::{CliError, Report};
use crate::config::Config;
use crate::files::{self, ForeignFile};
use crate::net::Sharing;
use crate::oci::{Digest, Sha256Digest};
use crate::registry::{Kept, PathPrefix, TagMemory};

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
    Arc::new(move |digest| ForeignFile::own_or_roots(MOST).bytes(&blobs.join(digest.hex())).ok())
}

/// What tags named; noted only where there is a store already.
pub(super) fn remembered_tags(cache: &Path) -> TagMemory {
    // a digest and no more
    const MOST: u64 = 128;
    let dir = cache.join("tags");
    let path = |dir: &Path, name: &str| dir.join(Digest::of(name.as_bytes()).hex());
    let look = {
        let dir = dir.clone();
        move |name: &str| {
            let text = ForeignFile::own_or_roots(MOST).text(&path(&dir, name)).ok()?;
            text.trim().parse().ok()
        }
    };
    let note = move |name: &str, digest: &Digest| {
        let work = || -> std::io::Result<()> {
            match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
            files::jot(&path(&dir, name), 0o600, format!("{digest}\n").as_bytes())
        };
        // without it the tag is asked for with GET next time
        if let Err(error) = work() {
            tracing::debug!(%error, "what the tag names was not noted");
        }
    };
    TagMemory { look: Arc::new(look), note: Arc::new(note) }
}

/// Where the processes of this user count their requests together: a directory that is this
/// machine's, or else the cache, which counts when it is on a local file system.
pub(super) fn sharing(cache: &Path, runtime_dir: Option<&str>, at_once: Option<u64>) -> Sharing {
    let runtime = runtime_dir.map(Path::new).filter(|dir| dir.is_absolute() && dir.is_dir());
    let dir = runtime.map_or_else(|| cache.to_owned(), |dir| dir.join("moorline")).join("hosts");
    let set = at_once.and_then(|number| usize::try_from(number).ok());
    Sharing { dir: Some(dir), at_once: set.unwrap_or(Sharing::default().at_once) }
}
