//! `moorline.lock` written anew: which names are asked for, for which platforms, and what they are pinned to now.
//!
//! ```text
//! [images] of the project --named--> names --resolution.rs--> registry, GitLab, hub --> pins --> Lock, not written yet
//! ```

use std::path::Path;

use super::build::Build;
use super::error::AcquireError;
use super::locked;
use super::names::Names;
use super::obtain::of_hub;
use super::resolution::{Resolution, resolve_each};
use super::surroundings::Surroundings;
use super::what::What;
use crate::config::Meant;
use crate::failure::Report;
use crate::lock::{FILE, Lock, Named};
use crate::oci::{HubName, Platform, Registry, Repository, SifDigest};

/// What is to be locked.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The project's names, as [`project_names`] gives them.
    pub named: &'a [(String, Named)],
    /// These move; an empty name: all. Without any, only names without a pin that they may keep are asked for.
    pub update: &'a [String],
    /// For these platforms; empty: those locked so far, else this machine's.
    pub platforms: &'a [Platform],
}

/// What came of it.
#[derive(Debug)]
pub struct Relocked {
    /// With the new pins.
    pub lock: Lock,
    /// What is new, a line each.
    pub moved: Vec<String>,
    /// How many names kept their pins.
    pub kept: usize,
    /// Why names have none. When there are such, the lock is not to be written.
    pub failed: Vec<Report>,
}

/// The names of the project file. Names of the user's own configuration are not the project's.
///
/// # Errors
/// When one stands for something that cannot be read.
pub fn project_names(here: &dyn Surroundings) -> Result<Vec<(String, Named)>, Report> {
    let mut named = Vec::new();
    let of_project = here.config().images.iter().filter(|(_, value)| value.origin.is_project());
    for (name, value) in of_project {
        let meant = match &value.value {
            Meant::Built(built) => Some(Named::Built(built.clone())),
            // a name never stands for a file
            Meant::Reference(_) => What::parse(here, name)?.named(),
        };
        named.extend(meant.map(|meant| (name.clone(), meant)));
    }
    Ok(named)
}

/// Where the images of all names lie, as far as they are in a registry and that is known without asking anybody.
#[must_use]
pub fn repositories(here: &dyn Names) -> Vec<(Registry, Repository)> {
    let meant = here.images().values().filter_map(|text| What::parse(here, text).ok());
    // an image of another kind is of no registry, and its own verb says what is wrong with it
    meant
        .filter_map(|what| match what {
            What::Reference(found) | What::Oras(found) => Some((found.registry, found.repository)),
            _ => None,
        })
        .collect()
}

/// The registry that a name's image lies in; `None` where it is in none, or that is not known yet.
#[must_use]
pub fn registry_of(here: &dyn Surroundings, meant: &Named) -> Option<Registry> {
    match meant {
        Named::Reference(reference) | Named::Sif(reference) => Some(reference.registry.clone()),
        Named::Built(built) => Build::from(built.clone()).registry(here),
        Named::Hub(_) => None,
    }
}

