//! From an index to the image for a platform, through indexes inside it: one way for registries,
//! layouts and archives.
//!
//! ```text
//! index   amd64/v3, arm64, ?, amd64      --fit--> amd64, ?, amd64/v3      the best first
//!             |                                    |     |
//!         an index  --again, inside--              |     its configuration says what it is for
//!                                                  manifest --> configuration: does it agree?
//! ```
//!
//! The image that is taken is checked strictly: it has the right size, index and configuration agree, and it is an
//! image. Its neighbours are read leniently: an entry that is not an image, or cannot be read, is skipped, and is
//! reported only when nothing else fits. An *unknown* platform is not a *different* one.
//!
//! No I/O here: [`Documents`] reads. Source: OCI image specification 1.1, `image-index.md`; docker,
//! containerd and skopeo follow nested indexes too.

use std::fmt::Display;

use super::{
    Descriptor, Digest, Document, Fit, ImageConfig, Index, IndexEntry, Manifest, Platform,
    media_type,
};

/// Indexes inside each other at most; builders write one inside a layout's.
const MAX_DEPTH: usize = 4;
/// Documents that are looked at on the way to one image.
const MAX_LOOKS: usize = 64;

/// Platforms that an error names.
const MOST_TOLD: usize = 30;

/// Reads documents, their digests verified.
pub trait Documents {
    /// Why one cannot be had.
    type Error: Display;

    /// A manifest or an index.
    fn document(
        &mut self,
        of: &Descriptor,
    ) -> impl Future<Output = Result<(Vec<u8>, Document), Self::Error>>;

    /// A configuration.
    fn config(
        &mut self,
        of: &Descriptor,
    ) -> impl Future<Output = Result<(Vec<u8>, ImageConfig), Self::Error>>;

    /// Whether only this document is to blame, so that another one may still serve: it is missing,
    /// malformed or of another kind. A network that fails is no such error.
    fn is_its_own(error: &Self::Error) -> bool;
}

/// An image for a platform, and how it was found.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// How well it serves.
    pub fit: Fit,
    /// The digest of the manifest.
    pub digest: Digest,
    /// Its bytes.
    pub manifest_bytes: Vec<u8>,
    /// What they say.
    pub manifest: Manifest,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// What they say.
    pub config: ImageConfig,
    /// What it is for; where neither index nor configuration says, what was asked for.
    pub platform: Platform,
    /// The indexes inside the first one that it was found in, the outermost first.
    pub indexes: Vec<Index>,
}

/// No image.
#[derive(Debug)]
pub enum WalkError<E> {
    /// A document cannot be had.
    Read(E),
    /// Nothing serves.
    Platform {
        /// What does, for other platforms: such as can be asked for.
        offered: Vec<Platform>,
        /// Why what may have been meant was passed by.
        passed: Vec<String>,
    },
    /// It is another thing; the end of a sentence.
    NotAnImage(String),
    /// What was read does not fit together; a sentence.
    Contradiction(String),
}

/// A walk that is under way.
struct Walk<'a, D: Documents> {
    documents: &'a mut D,
    platform: &'a Platform,
    looks: usize,
    offered: Vec<Platform>,
    passed: Vec<String>,
}

/// What became of one entry.
enum Looked {
    Found(Box<Chosen>),
    Nothing,
}

/// The image that a manifest alone is, when it serves the platform.
///
/// # Errors
/// As [`WalkError`] says.
pub async fn whole<D: Documents>(
    documents: &mut D,
    (digest, manifest_bytes, manifest): (Digest, Vec<u8>, Manifest),
    platform: &Platform,
) -> Result<Chosen, WalkError<D::Error>> {
    let mut walk = Walk::new(documents, platform);
    match walk.image((digest, manifest_bytes, manifest), None, true).await? {
        Looked::Found(chosen) => Ok(*chosen),
        Looked::Nothing => Err(walk.nothing()),
    }
}

