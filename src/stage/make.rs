//! A conversion: layers in, a SIF in the store out.

use std::fs::File;

use super::convert::{ConvertError, Memory, Report, Source, Work, convert_with};
use super::{Done, How, Progress, Remembered, Show, StageError, Staged, Supply};
use crate::oci::{Digest, Manifest};
use crate::pin::{Image, Pin};
use crate::registry::{Client, ImageDocuments};
use crate::store::Store;

/// The documents of a pin, and its layers, of which none is downloaded before [`Supply::want`] or
/// [`Supply::open`] ask for it. It must run on a runtime with several threads (see [`Supply`]).
///
/// # Errors
/// When the registry fails, or a document is not what its digest says.
pub async fn fetch(
    pin: &Pin,
    client: &Client,
    store: &Store,
    show: Show,
) -> Result<(ImageDocuments, Supply), StageError> {
    let mut documents = client.image(pin).await?;
    documents.config.platform = documents.config.platform.or(&pin.platform);
    let supply = Supply::registry(&documents.manifest.layers, store, pin, client, show);
    Ok((documents, supply))
}

/// Converts an image while its layers come, the upper ones first.
///
/// # Errors
/// When a layer cannot be had or is malformed, or the disk is full; no SIF stays in the store then.
pub fn convert(
    pin: &Pin,
    documents: ImageDocuments,
    supply: &Supply,
    how: How<'_>,
    store: &Store,
    show: &Show,
) -> Result<Staged, StageError> {
    let name = pin.reference().to_string();
    make((pin.manifest, &name, Some(pin)), documents, supply, how, store, show)
}

pub(super) fn make(
    (manifest, name, pin): (Digest, &str, Option<&Pin>),
    documents: ImageDocuments,
    supply: &Supply,
    how: How<'_>,
    store: &Store,
    show: &Show,
) -> Result<Staged, StageError> {
    let Manifest { config, layers, .. } = &documents.manifest;
    let mut memory = Remembered::new(store, how.recipe);
    // from the top down, as they are read; one that has an index is opened only if that does not do
    let diff_ids = documents.config.rootfs.diff_ids.iter().enumerate().rev();
    let unknown: Vec<usize> =
        diff_ids.filter(|(_, diff_id)| !memory.knows(diff_id)).map(|(at, _)| at).collect();
    let sizes = unknown.iter().filter_map(|at| Some(layers.get(*at)?.size));
    show(Progress::Converting { bytes: sizes.sum() });
    // with it the SIF can be made again, and verified, from the store alone
    let mut kept = store.incoming()?;
    kept.write(&documents.config_bytes)?;
    store.publish_blob(kept, &config.digest, config.size)?;
    let mut incoming = store.incoming()?;
    for at in unknown {
        supply.want(at);
    }
    let writing = incoming.write_back()?;
    let out = incoming.file_mut();
    let report = write(manifest, documents, supply, how, &mut memory, out).map_err(|source| {
        let own = || StageError::Convert { image: name.to_owned(), source };
        supply.failure().unwrap_or_else(own)
    })?;
    writing.end()?;
    supply.finish()?;
    let sif = store.publish_sif(
        incoming,
        &manifest,
        how.recipe,
        (report.sif, report.size),
        Some(report.tree),
    )?;
    let mut warnings = report.warnings;
    if let Err(error) = memory.keep_pack(&report.pack, &sif) {
        warnings.push(format!("later conversions cannot use this one: {error}"));
    }
    Ok(Staged {
        image: Image::Sif {
            pin: pin.cloned(),
            manifest: pin.is_none().then_some(manifest),
            digest: sif.digest,
            recipe: Some(how.recipe.clone()),
            tree: sif.tree,
        },
        place: sif.path,
        size: sif.size,
        known: false,
        warnings,
        done: Some(Done {
            sifs_fetched: 0,
            layers_fetched: supply.fetched(),
            counters: report.counters,
        }),
        signed_by: None,
    })
}

/// Writes the SIF of an image.
pub(super) fn write(
    manifest: Digest,
    documents: ImageDocuments,
    supply: &Supply,
    how: How<'_>,
    memory: &mut dyn Memory,
    out: &mut File,
) -> Result<Report, ConvertError> {
    let layers = documents.manifest.layers;
    let source = Source {
        // not the registry's name: the same manifest gives the same bytes wherever it lies
        reference: manifest.to_string(),
        manifest,
        manifest_bytes: documents.manifest_bytes,
        config_bytes: documents.config_bytes,
        config: documents.config,
        layers,
    };
    let work = Work { limits: how.limits, ..Work::new(how.threads) };
    let mut open = |at| supply.open(at);
    convert_with(&source, how.recipe, work, memory, &mut open, out)
}
