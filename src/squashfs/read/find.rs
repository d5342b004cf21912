//! Single names, for who does not want all of them.

use super::directory::Names;
use super::error::check;
use super::inode::{self, Listing};
use super::{Image, Inode, Kind, ReadAt, ReadError};

impl<S: ReadAt> Image<S> {
    /// What a path leads to, `None` for nothing; without names it is the root. Links are not followed.
    ///
    /// # Errors
    /// When a table on the way is damaged. A directory that is not on the way is not looked at.
    pub fn find<'a>(
        &self,
        path: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Inode>, ReadError> {
        let (mut here, _) = inode::read(self, self.superblock.root)?;
        for part in path {
            let Kind::Directory(listing) = here.kind else { return Ok(None) };
            let mut names = Names::new(self, listing)?;
            let reference = loop {
                match names.next()? {
                    Some(name) if name.bytes == part => break name.reference,
                    Some(_) => {}
                    None => return Ok(None),
                }
            };
            (here, _) = inode::read(self, reference)?;
        }
        Ok(Some(here))
    }

    /// The names in a directory, in the order of their bytes.
    ///
    /// # Errors
    /// When its table is damaged, or there are more than the limit of entries.
    pub fn names(&self, listing: Listing) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut names = Names::new(self, listing)?;
        let mut all = Vec::new();
        while let Some(name) = names.next()? {
            all.push(name.bytes);
            check("entries", all.len() as u64, self.limits.entries)?;
        }
        Ok(all)
    }
}