/// The image of an index for the platform.
///
/// # Errors
/// As [`WalkError`] says.
pub async fn choose<D: Documents>(
    documents: &mut D,
    index: &Index,
    platform: &Platform,
) -> Result<Chosen, WalkError<D::Error>> {
    let mut walk = Walk::new(documents, platform);
    if let Some(chosen) = walk.best(index, 0).await? {
        return Ok(chosen);
    }
    walk.passed.extend(index.why_not(platform));
    Err(walk.nothing())
}

/// What one entry of an index holds.
#[derive(Debug)]
pub struct Held {
    /// The image for the platform.
    pub found: Option<Chosen>,
    /// Other platforms.
    pub offered: Vec<Platform>,
    /// Why what may have been meant was passed by.
    pub passed: Vec<String>,
}

/// What one entry of an index holds for the platform. `surely` says that it was named, so that what is
/// wrong with it is an error.
///
/// # Errors
/// As [`WalkError`] says, but not that nothing serves.
pub async fn look<D: Documents>(
    documents: &mut D,
    entry: &IndexEntry,
    platform: &Platform,
    surely: bool,
) -> Result<Held, WalkError<D::Error>> {
    let mut walk = Walk::new(documents, platform);
    let found = match walk.entry(entry, 0, surely).await? {
        Looked::Found(chosen) => Some(*chosen),
        Looked::Nothing => None,
    };
    Ok(Held { found, offered: walk.offered, passed: walk.passed })
}

impl<'a, D: Documents> Walk<'a, D> {
    fn new(documents: &'a mut D, platform: &'a Platform) -> Self {
        Self { documents, platform, looks: 0, offered: Vec::new(), passed: Vec::new() }
    }

    fn nothing(mut self) -> WalkError<D::Error> {
        // what is said to serve and does not would not serve who asks for it by name
        self.offered.retain(|offered| self.platform.fit(offered) == Fit::No);
        WalkError::Platform { offered: self.offered, passed: self.passed }
    }

    /// The best image of an index: the first that serves whole, else the one that asks least.
    async fn best(
        &mut self,
        index: &Index,
        depth: usize,
    ) -> Result<Option<Chosen>, WalkError<D::Error>> {
        self.offered.extend(index.platforms());
        let mut best: Option<Chosen> = None;
        let serving = index.serving(self.platform);
        let only = serving.len() == 1;
        for (fit, entry) in serving {
            // what is unknown may turn out better than what is not for every processor
            if best.as_ref().is_some_and(|best| best.fit <= fit && fit != Fit::Unknown) {
                break;
            }
            let surely = only || fit != Fit::Unknown;
            if let Looked::Found(found) = self.entry(entry, depth, surely).await? {
                if found.fit == Fit::Whole {
                    return Ok(Some(*found));
                }
                if best.as_ref().is_none_or(|best| found.fit < best.fit) {
                    best = Some(*found);
                }
            }
        }
        Ok(best)
    }

