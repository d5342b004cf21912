//! Is every file of the store what its name says? What is not goes into the trash, where it can be
//! looked at until the next `prune` deletes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::found::files;
use super::inventory::sif_name;
use super::pins::Mapping;
use super::{Store, StoreError, clock, safe};
use crate::files;
use crate::oci::{Digest, Sha256Digest};
use crate::sif::{self, SifReader};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
    /// Where it is now; `None` when it could not be read or moved and is where it was.
    pub moved: Option<PathBuf>,
}

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Blobs.
    pub blobs: usize,
    /// Images.
    pub sifs: usize,
    /// Files of runtimes that the user added.
    pub runtimes: usize,
    /// Mappings from a manifest to an image.
    pub mappings: usize,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Store {
    /// Hashes every blob and SIF, reads every mapping, and compares it with the manifest in its SIF: that
    /// finds mix-ups only. Indexes are not looked at: who reads them
    /// checks them.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn verify(&self, show: &mut dyn FnMut(&Path)) -> Result<Checked, StoreError> {
        let mut done = Checked::default();
        let mut blobs = Vec::new();
        files(&self.root.join("blobs"), &mut |path, _| blobs.push(path.to_owned()))?;
        let mut sifs = Vec::new();
        files(&self.root.join("sifs"), &mut |path, _| sifs.push(path.to_owned()))?;
        let mut runtimes = Vec::new();
        files(&self.runtime_files(), &mut |path, _| runtimes.push(path.to_owned()))?;
        let mut mappings = Vec::new();
        files(&self.root.join("pins"), &mut |path, _| mappings.push(path.to_owned()))?;

        for path in blobs {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else { continue };
            show(&path);
            done.blobs += usize::from(self.check(&path, digest, &mut done));
        }
        for path in runtimes {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else { continue };
            show(&path);
            done.runtimes += usize::from(self.check(&path, digest, &mut done));
        }
        for path in sifs {
            let Some(digest) = sif_name(&path) else { continue };
            show(&path);
            done.sifs += usize::from(self.check(&path, digest, &mut done));
        }
        for path in mappings {
            done.mappings += 1;
            if let Some(why) = self.wrong(&path) {
                self.set_aside(path, why, &mut done);
            }
        }
        Ok(done)
    }

    /// Whether a file was there to be looked at.
    fn check<D: Sha256Digest>(&self, path: &Path, expected: D, done: &mut Checked) -> bool {
        match safe::file(path) {
            Ok(Some(_)) => {}
            // pruned meanwhile
            Ok(None) => return false,
            Err(StoreError::Foreign { why, .. }) => {
                self.set_aside(path.to_owned(), why, done);
                return true;
            }
            Err(error) => {
                done.faults.push(unread(path, &error));
                return true;
            }
        }
        match hash::<D>(path) {
            Ok((found, length)) => {
                done.bytes += length;
                if found != expected {
                    self.set_aside(path.to_owned(), format!("its bytes are {found}"), done);
                }
                true
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            // the file system's trouble may pass
            Err(e) => {
                done.faults.push(unread(path, &e));
                true
            }
        }
    }

    /// What is wrong with a mapping.
    fn wrong(&self, path: &Path) -> Option<String> {
        let mapping = match Mapping::read(path) {
            Ok(mapping) => mapping?,
            Err(StoreError::Foreign { why, .. }) => return Some(why),
            Err(StoreError::Mapping { source, .. }) => return Some(format!("malformed: {source}")),
            // one that cannot be read now is no proof of damage
            Err(_) => return None,
        };
        let mut names = path.components().rev().map(|part| part.as_os_str().to_string_lossy());
        let file = names.next().unwrap_or_default();
        let dir = names.next().unwrap_or_default();
        if *dir != *mapping.manifest.hex() || *file != format!("{}.json", mapping.recipe.key()) {
            return Some("it speaks of another manifest or recipe than its name".into());
        }
        let sif = self.sif_path(&mapping.sif);
        let length = fs::metadata(&sif).ok()?.len();
        if length != mapping.size {
            return Some(format!("it says {} bytes, the image has {length}", mapping.size));
        }
        // a mix-up is found so, and nothing that somebody made up: he writes both
        let bytes = SifReader::open(File::open(&sif).ok()?).ok()?.object(sif::MANIFEST).ok()?;
        let found = Digest::of(&bytes);
        (found != mapping.manifest)
            .then(|| format!("the image says that it was made from another manifest, {found}"))
    }

    fn set_aside(&self, path: PathBuf, why: String, done: &mut Checked) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = self.trash_path(Path::new(&format!("damaged-{name}")));
        // its stay in the trash begins now; a foreign file keeps its time
        let _ = clock::touch_path(&path);
        let moved = files::rename(&path, &target).is_ok().then_some(target);
        done.faults.push(Fault { path, why, moved });
    }
}

fn unread(path: &Path, error: &dyn std::error::Error) -> Fault {
    Fault { path: path.to_owned(), why: error.to_string(), moved: None }
}

pub(super) fn hash<D: Sha256Digest>(path: &Path) -> io::Result<(D, u64)> {
    let sum = files::sha256(&mut File::open(path)?)?;
    Ok((D::from_bytes(sum.sha256), sum.length))
}
