//! A SIF out of a registry or from a hub: fetched, verified, kept in the store, used as it is.
//!
//! The user named it, so it is taken without a signature; it is never taken in the place of an image.

use std::path::Path;

use crate::oci::{Descriptor, Digest, HubName, Platform, Sha256Digest, SifDigest};
use crate::pin::{Image, Pin};
use crate::registry::{Client, HubFile, RegistryError};
use crate::sif::{Arch, SifReader};
use crate::store::Store;

use super::{Progress, StageError, Staged};

/// The largest file that is taken from a hub.
const MOST_BYTES: u64 = 64 << 30;
/// How often a file that breaks off is begun.
const TRIES: u32 = 3;

/// Fetches a SIF that lies in a registry, unless the store has it.
///
/// # Errors
/// As the registry and the store say; [`StageError::Artifact`] when the bytes are no SIF, or one for
/// another platform; they stay in the store under their own digest.
pub async fn artifact(
    pin: &Pin,
    sif: &Descriptor,
    client: &Client,
    store: &Store,
    show: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Staged, StageError> {
    let digest = SifDigest::from_bytes(*sif.digest.bytes());
    let known = store.fetched_sif(&digest);
    let place = if let Some(place) = &known {
        place.clone()
    } else {
        show(Progress::Layer { number: 1, of: 1, layer: sif });
        let mut incoming = store.incoming()?;
        client.blob(&pin.registry, &pin.repository, sif, &mut incoming).await?;
        store.publish_fetched_sif(incoming, &digest, sif.size)?
    };
    suits(&place, &pin.reference().to_string(), &pin.platform)?;
    Ok(Staged {
        image: Image::Sif {
            pin: Some(pin.clone()),
            manifest: None,
            digest,
            recipe: None,
            tree: None,
        },
        place,
        size: sif.size,
        known: known.is_some(),
        warnings: Vec::new(),
        done: None,
        signed_by: None,
    })
}

/// The SIF that a name of a hub is pinned to, when the store has it; nobody is asked.
///
/// # Errors
/// [`StageError::Artifact`] when it is for another platform.
pub fn of_hub(
    name: &HubName,
    platform: Option<&Platform>,
    store: &Store,
) -> Result<Option<Staged>, StageError> {
    let Some(digest) = name.sif else { return Ok(None) };
    let Some(place) = store.fetched_sif(&digest) else { return Ok(None) };
    let size = std::fs::metadata(&place)
        .map_err(|source| StageError::File { path: place.clone(), source })?
        .len();
    if let Some(platform) = platform {
        suits(&place, &name.to_string(), platform)?;
    }
    Ok(Some(Staged {
        image: Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None },
        place,
        size,
        known: true,
        warnings: Vec::new(),
        done: None,
        signed_by: None,
    }))
}

/// Fetches the file of a hub into the store, under the digest of its bytes, and says it. When the
/// name or the hub says a digest, it must be that; else nothing is kept.
///
/// # Errors
/// As the registry client and the store say.
pub async fn from_hub(
    name: &HubName,
    file: &HubFile,
    client: &Client,
    store: &Store,
) -> Result<SifDigest, StageError> {
    for tried in 1.. {
        let mut incoming = store.incoming()?;
        match client.hub_file(file, MOST_BYTES, &mut incoming).await {
            Ok(_) => {
                let (digest, size) = incoming.measured();
                let said = [name.sif, file.sif].into_iter().flatten();
                for expected in said.map(|sif| Digest::from_bytes(*sif.bytes())) {
                    if expected != digest {
                        let image = name.to_string();
                        return Err(StageError::OtherFile { image, expected, got: digest });
                    }
                }
                let sif = SifDigest::from_bytes(*digest.bytes());
                store.publish_fetched_sif(incoming, &sif, size)?;
                return Ok(sif);
            }
            Err(RegistryError::Unreachable { doing: "read from", .. }) if tried < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StageError::Artifact { image: name.to_string(), why: "it never came".into() })
}

/// Whether a file is a SIF for a platform.
fn suits(place: &Path, image: &str, platform: &Platform) -> Result<(), StageError> {
    let refuse = |why: String| StageError::Artifact { image: image.to_owned(), why };
    let fail = |source| StageError::File { path: place.to_owned(), source };
    let mut file = std::fs::File::open(place).map_err(fail)?;
    let read = SifReader::open(&mut file).map_err(|error| refuse(error.to_string()))?;
    let partition = read.partition().map_err(|error| refuse(error.to_string()))?;
    if Arch::of(platform).is_ok_and(|wanted| wanted == partition.arch) {
        return Ok(());
    }
    let of = partition.arch.name().unwrap_or("an unknown processor");
    Err(refuse(format!("it is for {of}, and {platform} is wanted")))
}
