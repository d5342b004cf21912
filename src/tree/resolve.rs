//! Finding a path in the tree as a kernel would find it under a `chroot`.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::path::{PathError, TreePath, show};
use super::{Inode, InodeId, Kind, Meta, Tree};

/// As many as Linux follows (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// A directory and a name in it, which may or may not be taken.
pub type Place = (InodeId, Box<[u8]>);

/// What to do about a directory that is not there.
enum Missing<'a> {
    Stop,
    Make(u32, &'a Meta),
}

impl Tree {
    /// The directory in which the path's last name belongs, and that name. Missing directories are
    /// made for `layer` with `implied`; links above the name are followed, the name itself is not.
    ///
    /// # Errors
    /// When something that is no directory is in the way, links lead in a circle, the path is too
    /// deep, or it is the root.
    pub fn parent_of(
        &mut self,
        path: &TreePath,
        layer: u32,
        implied: &Meta,
    ) -> Result<Place, PathError> {
        let (parents, name) = path.clone().split().ok_or(PathError::Root)?;
        let walked = self.walk(&parents, &Missing::Make(layer, implied))?;
        // with Make nothing stays missing
        Ok((walked.unwrap_or_else(|| self.root()), name))
    }

    /// The directory in which the path's last name belongs, if it is there, and that name.
    ///
    /// # Errors
    /// As [`Tree::parent_of`].
    pub fn find_parent(&mut self, path: &TreePath) -> Result<Option<Place>, PathError> {
        let (parents, name) = path.clone().split().ok_or(PathError::Root)?;
        Ok(self.walk(&parents, &Missing::Stop)?.map(|at| (at, name)))
    }

    /// The inode of a path; its last name is not followed if it is a link.
    ///
    /// # Errors
    /// As [`Tree::parent_of`]; a path that is not there is no error.
    pub fn find(&mut self, path: &TreePath) -> Result<Option<InodeId>, PathError> {
        if path.names().is_empty() {
            return Ok(Some(self.root()));
        }
        let parent = self.find_parent(path)?;
        Ok(parent.and_then(|(at, name)| self.lookup(at, &name)).map(|entry| entry.inode))
    }

    fn walk(
        &mut self,
        path: &TreePath,
        missing: &Missing<'_>,
    ) -> Result<Option<InodeId>, PathError> {
        let mut above = vec![self.root()];
        let mut links = 0;
        let mut todo: VecDeque<Cow<'_, [u8]>> =
            path.names().iter().map(|name| Cow::Borrowed(&**name)).collect();
        while let Some(name) = todo.pop_front() {
            let here = *above.last().unwrap_or(&InodeId(0));
            let next = match &*name {
                b"" | b"." => continue,
                b".." => {
                    // the root's .. is the root
                    above.truncate((above.len() - 1).max(1));
                    continue;
                }
                name => self.lookup(here, name).map(|entry| entry.inode),
            };
            let next = match (next, missing) {
                (Some(next), _) => next,
                (None, Missing::Stop) => return Ok(None),
                (None, Missing::Make(layer, implied)) => {
                    if name.contains(&0) {
                        return Err(PathError::Nul);
                    }
                    if name.len() > super::MAX_NAME {
                        return Err(PathError::LongName(name.len()));
                    }
                    let meta = (*implied).clone();
                    let kind = Kind::Directory(Box::default());
                    self.insert(here, &name, Inode { meta, kind, layer: *layer })
                }
            };
            match &self.get(next).kind {
                Kind::Directory(_) => {
                    above.push(next);
                    // the name that will be added below needs a place, too
                    if above.len() > self.depth {
                        return Err(PathError::TooDeep(self.depth));
                    }
                }
                Kind::Symlink(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(PathError::Loop);
                    }
                    if target.starts_with(b"/") {
                        above.truncate(1);
                    }
                    for part in target.split(|b| *b == b'/').rev() {
                        todo.push_front(Cow::Owned(part.to_vec()));
                    }
                }
                _ => return Err(PathError::NotADirectory(show(&name))),
            }
        }
        Ok(above.last().copied())
    }
}
