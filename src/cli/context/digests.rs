//! Beginnings of digests, as tables show them: completed by what the ledger, the lock and the store know.

use std::collections::BTreeSet;

use super::Context;
use crate::acquire::{self, AcquireError};
use crate::cli::show::output::{self, Report};
use crate::cli::show::shorten::MORE;
use crate::job::Measured;
use crate::oci::{Digest, Sha256Digest};
use crate::pin::Pin;
use crate::store::What;

const SHA256: &str = "sha256:";
/// Characters of a digest.
const WHOLE: usize = 64;
/// Fewer say nothing.
const LEAST: usize = 4;
/// So many are told of several.
const TOLD: usize = 3;

impl Context {
    /// `sha256:1428ab43…` and `group/project@sha256:1428ab43…` with the whole digest. A name is one of a repository,
    /// with or without its registry, and gets the registry where a job or pin had it from. `None` where nothing is to
    /// be completed.
    ///
    /// # Errors
    /// When nothing that is known here begins so, or several do.
    pub fn whole_digest(&self, word: &str) -> Result<Option<String>, Report> {
        let Some((name, typed)) = word.split_once(SHA256) else { return Ok(None) };
        let hex = typed.trim_end_matches(MORE);
        let is_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        // something else, which its reader refuses in its own words
        if !(LEAST..WHOLE).contains(&hex.len()) || !hex.bytes().all(is_hex) {
            return Ok((hex.len() == WHOLE && hex != typed).then(|| format!("{name}{SHA256}{hex}")));
        }
        let name = match name.strip_suffix('@') {
            Some(name) => Some(name.strip_prefix("docker://").unwrap_or(name)),
            None if name.is_empty() => None,
            None => return Ok(None),
        };
        let found = self.beginning(name, &format!("{SHA256}{hex}"))?;
        let mut all = found.into_iter();
        let shown = output::cell(word);
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(Some(one)),
            (None, _) => Err(AcquireError::NoSuchDigest(shown).into()),
            (Some(one), Some(other)) => {
                let found = [one, other].into_iter().chain(all).take(TOLD).collect();
                Err(AcquireError::SeveralDigests { what: shown, found }.into())
            }
        }
    }

    /// The repositories from which jobs and pins had a manifest or an index.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn places_of(&self, digest: &str) -> Result<Vec<String>, Report> {
        let mut places = BTreeSet::new();
        let mut see = |pin: &Pin| {
            let all = [Some(pin.manifest), pin.index];
            if all.into_iter().flatten().any(|one| one.to_string() == digest) {
                places.insert(format!("{}/{}", pin.registry, pin.repository));
            }
        };
        let (low, high) = range(digest);
        let view = self.look(|all| all.of_digests(low, high))?;
        for submission in view.jobs().flat_map(|job| &job.submissions) {
            submission.image.pin().into_iter().for_each(&mut see);
        }
        self.locked().iter().for_each(see);
        Ok(places.into_iter().collect())
    }

    /// The pins of the lock; one that is not used names nothing.
    fn locked(&self) -> Vec<Pin> {
        let lock = acquire::read_lock(self).ok().flatten().unwrap_or_default();
        lock.entries().iter().map(|entry| entry.pin.clone()).collect()
    }

    fn beginning(&self, name: Option<&str>, begin: &str) -> Result<BTreeSet<String>, Report> {
        let mut found = BTreeSet::new();
        let mut of_pin = |pin: &Pin| {
            let place = format!("{}/{}", pin.registry, pin.repository);
            // a tag that was typed with it says nothing beside a digest
            let path = |name: &str| {
                name.rsplit_once(':')
                    .filter(|(_, tag)| !tag.contains('/'))
                    .map_or(name.to_owned(), |(path, _)| path.to_owned())
            };
            let fits = name.is_none_or(|name| {
                [name.to_owned(), path(name)]
                    .iter()
                    .any(|n| *n == place || n == pin.repository.as_str())
            });
            let mut digests = vec![pin.manifest.to_string()];
            digests.extend(pin.index.map(|index| index.to_string()));
            if name.is_none() {
                digests.push(pin.config.to_string());
            }
            for digest in digests.into_iter().filter(|digest| fits && digest.starts_with(begin)) {
                found.insert(if name.is_some() { format!("{place}@{digest}") } else { digest });
            }
        };
        let mut sifs = Vec::new();
        let (low, high) = range(begin);
        let view = self.look(|all| all.of_digests(low, high))?;
        for submission in view.jobs().flat_map(|job| &job.submissions) {
            let image = &submission.image;
            image.pin().into_iter().for_each(&mut of_pin);
            sifs.extend(image.manifest().map(|manifest| manifest.to_string()));
            sifs.extend(image.sif().map(|sif| sif.to_string()));
            let receipts = submission.receipts.iter().map(|record| &record.receipt);
            let measured = receipts.filter_map(|receipt| receipt.evidence.measured.as_ref());
            sifs.extend(measured.map(Measured::digest));
        }
        self.locked().iter().for_each(&mut of_pin);
        if name.is_none() {
            // nor does a store that cannot be read
            let items = self.store().ok().and_then(|store| Some(store.inventory().ok()?.items));
            for item in items.into_iter().flatten() {
                sifs.extend(item.made_from.iter().map(|(manifest, _)| manifest.to_string()));
                if let What::Sif(digest) = item.what {
                    sifs.push(digest.to_string());
                }
            }
            found.extend(sifs.into_iter().filter(|digest| digest.starts_with(begin)));
        }
        Ok(found)
    }
}

/// The first and the last digest that begin so.
fn range(begin: &str) -> ([u8; 32], [u8; 32]) {
    let hex = begin.strip_prefix(SHA256).unwrap_or(begin);
    let filled = |digit: char| {
        let mut text = format!("{SHA256}{hex}");
        text.extend(std::iter::repeat_n(digit, WHOLE.saturating_sub(hex.len())));
        text.parse::<Digest>().map(|digest| *digest.bytes())
    };
    (filled('0').unwrap_or([0; 32]), filled('f').unwrap_or([u8::MAX; 32]))
}
