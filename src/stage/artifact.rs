//! A SIF out of a registry: fetched, verified, kept as a blob of the store, used as it is.
//!
//! The user named it, so it is taken without a signature; it is never taken in the place of an image.

use crate::oci::{Descriptor, Sha256Digest, SifDigest};
use crate::pin::{Image, Pin};
use crate::registry::Client;
use crate::sif::{Arch, SifReader};
use crate::store::Store;

use super::{Progress, StageError, Staged};

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
    let refuse = |why: String| StageError::Artifact { image: pin.reference().to_string(), why };
    let known = store.blob(&sif.digest);
    let place = if let Some(place) = &known {
        place.clone()
    } else {
        show(Progress::Layer { number: 1, of: 1, layer: sif });
        let mut incoming = store.incoming()?;
        client.blob(&pin.registry, &pin.repository, sif, &mut incoming).await?;
        store.publish_blob(incoming, &sif.digest, sif.size)?
    };
    let fail = |source| StageError::File { path: place.clone(), source };
    let mut file = std::fs::File::open(&place).map_err(fail)?;
    let read = SifReader::open(&mut file).map_err(|error| refuse(error.to_string()))?;
    let partition = read.partition().map_err(|error| refuse(error.to_string()))?;
    if !Arch::of(&pin.platform).is_ok_and(|wanted| wanted == partition.arch) {
        let of = partition.arch.name().unwrap_or("an unknown processor");
        return Err(refuse(format!("it is for {of}, and {} is wanted", pin.platform)));
    }
    Ok(Staged {
        image: Image::Sif {
            pin: Some(pin.clone()),
            manifest: None,
            digest: SifDigest::from_bytes(*sif.digest.bytes()),
            recipe: None,
            place,
        },
        size: sif.size,
        known: known.is_some(),
        warnings: Vec::new(),
        done: None,
        signed_by: None,
    })
}
