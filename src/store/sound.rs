//! Checks that a SIF of the store still has the bytes that its name says. It is hashed again when its file has changed
//! since it was hashed (`seen.rs`), and whenever the whole file is handed out.
//!
//! A damaged one goes to the trash, where it can be looked at until the next `prune` deletes it, and
//! counts as missing from then on: whoever asked for it makes it again.

use std::io;
use std::path::Path;

use super::verify::hash;
use super::{Store, StoreError, StoredSif, clock, safe};
use crate::files;
use crate::oci::SifDigest;

impl Store {
    /// Hashes a SIF of this store; one that is damaged goes to the trash, and [`Store::told`] says so.
    ///
    /// # Errors
    /// When it cannot be read or moved.
    pub(super) fn is_sound(&self, path: &Path, expected: SifDigest) -> Result<bool, StoreError> {
        let read = safe::there(hash::<SifDigest>(path));
        let Some((found, _)) = read.map_err(StoreError::io("cannot read", path))? else {
            return Ok(false);
        };
        if found == expected {
            return Ok(true);
        }
        self.put_away(path, &format!("its bytes are {found}"))?;
        Ok(false)
    }

    /// The same for who hands a SIF out. One that lies elsewhere, in the site's store, stays where it is.
    ///
    /// # Errors
    /// As the store says; [`StoreError::Foreign`] for a damaged SIF of another store.
    pub fn check_sif(&self, sif: &StoredSif) -> Result<bool, StoreError> {
        if sif.path == self.sif_path(&sif.digest) {
            return self.is_sound(&sif.path, sif.digest);
        }
        let read = hash::<SifDigest>(&sif.path);
        let (found, _) = read.map_err(StoreError::io("cannot read", &sif.path))?;
        if found == sif.digest {
            return Ok(true);
        }
        Err(StoreError::Foreign { path: sif.path.clone(), why: format!("its bytes are {found}") })
    }

    /// Moves a SIF that whoever copied it found damaged to the trash.
    ///
    /// # Errors
    /// When it lies in another store, or cannot be moved.
    pub fn damaged_sif(&self, sif: &StoredSif, found: &SifDigest) -> Result<(), StoreError> {
        let why = format!("its bytes are {found}");
        if sif.path == self.sif_path(&sif.digest) {
            return self.put_away(&sif.path, &why);
        }
        Err(StoreError::Foreign { path: sif.path.clone(), why })
    }

    fn put_away(&self, path: &Path, why: &str) -> Result<(), StoreError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = self.trash_path(Path::new(&format!("damaged-{name}")));
        // its stay in the trash begins now
        let _ = clock::touch_path(path);
        match files::rename(path, &target) {
            Ok(()) => {}
            // another process was faster
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io("cannot move", path)(e)),
        }
        self.tell(format!("{} was damaged ({why}) and was moved to the trash", path.display()));
        Ok(())
    }

    pub(super) fn tell(&self, what: String) {
        self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(what);
    }

    /// What this store has to say of itself since it was asked last: damage that it met.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ledger::testing;
    use crate::oci::{Digest, Sha256Digest};

    #[test]
    fn a_sif_that_is_not_what_it_was_is_hashed_and_put_away() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let recipe = testing::recipe();
        let manifest = Digest::of(b"manifest");
        let make = || {
            let mut file = store.incoming().unwrap();
            file.write(b"SIF").unwrap();
            store.publish_sif(file, &manifest, &recipe, (SifDigest::of(b"SIF"), 3), None).unwrap()
        };
        let sif = make();
        // another file with the same bytes: hashed once, known again
        fs::copy(&sif.path, dir.path().join("copy")).unwrap();
        fs::rename(dir.path().join("copy"), &sif.path).unwrap();
        assert_eq!(store.sif(&manifest, &recipe).unwrap(), Some(sif.clone()));
        assert!(store.told().is_empty() && store.check_sif(&sif).unwrap());
        // one byte, also where all times were kept by whoever flipped it
        let flip = |bytes: &[u8]| {
            fs::set_permissions(&sif.path, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(&sif.path, bytes).unwrap();
            fs::set_permissions(&sif.path, fs::Permissions::from_mode(0o444)).unwrap();
        };
        for bytes in [b"SIX".as_slice(), b"SI", b"SIFF"] {
            flip(bytes);
            assert_eq!(store.sif(&manifest, &recipe).unwrap(), None);
            let told = store.told();
            assert!(told.len() == 1 && told[0].contains("damaged"), "{told:?}");
            assert!(!sif.path.exists() && store.told().is_empty());
            assert_eq!(make(), sif);
        }
        flip(b"six");
        assert!(!store.check_sif(&sif).unwrap() && !sif.path.exists());
        let elsewhere = dir.path().join("site.sif");
        fs::write(&elsewhere, "bad").unwrap();
        let site = StoredSif { path: elsewhere.clone(), ..sif };
        assert!(store.check_sif(&site).is_err() && elsewhere.exists());
    }
}
