//! Does a SIF hold what it says? It is made again from the manifest that it names, and compared.
//!
//! ```text
//! SIF --moorline.json--> manifest digest, recipe      source: store, else a registry, or an archive
//!     --manifest bytes, hashed--> configuration, layers --convert--> a SIF of our own
//! same recipe:    the bytes are equal?   Match (bytes)    else Mismatch
//! other recipe:   objects and trees are? Match (content)  else Mismatch    compare.rs
//! no source, no provenance, other template, impossible recipe: Unproven
//! ```
//!
//! A SIF's bytes follow from manifest digest and recipe alone, so anybody can do this. Not promised:
//! that the manifest is the one that its author meant; that is what a pin or a signature says.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{How, Progress, Show, StageError, Supply, compare, convert, write};
use crate::archive::{Archive, Location};
use crate::failure::{Failure, Kind};
use crate::files::{ForeignError, ForeignFile, sha256};
use crate::layer::Limits;
use crate::oci::{
    ConfigDigest, Descriptor, Digest, Document, ImageConfig, Manifest, Platform, Registry,
    Repository, Sha256Digest, SifDigest, TreeRoot,
};
use crate::pin::Recipe;
use crate::registry::{Client, ImageDocuments};
use crate::sif::hash_tree;
use crate::sif::{self, SifReader};
use crate::squashfs::{BLOCK_SIZES, levels};
use crate::store::{Store, StoreError};

/// A configuration in the store that is read at most, in bytes.
const MAX_CONFIG: u64 = 8 << 20;

/// What a SIF says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The platform's manifest.
    pub manifest: Digest,
    /// Its configuration.
    pub config: ConfigDigest,
    /// How it was converted.
    pub recipe: Recipe,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "kebab-case")]
pub enum Verified {
    /// Made again, it has the same bytes.
    MatchBytes,
    /// It was made by another recipe, which is told; its objects and the file systems' trees are the same.
    MatchContent(String),
    /// It is not what it says; where the difference is.
    Mismatch(String),
    /// It cannot be made again here; why.
    Unproven(String),
}

/// What a SIF is made again from.
pub struct Parts {
    said: Provenance,
    /// Our recipe for the same.
    own: Recipe,
    documents: ImageDocuments,
    supply: Supply,
}

/// What was found before a SIF is made again.
pub enum Prepared {
    /// It need not be.
    Verdict(Verified),
    /// From these.
    Parts(Box<Parts>),
}

/// A SIF that was opened and measured.
#[derive(Debug)]
pub struct Claim {
    file: File,
    /// The digest of the whole file.
    pub digest: SifDigest,
    /// What it says, and the manifest's bytes as they stand in it; the error says why there is
    /// nothing to make it from.
    pub provenance: Result<(Provenance, Vec<u8>), String>,
    /// The root of its hash tree, when that is the one of its bytes; the error says why not.
    pub tree: Result<Option<TreeRoot>, String>,
}

impl Claim {
    /// Opens and measures a SIF and checks its own structure.
    ///
    /// # Errors
    /// When it cannot be read, or is not a SIF with one squashfs as its primary partition.
    pub fn read(path: &Path) -> Result<Self, StageError> {
        let io = |source| StageError::File { path: path.to_owned(), source };
        let not_sif = |why: String| StageError::NotSif { path: path.to_owned(), why };
        let opened = ForeignFile::anyones(u64::MAX).through_links().open(path);
        let mut file = match opened {
            Ok(opened) => opened.into_file(),
            Err(ForeignError::Io(error)) => return Err(io(error)),
            Err(refused) => return Err(not_sif(refused.to_string())),
        };
        let digest = hash(&mut file).map_err(io)?;
        let handle = file.try_clone().map_err(io)?;
        let mut sif = SifReader::open(handle).map_err(|e| not_sif(e.to_string()))?;
        sif.partition().map_err(|e| not_sif(e.to_string()))?;
        let provenance = provenance(&mut sif);
        let length = file.metadata().map_err(io)?.len();
        let tree = hash_tree::check(&file, length).map_err(|e| e.to_string());
        Ok(Self { file, digest, provenance, tree })
    }

