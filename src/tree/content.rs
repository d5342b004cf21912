//! What is in the files, without the bytes: one [`ContentId`] for each distinct content.
//!
//! A 256-bit hash is enough to call two contents equal: the image's own digests trust no more.

use std::collections::HashMap;

/// A content's number, in the order in which contents were first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u32);

impl ContentId {
    /// As an index into per-content tables.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the bytes look like; like is compressed best with like. Changing the rule changes the
/// layout, so it is part of the recipe's `layout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No NUL byte in it.
    Text,
    /// Some NUL byte in it.
    Binary,
    /// Starts as an ELF file.
    Elf,
}

/// What identifies a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256.
    pub hash: [u8; 32],
    /// What it looks like.
    pub class: Class,
}

/// All contents of an image.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    all: Vec<Content>,
    ids: HashMap<(u64, [u8; 32]), ContentId>,
}

impl Contents {
    /// The number of this content, new or known.
    pub fn intern(&mut self, content: Content) -> ContentId {
        let next = ContentId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let id = *self.ids.entry((content.size, content.hash)).or_insert(next);
        if id == next {
            self.all.push(content);
        }
        id
    }

    /// A content.
    pub fn get(&self, id: ContentId) -> &Content {
        &self.all[id.index()]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