impl Wish<'_> {
    /// The names that are asked for.
    ///
    /// # Errors
    /// When the old file is broken.
    pub fn asked(&self, here: &dyn Surroundings) -> Result<Vec<&(String, Named)>, Report> {
        let lock = locked::read(here)?.unwrap_or_default();
        Ok(self.named.iter().filter(|(name, meant)| self.asks(&lock, name, meant)).collect())
    }

    /// Whether this name is resolved: it has no pin that it may keep, or is to move.
    fn asks(&self, lock: &Lock, name: &str, meant: &Named) -> bool {
        if self.moves(name) {
            return true;
        }
        // with a name to move the others stay as they are, also those that are not locked yet
        self.update.is_empty()
            && self.platforms(lock, name).iter().any(|p| !lock.holds(name, meant, p))
    }

    fn moves(&self, name: &str) -> bool {
        self.update.iter().any(|update| update.is_empty() || update == name)
    }

    /// Asks, and gives the lock as it is to be written. Pins that are not asked for stay.
    ///
    /// # Errors
    /// When the old file is broken or a newer program's, or nobody can be asked.
    pub fn relock(&self, here: &dyn Surroundings) -> Result<Relocked, Report> {
        let mut lock = locked::read(here)?.unwrap_or_default();
        let mut to_lock = Vec::new();
        let mut hubs: Vec<(&String, &HubName)> = Vec::new();
        // names to move leave the other entries alone, whatever moorline.toml says of them
        let all = self.update.iter().all(String::is_empty);
        let mut kept = 0;
        for (name, meant) in self.named {
            if !self.asks(&lock, name, meant) {
                kept += usize::from(all);
                continue;
            }
            if let Named::Hub(hub) = meant {
                hubs.push((name, hub));
                continue;
            }
            for platform in self.platforms(&lock, name) {
                if self.moves(name) || !lock.holds(name, meant, &platform) {
                    to_lock.push(ToLock { name, meant, platform });
                }
            }
        }
        // before anything is asked: a file of a newer program is not touched
        lock.write(Path::new(FILE))?;
        let asked: Vec<_> = to_lock.iter().map(ToLock::what).collect();
        let answers = resolve_each(here, &asked)?;
        if all {
            lock.keep(
                |entry| {
                    let meant = self.named.iter().find(|(name, _)| *name == entry.name);
                    let wanted = |p: &Platform| p.accepts(&entry.pin.platform);
                    meant.is_some_and(|(_, meant)| {
                        entry.is(meant) || to_lock.iter().any(|one| *one.name == entry.name)
                    }) && (self.platforms.is_empty() || self.platforms.iter().any(wanted))
                },
                |hub| {
                    let is = |meant: &Named| matches!(meant, Named::Hub(_));
                    self.named.iter().any(|(name, meant)| name == hub && is(meant))
                },
            );
        }
        let mut done = Relocked { lock, moved: Vec::new(), kept, failed: Vec::new() };
        for (name, hub) in hubs {
            let put = pin_of_hub(here, hub).map(|(pinned, sif)| {
                done.lock.put_hub(name, hub.clone(), sif).then(|| format!("{name} {pinned}"))
            });
            done.add(put);
        }
        for (one, answer) in to_lock.iter().zip(answers) {
            let put = answer.map(|found| one.put(&mut done.lock, found));
            done.add(put);
        }
        Ok(done)
    }

    /// The platforms to lock a name for.
    fn platforms(&self, lock: &Lock, name: &str) -> Vec<Platform> {
        if !self.platforms.is_empty() {
            return self.platforms.to_vec();
        }
        let of_name = lock.entries().iter().filter(|e| e.name == name);
        let known: Vec<Platform> = of_name.map(|e| e.pin.platform.clone()).collect();
        if known.is_empty() { vec![Platform::host()] } else { known }
    }
}

impl Relocked {
    fn add(&mut self, put: Result<Option<String>, Report>) {
        match put {
            Ok(line) => self.moved.extend(line),
            Err(report) => self.failed.push(report),
        }
    }
}

fn pin_of_hub(here: &dyn Surroundings, hub: &HubName) -> Result<(HubName, SifDigest), Report> {
    let (pinned, _) = of_hub(here, hub, None)?;
    let sif = pinned.sif.ok_or(AcquireError::NoAnswer)?;
    Ok((pinned, sif))
}

/// An image for one platform that is to be locked.
struct ToLock<'a> {
    name: &'a String,
    meant: &'a Named,
    platform: Platform,
}

impl ToLock<'_> {
    /// What is asked for.
    fn what(&self) -> (What, Platform) {
        let what = match self.meant {
            Named::Reference(reference) => What::Reference(reference.clone()),
            Named::Sif(reference) => What::Oras(reference.clone()),
            Named::Built(built) => What::Built(Build::from(built.clone())),
            Named::Hub(name) => What::Hub(name.clone()),
        };
        (what, self.platform.clone())
    }

    /// Puts the answer into the lock; a line when it is new.
    fn put(&self, lock: &mut Lock, found: Resolution) -> Option<String> {
        let line = format!("{} {}", self.name, found.reference());
        let is_new = match (found, self.meant) {
            (Resolution::Image { resolved, sif: Some(sif) }, _) => {
                lock.put_sif(self.name, sif, resolved.pin)
            }
            (Resolution::Image { resolved, sif: None }, Named::Built(built)) => {
                lock.put(self.name, Some(built.clone()), resolved.pin)
            }
            (Resolution::Image { resolved, sif: None }, _) => {
                lock.put(self.name, None, resolved.pin)
            }
            // asked for apart: it has no pin of a registry
            (Resolution::Hub { .. }, _) => false,
        };
        is_new.then_some(line)
    }
}
