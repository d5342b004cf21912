//! From a tree and the places of its contents to the tables behind the data.

use std::io::SeekFrom;

use super::data::{DataWriter, Finished};
use super::directory::{self, Name, narrow};
use super::id::Ids;
use super::inode::Common;
use super::inode_type::Type;
use super::location::{Location, Locations};
use super::memo::Target;
use super::metadata::{MetadataWriter, Position};
use super::place::Place;
use super::superblock::{self, Superblock};
use super::xattr::XattrTable;
use super::{SquashfsError, clamp_time, export, fragment, lookup, xattr};
use crate::tree::{Contents, Inode, InodeId, Kind, Names, Numbering, Tree};

/// No reference: those have 48 bits.
const NOWHERE: u64 = u64::MAX;
/// Loop devices want whole pages.
const PAGE: usize = 4096;

impl<W: Target> DataWriter<W> {
    /// Writes the tables and the superblock, while blocks of packs may still be copied; `places` says
    /// by content where it is. It takes the tree to give its memory back while it is written.
    ///
    /// # Errors
    /// When a visible file's content was not added, the tree does not fit the format, or the output
    /// cannot be written.
    pub fn finish(
        mut self,
        mut tree: Tree,
        contents: &Contents,
        places: &[Option<Place>],
    ) -> Result<Finished, SquashfsError> {
        self.end_data()?;
        let numbering = tree.number();
        let directories = numbering.directories().iter();
        let directories = directories.map(|(id, parent)| (*id, *parent, tree.take_names(*id)));
        let directories: Vec<_> = directories.collect();
        let mut inodes = Inodes {
            tree: &tree,
            contents,
            numbering: &numbering,
            written: places,
            locations: std::mem::take(&mut self.locations),
            ids: Ids::default(),
            xattrs: XattrTable::default(),
            table: MetadataWriter::default(),
            directories: MetadataWriter::default(),
            places: vec![NOWHERE; tree.made()],
        };
        let inode_table = self.at;
        let root = inodes.write(directories, &mut self)?;
        let Inodes { locations, ids, xattrs, table, directories, places: inode_places, .. } =
            inodes;
        drop(tree);

        let (bytes, _) = table.finish(&mut self.compressor)?;
        self.put(&bytes, "inodes")?;
        let directory_table = self.at;
        let (bytes, _) = directories.finish(&mut self.compressor)?;
        self.put(&bytes, "directories")?;
        drop(bytes);

        let fragments = self.fragments.len();
        let records = fragment::records(&self.fragments);
        let fragment_table = self.lookup(&records, "fragments")?;

        let mut references = vec![0; numbering.len() as usize];
        for (inode, place) in inode_places.into_iter().enumerate() {
            if place != NOWHERE {
                let number = numbering.number_at(inode) as usize;
                references[number - 1] = place;
            }
        }
        let export_table = self.lookup(&export::records(&references), "export")?;
        drop(references);
        let id_table = self.lookup(&ids.records(), "ids")?;
        let xattr_table = match xattrs.finish(self.at, &mut self.compressor)? {
            Some((bytes, table)) => {
                self.put(&bytes, "attributes")?;
                table
            }
            None => superblock::ABSENT,
        };

        let superblock = Superblock {
            inodes: numbering.len(),
            time: clamp_time(self.options.time),
            block_size: self.options.block_size,
            fragments: narrow(fragments as u64)?,
            codec: self.options.codec,
            ids: ids.count(),
            root: root.reference(),
            bytes_used: self.at,
            id_table,
            xattr_table,
            inode_table,
            directory_table,
            fragment_table,
            export_table,
        };
        let end = self.at.next_multiple_of(PAGE as u64);
        let gap = usize::try_from(end - self.at).unwrap_or(0);
        self.put(&[0; PAGE][..gap], "padding")?;
        self.out
            .seek(SeekFrom::Start(self.base))
            .and_then(|_| self.out.write_all(&superblock.encode()))
            .and_then(|()| self.out.flush())
            .map_err(SquashfsError::writing("superblock"))?;
        let inodes = numbering.len();
        drop(numbering);
        self.pack.tails = self.tails(contents, places, &locations);
        Ok(self.finished(end, inodes))
    }

    fn lookup(&mut self, records: &[u8], what: &'static str) -> Result<u64, SquashfsError> {
        let (bytes, index) = lookup::table(records, self.at, &mut self.compressor)?;
        self.put(&bytes, what)?;
        Ok(index)
    }
}

