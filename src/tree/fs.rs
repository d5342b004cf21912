//! The tree itself: inodes, and the names that lead to them.

use std::collections::HashSet;

use super::{Dirent, Inode, InodeId, Kind, Meta, Name, Names};

/// The tree. Inode 0 is the root directory.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) inodes: Vec<Inode>,
    pub(super) depth: usize,
    /// See [`Tree::steps`].
    pub(super) steps: u64,
    /// The directories that were cleared for a layer: a million opaque whiteouts of one directory
    /// must not cost a million walks.
    cleared: (u32, HashSet<InodeId>),
}

impl Tree {
    /// A tree that is only a root directory; deeper than `depth` it refuses to grow.
    #[must_use]
    pub fn new(root: Meta, depth: usize) -> Self {
        let inodes = vec![Inode { meta: root, kind: Kind::Directory(Box::default()), layer: 0 }];
        Self { inodes, depth, steps: 0, cleared: (0, HashSet::new()) }
    }

    /// The root directory.
    pub fn root(&self) -> InodeId {
        InodeId(0)
    }

    /// An inode.
    pub fn get(&self, id: InodeId) -> &Inode {
        &self.inodes[id.index()]
    }

    /// An inode, to be changed.
    pub fn get_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.index()]
    }

    /// How many inodes were ever made, unreachable ones included.
    pub fn made(&self) -> usize {
        self.inodes.len()
    }

    /// How much work there was that no path's own length bounds: names that symbolic links led
    /// through, and names that were looked at for a whiteout.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The names in a directory; `None` when the inode is something else.
    pub fn names(&self, id: InodeId) -> Option<&Names> {
        match &self.get(id).kind {
            Kind::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// Takes the names out of a directory; none when the inode is something else.
    pub fn take_names(&mut self, id: InodeId) -> Names {
        match &mut self.get_mut(id).kind {
            Kind::Directory(names) => std::mem::take(names),
            _ => Names::default(),
        }
    }

    /// What a name in a directory means.
    pub fn lookup(&self, directory: InodeId, name: &[u8]) -> Option<Dirent> {
        self.names(directory)?.get(name).copied()
    }

    /// Adds an inode under a name, in place of what had that name.
    pub fn insert(&mut self, at: InodeId, name: &[u8], inode: Inode) -> InodeId {
        let layer = inode.layer;
        let id = self.unnamed(inode);
        self.link(at, name, id, layer);
        id
    }

    /// Adds an inode that is no part of the tree before [`Tree::link`] gives it a name.
    pub fn unnamed(&mut self, inode: Inode) -> InodeId {
        let id = InodeId(u32::try_from(self.inodes.len()).unwrap_or(u32::MAX));
        self.inodes.push(inode);
        id
    }

    /// Gives an inode one more name, in place of what had that name.
    pub fn link(&mut self, directory: InodeId, name: &[u8], inode: InodeId, layer: u32) {
        if let Kind::Directory(names) = &mut self.get_mut(directory).kind {
            names.insert(name.into(), Dirent { inode, layer });
        }
    }

    /// Takes a name away; an inode without names is no longer part of the tree.
    pub fn unlink(&mut self, directory: InodeId, name: &[u8]) {
        if let Kind::Directory(names) = &mut self.get_mut(directory).kind {
            names.remove(name);
        }
    }

    /// Removes everything under a name that layers below `layer` put there. A directory of theirs
    /// in which `layer` already made something stays, as if `layer` had made it without saying how.
    pub fn whiteout(&mut self, directory: InodeId, name: &[u8], layer: u32, implied: &Meta) {
        let Some(entry) = self.lookup(directory, name) else { return };
        self.clear(entry.inode, layer, implied);
        if entry.layer >= layer {
            return;
        }
        if self.names(entry.inode).is_some_and(|names| !names.is_empty()) {
            self.get_mut(entry.inode).meta = implied.clone();
            self.link(directory, name, entry.inode, layer);
        } else {
            self.unlink(directory, name);
        }
    }

    /// Gives back room that directories' names do not need.
    pub fn compact(&mut self) {
        for inode in &mut self.inodes {
            if let Kind::Directory(names) = &mut inode.kind {
                names.compact();
            }
        }
    }

    /// Removes everything in a directory that layers below `layer` put there.
    pub fn clear(&mut self, directory: InodeId, layer: u32, implied: &Meta) {
        if self.cleared.0 != layer {
            self.cleared = (layer, HashSet::new());
        }
        if self.names(directory).is_none() || !self.cleared.1.insert(directory) {
            return;
        }
        let Some(names) = self.names(directory) else { return };
        let names: Vec<Name> = names.iter().map(|(name, _)| name.clone()).collect();
        self.steps += names.len() as u64;
        for name in names {
            self.whiteout(directory, &name, layer, implied);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::ContentId;
    use crate::tree::PathError;
    use crate::tree::TreePath;

    fn file(n: u32) -> Inode {
        Inode { meta: Meta::default(), kind: Kind::File(ContentId(n)), layer: 0 }
    }

    fn tree() -> Tree {
        Tree::new(Meta::directory(0), 64)
    }

    fn parse(path: &str) -> TreePath<'_> {
        TreePath::parse(path.as_bytes()).unwrap()
    }

    #[test]
    fn a_whiteout_keeps_what_its_own_layer_made() {
        let mut t = tree();
        let implied = Meta::directory(0);
        for (path, layer) in [("d/old", 0), ("d/sub/old", 0), ("d/new", 1)] {
            let (at, name) = t.parent_of(&parse(path), layer, &implied).unwrap();
            t.insert(at, &name, Inode { layer, ..file(0) });
        }
        let mut other = t.clone();
        other.whiteout(other.root(), b"d", 2, &implied);
        assert!(other.names(other.root()).unwrap().is_empty());
        t.whiteout(t.root(), b"d", 1, &implied);
        let d = t.lookup(t.root(), b"d").unwrap().inode;
        let left: Vec<_> = t.names(d).unwrap().iter().map(|(k, _)| k.to_vec()).collect();
        assert_eq!(left, [b"new".to_vec()]);
    }

    #[test]
    fn nothing_is_lost_when_room_is_given_back() {
        let mut t = tree();
        // few names, then so many that they are a map
        for many in [48, 600] {
            for n in 0..many {
                t.insert(t.root(), format!("{n:03}").as_bytes(), file(0));
            }
            let before = t.names(t.root()).cloned();
            t.compact();
            assert_eq!(t.names(t.root()).cloned(), before);
            assert_eq!(before.map(|names| names.len()), Some(many));
        }
    }

    #[test]
    fn parents_follow_links_inside_only() {
        let mut t = tree();
        let implied = Meta::directory(0);
        let link = |to: &str| Inode { kind: Kind::Symlink(to.as_bytes().into()), ..file(0) };
        t.insert(t.root(), b"lib", link("usr/lib"));
        t.insert(t.root(), b"out", link("../../../etc"));
        t.insert(t.root(), b"abs", link("/usr/../opt"));
        t.insert(t.root(), b"a", link("b"));
        t.insert(t.root(), b"b", link("a"));
        t.insert(t.root(), b"f", file(0));
        for (path, meant) in
            [("lib/x", "usr/lib/x"), ("out/passwd", "etc/passwd"), ("abs/y", "opt/y")]
        {
            let (at, name) = t.parent_of(&parse(path), 0, &implied).unwrap();
            t.insert(at, &name, file(1));
            assert!(t.find(&parse(meant)).unwrap().is_some(), "{path}");
        }
        assert!(matches!(t.parent_of(&parse("a/x"), 0, &implied), Err(PathError::Loop)));
        assert!(matches!(
            t.parent_of(&parse("f/x"), 0, &implied),
            Err(PathError::NotADirectory(_))
        ));
        let deep = "d/".repeat(80) + "x";
        assert!(matches!(t.parent_of(&parse(&deep), 0, &implied), Err(PathError::TooDeep(64))));
    }

    #[test]
    fn numbers_are_preorder_and_links_are_counted() {
        let mut t = tree();
        let implied = Meta::directory(0);
        for path in ["b/x", "a/y", "a/c/z", "c"] {
            let (at, name) = t.parent_of(&parse(path), 0, &implied).unwrap();
            t.insert(at, &name, file(1));
        }
        let y = t.find(&parse("a/y")).unwrap().unwrap();
        t.link(t.root(), b"zz", y, 0);
        let numbering = t.number();
        let root = t.root();
        let mut number = |path: &str| numbering.number(t.find(&parse(path)).unwrap().unwrap());
        // root, then its names, then those of a, of a/c, of b
        assert_eq!(numbering.number(root), 1);
        assert_eq!([number("a"), number("b"), number("c"), number("zz")], [2, 3, 4, 5]);
        assert_eq!([number("a/c"), number("a/y"), number("a/c/z"), number("b/x")], [6, 5, 7, 8]);
        assert_eq!(numbering.links(y), 2);
        assert_eq!(numbering.links(root), 4);
        assert_eq!(numbering.len(), 8);
    }
}