    /// What it is made again from: out of the store and, where that lacks something, a repository.
    ///
    /// # Errors
    /// When a blob is corrupt, or the store cannot be written.
    pub async fn parts(
        &self,
        from: Option<(&Client, &Registry, &Repository)>,
        store: &Store,
        show: &Show,
    ) -> Result<Prepared, StageError> {
        let (said, own, manifest, manifest_bytes) = match self.consistent() {
            Ok(all) => all,
            Err(verdict) => return Ok(Prepared::Verdict(self.or_tree(verdict))),
        };
        let documents = match gather(manifest, manifest_bytes, from, store, show).await {
            Ok(documents) => documents,
            Err(Lacking::Error(error)) => return Err(error),
            Err(Lacking::Source(why)) => {
                return Ok(Prepared::Verdict(self.or_tree(Verified::Unproven(why))));
            }
        };
        let mut documents = documents;
        if let Some(platform) = self.platform() {
            // where the configuration does not say it, who converted did
            documents.config.platform = documents.config.platform.or(&platform);
        }
        let supply = Supply::stored(&documents.manifest.layers, store, Show::clone(show));
        Ok(Prepared::Parts(Box::new(Parts { said, own, documents, supply })))
    }

    /// As [`Claim::parts`], from an archive.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn parts_of(
        &self,
        location: &Location,
        store: &Store,
        show: &Show,
    ) -> Result<Prepared, StageError> {
        let (said, own, _, _) = match self.consistent() {
            Ok(all) => all,
            Err(verdict) => return Ok(Prepared::Verdict(self.or_tree(verdict))),
        };
        let platform = self.platform().unwrap_or_else(Platform::host);
        let archive = Archive::open(location, &platform)?;
        if archive.digest != said.manifest {
            let holds = archive.digest;
            let why = format!("{location} is another image, {holds}");
            return Ok(Prepared::Verdict(self.or_tree(Verified::Unproven(why))));
        }
        let name = location.to_string();
        let (documents, supply) = super::archived::opened(archive, &name, store, show)?;
        Ok(Prepared::Parts(Box::new(Parts { said, own, documents, supply })))
    }

    /// A hash tree that is not the one of its bytes is a mismatch, also where nothing else can be said.
    fn or_tree(&self, verdict: Verified) -> Verified {
        match (&self.tree, verdict) {
            (Err(why), Verified::Unproven(_) | Verified::MatchContent(_)) => {
                Verified::Mismatch(why.clone())
            }
            (_, verdict) => verdict,
        }
    }

    /// What it says that it is for.
    fn platform(&self) -> Option<Platform> {
        let sif = SifReader::open(self.file.try_clone().ok()?).ok()?;
        let architecture = sif.partition().ok()?.arch.name()?.to_owned();
        Some(Platform { os: "linux".into(), architecture, variant: None })
    }

    /// What it says, our recipe for the same, and the manifest in it; the error is the verdict when
    /// these do not fit together.
    fn consistent(&self) -> Result<(Provenance, Recipe, Manifest, Vec<u8>), Verified> {
        let (said, manifest_bytes) = match &self.provenance {
            Ok(both) => both.clone(),
            Err(why) => return Err(Verified::Unproven(why.clone())),
        };
        let found = Digest::of(&manifest_bytes);
        if found != said.manifest {
            let named = said.manifest;
            return Err(Verified::Mismatch(format!("it names {named} and holds {found}")));
        }
        let Ok(Document::Manifest(manifest)) = Document::parse(&manifest_bytes, None) else {
            return Err(Verified::Mismatch("the document that it holds is not a manifest".into()));
        };
        if manifest.config.digest != Digest::from(said.config) {
            return Err(Verified::Mismatch(
                "it names another configuration than its manifest".into(),
            ));
        }
        let Recipe { codec, level, block_size, .. } = said.recipe;
        if !block_size.is_power_of_two()
            || !BLOCK_SIZES.contains(&block_size)
            || !levels(codec).contains(&level)
        {
            return Err(Verified::Unproven(format!(
                "it states a recipe that cannot be: {codec} at level {level} with blocks of \
                 {block_size} bytes"
            )));
        }
        let own = convert::recipe(codec, level, block_size);
        if own.template != said.recipe.template {
            let (its, ours) = (said.recipe.template, own.template);
            return Err(Verified::Unproven(format!(
                "it was made with version {its} of the added files, this moorline has {ours}"
            )));
        }
        Ok((said, own, manifest, manifest_bytes))
    }

    /// Makes it again and compares.
    ///
    /// # Errors
    /// When a blob is corrupt, the image cannot be converted, or the store cannot be written.
    pub fn again(
        &self,
        parts: Parts,
        store: &Store,
        (threads, limits): (NonZeroUsize, Limits),
        show: &Show,
    ) -> Result<Verified, StageError> {
        let Parts { said, own, documents, supply } = parts;
        show(Progress::Converting {
            bytes: documents.manifest.layers.iter().map(|layer| layer.size).sum(),
        });
        let mut again = store.incoming()?;
        let how = How { recipe: &own, threads, limits };
        // nothing that an earlier conversion left may take part in the proof
        let mut anew = convert::Forgetful;
        let report = write(said.manifest, documents, &supply, how, &mut anew, again.file_mut())
            .map_err(|source| {
                let own = || StageError::Convert { image: said.manifest.to_string(), source };
                supply.failure().unwrap_or_else(own)
            })?;
        supply.finish()?;
        if own == said.recipe {
            return Ok(if report.sif == self.digest {
                Verified::MatchBytes
            } else {
                Verified::Mismatch(format!("made again it is {}", report.sif))
            });
        }
        let unreadable = || StoreError::io("cannot read", again.path());
        let ours = File::open(again.path()).map_err(unreadable())?;
        let difference = compare::sifs(&self.file, &ours, &said.recipe, limits);
        Ok(match difference.map_err(unreadable())? {
            None => self.or_tree(Verified::MatchContent(format!(
                "it was made as {}, this moorline makes {}",
                said.recipe.key(),
                own.key()
            ))),
            Some(difference) => Verified::Mismatch(difference),
        })
    }
}

