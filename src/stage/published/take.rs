//! Takes a published SIF into the own store.
//!
//! ```text
//! signed by a trusted key?  no -> refused, nothing is fetched
//!     bytes --hashed--> the signed digest and size?          no -> refused, nothing is stored
//!     does the file itself name this manifest and recipe?    no -> refused, nothing is stored
//!                            yes -> sifs/, pins/, and the configuration that it was made from
//! ```

use std::fs::File;
use std::io::{self, Write};

use super::Published;
use crate::oci::{Descriptor, Digest, Document, Sha256Digest, TreeRoot};
use crate::pin::{Image, Pin, Recipe};
use crate::registry::Client;
use crate::sif::hash_tree::Sealed;
use crate::sif::{self, Arch, SifReader};
use crate::sign::Statement;
use crate::stage::verify::Provenance;
use crate::stage::{Done, Progress, Show, StageError, Staged};
use crate::store::{Incoming, Store};

/// Fetches a SIF and stores it as if it had been converted here.
///
/// # Errors
/// [`StageError::Artifact`] when it is not signed by a trusted key or is not what was signed; else as
/// the registry and the store say. Nothing of it is in the store then.
pub async fn take(
    found: &Published,
    pin: &Pin,
    recipe: &Recipe,
    client: &Client,
    store: &Store,
    show: &Show,
) -> Result<Staged, StageError> {
    let place = format!("{}/{}@{}", pin.registry, pin.repository, found.artifact);
    let refuse = |why: String| StageError::Artifact { image: place.clone(), why };
    let signed_by = found.signed_by.clone().map_err(refuse)?;
    show(Progress::Layer { number: 1, of: 1, layer: &found.sif });
    let mut sink = Counted { incoming: store.incoming()?, show };
    let digest = |sink: &Counted<'_>| sink.incoming.measured().0;
    client.blob_hashed(&pin.registry, &pin.repository, &found.sif, &mut sink, digest).await?;
    let incoming = sink.incoming;
    let config = inside(&incoming, pin, recipe).map_err(refuse)?;
    if let Some(root) = found.tree {
        has_tree(&incoming, root).map_err(refuse)?;
    }
    keep_config(&config, pin, client, store).await;
    let (size, tree) = (found.sif.size, found.tree);
    let (manifest, recipe_key, sif) = (pin.manifest, recipe.key(), found.digest());
    let said = Statement { manifest, recipe: recipe_key, sif, size, tree };
    let sif = store.publish_signed_sif(incoming, recipe, &said, signed_by)?;
    let (pin, recipe, place) = (Some(pin.clone()), Some(recipe.clone()), sif.path);
    Ok(Staged {
        // who signed the SIF says what its tree is, too; without one it is hashed whole where it runs
        image: Image::Sif { pin, manifest: None, digest: sif.digest, recipe, tree: sif.tree },
        place,
        size,
        known: false,
        warnings: Vec::new(),
        done: Some(Done { sifs_fetched: 1, ..Done::default() }),
        signed_by: Some(signed_by),
    })
}

/// The front of the file must be what the signed root stands for: a job could not be started from it otherwise.
fn has_tree(incoming: &Incoming, root: TreeRoot) -> Result<(), String> {
    let file = File::open(incoming.path()).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let sealed = Sealed::open(&file, length, root);
    sealed
        .map(drop)
        .map_err(|error| format!("its hash tree is not the one that was signed ({error})"))
}

/// What the file says of itself must be what its signer says; gives the image's configuration.
fn inside(incoming: &Incoming, pin: &Pin, recipe: &Recipe) -> Result<Descriptor, String> {
    let file = File::open(incoming.path()).map_err(|error| error.to_string())?;
    let mut file = SifReader::open(file).map_err(|error| error.to_string())?;
    let partition = file.partition().map_err(|error| error.to_string())?;
    if !Arch::of(&pin.platform).is_ok_and(|wanted| wanted == partition.arch) {
        return Err(format!("it is not for {}", pin.platform));
    }
    let stands = |error: sif::SifError| format!("it does not say what it was made from ({error})");
    let said = file.object(sif::PROVENANCE).map_err(stands)?;
    let said: Provenance = serde_json::from_slice(&said)
        .map_err(|error| format!("what it says of its making is malformed ({error})"))?;
    if said.manifest != pin.manifest || said.recipe != *recipe {
        return Err(format!(
            "it says that it was made from {} as {}",
            said.manifest,
            said.recipe.key()
        ));
    }
    let manifest = file.object(sif::MANIFEST).map_err(stands)?;
    match Document::parse(&manifest, None) {
        Ok(Document::Manifest(document)) if Digest::of(&manifest) == pin.manifest => {
            Ok(document.config)
        }
        _ => Err("the manifest in it is another one".into()),
    }
}

/// Keeps the image's configuration, so that the image is known by its digest without the network.
/// Its bytes came when the image was resolved. Without it the registry is asked next time, no more.
async fn keep_config(config: &Descriptor, pin: &Pin, client: &Client, store: &Store) {
    let work = async {
        if store.blob(&config.digest).is_some() {
            return Ok(());
        }
        let (bytes, _) = client.config(&pin.registry, &pin.repository, config).await?;
        let mut incoming = store.incoming()?;
        incoming.write(&bytes)?;
        store.publish_blob(incoming, &config.digest, config.size)?;
        Ok::<(), StageError>(())
    };
    if let Err(error) = work.await {
        tracing::debug!(%error, "the configuration of a published SIF is not kept");
    }
}

/// Tells how much came.
struct Counted<'a> {
    incoming: Incoming,
    show: &'a Show,
}

impl Write for Counted<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = Write::write(&mut self.incoming, data)?;
        (self.show)(Progress::Received { number: 1, bytes: self.incoming.measured().1 });
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.incoming.flush()
    }
}
