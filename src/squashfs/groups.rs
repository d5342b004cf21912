//! Which tails share a block: the part of the layout rule that makes a cold and a later, incremental
//! conversion write the same bytes.
//!
//! ```text
//! layer (tar order):  a.py  libx.so  b.py  c.dat  d.py  ...        every file, live or not
//! text group          [a.py | b.py | d.py ...]                     closes when the next tail does not
//! binary group        [c.dat | ...]                                fit in 5/16 of a block, or, once
//! ELF group           [libx.so | ...]                              that is half full, when the
//!                                                                 directory changes
//! ```
//!
//! A group is small because it has to be compressed again when one of its tails changes, and an image whose base was
//! rebuilt consists mostly of such groups. It is not smaller because small pieces compress worse (docs/performance.md).
//! A tail of more than half of that size gets a group of its own, and the open group stays open.
//!
//! A tail is dead when an upper layer hides its file, or when an upper layer or an earlier file of this layer has the
//! same content. Dead tails take their place in a group like all others, so the groups follow from the layer alone.
//! Only live tails are written: each content once, in the topmost layer that shows it, at the first file there. A group
//! without a live tail is left out. Nothing that an image deleted is in its file system.
//!
//! Three groups, because the kernel caches three fragment blocks; and cutting at directories, so
//! that a changed file does not shift all that come after it.

use super::pack::group_key;
use super::place::Place;
use crate::tree::{Class, PieceHash};

/// A tail that is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Whose it is.
    pub(super) place: Place,
    /// Where among the live tails of the group.
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) hash: PieceHash,
}

/// Tails that share a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Bytes with the dead tails.
    nominal: usize,
    directory: u32,
    /// The live tails, or nothing when only their hashes were given.
    pub(super) bytes: Vec<u8>,
    pub(super) members: Vec<Member>,
}

impl Group {
    /// What the group holds.
    pub(super) fn key(&self) -> PieceHash {
        group_key(self.members.iter().map(|member| (&member.hash, member.length)))
    }

    /// Adds a tail if it is live, to memory for `most` bytes.
    fn add(&mut self, tail: Bytes<'_>, live: Option<(Place, PieceHash)>, most: usize) {
        let Some((place, hash)) = live else { return };
        // less than a block size
        let length = u32::try_from(tail.len()).unwrap_or(u32::MAX);
        self.members.push(Member { place, offset: self.live(), length, hash });
        if let Bytes::Here(bytes) = tail {
            // one piece of memory instead of several that grow
            self.bytes.reserve(most.saturating_sub(self.bytes.len()));
            self.bytes.extend(bytes);
        }
    }

    fn live(&self) -> u32 {
        self.members.last().map_or(0, |last| last.offset + last.length)
    }
}

/// The bytes of a tail, or how many they are.
#[derive(Clone, Copy, Debug)]
pub enum Bytes<'a> {
    /// They are here.
    Here(&'a [u8]),
    /// They are in a pack.
    Packed(usize),
}

impl Bytes<'_> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::Packed(length) => length,
        }
    }
}

/// The open group of each class.
pub(super) struct Groups {
    /// Room of a group's memory: that of a block, so that one is used again for the other.
    room: usize,
    /// What a group holds at most, unless it is one tail.
    limit: usize,
    open: [Group; 3],
}

impl Groups {
    pub(super) fn new(block_size: usize) -> Self {
        Self { room: block_size, limit: block_size / 16 * 5, open: Default::default() }
    }

    /// Adds a tail; `live` says whose it is and its hash if it is live. Returns the group that had
    /// to be closed before. A section's tails are either all [`Bytes::Here`] or all packed.
    pub(super) fn add(
        &mut self,
        class: Class,
        directory: u32,
        tail: Bytes<'_>,
        live: Option<(Place, PieceHash)>,
    ) -> Option<Group> {
        let length = tail.len();
        if length > self.limit / 2 {
            let mut alone = Group::default();
            alone.add(tail, live, self.room);
            return Some(alone);
        }
        let group = &mut self.open[class as usize];
        let full = group.nominal + length > self.limit;
        let moved = group.directory != directory && group.nominal >= self.limit / 2;
        let closed = (full || moved).then(|| std::mem::take(group));
        group.nominal += length;
        group.directory = directory;
        group.add(tail, live, self.room);
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

    fn live(n: u32) -> (Place, PieceHash) {
        (Place::new(n as usize), PieceHash::of(&n.to_le_bytes()))
    }

    #[test]
    fn dead_tails_take_their_place_but_no_bytes() {
        // number 3 is dead in some; bytes may be here or in a pack
        let layout = |all_live: bool, tail: Bytes<'_>| {
            let mut groups = Groups::new(320);
            let mut closed = Vec::new();
            for n in 0..10 {
                let live = (n != 3 || all_live).then(|| live(n));
                closed.extend(groups.add(Class::Text, 0, tail, live));
            }
            closed.extend(groups.flush());
            closed
                .into_iter()
                .map(|g| g.members.iter().map(|m| m.place.number()).collect::<Vec<_>>())
                .filter(|g| !g.is_empty())
                .collect::<Vec<_>>()
        };
        for tail in [Bytes::Here(&[0; 30]), Bytes::Packed(30)] {
            assert_eq!(layout(true, tail), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8], vec![9]]);
            assert_eq!(layout(false, tail), [vec![0, 1, 2], vec![4, 5], vec![6, 7, 8], vec![9]]);
        }
    }

    #[test]
    fn a_large_tail_is_alone_and_closes_nothing() {
        let mut groups = Groups::new(320);
        let mut add = |n, length| {
            let closed = groups.add(Class::Text, 0, Bytes::Packed(length), n);
            closed.map(|group| group.members.iter().map(|m| m.place.number()).collect::<Vec<_>>())
        };
        assert_eq!(add(Some(live(0)), 50), None);
        assert_eq!(add(Some(live(1)), 51), Some(vec![1]));
        assert_eq!(add(None, 199), Some(vec![]));
        assert_eq!(add(Some(live(2)), 50), None);
        assert_eq!(add(Some(live(3)), 1), Some(vec![0, 2]));
    }

    #[test]
    fn directories_cut_half_full_groups_of_their_class() {
        let mut groups = Groups::new(320);
        assert_eq!(groups.add(Class::Elf, 0, Bytes::Here(&[1; 50]), Some(live(0))), None);
        assert_eq!(groups.add(Class::Text, 1, Bytes::Here(&[2; 10]), Some(live(1))), None);
        assert_eq!(groups.add(Class::Text, 2, Bytes::Here(&[3; 10]), Some(live(2))), None);
        let closed = groups.add(Class::Elf, 2, Bytes::Here(&[4; 10]), Some(live(3))).unwrap();
        assert_eq!(closed.bytes, [1; 50]);
        let [text, _, elf] = groups.flush();
        let places =
            |g: &Group| g.members.iter().map(|m| (m.place.number(), m.offset)).collect::<Vec<_>>();
        assert_eq!((places(&text), places(&elf)), (vec![(1, 0), (2, 10)], vec![(3, 0)]));
    }
}
