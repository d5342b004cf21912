//! `moorline.lock`: the pins of a project's named images, for its repository.
//!
//! ```toml
//! schema = 1
//!
//! [[image]]
//! name = "analysis"
//! asked = "registry.gitlab.example/group/analysis:v3"
//! platform = "linux/amd64"
//! index = "sha256:..."        # when the tag names an index
//! manifest = "sha256:..."     # what runs
//! config = "sha256:..."
//! sif = "sha256:..."          # of oras:// alone: the file itself; manifest is then the artifact's
//! resolved_at = "2026-01-02T03:04:05Z"
//! ```
//!
//! Names of a hub's SIFs stand in `[[hub]]` (`hub`).
//!
//! Floor 3, pure: text in, text out. One block for each name and platform, sorted by both; a block
//! whose digests did not change is kept as it stands, `resolved_at` included, so that a diff shows
//! the images that moved and nothing else.
//!
//! A lock file is somebody else's input, like `moorline.toml`: it chooses among images, and decides
//! neither whom to trust nor what to start. Everything in it is checked again when it is used: the
//! digest is the bytes' own.

mod hub;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};
use crate::oci::{ConfigDigest, Digest, HubName, Platform, Reference, SifDigest};
use crate::pin::{Built, Origin, Pin};

pub use hub::HubEntry;

/// The file's name, beside `moorline.toml`.
pub const FILE: &str = "moorline.lock";

/// What this version writes at most. Schema 2 has `from`, schema 3 `sif`, schema 4 `[[hub]]`; a file
/// without any is of schema 1, so that programs of before still write it.
const SCHEMA: u32 = 4;

/// Larger files are refused before they are parsed.
const MOST_BYTES: usize = 4 << 20;

const HEAD: &str = "\
# Written by `moorline lock`; commit it. `moorline lock --update NAME` moves one image,
# `moorline lock --check` compares it with moorline.toml.
";

/// Why a lock file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not the text of a lock file.
    #[error("{} is no lock file: {reason}", file.display())]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Written by a newer program; it can be read, and this version would lose what it added.
    #[error("{} has schema {found}; this moorline writes schema {SCHEMA} and does not touch it", file.display())]
    Newer {
        /// Which file.
        file: PathBuf,
        /// Its schema.
        found: u32,
    },
}

impl Failure for LockError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { .. } => {
                "take it from the repository's history, or delete it and run moorline lock".into()
            }
            Self::Newer { .. } => "use the moorline that wrote it, or a newer one".into(),
        })
    }
}

/// A name and what it is pinned to on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// As in `[images]`.
    pub name: String,
    /// The words that the name stood for, where it was no reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Built>,
    /// Of a name that stands for a SIF of a registry: the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sif: Option<SifDigest>,
    /// The pin; its `asked` is the reference that the name stood for, or that was found.
    #[serde(flatten)]
    pub pin: Pin,
}

/// What a name of the project file stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Named {
    /// A reference.
    Reference(Reference),
    /// A SIF that lies in a registry.
    #[serde(serialize_with = "with_scheme")]
    Sif(Reference),
    /// A SIF of a hub.
    Hub(HubName),
    /// What CI built.
    Built(Built),
}

/// In front of a SIF that lies in a registry.
pub const SIF_SCHEME: &str = "oras://";

fn with_scheme<S: serde::Serializer>(sif: &Reference, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{SIF_SCHEME}{sif}"))
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Sif(reference) => write!(f, "{SIF_SCHEME}{reference}"),
            Self::Hub(name) => name.fmt(f),
            Self::Built(built) => built.fmt(f),
        }
    }
}

impl Entry {
    /// What its name stood for.
    #[must_use]
    pub fn stood_for(&self) -> Named {
        match &self.from {
            Some(built) => Named::Built(built.clone()),
            None if self.sif.is_some() => Named::Sif(self.pin.asked.clone()),
            None => Named::Reference(self.pin.asked.clone()),
        }
    }

    /// Whether its name stands for the same as before.
    #[must_use]
    pub fn is(&self, named: &Named) -> bool {
        match named {
            Named::Reference(reference) => {
                self.from.is_none() && self.sif.is_none() && self.pin.asked == complete(reference)
            }
            Named::Sif(reference) => self.sif.is_some() && self.pin.asked == complete(reference),
            Named::Hub(_) => false,
            Named::Built(built) => self.from.as_ref() == Some(built),
        }
    }
}

/// A lock file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    schema: u32,
    entries: Vec<Entry>,
    hubs: Vec<HubEntry>,
}

