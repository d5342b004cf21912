//! Inode numbers that follow from the tree alone.
//!
//! ```text
//! /            1        a directory's names are numbered one after the other,
//! |- a/        2        then each of its directories is entered, in order:
//! |  `- x      4        siblings stay close, as a directory table needs it
//! `- b/        3
//!    `- y      5        a file with several names is numbered by its first one
//! ```

use foldhash::HashMap;

use super::{InodeId, Kind, Tree};

/// The numbers of a tree's inodes, from 1 without gaps, and how many names lead to each.
#[derive(Clone, Debug)]
pub struct Numbering {
    numbers: Vec<u32>,
    count: u32,
    /// Link counts other than 1: few.
    links: HashMap<InodeId, u32>,
    directories: Vec<(InodeId, u32)>,
}

impl Numbering {
    /// An inode's number; 0 for one that is no longer in the tree.
    pub fn number(&self, id: InodeId) -> u32 {
        self.numbers[id.index()]
    }

    /// As [`Numbering::number`], by [`InodeId::index`].
    pub fn number_at(&self, index: usize) -> u32 {
        self.numbers[index]
    }

    /// An inode's link count: names that lead to it; for a directory its subdirectories and 2.
    pub fn links(&self, id: InodeId) -> u32 {
        self.links.get(&id).copied().unwrap_or(1)
    }

    /// How many inodes are in the tree; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a tree has at least its root")]
    pub fn len(&self) -> u32 {
        self.count
    }

    /// The inodes by number; made anew each time.
    pub fn order(&self) -> Vec<InodeId> {
        let mut order = vec![InodeId(0); self.count as usize];
        for (id, number) in (0..).map(InodeId).zip(&self.numbers) {
            if *number > 0 {
                order[*number as usize - 1] = id;
            }
        }
        order
    }

    /// The directories in preorder with their parent's number; the root's is behind the last.
    pub fn directories(&self) -> &[(InodeId, u32)] {
        &self.directories
    }

    fn see(&mut self, id: InodeId) {
        if self.numbers[id.index()] == 0 {
            self.count += 1;
            self.numbers[id.index()] = self.count;
        } else {
            *self.links.entry(id).or_insert(1) += 1;
        }
    }
}

impl Tree {
    /// Numbers the inodes that have a name.
    #[must_use]
    pub fn number(&self) -> Numbering {
        let mut all = Numbering {
            numbers: vec![0; self.made()],
            count: 0,
            links: HashMap::default(),
            directories: Vec::new(),
        };
        all.see(self.root());
        let mut to_enter = vec![(self.root(), 0)];
        while let Some((directory, parent)) = to_enter.pop() {
            let Some(names) = self.names(directory) else { continue };
            all.directories.push((directory, parent));
            let number = all.number(directory);
            let mut inner = Vec::new();
            for (_, entry) in names.iter() {
                all.see(entry.inode);
                if matches!(self.get(entry.inode).kind, Kind::Directory(_)) {
                    inner.push((entry.inode, number));
                }
            }
            all.links.insert(directory, u32::try_from(inner.len() + 2).unwrap_or(u32::MAX));
            to_enter.extend(inner.into_iter().rev());
        }
        all.directories[0].1 = all.len() + 1;
        all
    }
}
