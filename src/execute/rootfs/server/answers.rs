//! The answers to a kernel's questions, without a kernel. Nothing is kept of an inode: its number says where it is.
//!
//! ```text
//! 1              the root
//! reference + 2  any other inode: its place in the inode table
//! 2^49 and more  what mounts need, and the image's directories on the way to it (added.rs)
//! ```
//!
//! Bounded caches hold what was inflated or listed last; the kernel keeps what it was told, because an image
//! does not change.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::added::{Added, At, ROOT};
use crate::files::ReadAt;
use crate::recent::Recent;
use crate::runtime::builtin::{Lacking, OUTSIDE};
use crate::squashfs::read::{
    Decoder, File, Image, Inode, Kind, Marks, Named, Piece, ReadError, Type,
};

/// Bytes of inflated data blocks that are kept: what was read in part will mostly be read on.
const DATA: usize = 32 << 20;
/// Bytes of listings, and of places in large files.
const LISTS: usize = 16 << 20;
const MARKS: usize = 8 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such name, or no such attribute.
    Nothing,
    /// It is another type of file.
    OtherType,
    /// The image cannot be read there.
    Read(ReadError),
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// An image that can be asked by several threads. It is never given back: a server has one, and ends with it.
pub(super) struct Answers<S: 'static> {
    image: &'static Image<S>,
    added: Added,
    /// Whether the machine's root is still to be seen.
    outside: AtomicBool,
    decoders: Mutex<Vec<Decoder<'static, S>>>,
    lists: Mutex<Recent<Vec<Listed>>>,
    marks: Mutex<Recent<Marks>>,
    data: Mutex<Recent<Vec<u8>>>,
}

/// An extended attribute: its name and its value.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// A name in a directory.
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    /// By which the kernel knows it.
    pub(super) number: u64,
    pub(super) kind: Type,
}

impl From<Named> for Listed {
    fn from(Named { name, reference, kind }: Named) -> Self {
        // a reference has 48 bits
        Self { name, number: reference.saturating_add(2), kind }
    }
}

/// What is shown of a number.
pub(super) enum Shown {
    /// The image's inode.
    OfImage(Inode),
    /// Nothing of the image's: an empty directory or file that something is mounted at.
    Made { directory: bool },
}