/// A difference between the lock and the project file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum Finding {
    /// The project file has a name that is not locked.
    NotLocked {
        /// The name.
        name: String,
    },
    /// The lock has a name that the project file lacks.
    NotNamed {
        /// The name.
        name: String,
    },
    /// The name stands for another reference now.
    Changed {
        /// The name.
        name: String,
        /// What was locked.
        locked: Box<Named>,
        /// What the project file says.
        named: Box<Named>,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotLocked { name } => write!(f, "{name}: not locked"),
            Self::NotNamed { name } => {
                write!(f, "{name}: locked, but moorline.toml has no such name")
            }
            Self::Changed { name, locked, named } => {
                write!(f, "{name}: locked as {locked}, and moorline.toml says {named}")
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    image: Vec<Block>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hub: Vec<HubEntry>,
}

/// An entry as it stands in the file. What `asked` says is not said again: a block whose text names
/// one place and pins another cannot be written.
#[derive(Serialize, Deserialize)]
struct Block {
    name: String,
    asked: Reference,
    platform: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<Digest>,
    manifest: Digest,
    config: ConfigDigest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sif: Option<SifDigest>,
    resolved_at: jiff::Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Built>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

impl Block {
    fn of(entry: &Entry) -> Self {
        let Entry { name, from, sif, pin } = entry.clone();
        Self {
            name,
            asked: pin.asked,
            platform: pin.platform.to_string(),
            index: pin.index,
            manifest: pin.manifest,
            config: pin.config,
            sif,
            resolved_at: pin.resolved_at,
            from,
            origin: pin.origin,
        }
    }

    fn entry(self) -> Result<Entry, String> {
        let platform = self.platform.parse().map_err(|e| format!("{:?}: {e}", self.name))?;
        let pin = Pin {
            registry: self.asked.registry.clone(),
            repository: self.asked.repository.clone(),
            index: self.index,
            manifest: self.manifest,
            config: self.config,
            platform,
            asked: self.asked,
            resolved_at: self.resolved_at,
            origin: self.origin,
        };
        Ok(Entry { name: self.name, from: self.from, sif: self.sif, pin })
    }
}

impl Lock {
    /// Reads a lock file's text; `file` is for messages.
    ///
    /// # Errors
    /// When it is no lock file, or names an image twice for one platform.
    pub fn parse(text: &str, file: &std::path::Path) -> Result<Self, LockError> {
        let malformed = |reason: String| LockError::Malformed { file: file.to_owned(), reason };
        if text.len() > MOST_BYTES {
            return Err(malformed(format!("it has {} bytes", text.len())));
        }
        let Document { schema, image, hub } =
            toml::from_str(text).map_err(|e| malformed(e.message().to_owned()))?;
        if schema == 0 {
            return Err(malformed("its schema is 0".into()));
        }
        let mut entries = Vec::new();
        for block in image {
            entries.push(block.entry().map_err(malformed)?);
        }
        let mut lock = Self { schema, entries, hubs: hub };
        lock.sort();
        lock.hubs.sort_by(|one, other| one.name.cmp(&other.name));
        let named = |name: &str| lock.entries.iter().any(|entry| entry.name == name);
        let again = |two: &[HubEntry]| two[0].name == two[1].name;
        let twice = lock.hubs.windows(2).find(|two| again(two)).map(|two| &two[0]);
        if let Some(entry) = twice.or_else(|| lock.hubs.iter().find(|entry| named(&entry.name))) {
            return Err(malformed(format!("{:?} stands twice", entry.name)));
        }
        let twice = lock.entries.windows(2).find(|two| key(&two[0]) == key(&two[1]));
        if let Some(two) = twice {
            let platform = &two[0].pin.platform;
            return Err(malformed(format!("{:?} stands twice for {platform}", two[0].name)));
        }
        Ok(lock)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// [`LockError::Newer`] when it was read from a newer program's file.
    pub fn write(&self, file: &std::path::Path) -> Result<String, LockError> {
        if self.schema > SCHEMA {
            return Err(LockError::Newer { file: file.to_owned(), found: self.schema });
        }
        let any = |has: fn(&Entry) -> bool| self.entries.iter().any(has);
        let schema = match () {
            () if !self.hubs.is_empty() => 4,
            () if any(|entry| entry.sif.is_some()) => 3,
            () if any(|entry| entry.from.is_some()) => 2,
            () => 1,
        };
        let image = self.entries.iter().map(Block::of).collect();
        let document = Document { schema, image, hub: self.hubs.clone() };
        let text = toml::to_string(&document)
            .map_err(|e| LockError::Malformed { file: file.to_owned(), reason: e.to_string() })?;
        Ok(format!("{HEAD}{text}"))
    }

    /// All entries, sorted by name and platform.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a name for the platform that is wanted; of several the one that asks least.
    #[must_use]
    pub fn find(&self, name: &str, platform: &Platform) -> Option<&Entry> {
        let accepts = |e: &&Entry| e.name == name && platform.accepts(&e.pin.platform);
        self.entries.iter().filter(accepts).min_by_key(|e| platform.fit(&e.pin.platform))
    }

    /// Puts a pin under a name in place of the older one for its platform, and says whether it is
    /// another image. Of the same image the older entry stays as it is, unless more is known of its
    /// origin now: who has no API token does not take away what another has found out.
    pub fn put(&mut self, name: &str, from: Option<Built>, pin: Pin) -> bool {
        self.put_entry(Entry { name: name.to_owned(), from, sif: None, pin })
    }

    /// As [`Lock::put`], for a SIF that lies in a registry.
    pub fn put_sif(&mut self, name: &str, sif: SifDigest, pin: Pin) -> bool {
        self.put_entry(Entry { name: name.to_owned(), from: None, sif: Some(sif), pin })
    }

    fn put_entry(&mut self, entry: Entry) -> bool {
        let Entry { name, from, sif, mut pin } = entry;
        self.hubs.retain(|hub| hub.name != name);
        let at = self.entries.iter().position(|e| e.name == name && e.pin.platform == pin.platform);
        if let Some(at) = at {
            let same_words = from.is_some() && self.entries[at].from == from;
            self.entries[at].from = from;
            self.entries[at].sif = sif;
            let old = &mut self.entries[at].pin;
            let moved = old.manifest != pin.manifest;
            if !moved {
                pin.resolved_at = old.resolved_at;
                if same_words {
                    // of several tags of one image, GitLab's API and the conventions find other ones
                    pin.asked = old.asked.clone();
                }
                if known(&pin) <= known(old) {
                    pin.origin.clone_from(&old.origin);
                }
            }
            *old = pin;
            return moved;
        }
        self.entries.push(Entry { name, from, sif, pin });
        self.sort();
        true
    }

    /// Drops the entries of names that are not kept.
    pub fn keep(&mut self, keep: impl Fn(&Entry) -> bool, hub: impl Fn(&str) -> bool) {
        self.entries.retain(keep);
        self.hubs.retain(|entry| hub(&entry.name));
    }

    /// Compares with what the project file names.
    #[must_use]
    pub fn differences(&self, named: &[(String, Named)]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, meant) in named {
            let mut locked = self.entries.iter().filter(|e| e.name == *name).peekable();
            let of_hub = self.hubs.iter().any(|hub| hub.name == *name);
            if locked.peek().is_none() && !of_hub {
                findings.push(Finding::NotLocked { name: name.clone() });
            }
            let changed = locked.find(|e| !e.is(meant));
            findings.extend(changed.map(|e| Finding::Changed {
                name: name.clone(),
                locked: Box::new(e.stood_for()),
                named: Box::new(match meant {
                    Named::Reference(reference) => Named::Reference(complete(reference)),
                    Named::Sif(reference) => Named::Sif(complete(reference)),
                    Named::Built(_) | Named::Hub(_) => meant.clone(),
                }),
            }));
        }
        let known = |e: &&Entry| !named.iter().any(|(name, _)| *name == e.name);
        for entry in self.entries.iter().filter(known) {
            let finding = Finding::NotNamed { name: entry.name.clone() };
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        findings.extend(self.hub_differences(named));
        findings
    }

    fn sort(&mut self) {
        self.entries.sort_by(|a, b| key(a).cmp(&key(b)));
    }
}

/// How many facts of an image's origin are established.
fn known(pin: &Pin) -> usize {
    pin.origin.as_ref().map_or(0, |origin| origin.evidence.len())
}

fn key(entry: &Entry) -> (&str, String) {
    (&entry.name, entry.pin.platform.to_string())
}

/// A reference as a pin keeps it: `latest` where neither tag nor digest was typed.
#[must_use]
pub fn complete(reference: &Reference) -> Reference {
    let mut asked = reference.clone();
    if asked.tag.is_none() && asked.digest.is_none() {
        asked.tag = "latest".parse().ok();
    }
    asked
}

#[cfg(test)]
mod tests;
