//! Inode numbers that follow from the tree alone.
//!
//! ```text
//! /            1        a directory's names are numbered one after the other,
//! |- a/        2        then each of its directories is entered, in order:
//! |  `- x      4        siblings stay close, as a directory table needs it
//! `- b/        3
//!    `- y      5        a file with several names is numbered by its first one
//! ```

use super::{InodeId, Kind, Tree};

/// The numbers of a tree's inodes, from 1 without gaps, and how many names lead to each.
#[derive(Clone, Debug)]
pub struct Numbering {
    numbers: Vec<u32>,
    links: Vec<u32>,
    count: u32,
}

impl Numbering {
    /// An inode's number; 0 for one that is no longer in the tree.
    pub fn number(&self, id: InodeId) -> u32 {
        self.numbers[id.index()]
    }

    /// An inode's link count: names that lead to it; for a directory its subdirectories and 2.
    pub fn links(&self, id: InodeId) -> u32 {
        self.links[id.index()]
    }

    /// How many inodes are in the tree; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a tree has at least its root")]
    pub fn len(&self) -> u32 {
        self.count
    }

    fn see(&mut self, id: InodeId) {
        if self.numbers[id.index()] == 0 {
            self.count += 1;
            self.numbers[id.index()] = self.count;
        }
    }
}

impl Tree {
    /// Numbers the inodes that have a name.
    #[must_use]
    pub fn number(&self) -> Numbering {
        let none = vec![0; self.made()];
        let mut all = Numbering { numbers: none.clone(), links: none, count: 0 };
        all.see(self.root());
        let mut to_enter = vec![self.root()];
        while let Some(directory) = to_enter.pop() {
            let Some(names) = self.names(directory) else { continue };
            all.links[directory.index()] += 2;
            let mut inner = Vec::new();
            for entry in names.values() {
                all.see(entry.inode);
                if matches!(self.get(entry.inode).kind, Kind::Directory(_)) {
                    all.links[directory.index()] += 1;
                    inner.push(entry.inode);
                } else {
                    all.links[entry.inode.index()] += 1;
                }
            }
            to_enter.extend(inner.into_iter().rev());
        }
        all
    }
}