/// Whether a name of the root is the one that the machine's root has meanwhile.
fn is_outside(name: &[u8]) -> bool {
    OUTSIDE.as_bytes().strip_prefix(b"/") == Some(name)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: ReadAt> Answers<S> {
    /// Of an image and what is lacking in it.
    ///
    /// # Errors
    /// When the directories on the way to that cannot be read.
    pub(super) fn new(image: &'static Image<S>, lacking: &[Lacking]) -> Result<Self, ReadError> {
        let added = Added::over(image.root(), lacking, |directory, name| {
            let Kind::Directory(listing) = image.inode(directory)?.kind else { return Ok(None) };
            let list = image.list(listing)?;
            let mut found = list.iter().filter(|named| named.kind == Type::Directory);
            Ok(found.find(|named| named.name == name).map(|named| named.reference))
        })?;
        Ok(Self {
            image,
            added,
            outside: AtomicBool::new(true),
            decoders: Mutex::default(),
            lists: Mutex::new(Recent::new(LISTS)),
            marks: Mutex::new(Recent::new(MARKS)),
            data: Mutex::new(Recent::new(DATA)),
        })
    }

    pub(super) fn image(&self) -> &'static Image<S> {
        self.image
    }

    pub(super) fn shown(&self, number: u64) -> Result<Shown, Fault> {
        let reference = match self.added.at(number) {
            Some(At::Made { directory }) => return Ok(Shown::Made { directory }),
            Some(At::Image(reference)) => reference,
            None => number.checked_sub(2).ok_or(Fault::Nothing)?,
        };
        Ok(Shown::OfImage(self.image.inode(reference)?))
    }

    /// What only the image has.
    fn inode(&self, number: u64) -> Result<Inode, Fault> {
        match self.shown(number)? {
            Shown::OfImage(inode) => Ok(inode),
            Shown::Made { .. } => Err(Fault::OtherType),
        }
    }

    /// The names in a directory.
    pub(super) fn list(&self, directory: u64) -> Result<Arc<Vec<Listed>>, Fault> {
        let outside = directory == ROOT && self.outside.load(Relaxed);
        let key = (directory, u32::from(outside));
        if let Some(list) = locked(&self.lists).get(key) {
            return Ok(list);
        }
        let mut list: Vec<Listed> = match self.shown(directory)? {
            Shown::OfImage(Inode { kind: Kind::Directory(listing), .. }) => {
                self.image.list(listing)?.into_iter().map(Listed::from).collect()
            }
            Shown::Made { directory: true } => Vec::new(),
            Shown::OfImage(_) | Shown::Made { .. } => return Err(Fault::OtherType),
        };
        for (name, number, is_directory) in self.added.names(directory) {
            let kind = if is_directory { Type::Directory } else { Type::File };
            let new = Listed { name: name.to_vec(), number, kind };
            match list.binary_search_by(|listed| listed.name.as_slice().cmp(name)) {
                Ok(at) => list[at] = new,
                Err(at) => list.insert(at, new),
            }
        }
        if directory == ROOT && !outside {
            // also one of the image's: no image has this name
            list.retain(|listed| !is_outside(&listed.name));
        }
        let bytes = list.iter().map(|listed| listed.name.len() + size_of::<Listed>()).sum();
        let list = Arc::new(list);
        locked(&self.lists).put(key, bytes, &list);
        Ok(list)
    }

    /// Removes the directory where the machine's root was while the container's was arranged; `false` for any other
    /// name.
    pub(super) fn remove(&self, directory: u64, name: &[u8]) -> bool {
        directory == ROOT && is_outside(name) && self.outside.swap(false, Relaxed)
    }

    /// A name in a directory, with its number.
    pub(super) fn find(&self, directory: u64, name: &[u8]) -> Result<(u64, Shown), Fault> {
        let list = self.list(directory)?;
        // the reader refuses a directory that is not sorted
        let at = list.binary_search_by(|listed| listed.name.as_slice().cmp(name));
        let listed = at.ok().and_then(|at| list.get(at)).ok_or(Fault::Nothing)?;
        Ok((listed.number, self.shown(listed.number)?))
    }

    /// Where a symbolic link points.
    pub(super) fn target(&self, link: u64) -> Result<Vec<u8>, Fault> {
        match self.inode(link)?.kind {
            Kind::Symlink(target) => Ok(target),
            _ => Err(Fault::OtherType),
        }
    }

    /// An attribute of a user's; those that mean something to a kernel are not told.
    pub(super) fn xattrs(&self, of: u64) -> Result<Vec<Attribute>, Fault> {
        let Shown::OfImage(inode) = self.shown(of)? else { return Ok(Vec::new()) };
        let all = self.image.xattrs(&inode)?;
        let of_users = all.iter().filter(|(name, _)| name.starts_with(b"user."));
        Ok(of_users.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// At most `size` bytes of a file from `at` on; fewer only at its end.
    pub(super) fn read(&self, number: u64, at: u64, size: usize) -> Result<Vec<u8>, Fault> {
        let Kind::File(file) = self.inode(number)?.kind else { return Err(Fault::OtherType) };
        let left = usize::try_from(file.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let size = left.min(size);
        let mut out = Vec::with_capacity(size);
        if size == 0 {
            return Ok(out);
        }
        let marks = self.marks_of(number, &file)?;
        for piece in self.image.pieces_from(&file, &marks, at)? {
            let piece = piece?;
            let from = usize::try_from((at + out.len() as u64).saturating_sub(piece.at));
            let from = from.unwrap_or(usize::MAX);
            let length = (piece.length as usize).saturating_sub(from).min(size - out.len());
            self.append(&piece, from, length, &mut out)?;
            if out.len() == size {
                break;
            }
        }
        Ok(out)
    }

    fn marks_of(&self, number: u64, file: &File) -> Result<Arc<Marks>, Fault> {
        if !self.image.wants_marks(file) {
            return Ok(Arc::default());
        }
        if let Some(marks) = locked(&self.marks).get((number, 0)) {
            return Ok(marks);
        }
        let marks = Arc::new(self.image.marks(file)?);
        locked(&self.marks).put((number, 0), marks.bytes(), &marks);
        Ok(marks)
    }

    /// Adds `length` bytes of a piece from `from` on.
    fn append(
        &self,
        piece: &Piece,
        from: usize,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if piece.is_hole() {
            out.resize(out.len() + length, 0);
            return Ok(());
        }
        let key = piece.block();
        if let Some(bytes) = key.and_then(|key| locked(&self.data).get(key)) {
            out.extend(bytes.iter().skip(from).take(length));
            return Ok(());
        }
        let spare = locked(&self.decoders).pop();
        let mut decoder = match spare {
            Some(decoder) => decoder,
            None => Decoder::new(self.image)?,
        };
        let bytes = decoder.read(piece)?;
        out.extend(bytes.iter().skip(from).take(length));
        // whoever had all of it has it: the kernel keeps what it was given
        if let Some(key) = key
            && length < bytes.len()
        {
            let bytes = Arc::new(bytes.to_vec());
            locked(&self.data).put(key, bytes.len(), &bytes);
        }
        locked(&self.decoders).push(decoder);
        Ok(())
    }
}