    /// What an entry leads to.
    async fn entry(
        &mut self,
        entry: &IndexEntry,
        depth: usize,
        surely: bool,
    ) -> Result<Looked, WalkError<D::Error>> {
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            let why = format!("more than {MAX_LOOKS} manifests would have to be looked at");
            return Err(WalkError::Contradiction(why));
        }
        let descriptor = &entry.descriptor;
        let (bytes, document) = match self.documents.document(descriptor).await {
            Ok(read) => read,
            Err(error) if !surely && D::is_its_own(&error) => {
                self.passed.push(format!("{} cannot be read: {error}", descriptor.digest));
                return Ok(Looked::Nothing);
            }
            Err(error) => return Err(WalkError::Read(error)),
        };
        let length = bytes.len() as u64;
        if length != descriptor.size {
            return Err(WalkError::Contradiction(format!(
                "the index says that {} has {} bytes, it has {length}",
                descriptor.digest, descriptor.size
            )));
        }
        let index = match document {
            Document::Manifest(manifest) => {
                let parts = (descriptor.digest, bytes, manifest);
                return self.image(parts, Some(entry), surely).await;
            }
            Document::Index(index) => index,
        };
        if depth + 1 >= MAX_DEPTH {
            let why = format!("more than {MAX_DEPTH} indexes stand inside each other");
            return Err(WalkError::Contradiction(why));
        }
        if let Some(mut found) = Box::pin(self.best(&index, depth + 1)).await? {
            found.indexes.insert(0, index);
            return Ok(Looked::Found(Box::new(found)));
        }
        self.passed.extend(index.why_not(self.platform));
        if entry.fit(self.platform) < Fit::Unknown {
            let index = descriptor.digest;
            self.passed.push(format!("the index {index} is said to have it and does not"));
        }
        Ok(Looked::Nothing)
    }

    /// Whether a manifest is an image that serves. `entry` is what an index says of it.
    async fn image(
        &mut self,
        (digest, manifest_bytes, manifest): (Digest, Vec<u8>, Manifest),
        entry: Option<&IndexEntry>,
        surely: bool,
    ) -> Result<Looked, WalkError<D::Error>> {
        if let Some(why) = no_image(&manifest) {
            if surely {
                return Err(WalkError::NotAnImage(why));
            }
            self.passed.push(format!("{digest} is not a container image: {why}"));
            return Ok(Looked::Nothing);
        }
        let (config_bytes, config) = match self.documents.config(&manifest.config).await {
            Ok(read) => read,
            Err(error) if !surely && D::is_its_own(&error) => {
                self.passed.push(format!("the configuration of {digest}: {error}"));
                return Ok(Looked::Nothing);
            }
            Err(error) => return Err(WalkError::Read(error)),
        };
        let said = entry.and_then(|entry| entry.platform.clone());
        let said = said.unwrap_or_else(Platform::unknown);
        // builders often leave the variant out of one of the two; another processor is another image
        let plain = Platform { variant: None, ..said.clone() };
        if said.is_known() && plain.fit(&config.platform) == Fit::No {
            return Err(WalkError::Contradiction(format!(
                "the index offers it for {said}, its configuration says {}",
                config.platform
            )));
        }
        let platform = if said.is_known() { said } else { config.platform.or(&said) };
        let fit = self.platform.fit(&platform);
        if fit == Fit::No {
            self.offered.push(platform);
            return Ok(Looked::Nothing);
        }
        let platform = platform.or(self.platform);
        let indexes = Vec::new();
        Ok(Looked::Found(Box::new(Chosen {
            fit,
            digest,
            manifest_bytes,
            manifest,
            config_bytes,
            config,
            platform,
            indexes,
        })))
    }
}

/// What an error says behind "there is no image for the platform": what is offered, as far as it can be
/// asked for, and why the rest was passed by. It always says something.
#[must_use]
pub fn instead(offered: &[Platform], passed: &[String]) -> String {
    let mut said: Vec<String> = Vec::new();
    for platform in offered.iter().filter(|platform| platform.can_be_asked_for()) {
        let platform: String = platform.to_string().chars().take(60).collect();
        if said.len() < MOST_TOLD && !said.contains(&platform) {
            said.push(platform);
        }
    }
    let said = if said.is_empty() {
        "no platform that can be asked for is named".to_owned()
    } else {
        format!("it has: {}", said.join(", "))
    };
    let passed: String = passed.iter().take(3).map(|why| format!("; {why}")).collect();
    let plain = passed.chars().filter(|c| !c.is_control()).take(1000);
    said + &plain.collect::<String>()
}

/// Why a manifest is not an image, as far as it says itself; the end of a sentence.
#[must_use]
pub fn no_image(manifest: &Manifest) -> Option<String> {
    let of = &manifest.config.media_type;
    (!media_type::may_be_image_config(of))
        .then(|| format!("its configuration is of the type {of:?}"))
}
