//! Which tails share a block: the part of the layout rule that makes a cold and a later, incremental
//! conversion write the same bytes.
//!
//! ```text
//! layer (tar order):  a.py  libx.so  b.py  c.dat  d.py  ...        every file, live or not
//! text group          [a.py | b.py | d.py ...]                     closes when the next tail does not
//! binary group        [c.dat | ...]                                fit, or, once half full, when the
//! ELF group           [libx.so | ...]                              directory changes
//! ```
//!
//! Assignment counts dead tails (shadowed by an upper layer, supplied by one, or by an earlier file
//! of this layer) as if they were there, so it follows from the layer alone; written are the live
//! ones only: a content where the topmost layer that shows it first shows it. A group without a
//! live tail vanishes. Nothing that an image deleted is in its file system.
//!
//! Three groups, because the kernel caches three fragment blocks; and cutting at directories, so
//! that a changed file does not shift all that come after it.

use super::data::Place;
use crate::tree::Class;

/// Tails that share a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Bytes with the dead tails.
    nominal: usize,
    directory: u32,
    /// The live tails.
    pub(super) bytes: Vec<u8>,
    /// Whose they are, and where in `bytes`.
    pub(super) members: Vec<(Place, u32)>,
}

/// The open group of each class.
pub(super) struct Groups {
    block_size: usize,
    open: [Group; 3],
}

impl Groups {
    pub(super) fn new(block_size: usize) -> Self {
        Self { block_size, open: Default::default() }
    }

    /// Adds a tail of `length` bytes, with its bytes if it is live. Returns the group that had to
    /// be closed before.
    pub(super) fn add(
        &mut self,
        class: Class,
        directory: u32,
        length: usize,
        live: Option<(Place, &[u8])>,
    ) -> Option<Group> {
        let group = &mut self.open[class as usize];
        let full = group.nominal + length > self.block_size;
        let moved = group.directory != directory && group.nominal >= self.block_size / 2;
        let closed = (full || moved).then(|| std::mem::take(group));
        group.nominal += length;
        group.directory = directory;
        if let Some((place, bytes)) = live {
            // one piece of memory instead of several that grow
            group.bytes.reserve(self.block_size - group.bytes.len());
            let offset = u32::try_from(group.bytes.len()).unwrap_or(u32::MAX);
            group.members.push((place, offset));
            group.bytes.extend(bytes);
        }
        closed
    }

    /// Closes all groups, in the order of the classes.
    pub(super) fn flush(&mut self) -> [Group; 3] {
        std::mem::take(&mut self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_tails_take_their_place_but_no_bytes() {
        let layout = |live: bool| {
            let mut groups = Groups::new(100);
            let mut closed = Vec::new();
            for n in 0..10 {
                // number 3 is dead in one of the two
                let bytes = (n != 3 || live).then_some((Place(n), &[0_u8; 30][..]));
                closed.extend(groups.add(Class::Text, 0, 30, bytes));
            }
            closed.extend(groups.flush());
            closed
                .into_iter()
                .map(|g| g.members.iter().map(|m| m.0.0).collect::<Vec<_>>())
                .filter(|g| !g.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(layout(true), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8], vec![9]]);
        assert_eq!(layout(false), [vec![0, 1, 2], vec![4, 5], vec![6, 7, 8], vec![9]]);
    }

    #[test]
    fn directories_cut_half_full_groups_of_their_class() {
        let mut groups = Groups::new(100);
        assert_eq!(groups.add(Class::Elf, 0, 60, Some((Place(0), &[1; 60]))), None);
        assert_eq!(groups.add(Class::Text, 1, 10, Some((Place(1), &[2; 10]))), None);
        assert_eq!(groups.add(Class::Text, 2, 10, Some((Place(2), &[3; 10]))), None);
        let closed = groups.add(Class::Elf, 2, 10, Some((Place(3), &[4; 10]))).unwrap();
        assert_eq!(closed.bytes, [1; 60]);
        let [text, _, elf] = groups.flush();
        assert_eq!(
            (text.members, elf.members),
            (vec![(Place(1), 0), (Place(2), 10)], vec![(Place(3), 0)])
        );
    }
}