fn provenance<R: Read + Seek>(sif: &mut SifReader<R>) -> Result<(Provenance, Vec<u8>), String> {
    let stands = |e: sif::SifError| format!("it does not say what it was made from ({e})");
    let bytes = sif.object(sif::PROVENANCE).map_err(stands)?;
    let said = serde_json::from_slice(&bytes)
        .map_err(|e| format!("what it says of its making is malformed ({e})"))?;
    Ok((said, sif.object(sif::MANIFEST).map_err(stands)?))
}

fn hash(file: &mut File) -> io::Result<SifDigest> {
    file.rewind()?;
    Ok(SifDigest::from_bytes(sha256(file)?.sha256))
}

/// Why the parts of an image are not there.
enum Lacking {
    /// They cannot be had: nothing is proved.
    Source(String),
    /// Something is wrong with what was had.
    Error(StageError),
}

impl<E: Into<StageError>> From<E> for Lacking {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.kind() {
            Kind::NotFound | Kind::Denied | Kind::Network => Self::Source(error.to_string()),
            _ => Self::Error(error),
        }
    }
}

/// The image's documents; afterwards its layers are in the store.
async fn gather(
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    from: Option<(&Client, &Registry, &Repository)>,
    store: &Store,
    show: &Show,
) -> Result<ImageDocuments, Lacking> {
    let nowhere = |blob: &Descriptor| {
        Lacking::Source(format!(
            "the store lacks {}, and no repository is known to have it",
            blob.digest
        ))
    };
    let (config_bytes, config) = match (stored_config(&manifest, store), from) {
        (Some(both), _) => both,
        (None, Some((client, registry, repository))) => {
            client.config(registry, repository, &manifest.config).await.map_err(StageError::from)?
        }
        (None, None) => return Err(nowhere(&manifest.config)),
    };
    for (i, layer) in manifest.layers.iter().enumerate() {
        if store.blob(&layer.digest).is_some() {
            continue;
        }
        let (client, registry, repository) = from.ok_or_else(|| nowhere(layer))?;
        show(Progress::Layer { number: i + 1, of: manifest.layers.len(), layer });
        let mut incoming = store.incoming()?;
        client.blob(registry, repository, layer, &mut incoming).await.map_err(StageError::from)?;
        store.publish_blob(incoming, &layer.digest, layer.size)?;
    }
    Ok(ImageDocuments { manifest_bytes, manifest, config_bytes, config })
}

/// The configuration from the store, when it is there and right.
pub(super) fn stored_config(manifest: &Manifest, store: &Store) -> Option<(Vec<u8>, ImageConfig)> {
    let file = store.open_blob(&manifest.config.digest)?;
    let mut bytes = Vec::new();
    file.take(MAX_CONFIG).read_to_end(&mut bytes).ok()?;
    let right = Digest::of(&bytes) == manifest.config.digest;
    let config = serde_json::from_slice(&bytes).ok()?;
    right.then_some((bytes, config))
}
