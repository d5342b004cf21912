//! The site's store: SIFs that root or one service account publishes for everybody, signed.
//!
//! ```text
//! SITE/                        0755, root's or the service account's, like all directories above it
//!   sifs/sha256/HEX.sif        0444
//!   pins/HEX/RECIPE.sig.json   0444, the signed statement (sign.rs) of which SIF it is
//!   tmp/                       0700
//! ```
//!
//! Users only read it. A SIF is used when the statement is signed by a configured key, speaks of the
//! manifest and recipe that were asked for, and every file and directory on the way belongs to the
//! publisher and to nobody else. The bytes are measured by the worker, as always.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::PUBLISHING;
use super::{StoreError, StoredSif, safe};
use crate::files;
use crate::oci::{Digest, Sha256Digest};
use crate::pin::Recipe;
use crate::sign::{PublicKey, Signed, SigningKey, Statement};

/// The site's store, for reading.
#[derive(Clone, Debug)]
pub struct SiteStore {
    root: PathBuf,
    owners: Vec<u32>,
    keys: Vec<PublicKey>,
}

impl SiteStore {
    /// `owner` is the service account besides root; nothing is opened yet.
    #[must_use]
    pub fn new(root: &Path, owner: Option<u32>, keys: Vec<PublicKey>) -> Self {
        let owners = [Some(0), owner].into_iter().flatten().collect();
        Self { root: root.to_owned(), owners, keys }
    }

    fn sif_path(&self, hex: &str) -> PathBuf {
        self.root.join("sifs/sha256").join(format!("{hex}.sif"))
    }

    fn statement_path(&self, manifest: &Digest, recipe: &Recipe) -> PathBuf {
        self.root.join("pins").join(manifest.hex()).join(format!("{}.sig.json", recipe.key()))
    }

    /// The site's SIF of a manifest under a recipe, when there is one that can be believed.
    ///
    /// # Errors
    /// When there is something that cannot: it names the file or directory, and why.
    pub fn sif(&self, manifest: &Digest, recipe: &Recipe) -> Result<Option<StoredSif>, StoreError> {
        let path = self.statement_path(manifest, recipe);
        if !path.try_exists().map_err(StoreError::io("cannot look at", &path))?
            && fs::symlink_metadata(&path).is_err()
        {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut file = self.sound(&path)?;
        file.read_to_end(&mut bytes).map_err(StoreError::io("cannot read", &path))?;
        let signed: Signed = serde_json::from_slice(&bytes)
            .map_err(|source| StoreError::Mapping { path: path.clone(), source })?;
        let foreign = |why: String| StoreError::Foreign { path: path.clone(), why };
        let said = signed.verify(&self.keys).map_err(|e| foreign(e.to_string()))?;
        if said.manifest != *manifest || said.recipe != recipe.key() {
            return Err(foreign("it speaks of another manifest or recipe".into()));
        }
        let sif = self.sif_path(&said.sif.hex());
        let file = self.sound(&sif)?;
        let length = file.metadata().map_err(StoreError::io("cannot look at", &sif))?.len();
        if length != said.size {
            let why = format!("it has {length} bytes, its signature says {}", said.size);
            return Err(StoreError::Foreign { path: sif, why });
        }
        let signed_by = Some(signed.key());
        // who signed the SIF says what its tree is, too; without one it is hashed whole where it runs
        let Statement { sif: digest, size, tree, .. } = *said;
        Ok(Some(StoredSif { digest, size, path: sif, signed_by, tree }))
    }

    /// Opens a file and checks it and the way to it.
    fn sound(&self, path: &Path) -> Result<File, StoreError> {
        safe::walk(path.parent().unwrap_or(&self.root), &self.owners, false)?;
        let missing = || StoreError::io("cannot find", path)(io::ErrorKind::NotFound.into());
        safe::open(path, &self.owners)?.ok_or_else(missing)
    }

    /// Publishes a SIF of the publisher's own store.
    ///
    /// # Errors
    /// When this process is not the publisher, a directory on the way can be written by others, or a
    /// file cannot be written.
    pub fn publish(
        &self,
        sif: &StoredSif,
        manifest: &Digest,
        recipe: &Recipe,
        key: &SigningKey,
    ) -> Result<StoredSif, StoreError> {
        let me = rustix::process::geteuid().as_raw();
        if !self.owners.contains(&me) {
            let why = format!("uid {me} is not its publisher");
            return Err(StoreError::Unsafe { path: self.root.clone(), why });
        }
        safe::walk(&self.root, &self.owners, false)?;
        let target = self.sif_path(&sif.digest.hex());
        let statement = self.statement_path(manifest, recipe);
        self.public_dir(target.parent().unwrap_or(&self.root))?;
        self.public_dir(statement.parent().unwrap_or(&self.root))?;
        let tmp = self.root.join("tmp");
        safe::private_child(&tmp)?;
        if safe::file_of(&target, &self.owners)?.is_none() {
            let missing =
                || StoreError::io("cannot find", &sif.path)(io::ErrorKind::NotFound.into());
            let mut from = safe::open(&sif.path, &[me])?.ok_or_else(missing)?;
            place(&tmp, &target, &mut |file| io::copy(&mut from, file).map(drop))?;
        }
        let signed = key.sign(Statement {
            manifest: *manifest,
            recipe: recipe.key(),
            sif: sif.digest,
            size: sif.size,
            tree: sif.tree,
        });
        let text = serde_json::to_vec(&signed)
            .map_err(|source| StoreError::Mapping { path: statement.clone(), source })?;
        safe::file_of(&statement, &self.owners)?;
        place(&tmp, &statement, &mut |file| io::Write::write_all(file, &text))?;
        Ok(StoredSif { path: target, ..sif.clone() })
    }

    /// Makes directories below the root that everybody may read, whatever the umask.
    fn public_dir(&self, dir: &Path) -> Result<(), StoreError> {
        let below = dir.strip_prefix(&self.root).unwrap_or(dir);
        let mut path = self.root.clone();
        for name in below {
            path.push(name);
            match DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => fs::set_permissions(&path, Permissions::from_mode(0o755))
                    .map_err(StoreError::io("cannot open to all", &path))?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(StoreError::io("cannot make", &path)(e)),
            }
        }
        safe::walk(dir, &self.owners, false).map(drop)
    }
}

/// Writes a file for everybody to read: temporary file, sync, rename, sync of the directory.
fn place(
    tmp: &Path,
    target: &Path,
    write: &mut dyn FnMut(&mut File) -> io::Result<()>,
) -> Result<(), StoreError> {
    let mut work = || -> io::Result<()> {
        let mut file = super::temporary::temporary_in(tmp)?;
        write(file.as_file_mut())?;
        file.as_file().set_permissions(Permissions::from_mode(0o444))?;
        files::publish(file, target)
    };
    work().map_err(StoreError::io(PUBLISHING, target))
}
