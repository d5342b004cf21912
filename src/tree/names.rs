//! A directory's names, sorted by unsigned bytes.
//!
//! ```text
//! few     sorted list    32 bytes a name: nearly all directories
//! many    B-tree         45 to 70 bytes a name; adding one stays cheap, in whatever order they come
//! ```

use std::collections::BTreeMap;

use super::{InodeId, Name};

/// From here on moving the names behind a new one would cost more than a B-tree's step does.
const MANY: usize = 256;

/// What a name leads to, and which layer (0 is the lowest) gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirent {
    /// The inode.
    pub inode: InodeId,
    /// The layer.
    pub layer: u32,
}

/// A directory's names and what they lead to.
#[derive(Clone, Debug, Default)]
pub struct Names {
    few: Vec<(Name, Dirent)>,
    /// All of them once they were [`MANY`]: then the list is empty.
    many: BTreeMap<Name, Dirent>,
}

impl Names {
    /// What a name leads to.
    pub fn get(&self, name: &[u8]) -> Option<&Dirent> {
        match self.find(name) {
            Ok(at) => Some(&self.few[at].1),
            Err(_) => self.many.get(name),
        }
    }

    /// Adds a name or changes what it leads to.
    pub fn insert(&mut self, name: Name, to: Dirent) {
        if !self.many.is_empty() {
            self.many.insert(name, to);
            return;
        }
        match self.find(&name) {
            Ok(at) => self.few[at].1 = to,
            Err(at) if self.few.len() < MANY => self.few.insert(at, (name, to)),
            Err(_) => {
                self.many = std::mem::take(&mut self.few).into_iter().collect();
                self.many.insert(name, to);
            }
        }
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &[u8]) {
        match self.find(name) {
            Ok(at) => drop(self.few.remove(at)),
            Err(_) => drop(self.many.remove(name)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        // one of the two is empty
        self.few.len() + self.many.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Dirent)> {
        self.few.iter().map(|(name, to)| (name, to)).chain(&self.many)
    }

    /// Gives back room: a list grows ahead, and names that came in order have left their map half empty.
    pub fn compact(&mut self) {
        self.few.shrink_to_fit();
        self.many = std::mem::take(&mut self.many).into_iter().collect();
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.few.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Names {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(inode: u32) -> Dirent {
        Dirent { inode: InodeId(inode), layer: 0 }
    }

    proptest! {
        #[test]
        fn they_are_a_map_however_many(
            first in 0..2 * MANY,
            steps in prop::collection::vec((0..400_u32, any::<bool>()), 0..200),
        ) {
            let (mut names, mut map) = (Names::default(), BTreeMap::new());
            let start = (0_u32..).take(first).map(|n| (n, true));
            for (inode, (n, add)) in (0..).zip(start.chain(steps)) {
                // in no order
                let name = Name::from(&n.wrapping_mul(2_654_435_761).to_be_bytes()[..]);
                if add {
                    names.insert(name.clone(), to(inode));
                    map.insert(name, to(inode));
                } else {
                    names.remove(&name);
                    map.remove(&name);
                }
            }
            for compacted in [false, true] {
                if compacted {
                    names.compact();
                }
                prop_assert!(names.iter().eq(&map));
                prop_assert_eq!((names.len(), names.is_empty()), (map.len(), map.is_empty()));
                for (name, to) in &map {
                    prop_assert_eq!(names.get(name), Some(to));
                }
                prop_assert_eq!(names.get(b"none"), None);
            }
        }
    }

    #[test]
    fn equal_names_are_equal_whatever_was_there_before() {
        let (mut grown, mut small) = (Names::default(), Names::default());
        for n in 0..=MANY {
            grown.insert(Name::from(&n.to_be_bytes()[..]), to(1));
        }
        for n in 1..=MANY {
            grown.remove(&n.to_be_bytes());
        }
        assert!(!grown.many.is_empty());
        small.insert(Name::from(&0_usize.to_be_bytes()[..]), to(1));
        assert_eq!(grown, small);
        small.insert(Name::from(&0_usize.to_be_bytes()[..]), to(2));
        assert_ne!(grown, small);
    }
}
