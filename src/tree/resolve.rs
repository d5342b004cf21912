//! Finding a path in the tree as a kernel would find it under a `chroot`.

use std::ops::Range;

use super::path::{PathError, TreePath, show};
use super::{Inode, InodeId, Kind, Meta, Tree};

/// As many as Linux follows (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// Names that links lead through on the way to one entry; a target of Linux' length has 2,048 at most.
const MAX_STEPS: u64 = 4096;
/// Bytes of a target that cost as much as a name.
const SKIPPED: u64 = 64;

/// A directory and a name in it, which may or may not be taken.
pub type NameIn = (InodeId, Box<[u8]>);

/// What to do about a directory that is not there.
enum Missing<'a> {
    Stop,
    Make(u32, &'a Meta),
    /// The same where a lower layer has a file.
    Replace(u32, &'a Meta),
}

impl Tree {
    /// The directory in which the path's last name belongs, and that name. Missing directories are
    /// made for `layer` with `implied`; links above the name are followed, the name itself is not.
    ///
    /// # Errors
    /// When something that is not a directory is in the way, links lead in a circle, the path is too
    /// deep, or it is the root.
    pub fn parent_of(
        &mut self,
        path: &TreePath<'_>,
        layer: u32,
        implied: &Meta,
    ) -> Result<NameIn, PathError> {
        self.place(path, &Missing::Make(layer, implied))
    }

    /// As [`Tree::parent_of`], but a file of a lower layer that stands in the way is replaced by a
    /// directory, unless a link led to it.
    ///
    /// # Errors
    /// As [`Tree::parent_of`].
    pub fn parent_over(
        &mut self,
        path: &TreePath<'_>,
        layer: u32,
        implied: &Meta,
    ) -> Result<NameIn, PathError> {
        self.place(path, &Missing::Replace(layer, implied))
    }

    /// The same, where what is missing is made.
    fn place(&mut self, path: &TreePath<'_>, missing: &Missing<'_>) -> Result<NameIn, PathError> {
        let (name, parents) = path.names().split_last().ok_or(PathError::Root)?;
        let walked = self.walk(parents, missing)?;
        // nothing stays missing
        Ok((walked.unwrap_or_else(|| self.root()), (*name).into()))
    }

    /// The directory in which the path's last name belongs, if it is there, and that name.
    ///
    /// # Errors
    /// As [`Tree::parent_of`].
    pub fn find_parent(&mut self, path: &TreePath<'_>) -> Result<Option<NameIn>, PathError> {
        let (name, parents) = path.names().split_last().ok_or(PathError::Root)?;
        Ok(self.walk(parents, &Missing::Stop)?.map(|at| (at, (*name).into())))
    }

    /// The inode of a path; its last name is not followed if it is a link.
    ///
    /// # Errors
    /// As [`Tree::parent_of`]; a path that is not there is no error.
    pub fn find(&mut self, path: &TreePath<'_>) -> Result<Option<InodeId>, PathError> {
        if path.names().is_empty() {
            return Ok(Some(self.root()));
        }
        let parent = self.find_parent(path)?;
        Ok(parent.and_then(|(at, name)| self.lookup(at, &name)).map(|entry| entry.inode))
    }

    /// Whether nothing can be below it.
    fn is_in_the_way(&self, inode: InodeId) -> bool {
        !matches!(self.get(inode).kind, Kind::Directory(_) | Kind::Symlink(_))
    }

    fn walk(
        &mut self,
        path: &[&[u8]],
        missing: &Missing<'_>,
    ) -> Result<Option<InodeId>, PathError> {
        let mut above = vec![self.root()];
        let mut names = path.iter();
        // targets on whose names the way goes on, the innermost last
        let mut targets: Vec<Target> = Vec::new();
        let (mut links, mut steps) = (0, 0);
        loop {
            let spelled = targets.is_empty();
            let name: &[u8] = match targets.last_mut() {
                Some(target) => {
                    let Some(range) = target.next() else {
                        targets.pop();
                        continue;
                    };
                    steps += 1;
                    self.steps += 1;
                    if steps > MAX_STEPS {
                        return Err(PathError::LongWay(MAX_STEPS));
                    }
                    &target.bytes[range]
                }
                None => match names.next() {
                    Some(name) => name,
                    None => break,
                },
            };
            let here = *above.last().unwrap_or(&InodeId(0));
            if name == b".." {
                // the root's .. is the root
                above.truncate((above.len() - 1).max(1));
                continue;
            }
            let found = self.lookup(here, name);
            let next = match (found, missing) {
                (Some(found), Missing::Replace(layer, implied))
                    if found.layer < *layer && spelled && self.is_in_the_way(found.inode) =>
                {
                    let meta = (*implied).clone();
                    let kind = Kind::Directory(Box::default());
                    self.insert(here, name, Inode { meta, kind, layer: *layer })
                }
                (Some(found), _) => found.inode,
                (None, Missing::Stop) => return Ok(None),
                (None, Missing::Make(layer, implied) | Missing::Replace(layer, implied)) => {
                    if name.contains(&0) {
                        return Err(PathError::Nul);
                    }
                    if name.len() > super::MAX_NAME {
                        return Err(PathError::LongName(name.len()));
                    }
                    let meta = (*implied).clone();
                    let kind = Kind::Directory(Box::default());
                    self.insert(here, name, Inode { meta, kind, layer: *layer })
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
                    let bytes = target.clone();
                    // what is only skipped costs, too
                    self.steps += bytes.len() as u64 / SKIPPED;
                    targets.push(Target { bytes, at: 0 });
                }
                _ => return Err(PathError::NotADirectory(show(name))),
            }
        }
        Ok(above.last().copied())
    }
}

/// A link's target on the way.
struct Target {
    bytes: Box<[u8]>,
    at: usize,
}

impl Target {
    /// Where the next name stands that leads anywhere.
    fn next(&mut self) -> Option<Range<usize>> {
        while self.at < self.bytes.len() {
            let start = self.at;
            let rest = &self.bytes[start..];
            let end = start + rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
            self.at = end + 1;
            if !matches!(&self.bytes[start..end], b"" | b".") {
                return Some(start..end);
            }
        }
        None
    }
}
