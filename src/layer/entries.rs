//! All entries of a layer in little memory, and in a layer's index (`index.rs`).
//!
//! ```text
//! entry    u8 flags | shared | rest | owner | time | size, target or device | attributes
//!
//! flags    bits 0-2 type (0 file, 1 directory, 2 symbolic link, 3 hard link, 4 character device,
//!          5 block device, 6 fifo); bit 3 owner as before; bit 4 time as before; bit 5 attributes;
//!          bit 6 POSIX ACLs that are no attribute
//! shared   how many bytes the path begins with as the one before did; rest: length, bytes
//! owner    mode, uid, gid unless as before
//! time     difference to the time before, signed, unless the same
//! then     file: size; links: length, target; devices: major, minor
//! attributes  count, then for each: length, name, length, value; sorted by name
//! ```
//!
//! Numbers are varints (`varint.rs`). An entry takes 15 to 60 bytes where an [`Member`] takes 200.

use std::collections::BTreeMap;

use super::reader::{Member, MemberKind};
use super::varint::{Reader, put, put_bytes, put_signed};

const SAME_OWNER: u8 = 1 << 3;
const SAME_TIME: u8 = 1 << 4;
const ATTRIBUTES: u8 = 1 << 5;
const ACL: u8 = 1 << 6;

/// Memory is taken in pieces of this size, so that nothing is copied when it grows.
const CHUNK: usize = 256 << 10;

/// What an entry may say is as before.
#[derive(Clone, Debug, Default)]
struct Before {
    path: Vec<u8>,
    owner: (u16, u32, u32),
    time: i64,
}

/// Entries in the order of their tar.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Entries never cross from one to the next.
    chunks: Vec<Vec<u8>>,
    count: u64,
    before: Before,
}

/// Read bytes that are given back at once, in [`IntoIter`].
const READ: usize = 16 << 20;

/// Reads entries for the last time: the memory of those that were read is given back.
#[derive(Debug)]
pub struct IntoIter {
    chunks: std::vec::IntoIter<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    before: Before,
}

/// Reads entries again.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    chunks: std::slice::Iter<'a, Vec<u8>>,
    current: Reader<'a>,
    before: Before,
}

impl Entries {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Appends an entry. Its size is kept only if it is a file.
    pub fn push(&mut self, entry: &Member) {
        let size = size(entry);
        if self.chunks.last().is_none_or(|chunk| chunk.len() + size > CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK.max(size)));
        }
        let Some(out) = self.chunks.last_mut() else { return };
        let before = &mut self.before;
        let owner = (entry.mode, entry.uid, entry.gid);
        let mut flags = match entry.kind {
            MemberKind::File => 0,
            MemberKind::Directory => 1,
            MemberKind::Symlink(_) => 2,
            MemberKind::HardLink(_) => 3,
            MemberKind::Character(..) => 4,
            MemberKind::Block(..) => 5,
            MemberKind::Fifo => 6,
        };
        for (flag, set) in [
            (SAME_OWNER, owner == before.owner),
            (SAME_TIME, entry.mtime == before.time),
            (ATTRIBUTES, !entry.xattrs.is_empty()),
            (ACL, entry.acl),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.push(flags);
        let shared = before.path.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
        put(out, shared as u64);
        put_bytes(out, &entry.path[shared..]);
        if flags & SAME_OWNER == 0 {
            put(out, owner.0.into());
            put(out, owner.1.into());
            put(out, owner.2.into());
        }
        if flags & SAME_TIME == 0 {
            put_signed(out, entry.mtime.wrapping_sub(before.time));
        }
        match &entry.kind {
            MemberKind::File => put(out, entry.size),
            MemberKind::Symlink(target) | MemberKind::HardLink(target) => put_bytes(out, target),
            MemberKind::Character(major, minor) | MemberKind::Block(major, minor) => {
                put(out, (*major).into());
                put(out, (*minor).into());
            }
            MemberKind::Directory | MemberKind::Fifo => {}
        }
        if flags & ATTRIBUTES != 0 {
            put(out, entry.xattrs.len() as u64);
            for (name, value) in &entry.xattrs {
                put_bytes(out, name);
                put_bytes(out, value);
            }
        }
        before.path.truncate(shared);
        before.path.extend(&entry.path[shared..]);
        (before.owner, before.time) = (owner, entry.mtime);
        self.count += 1;
    }

    /// The entries in their order; an item is `None` where the bytes are none that were pushed, and
    /// the last then.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        let before = Before::default();
        Iter { chunks: self.chunks.iter(), current: Reader(&[]), before }
    }

    /// The encoded form, in pieces.
    pub(super) fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(Vec::as_slice)
    }

    /// Bytes in the encoded form.
    pub(super) fn encoded_len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// Takes the encoded form, which is not looked at.
    pub(super) fn from_encoded(bytes: Vec<u8>, count: u64) -> Self {
        Self { chunks: vec![bytes], count, before: Before::default() }
    }
}

