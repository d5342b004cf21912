//! A converted SIF that leaves the store: it is whole, or the image is converted once more.
//!
//! ```text
//! for others (a site's store, a registry)   hashed before it goes      whole
//! a copy in a file                          hashed while it is copied  copied
//! ```

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::error::AcquireError;
use super::manners::Manners;
use super::obtain::{Obtained, convert, tell};
use super::surroundings::Surroundings;
use super::what::Asked;
use crate::failure::Report;
use crate::oci::{Hasher, Platform, SifDigest};
use crate::pin::{Image, Recipe};
use crate::store::StoredSif;

/// One conversion, which may have to be made twice.
#[derive(Debug)]
pub struct Conversion<'a> {
    /// Of what.
    pub asked: &'a Asked,
    /// For which machines.
    pub platform: &'a Platform,
    /// How it is made.
    pub recipe: &'a Recipe,
    /// How much of this machine it takes.
    pub manners: Manners,
}

impl Conversion<'_> {
    /// Makes it, or takes the SIF that is in the store.
    ///
    /// # Errors
    /// As [`convert`].
    pub fn make(&self, here: &dyn Surroundings) -> Result<Obtained, Report> {
        convert(here, self.asked, self.platform, self.recipe, self.manners)
    }

    /// The same for others: one that was in the store is hashed, and made once more when it was damaged.
    ///
    /// # Errors
    /// As [`convert`].
    pub fn whole(&self, here: &dyn Surroundings) -> Result<Obtained, Report> {
        let made = self.make(here)?;
        let store = here.store()?;
        if !made.staged.known || store.check_sif(&made.sif()?)? {
            return Ok(made);
        }
        // says what was damaged
        tell(here, &store);
        self.make(here)
    }

    /// Copies it to `to`. When the store's file turns out to be damaged meanwhile, the image is made and copied
    /// once more; what counts is given.
    ///
    /// # Errors
    /// As [`convert`], and when this machine loses bytes or the copy cannot be written: nothing new stands at `to`
    /// then.
    pub fn copied(
        &self,
        here: &dyn Surroundings,
        made: Obtained,
        to: &Path,
    ) -> Result<Obtained, Report> {
        let sif = made.sif()?;
        let Some(found) = copy(&sif, to)? else { return Ok(made) };
        let store = here.store()?;
        store.damaged_sif(&sif, &found)?;
        tell(here, &store);
        let made = self.make(here)?;
        let sif = made.sif()?;
        match copy(&sif, to)? {
            None => Ok(made),
            Some(found) => {
                Err(AcquireError::LosesBytes { path: sif.path, found, made: sif.digest }.into())
            }
        }
    }
}

impl Obtained {
    /// The file in the store.
    ///
    /// # Errors
    /// When the conversion made no SIF.
    pub fn sif(&self) -> Result<StoredSif, AcquireError> {
        let Image::Sif { digest, tree, .. } = &self.staged.image else {
            return Err(AcquireError::NoSif);
        };
        let (size, signed_by) = (self.staged.size, self.staged.signed_by);
        Ok(StoredSif {
            digest: *digest,
            size,
            path: self.staged.place.clone(),
            signed_by,
            tree: *tree,
        })
    }
}

/// The directory that a file is to stand in.
#[must_use]
pub fn folder(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies by temporary file and rename, so that no half-written or damaged SIF has the name. The digest
/// of what was read when it is another one: nothing new stands at `to` then.
fn copy(sif: &StoredSif, to: &Path) -> Result<Option<SifDigest>, AcquireError> {
    let work = || -> io::Result<Option<SifDigest>> {
        let mut file = crate::store::temporary_beside(folder(to))?;
        let mut from = Hashed { file: fs::File::open(&sif.path)?, hasher: Hasher::default() };
        io::copy(&mut from, file.as_file_mut())?;
        let found: SifDigest = from.hasher.finish();
        if found != sif.digest {
            return Ok(Some(found));
        }
        file.as_file().set_permissions(fs::Permissions::from_mode(0o755))?;
        crate::files::publish(file, to).map(|()| None)
    };
    work().map_err(|source| AcquireError::Unwritten { path: to.to_owned(), source })
}

/// Hashes what is read.
struct Hashed {
    file: fs::File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Sha256Digest;

    #[test]
    fn a_damaged_sif_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("store.sif"), "bytes").unwrap();
        let sif = |of: &[u8]| StoredSif {
            digest: SifDigest::of(of),
            size: 5,
            path: at("store.sif"),
            signed_by: None,
            tree: None,
        };
        assert_eq!(copy(&sif(b"bytes"), &at("copy.sif")).unwrap(), None);
        assert_eq!(fs::read(at("copy.sif")).unwrap(), b"bytes");
        let found = copy(&sif(b"other"), &at("new.sif")).unwrap();
        assert_eq!(found, Some(SifDigest::of(b"bytes")));
        assert!(!at("new.sif").exists());
        copy(&sif(b"other"), &at("copy.sif")).unwrap();
        assert_eq!(fs::read(at("copy.sif")).unwrap(), b"bytes", "what stood there stays");
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 2, "nothing is left behind");
        let error = copy(&sif(b"bytes"), &at("none/copy.sif")).unwrap_err();
        assert!(error.to_string().contains("none/copy.sif"), "{error}");
        assert_eq!(folder(Path::new("a")), Path::new("."));
    }
}
