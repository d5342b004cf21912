//! Names that the image does not have and mounts need. They lie over the image's tree in the answers alone: nothing of the
//! image's file changes, and what the program finds below them is what is mounted there.
//!
//! ```text
//! /                the image's root, with more names
//!   opt/           the image's directory, with one more name
//!     data/        made
//!   work_dir/      made
//! ```

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Component;

use crate::runtime::builtin::Lacking;

/// The numbers from here on are ours: a reference to an inode of a squashfs has 48 bits.
const FIRST: u64 = 1 << 49;

/// What lies over an image's tree.
pub(super) struct Added(Vec<Node>);

/// A directory on the way to a name, or what has this name.
struct Node {
    /// The image's directory that is shown with more names.
    of: Option<u64>,
    directory: bool,
    /// The names that are more, or take the place of the image's.
    names: BTreeMap<Vec<u8>, u64>,
}

impl Added {
    /// Over the image's directory `root`; `find` looks for a directory of this name in one of the image's.
    pub(super) fn over<E>(
        root: u64,
        lacking: &[Lacking],
        find: impl Fn(u64, &[u8]) -> Result<Option<u64>, E>,
    ) -> Result<Self, E> {
        let mut all = Self(vec![Node { of: Some(root), directory: true, names: BTreeMap::new() }]);
        for name in lacking {
            let mut here = 0;
            let mut parts = name.target.components().peekable();
            while let Some(part) = parts.next() {
                let Component::Normal(part) = part else { continue };
                let last = parts.peek().is_none();
                here = all.child(here, part.as_bytes(), !last || name.directory, |directory| {
                    // what has the last name in the image is of another type: it is replaced
                    if last { Ok(None) } else { find(directory, part.as_bytes()) }
                })?;
            }
        }
        Ok(all)
    }

    /// The index of a child, which is made where it is not there.
    fn child<E>(
        &mut self,
        parent: usize,
        name: &[u8],
        directory: bool,
        find: impl FnOnce(u64) -> Result<Option<u64>, E>,
    ) -> Result<usize, E> {
        let new = self.0.len();
        let Some(node) = self.0.get(parent) else { return Ok(parent) };
        if let Some(known) = node.names.get(name).and_then(|number| index(*number)) {
            return Ok(known);
        }
        let of = node.of.map_or(Ok(None), find)?;
        self.0[parent].names.insert(name.to_vec(), FIRST + new as u64);
        self.0.push(Node { of, directory, names: BTreeMap::new() });
        Ok(new)
    }

    fn node(&self, number: u64) -> Option<&Node> {
        self.0.get(index(number)?)
    }

    /// What a number of ours stands for; `None` for a number of the image's.
    pub(super) fn at(&self, number: u64) -> Option<At> {
        self.node(number).map(|node| match node.of {
            Some(reference) => At::Image(reference),
            None => At::Made { directory: node.directory },
        })
    }

    /// The names that a directory has more than the image's, or instead of them: with their numbers, and whether
    /// they are directories.
    pub(super) fn names(&self, directory: u64) -> impl Iterator<Item = (&[u8], u64, bool)> {
        let names = self.node(directory).into_iter().flat_map(|node| &node.names);
        names.map(|(name, number)| {
            let directory = self.node(*number).is_some_and(|node| node.directory);
            (name.as_slice(), *number, directory)
        })
    }
}

/// The root's number.
pub(super) const ROOT: u64 = 1;

/// Where the kernel's root is the first of ours.
fn index(number: u64) -> Option<usize> {
    match number {
        ROOT => Some(0),
        _ => usize::try_from(number.checked_sub(FIRST)?).ok(),
    }
}

/// What a number of ours stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The image's directory at this reference, with more names.
    Image(u64),
    /// Nothing of the image.
    Made {
        /// A directory or a file, both empty.
        directory: bool,
    },
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::ffi::OsStr;

    use super::*;

    fn lacking(target: &[u8], directory: bool) -> Lacking {
        Lacking { target: OsStr::from_bytes(target).into(), directory }
    }

    /// An image whose root, 7, has the directory `opt`, 70, which has `a`, 700.
    fn over(all: &[Lacking]) -> Added {
        let find = |directory: u64, name: &[u8]| {
            let found = (directory == 7 && name == b"opt") || (directory == 70 && name == b"a");
            Ok::<_, Infallible>(found.then_some(directory * 10))
        };
        let Ok(added) = Added::over(7, all, find);
        added
    }

    #[test]
    fn names_lie_over_the_image() {
        let added = over(&[
            lacking(b"/work_dir", true),
            lacking(b"/opt/a/new/file", false),
            lacking(b"/opt/a", false),
            lacking(b"/opt/\xff", true),
        ]);
        let names = |number| -> Vec<(Vec<u8>, u64, bool)> {
            added.names(number).map(|(name, number, dir)| (name.to_vec(), number, dir)).collect()
        };
        assert_eq!(added.at(1), Some(At::Image(7)));
        let root = names(1);
        assert_eq!(root.len(), 2);
        let (opt, work) = (&root[0], &root[1]);
        assert_eq!((&*opt.0, added.at(opt.1)), (&b"opt"[..], Some(At::Image(70))));
        assert_eq!(
            (&*work.0, added.at(work.1)),
            (&b"work_dir"[..], Some(At::Made { directory: true }))
        );
        let opt = names(opt.1);
        assert_eq!((&*opt[0].0, added.at(opt[0].1)), (&b"a"[..], Some(At::Image(700))));
        assert_eq!((&*opt[1].0, opt[1].2), (&b"\xff"[..], true));
        let new = names(opt[0].1);
        assert_eq!(added.at(new[0].1), Some(At::Made { directory: true }));
        let file = names(new[0].1);
        assert_eq!((file[0].2, added.at(file[0].1)), (false, Some(At::Made { directory: false })));
        assert!(names(file[0].1).is_empty());
        // numbers of the image's inodes
        assert_eq!((added.at(2), added.at((1 << 48) + 1), added.at(u64::MAX)), (None, None, None));
    }
}
