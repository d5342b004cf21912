//! What a lock file says: read, changed, compared and written.

use super::{
    Block, Document, Finding, HubEntry, LockEntry, LockError, Named, SCHEMA, complete, hub,
};
use crate::oci::{HubName, Platform, SifDigest};
use crate::pin::{Built, Pin};

/// Larger files are refused before they are parsed.
const MOST_BYTES: usize = 4 << 20;

const HEAD: &str = "\
# Written by `moorline lock`; commit it. A pin stays until `moorline lock --update NAME` moves it;
# `moorline lock --check` compares the file with moorline.toml.
";

/// A lock file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    schema: u32,
    entries: Vec<LockEntry>,
    hubs: Vec<HubEntry>,
}

impl Lock {
    /// Reads a lock file's text; `file` is for messages.
    ///
    /// # Errors
    /// When it is not a lock file, or names an image twice for one platform.
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
        let any = |has: fn(&LockEntry) -> bool| self.entries.iter().any(has);
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
    pub fn entries(&self) -> &[LockEntry] {
        &self.entries
    }

    /// The entry of a name for the platform that is wanted; of several the one that asks least.
    #[must_use]
    pub fn find(&self, name: &str, platform: &Platform) -> Option<&LockEntry> {
        let accepts = |e: &&LockEntry| e.name == name && platform.accepts(&e.pin.platform);
        self.entries.iter().filter(accepts).min_by_key(|e| platform.fit(&e.pin.platform))
    }

    /// Whether a name that stands for this has a pin for the platform already.
    #[must_use]
    pub fn holds(&self, name: &str, meant: &Named, platform: &Platform) -> bool {
        if let Named::Hub(hub) = meant {
            return self.hub(Some(name), hub).is_some();
        }
        let mut entries = self.entries.iter().filter(|entry| entry.name == name);
        entries.any(|entry| entry.is(meant) && platform.accepts(&entry.pin.platform))
    }

    /// Puts a pin under a name in place of the older one for its platform, and says whether it is
    /// another image. Of the same image the older entry stays as it is, unless more is known of its
    /// origin now: who has no API token does not take away what another has found out.
    pub fn put(&mut self, name: &str, from: Option<Built>, pin: Pin) -> bool {
        self.put_entry(LockEntry { name: name.to_owned(), from, sif: None, pin })
    }

    /// As [`Lock::put`], for a SIF that lies in a registry.
    pub fn put_sif(&mut self, name: &str, sif: SifDigest, pin: Pin) -> bool {
        self.put_entry(LockEntry { name: name.to_owned(), from: None, sif: Some(sif), pin })
    }

    fn put_entry(&mut self, entry: LockEntry) -> bool {
        let LockEntry { name, from, sif, mut pin } = entry;
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
        self.entries.push(LockEntry { name, from, sif, pin });
        self.sort();
        true
    }

    /// All names of hubs, sorted.
    #[must_use]
    pub fn hubs(&self) -> &[HubEntry] {
        &self.hubs
    }

    /// Puts a file under a name, in place of whatever was there, and says whether it is another one.
    pub fn put_hub(&mut self, name: &str, asked: HubName, sif: SifDigest) -> bool {
        self.entries.retain(|entry| entry.name != name);
        hub::put(&mut self.hubs, name, asked, sif)
    }

    /// The file of a name, or of what was asked for; of a name only when it still stands for that.
    #[must_use]
    pub fn hub(&self, name: Option<&str>, meant: &HubName) -> Option<SifDigest> {
        hub::find(&self.hubs, name, meant)
    }

    /// Drops the entries of names that are not kept.
    pub fn keep(&mut self, keep: impl Fn(&LockEntry) -> bool, hub: impl Fn(&str) -> bool) {
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
        let known = |e: &&LockEntry| !named.iter().any(|(name, _)| *name == e.name);
        for entry in self.entries.iter().filter(known) {
            let finding = Finding::NotNamed { name: entry.name.clone() };
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        findings.extend(hub::differences(&self.hubs, named));
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

fn key(entry: &LockEntry) -> (&str, String) {
    (&entry.name, entry.pin.platform.to_string())
}

#[cfg(test)]
mod tests;