/// Writes inodes and listings, a directory after everything in it. The inodes go to the output as they
/// come; the listings wait for their place behind them.
struct Inodes<'a> {
    tree: &'a Tree,
    contents: &'a Contents,
    numbering: &'a Numbering,
    written: &'a [Option<Place>],
    locations: Locations,
    ids: Ids,
    xattrs: XattrTable,
    table: MetadataWriter,
    directories: MetadataWriter,
    /// By [`InodeId::index`]: [`Position::reference`], or `NOWHERE`.
    places: Vec<u64>,
}

impl Inodes<'_> {
    /// Takes the directories in preorder, each with its parent's number and its names; returns the
    /// root's place.
    fn write<W: Target>(
        &mut self,
        mut directories: Vec<(InodeId, u32, Names)>,
        out: &mut DataWriter<W>,
    ) -> Result<Position, SquashfsError> {
        // ids in the order of inode numbers
        for id in self.numbering.order() {
            let meta = &self.tree.get(id).meta;
            self.ids.index(meta.uid)?;
            self.ids.index(meta.gid)?;
        }
        // read backwards, a preorder has every directory behind what is in it; names are given back
        // while the tables grow
        let mut root = None;
        while let Some((directory, parent, names)) = directories.pop() {
            root = Some(self.directory(directory, parent, &names, out)?);
        }
        root.ok_or(SquashfsError::Missing)
    }

    fn directory<W: Target>(
        &mut self,
        id: InodeId,
        parent: u32,
        listed: &Names,
        out: &mut DataWriter<W>,
    ) -> Result<Position, SquashfsError> {
        let tree = self.tree;
        let mut names = Vec::with_capacity(listed.len());
        for (name, entry) in listed.iter() {
            let inode = tree.get(entry.inode);
            let place = match self.places[entry.inode.index()] {
                NOWHERE => self.file(entry.inode, inode, out)?,
                place => Position::from_reference(place),
            };
            names.push(Name {
                bytes: name,
                inode: place,
                number: self.numbering.number(entry.inode),
                kind: type_of(&inode.kind),
            });
        }
        let listing = directory::write(&names, &mut self.directories, &mut out.compressor)?;
        let common = self.common(id, tree.get(id), out)?;
        self.put(id, &common.directory(&listing, parent), out)
    }

    fn file<W: Target>(
        &mut self,
        id: InodeId,
        inode: &Inode,
        out: &mut DataWriter<W>,
    ) -> Result<Position, SquashfsError> {
        let common = self.common(id, inode, out)?;
        let bytes = match &inode.kind {
            Kind::File(content) => {
                let size = self.contents.get(*content).size;
                let at = match self.written.get(content.index()).copied().flatten() {
                    Some(place) => self.locations.get(place),
                    None if size == 0 => Location::default(),
                    None => return Err(SquashfsError::Missing),
                };
                common.file(size, &at)
            }
            Kind::Symlink(target) => common.symlink(target),
            Kind::Character(major, minor) => common.device(Type::Character, *major, *minor),
            Kind::Block(major, minor) => common.device(Type::Block, *major, *minor),
            Kind::Fifo => common.fifo(),
            // written before, by the order of directories
            Kind::Directory(_) => return Err(SquashfsError::Missing),
        };
        self.put(id, &bytes, out)
    }

    fn put<W: Target>(
        &mut self,
        id: InodeId,
        bytes: &[u8],
        out: &mut DataWriter<W>,
    ) -> Result<Position, SquashfsError> {
        let place = self.table.position();
        narrow(place.block)?;
        self.table.write(bytes, &mut out.compressor)?;
        if let Some(bytes) = self.table.take() {
            out.put(&bytes, "inodes")?;
        }
        self.places[id.index()] = place.reference();
        Ok(place)
    }

    fn common<W>(
        &mut self,
        id: InodeId,
        inode: &Inode,
        out: &mut DataWriter<W>,
    ) -> Result<Common, SquashfsError> {
        let meta = &inode.meta;
        let xattr = if meta.xattrs.is_empty() {
            xattr::NONE
        } else {
            self.xattrs.index(&meta.xattrs, &mut out.compressor)?
        };
        Ok(Common {
            mode: meta.mode,
            uid: self.ids.index(meta.uid)?,
            gid: self.ids.index(meta.gid)?,
            mtime: clamp_time(meta.mtime),
            number: self.numbering.number(id),
            links: self.numbering.links(id),
            xattr,
        })
    }
}

fn type_of(kind: &Kind) -> Type {
    match kind {
        Kind::Directory(_) => Type::Directory,
        Kind::File(_) => Type::File,
        Kind::Symlink(_) => Type::Symlink,
        Kind::Character(..) => Type::Character,
        Kind::Block(..) => Type::Block,
        Kind::Fifo => Type::Fifo,
    }
}