/// What an entry takes at most, for names and targets of usual length.
fn size(entry: &Member) -> usize {
    let target = match &entry.kind {
        MemberKind::Symlink(target) | MemberKind::HardLink(target) => target.len(),
        _ => 0,
    };
    let xattrs = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 20);
    256 + entry.path.len() + target + xattrs.sum::<usize>()
}

impl<'a> IntoIterator for &'a Entries {
    type Item = Option<Member>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Entries {
    type Item = Option<Member>;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        let (chunks, before) = (self.chunks.into_iter(), Before::default());
        IntoIter { chunks, current: Vec::new(), at: 0, before }
    }
}

impl Iterator for IntoIter {
    type Item = Option<Member>;

    fn next(&mut self) -> Option<Option<Member>> {
        while self.at == self.current.len() {
            (self.current, self.at) = (self.chunks.next()?, 0);
        }
        let mut from = Reader(&self.current[self.at..]);
        let entry = self.before.entry(&mut from);
        self.at = self.current.len() - from.0.len();
        if entry.is_none() {
            (self.current, self.at, self.chunks) = (Vec::new(), 0, Vec::new().into_iter());
        }
        // a layer's index is one chunk, of up to hundreds of MiB
        if self.at >= READ {
            self.current.drain(..self.at);
            self.current.shrink_to_fit();
            self.at = 0;
        }
        Some(entry)
    }
}

impl Iterator for Iter<'_> {
    type Item = Option<Member>;

    fn next(&mut self) -> Option<Option<Member>> {
        while self.current.0.is_empty() {
            self.current = Reader(self.chunks.next()?);
        }
        let entry = self.before.entry(&mut self.current);
        if entry.is_none() {
            (self.current, self.chunks) = (Reader(&[]), [].iter());
        }
        Some(entry)
    }
}

