//! A converted SIF that leaves the store: it is whole, or the image is converted once more.
//!
//! ```text
//! for others (a site's store, a registry)   hashed before it goes      whole
//! a copy in a file                          hashed while it is copied  copied
//! its file system in a file                 the whole SIF is hashed    extracted
//! ```

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::error::AcquireError;
use super::manners::Manners;
use super::obtain::{Obtained, convert, tell};
use super::surroundings::Surroundings;
use super::what::Asked;
use crate::failure::Report;
use crate::oci::{Digest, Hasher, Platform, SifDigest};
use crate::pin::{Image, Recipe};
use crate::sif::SifReader;
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
        let (made, copied) = self.written(here, made, to, Part::Whole)?;
        copied.published(to, 0o755)?;
        Ok(made)
    }

    /// The file system of a SIF alone, for programs that take a squashfs: the same tree, and the same bytes each time.
    /// It lies beside `to` and has no name yet. Only a SIF whose bytes are right gives one.
    ///
    /// # Errors
    /// As [`Conversion::copied`].
    pub fn extracted(
        &self,
        here: &dyn Surroundings,
        made: Obtained,
        to: &Path,
    ) -> Result<(Obtained, Copied), Report> {
        self.written(here, made, to, Part::FileSystem)
    }

    fn written(
        &self,
        here: &dyn Surroundings,
        made: Obtained,
        to: &Path,
        part: Part,
    ) -> Result<(Obtained, Copied), Report> {
        let sif = made.sif()?;
        let found = match copy(&sif, to, part)? {
            Ok(copied) => return Ok((made, copied)),
            Err(found) => found,
        };
        let store = here.store()?;
        store.damaged_sif(&sif, &found)?;
        tell(here, &store);
        let made = self.make(here)?;
        let sif = made.sif()?;
        match copy(&sif, to, part)? {
            Ok(copied) => Ok((made, copied)),
            Err(found) => {
                Err(AcquireError::LosesBytes { path: sif.path, found, made: sif.digest }.into())
            }
        }
    }
}

/// What is written of a SIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    FileSystem,
}

/// What was written of a SIF whose bytes were right. It goes when it is dropped without a name.
#[derive(Debug)]
pub struct Copied {
    file: NamedTempFile,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// Their number.
    pub size: u64,
}

impl Copied {
    /// Gives it its name, as a whole and durable.
    ///
    /// # Errors
    /// When it cannot have the name.
    pub fn published(self, to: &Path, mode: u32) -> Result<(), AcquireError> {
        let permissions = fs::Permissions::from_mode(mode);
        let named = self.file.as_file().set_permissions(permissions);
        named
            .and_then(|()| crate::files::publish(self.file, to))
            .map_err(|source| AcquireError::Unwritten { path: to.to_owned(), source })
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

/// Copies to a temporary file beside `to`, so that no half-written or damaged copy has the name. The digest of what was
/// read, when it is another one than the SIF's.
fn copy(sif: &StoredSif, to: &Path, part: Part) -> Result<Result<Copied, SifDigest>, AcquireError> {
    let work = || -> io::Result<Result<Copied, SifDigest>> {
        let mut file = crate::store::temporary_beside(folder(to))?;
        let mut from = Hashed { from: fs::File::open(&sif.path)?, hasher: Hasher::default() };
        let mut out = HashedOut { to: file.as_file_mut(), hasher: Hasher::default() };
        let size = match part {
            Part::Whole => io::copy(&mut from, &mut out)?,
            Part::FileSystem => {
                let reader = SifReader::open(fs::File::open(&sif.path)?);
                let partition = reader.and_then(|sif| sif.partition()).map_err(io::Error::other)?;
                // all of it is hashed: only bytes of the right file count
                io::copy(&mut (&mut from).take(partition.offset), &mut io::sink())?;
                let size = io::copy(&mut (&mut from).take(partition.size), &mut out)?;
                io::copy(&mut from, &mut io::sink())?;
                size
            }
        };
        let sha256 = out.hasher.finish();
        let found: SifDigest = from.hasher.finish();
        Ok(if found == sif.digest { Ok(Copied { file, sha256, size }) } else { Err(found) })
    };
    work().map_err(|source| AcquireError::Unwritten { path: to.to_owned(), source })
}

/// Hashes what is read.
struct Hashed {
    from: fs::File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

/// Hashes what is written.
struct HashedOut<'a> {
    to: &'a mut fs::File,
    hasher: Hasher,
}

impl Write for HashedOut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.to.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
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
        let copy = |sif: &StoredSif, to: &Path| match copy(sif, to, Part::Whole)? {
            Ok(copied) => copied.published(to, 0o755).map(|()| None),
            Err(found) => Ok(Some(found)),
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
