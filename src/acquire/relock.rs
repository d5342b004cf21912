//! `moorline.lock` written anew: which names are asked for, for which platforms, and what they are pinned to now.
//!
//! ```text
//! [images] of the project --named--> names --questions--> registry, GitLab, hub --> pins --> Lock, not written yet
//! ```

use std::path::Path;

use super::build::Build;
use super::error::AcquireError;
use super::locked;
use super::obtain::of_hub;
use super::surroundings::{Surroundings, block_on};
use super::what::What;
use crate::config::Meant;
use crate::failure::Report;
use crate::lock::{FILE, Lock, Named, SIF_SCHEME};
use crate::oci::{HubName, Platform, Registry, Sha256Digest, SifDigest};
use crate::pin::{Pin, Resolved};
use crate::resolve::artifact::artifact;
use crate::resolve::resolve_many;

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
        let mut questions = Vec::new();
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
                    questions.push(Question { name, meant, platform });
                }
            }
        }
        // before anything is asked: a file of a newer program is not touched
        lock.write(Path::new(FILE))?;
        let answers = answers(here, &questions)?;
        if all {
            lock.keep(
                |entry| {
                    let meant = self.named.iter().find(|(name, _)| *name == entry.name);
                    let wanted = |p: &Platform| p.accepts(&entry.pin.platform);
                    meant.is_some_and(|(_, meant)| {
                        entry.is(meant) || questions.iter().any(|q| *q.name == entry.name)
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
        for (question, answer) in questions.iter().zip(answers) {
            let put = answer.map(|answer| question.put(&mut done.lock, answer));
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
struct Question<'a> {
    name: &'a String,
    meant: &'a Named,
    platform: Platform,
}

impl Question<'_> {
    /// Puts the answer into the lock; a line when it is new.
    fn put(&self, lock: &mut Lock, Answer { pin, sif }: Answer) -> Option<String> {
        let scheme = if sif.is_some() { SIF_SCHEME } else { "" };
        let line = format!("{} {scheme}{}", self.name, pin.reference());
        let from = match self.meant {
            Named::Built(built) => Some(built.clone()),
            Named::Reference(_) | Named::Sif(_) | Named::Hub(_) => None,
        };
        let is_new = match sif {
            Some(sif) => lock.put_sif(self.name, sif, pin),
            None => lock.put(self.name, from, pin),
        };
        is_new.then_some(line)
    }
}

/// What it is pinned to.
struct Answer {
    pin: Pin,
    /// Of a SIF of a registry: the file.
    sif: Option<SifDigest>,
}

impl From<Resolved> for Answer {
    fn from(resolved: Resolved) -> Self {
        Self { pin: resolved.pin, sif: None }
    }
}

/// References are asked for together, SIFs and what CI built one after the other.
fn answers(
    here: &dyn Surroundings,
    questions: &[Question<'_>],
) -> Result<Vec<Result<Answer, Report>>, Report> {
    let reference = |question: &Question<'_>| match question.meant {
        Named::Reference(reference) => Some((reference.clone(), question.platform.clone())),
        Named::Built(_) | Named::Sif(_) | Named::Hub(_) => None,
    };
    let references: Vec<_> = questions.iter().filter_map(reference).collect();
    let client = here.client()?;
    let mut resolved = block_on(here, resolve_many(&client, &references))?.into_iter();
    let mut answers = Vec::new();
    for question in questions {
        answers.push(match question.meant {
            Named::Built(built) => {
                let build = Build::from(built.clone());
                build.find(here, &question.platform).map(|found| found.resolved.into())
            }
            Named::Sif(reference) => {
                let found = artifact(&client, reference, &question.platform);
                block_on(here, found)?.map_err(Report::from).map(|(pin, sif)| Answer {
                    pin,
                    sif: Some(SifDigest::from_bytes(*sif.digest.bytes())),
                })
            }
            // asked for apart: it has no pin of a registry
            Named::Hub(_) => continue,
            Named::Reference(_) => match resolved.next() {
                Some(answer) => answer.map(Answer::from).map_err(Report::from),
                None => Err(AcquireError::NoAnswer.into()),
            },
        });
    }
    Ok(answers)
}