impl Before {
    /// The next entry.
    fn entry(&mut self, from: &mut Reader<'_>) -> Option<Member> {
        let before = self;
        let flags = from.byte()?;
        let shared: usize = from.small()?;
        if shared > before.path.len() {
            return None;
        }
        before.path.truncate(shared);
        before.path.extend(from.bytes()?);
        if flags & SAME_OWNER == 0 {
            before.owner = (from.small()?, from.small()?, from.small()?);
        }
        if flags & SAME_TIME == 0 {
            before.time = before.time.wrapping_add(from.signed()?);
        }
        let mut size = 0;
        let kind = match flags & 7 {
            0 => {
                size = from.number()?;
                MemberKind::File
            }
            1 => MemberKind::Directory,
            2 => MemberKind::Symlink(from.bytes()?.to_vec()),
            3 => MemberKind::HardLink(from.bytes()?.to_vec()),
            4 => MemberKind::Character(from.small()?, from.small()?),
            5 => MemberKind::Block(from.small()?, from.small()?),
            6 => MemberKind::Fifo,
            _ => return None,
        };
        let mut xattrs = BTreeMap::new();
        if flags & ATTRIBUTES != 0 {
            for _ in 0..from.number()? {
                xattrs.insert(from.bytes()?.to_vec(), from.bytes()?.to_vec());
            }
        }
        let (mode, uid, gid) = before.owner;
        let (path, mtime) = (before.path.clone(), before.time);
        Some(Member { path, kind, mode, uid, gid, mtime, size, xattrs, acl: flags & ACL != 0 })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..40)
    }

    pub(in crate::layer) fn entry() -> impl Strategy<Value = Member> {
        let kind = prop_oneof![
            4 => Just(MemberKind::File),
            1 => Just(MemberKind::Directory),
            1 => bytes().prop_map(MemberKind::Symlink),
            1 => bytes().prop_map(MemberKind::HardLink),
            1 => any::<(u32, u32)>().prop_map(|(a, b)| MemberKind::Character(a, b)),
            1 => any::<(u32, u32)>().prop_map(|(a, b)| MemberKind::Block(a, b)),
            1 => Just(MemberKind::Fifo),
        ];
        let path = prop_oneof![bytes(), "[ab/]{0,9}".prop_map(String::into_bytes)];
        let xattrs = prop::collection::btree_map(bytes(), bytes(), 0..3);
        let owner = prop_oneof![Just((0o644, 0, 0)), any::<(u16, u32, u32)>()];
        let mtime = prop_oneof![Just(1_600_000_000), any::<i64>()];
        (path, kind, owner, mtime, any::<u64>(), xattrs, any::<bool>()).prop_map(
            |(path, kind, (mode, uid, gid), mtime, size, xattrs, acl)| {
                let size = if kind == MemberKind::File { size } else { 0 };
                Member { path, kind, mode, uid, gid, mtime, size, xattrs, acl }
            },
        )
    }

    proptest! {
        #[test]
        fn entries_come_back(all in prop::collection::vec(entry(), 0..30)) {
            let mut entries = Entries::default();
            for entry in &all {
                entries.push(entry);
            }
            let again: Vec<_> = entries.iter().map(Option::unwrap).collect();
            prop_assert_eq!(&again, &all);
            let encoded: Vec<u8> = entries.encoded().flatten().copied().collect();
            let decoded = Entries::from_encoded(encoded, 0);
            prop_assert!(decoded.iter().map(Option::unwrap).eq(all.iter().cloned()));
            prop_assert!(decoded.into_iter().map(Option::unwrap).eq(all.iter().cloned()));
            prop_assert!(entries.into_iter().map(Option::unwrap).eq(all));
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let entries = Entries::from_encoded(bytes, 0);
            prop_assert!(entries.iter().count() <= 300);
            let again: Vec<_> = entries.iter().collect();
            prop_assert_eq!(entries.into_iter().collect::<Vec<_>>(), again);
        }
    }

    #[test]
    fn entries_that_look_alike_are_small() {
        let mut entries = Entries::default();
        for n in 0..50_000 {
            entries.push(&Member {
                path: format!("usr/lib/python3/dist-packages/module{}/f{n}.py", n / 20).into(),
                kind: MemberKind::File,
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: 1_600_000_000 + n % 7,
                size: 1000 + n.unsigned_abs(),
                xattrs: BTreeMap::new(),
                acl: false,
            });
        }
        assert!(entries.encoded_len() < 50_000 * 20, "{}", entries.encoded_len());
        assert_eq!(entries.iter().flatten().count(), 50_000);
    }

    /// What was read is given back, also of one large chunk.
    #[test]
    fn what_was_read_goes() {
        let entry = |n: u32| Member {
            path: n.to_string().into(),
            kind: MemberKind::Fifo,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            xattrs: BTreeMap::from([(b"user.a".to_vec(), vec![n.to_le_bytes()[0]; 1 << 20])]),
            acl: false,
        };
        let mut entries = Entries::default();
        (0..40).for_each(|n| entries.push(&entry(n)));
        let bytes = entries.encoded().collect::<Vec<_>>().concat();
        let mut all = Entries::from_encoded(bytes, 40).into_iter();
        for n in 0..40 {
            assert_eq!(all.next(), Some(Some(entry(n))));
            let left = (40 - n as usize) << 20;
            assert!(all.current.capacity() < left + READ + (2 << 20), "{n}");
        }
        assert_eq!(all.next(), None);
    }
}
