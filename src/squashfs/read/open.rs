//! Opens an image: its superblock, and the tables that are held.

use std::sync::Mutex;

use super::inflate::Inflater;
use super::superblock::Superblock;
use super::{Image, Limits, ReadAt, ReadError, fragment, id, xattr};
use crate::recent::Recent;

/// Bytes of inflated metadata that are kept.
const METADATA_CACHE: usize = 2 << 20;

/// Bytes of inflated fragments that are kept.
const FRAGMENT_CACHE: usize = 16 << 20;

impl<S: ReadAt> Image<S> {
    /// Opens the file system that takes up to `length` bytes of `source` from `base` on.
    ///
    /// # Errors
    /// When it is not a squashfs 4.0, its compressor is not read, or its superblock, id table or
    /// attribute table cannot be.
    pub fn open(source: S, base: u64, length: u64, limits: Limits) -> Result<Self, ReadError> {
        let superblock = Superblock::read(&source, base, length)?;
        let inflater = Inflater::new(superblock.compressor)?;
        let mut image = Self {
            inodes: superblock.inodes_table(),
            directories: superblock.directories_table(),
            fragments: fragment::table(&superblock)?,
            ids: Vec::new(),
            xattrs: None,
            metadata: Mutex::new((inflater, Recent::new(METADATA_CACHE))),
            tails: Mutex::new(Recent::new(FRAGMENT_CACHE)),
            source,
            base,
            limits,
            superblock,
        };
        image.ids = id::read(&image)?;
        image.xattrs = xattr::read(&image)?;
        Ok(image)
    }
}
