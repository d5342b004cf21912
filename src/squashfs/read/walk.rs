//! All names of an image, a directory before what is in it, each directory in the order of its
//! names' bytes.
//!
//! Memory: the path, a metadata block for each directory on it, and some 40 bytes for each inode.

use std::collections::HashMap;

use super::directory::{Name, Names};
use super::error::check;
use super::{Image, Inode, Kind, ReadAt, ReadError, inode};

/// A name and its inode.
#[derive(Clone, Debug)]
pub struct NamedInode {
    /// Names joined by slashes, without one in front; empty for the root.
    pub path: Vec<u8>,
    /// The inode.
    pub inode: Inode,
    /// Which name this is, counted from 0, the root.
    pub name: u64,
    /// Which name was the first that led to this inode: [`NamedInode::name`] itself unless it is a hard link.
    pub first: u64,
}

/// Goes through an image; ends after an error.
pub struct Walk<'a, S> {
    image: &'a Image<S>,
    begun: bool,
    /// The directories on the way, and the lengths of their paths.
    open: Vec<(Names<'a, S>, usize)>,
    path: Vec<u8>,
    /// By inode number: reference, and the first name.
    seen: HashMap<u32, (u64, u64)>,
    names: u64,
    content: u64,
}

impl<S: ReadAt> Image<S> {
    /// Goes through all names.
    pub fn walk(&self) -> Walk<'_, S> {
        Walk {
            image: self,
            begun: false,
            open: Vec::new(),
            path: Vec::new(),
            seen: HashMap::new(),
            names: 0,
            content: 0,
        }
    }
}

impl<S: ReadAt> Walk<'_, S> {
    fn step(&mut self) -> Result<Option<NamedInode>, ReadError> {
        if !self.begun {
            self.begun = true;
            let (inode, _) = inode::read(self.image, self.image.superblock.root)?;
            if !matches!(inode.kind, Kind::Directory(_)) {
                return Err(ReadError::damaged("root", "it is not a directory"));
            }
            return self.enter(self.image.superblock.root, inode).map(Some);
        }
        while let Some((names, length)) = self.open.last_mut() {
            self.path.truncate(*length);
            match names.next()? {
                Some(name) => return self.name(&name).map(Some),
                None => self.open.pop(),
            };
        }
        Ok(None)
    }

    fn name(&mut self, name: &Name) -> Result<NamedInode, ReadError> {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend(&name.bytes);
        let limits = &self.image.limits;
        check("path bytes", self.path.len() as u64, limits.path_bytes)?;
        let (inode, kind) = inode::read(self.image, name.reference)?;
        if kind != name.kind || inode.number != name.number {
            let (its, says) = (inode.number, name.number);
            return Err(ReadError::damaged(
                "directory table",
                format!("it has type {} and number {says}, the inode {kind} and {its}", name.kind),
            ));
        }
        self.enter(name.reference, inode)
    }

    fn enter(&mut self, reference: u64, inode: Inode) -> Result<NamedInode, ReadError> {
        let limits = &self.image.limits;
        let name = self.names;
        self.names += 1;
        check("entries", self.names, limits.entries)?;
        let (known, first) = *self.seen.entry(inode.number).or_insert((reference, name));
        if known != reference {
            let why = format!("two inodes have the number {}", inode.number);
            return Err(ReadError::damaged("inode table", why));
        }
        match &inode.kind {
            Kind::Directory(_) if first != name => {
                return Err(ReadError::damaged("directory table", "a directory has two names"));
            }
            Kind::Directory(listing) => {
                check("path depth", self.open.len() as u64, limits.path_depth as u64)?;
                self.open.push((Names::new(self.image, *listing)?, self.path.len()));
            }
            Kind::File(file) if first == name => {
                self.content = self.content.saturating_add(file.size);
                check("content bytes", self.content, limits.content_bytes)?;
            }
            _ => {}
        }
        Ok(NamedInode { path: self.path.clone(), inode, name, first })
    }
}

impl<S: ReadAt> Iterator for Walk<'_, S> {
    type Item = Result<NamedInode, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.open.clear();
        }
        step.map_err(|e| e.at(&self.path)).transpose()
    }
}
