//! Which files stay visible, told from the top layer down, before the lower ones are read.
//!
//! ```text
//! layer 3   a/.wh.b   c (file)     hides a/b and below, c and below, from layers 0 to 2
//! layer 2   a/b/x -> hidden        d/ (directory): hides a file d, nothing below it
//! ```
//!
//! A forecast, not the truth: it compares paths as they are spelled, so it is wrong where a symbolic link leads
//! elsewhere, a path comes twice in one layer, or a hidden name has a second one. Its user compares it with the merged
//! tree, which is right, and starts again where they differ. Paths are held as 64-bit hashes for the same reason.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashSet};

use super::reader::{Member, MemberKind};
use super::whiteout::{self, Whiteout};
use crate::tree::TreePath;

/// What the name itself is hidden, or what is below it.
const ITSELF: u8 = 1;
const BELOW: u8 = 2;

/// What the layers that were read hide from those below them.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    above: HashMap<u64, u8>,
    own: HashMap<u64, u8>,
    /// Hidden or not, a hard link of an upper layer leads to it.
    linked: HashSet<u64>,
    /// Nobody can know which paths have the same hash.
    keys: RandomState,
}

impl Forecast {
    /// Takes the next entry of a layer; whether it will be visible, if it is a file.
    pub fn see(&mut self, entry: &Member) -> bool {
        // what is wrong with a path is told when it is merged
        let Ok(path) = TreePath::parse(&entry.path) else { return true };
        let Some((last, parents)) = path.names().split_last() else { return true };
        if whiteout::aufs(path.names()).is_some() {
            // seen where its links are, if at all
            return true;
        }
        if let Some(whiteout) = whiteout::read(last) {
            let parent = self.hash(parents);
            match whiteout {
                Whiteout::Name(name) => self.hide(self.child(parent, name), ITSELF | BELOW),
                Whiteout::Opaque => self.hide(parent, BELOW),
                Whiteout::Ignored | Whiteout::Invalid => {}
            }
            return false;
        }
        let (own, visible) = self.visible(path.names());
        if let MemberKind::HardLink(target) = &entry.kind
            && visible
            && let Ok(target) = TreePath::parse(target)
            && !target.names().is_empty()
        {
            let target = self.hash(target.names());
            if !self.own.contains_key(&target) {
                self.linked.insert(target);
            }
        }
        let below = if entry.kind == MemberKind::Directory { 0 } else { BELOW };
        self.hide(own, ITSELF | below);
        visible
    }

    /// Takes a file that is added to the image.
    pub fn hide_file(&mut self, path: &str) {
        if let Ok(path) = TreePath::parse(path.as_bytes()) {
            let own = self.hash(path.names());
            self.hide(own, ITSELF | BELOW);
        }
    }

    /// What was seen hides from now on.
    pub fn next_layer(&mut self) {
        for (path, hides) in self.own.drain() {
            *self.above.entry(path).or_default() |= hides;
        }
    }

    fn hide(&mut self, path: u64, hides: u8) {
        *self.own.entry(path).or_default() |= hides;
    }

    /// The hash of a path that is not the root, and whether nothing above hides it.
    fn visible(&mut self, names: &[&[u8]]) -> (u64, bool) {
        let is = |path: u64, what| self.above.get(&path).is_some_and(|hides| hides & what != 0);
        let (mut own, mut hidden) = (0, false);
        for name in names {
            hidden = hidden || is(own, BELOW);
            own = self.child(own, name);
        }
        let hidden = hidden || is(own, ITSELF);
        (own, self.linked.remove(&own) || !hidden)
    }

    /// The hash of a path; the root's is 0.
    fn hash(&self, names: &[&[u8]]) -> u64 {
        names.iter().fold(0, |at, name| self.child(at, name))
    }

    fn child(&self, parent: u64, name: &[u8]) -> u64 {
        self.keys.hash_one((parent, name))
    }
}
