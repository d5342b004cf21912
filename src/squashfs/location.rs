//! Where each content lies, in little memory: most files have a tail and no full block.
//!
//! ```text
//! tails    fragment | offset       by place, 8 bytes each
//! blocks   place -> start | sizes of the stored blocks | bytes of blocks of zeros
//! ```

use super::fragment::NO_FRAGMENT;
use super::place::Place;

/// Where a content lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Location<'a> {
    /// Its first block, from the superblock; 0 when it has no full block.
    pub(super) start: u64,
    /// Size of each stored block; 0 for one of zeros.
    pub(super) blocks: &'a [u32],
    /// Bytes of blocks of zeros.
    pub(super) sparse: u64,
    /// Fragment and offset of its tail.
    pub(super) tail: Option<(u32, u32)>,
}

/// The full blocks of a content.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) start: u64,
    pub(super) sizes: Vec<u32>,
    pub(super) sparse: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Locations {
    tails: Vec<(u32, u32)>,
    /// Sorted by place.
    blocks: Vec<(Place, Blocks)>,
}

impl Locations {
    /// The next place.
    pub(super) fn add(&mut self) -> Place {
        let place = Place::new(self.tails.len());
        self.tails.push((NO_FRAGMENT, 0));
        place
    }

    /// The full blocks of a place, none as long as nothing was put there. First asked for in the
    /// order of places.
    pub(super) fn blocks(&mut self, place: Place) -> &mut Blocks {
        let at = match self.search(place) {
            Ok(at) => at,
            Err(at) => {
                self.blocks.insert(at, (place, Blocks::default()));
                at
            }
        };
        &mut self.blocks[at].1
    }

    pub(super) fn put_tail(&mut self, place: Place, fragment: u32, offset: u32) {
        self.tails[place.number()] = (fragment, offset);
    }

    pub(super) fn tail(&self, place: Place) -> Option<(u32, u32)> {
        self.tails.get(place.number()).copied().filter(|tail| tail.0 != NO_FRAGMENT)
    }

    pub(super) fn get(&self, place: Place) -> Location<'_> {
        let tail = self.tail(place);
        match self.search(place) {
            Ok(at) => {
                let Blocks { start, sizes, sparse } = &self.blocks[at].1;
                Location { start: *start, blocks: sizes, sparse: *sparse, tail }
            }
            Err(_) => Location { tail, ..Location::default() },
        }
    }

    fn search(&self, place: Place) -> Result<usize, usize> {
        self.blocks.binary_search_by_key(&place.number(), |(place, _)| place.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found() {
        let mut all = Locations::default();
        let [small, large, both, empty] = [(); 4].map(|()| all.add());
        all.blocks(large).sizes.push(7);
        all.blocks(both).sizes.push(0);
        *all.blocks(both) = Blocks { start: 96, sizes: vec![0, 5], sparse: 4096 };
        all.put_tail(both, 3, 10);
        all.put_tail(small, 0, 0);
        assert_eq!(all.get(small), Location { tail: Some((0, 0)), ..Location::default() });
        assert_eq!(all.get(large), Location { blocks: &[7], ..Location::default() });
        let tail = Some((3, 10));
        assert_eq!(all.get(both), Location { start: 96, blocks: &[0, 5], sparse: 4096, tail });
        assert_eq!(all.get(empty), Location::default());
    }
}
