//! Puts a layer's entries into the tree, lowest layer first; the upper one wins.
//!
//! The entries come from the layers' archives or from what was kept of them (`index.rs`): the tree
//! is the same.
//!
//! As `umoci` and docker do it: a link above a name is followed inside the image, the name itself is
//! replaced, a directory over a directory only changes its attributes, a hard link takes no
//! attributes of its own. As overlayfs does it, a directory of an upper layer hides a file of a lower
//! one, also when no entry describes the directory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead;
use std::sync::Arc;

use super::LayerError;
use super::limits::{Limits, check};
use super::reader::{Member, MemberKind, TarReader};
use super::whiteout::{self, Aufs, Whiteout};
use crate::tree::{
    ContentId, Contents, Inode, InodeId, Kind, Meta, NameIn, PathError, Scan, Tree, TreePath,
    Xattrs, show,
};

/// What squashfs can hold of extended attributes.
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
/// Bytes of warnings that are kept one by one; more are counted.
const MAX_WARNINGS: usize = 64 << 20;

/// Names that links may lead through before [`Limits::link_steps`] counts.
const FREE_STEPS: u64 = 1_000_000;

/// A regular file of a layer, in the order of its tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// What is in it.
    pub content: ContentId,
    /// A number that changes when the entry's directory does.
    pub directory: u32,
}

impl FileEntry {
    /// The numbers of directories: each call takes the path of a layer's next regular file.
    pub fn numbering() -> impl FnMut(&[u8]) -> u32 {
        let (mut number, mut last) = (0, Vec::new());
        move |path| {
            let end = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
            if last != path[..end] {
                number += 1;
                last = path[..end].to_vec();
            }
            number
        }
    }
}

/// Merges layers into a tree.
pub struct Merger {
    tree: Tree,
    contents: Contents,
    limits: Limits,
    implied: Meta,
    no_xattrs: Xattrs,
    /// Equal attributes of many files are held once.
    xattrs: HashSet<Xattrs>,
    /// AUFS' files with several names: of which layer, and by their names there.
    aufs: (u32, HashMap<Box<[u8]>, InodeId>),
    entries: u64,
    bytes: u64,
    metadata: u64,
    /// The path of the entry before.
    before: Vec<u8>,
    warnings: Vec<String>,
    /// Their bytes.
    warned: usize,
    more_warnings: u64,
}

impl Merger {
    /// Gives back the room that the tree does not need.
    pub fn compact(&mut self) {
        self.tree.compact();
    }

    /// Starts with an empty root directory; directories that no layer describes get `mtime`.
    #[must_use]
    pub fn new(limits: Limits, mtime: i64) -> Self {
        let implied = Meta::directory(mtime);
        Self {
            tree: Tree::new(
                implied.clone(),
                usize::try_from(limits.path_depth).unwrap_or(usize::MAX),
            ),
            contents: Contents::default(),
            no_xattrs: implied.xattrs.clone(),
            implied,
            limits,
            xattrs: HashSet::new(),
            aufs: (0, HashMap::new()),
            entries: 0,
            bytes: 0,
            metadata: 0,
            before: Vec::new(),
            warnings: Vec::new(),
            warned: 0,
            more_warnings: 0,
        }
    }

    /// Reads one layer; `layer` counts from 0, the lowest, and must grow from call to call. Its
    /// regular files in the order of the tar, shadowed and repeated ones included.
    ///
    /// # Errors
    /// When the archive is malformed or hostile; the tree is then of no use.
    pub fn layer<R: BufRead>(
        &mut self,
        layer: u32,
        tar: &mut TarReader<R>,
        block_size: usize,
    ) -> Result<Vec<FileEntry>, LayerError> {
        let mut files = Vec::new();
        let mut directory = FileEntry::numbering();
        while let Some(entry) = tar.next_entry()? {
            self.admit(&entry)?;
            let mut content = None;
            if entry.kind == MemberKind::File {
                let id = self.content(entry.size, tar, block_size)?;
                files.push(FileEntry { content: id, directory: directory(&entry.path) });
                content = Some(id);
            }
            self.apply(layer, entry, content)?;
        }
        Ok(files)
    }

    /// Counts an entry that was read, and its bytes, against the limits.
    ///
    /// # Errors
    /// When there are too many.
    pub fn admit(&mut self, entry: &Member) -> Result<(), LayerError> {
        self.entries += 1;
        limit(entry, "entries", self.entries, self.limits.entries)?;
        let shared = self.before.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
        let target = match &entry.kind {
            MemberKind::Symlink(target) | MemberKind::HardLink(target) => target.len(),
            _ => 0,
        };
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let more = (entry.path.len() - shared + target + xattrs) as u64;
        self.before.truncate(shared);
        self.before.extend(&entry.path[shared..]);
        self.metadata = self.metadata.saturating_add(more);
        limit(entry, "metadata bytes", self.metadata, self.limits.metadata_bytes)?;
        if entry.kind == MemberKind::File {
            self.bytes = self.bytes.saturating_add(entry.size);
            limit(entry, "content bytes", self.bytes, self.limits.content_bytes)?;
        }
        Ok(())
    }

    /// The contents of the files.
    pub fn contents(&mut self) -> &mut Contents {
        &mut self.contents
    }

    /// The tree, its contents, and what an image's author should know.
    #[must_use]
    pub fn finish(mut self) -> (Tree, Contents, Vec<String>, u64) {
        if self.more_warnings > 0 {
            self.warnings.push(format!("{} more warnings of this kind", self.more_warnings));
        }
        (self.tree, self.contents, self.warnings, self.entries)
    }

    /// Reads a file's bytes for their hashes.
    fn content<R: BufRead>(
        &mut self,
        size: u64,
        tar: &mut TarReader<R>,
        block_size: usize,
    ) -> Result<ContentId, LayerError> {
        let (mut scan, mut piece) = (Scan::default(), Vec::new());
        let mut left = size;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(block_size);
            piece.clear();
            tar.take(count, &mut piece)?;
            scan.piece(&piece);
            left -= count as u64;
        }
        Ok(self.contents.intern(size, scan.class(), scan.pieces()))
    }

    /// Puts an entry into the tree; the file that it made. Layers come lowest first, entries in the
    /// order of their tar.
    ///
    /// # Errors
    /// When the entry is hostile; the tree is then of no use.
    pub fn apply(
        &mut self,
        layer: u32,
        entry: Member,
        content: Option<ContentId>,
    ) -> Result<Option<InodeId>, LayerError> {
        // what the entries before this one made: directories that none describes, and ways through links
        let made = (self.tree.made() as u64).saturating_sub(1);
        limit(&entry, "entries", made, self.limits.entries)?;
        let steps = self.tree.steps().saturating_sub(FREE_STEPS) / self.entries.max(1);
        limit(&entry, "link steps", steps, self.limits.link_steps)?;
        let bad_path = |source| LayerError::Path { entry: show(&entry.path), source };
        let path = TreePath::parse(&entry.path).map_err(bad_path)?;
        if let Some(kept) = whiteout::aufs(path.names()) {
            return Ok(self.keep_for_links(layer, &entry, kept, content));
        }
        if path.names().iter().rev().skip(1).any(|name| whiteout::read(name).is_some()) {
            return Err(LayerError::refused(show(&entry.path), "it lies below a whiteout"));
        }
        let Some(last) = path.names().last() else {
            return self.root(entry).map(|()| None);
        };
        if let Some(whiteout) = whiteout::read(last) {
            if whiteout == Whiteout::Invalid {
                return Err(LayerError::refused(show(&entry.path), "it is a whiteout of no file"));
            }
            let place = match self.tree.find_parent(&path) {
                // its directory hides a file of a lower layer
                Err(PathError::NotADirectory(_)) => {
                    Some(self.tree.parent_over(&path, layer, &self.implied))
                }
                place => place.transpose(),
            };
            let Some((at, _)) = place.transpose().map_err(bad_path)? else {
                return Ok(None);
            };
            match whiteout {
                Whiteout::Opaque => self.tree.clear(at, layer, &self.implied),
                Whiteout::Name(name) => self.tree.whiteout(at, name, layer, &self.implied),
                Whiteout::Ignored | Whiteout::Invalid => {}
            }
            return Ok(None);
        }
        if let MemberKind::HardLink(target) = &entry.kind {
            return self.hard_link(layer, &entry, &path, target).map(|()| None);
        }
        let place = self.tree.parent_over(&path, layer, &self.implied);
        let (at, name) = place.map_err(|e| path_error(&entry, e))?;
        let kind = match (&entry.kind, content) {
            (MemberKind::File | MemberKind::HardLink(_), content) => {
                Kind::File(content.unwrap_or(ContentId(0)))
            }
            (MemberKind::Directory, _) => Kind::Directory(Box::default()),
            (MemberKind::Symlink(target), _) => Kind::Symlink(symlink(&entry, target)?),
            (MemberKind::Character(major, minor), _) => Kind::Character(*major, *minor),
            (MemberKind::Block(major, minor), _) => Kind::Block(*major, *minor),
            (MemberKind::Fifo, _) => Kind::Fifo,
        };
        if let Kind::Character(major, minor) | Kind::Block(major, minor) = kind
            && (major >= 1 << 12 || minor >= 1 << 20)
        {
            let why = "its device number does not fit 12 and 20 bits";
            return Err(LayerError::refused(show(&entry.path), why));
        }
        let old = self.tree.lookup(at, &name).map(|entry| entry.inode);
        let meta = self.meta(entry);
        Ok(match old {
            Some(old)
                if kind == Kind::Directory(Box::default()) && self.tree.names(old).is_some() =>
            {
                self.tree.get_mut(old).meta = meta;
                self.tree.link(at, &name, old, layer);
                None
            }
            _ => Some(self.tree.insert(at, &name, Inode { meta, kind, layer })),
        })
    }

    /// An entry in AUFS' own directories. What hard links lead to has no name before the first of them
    /// comes.
    fn keep_for_links(
        &mut self,
        layer: u32,
        entry: &Member,
        kept: Aufs<'_>,
        content: Option<ContentId>,
    ) -> Option<InodeId> {
        let Aufs::Link(name) = kept else { return None };
        if self.aufs.0 != layer {
            self.aufs = (layer, HashMap::new());
        }
        let (inode, made) = match (&entry.kind, content) {
            (MemberKind::File, Some(content)) => {
                let meta = self.meta(entry.clone());
                let kind = Kind::File(content);
                let inode = self.tree.unnamed(Inode { meta, kind, layer });
                (inode, Some(inode))
            }
            // a name that its archive met before this one
            (MemberKind::HardLink(target), _) => (self.target(layer, target).ok()?.1, None),
            _ => return None,
        };
        self.aufs.1.insert(name.into(), inode);
        made
    }

    /// What a hard link leads to: its place, unless it has none, and its inode.
    fn target(
        &mut self,
        layer: u32,
        target: &[u8],
    ) -> Result<(Option<NameIn>, InodeId), &'static str> {
        let to = TreePath::parse(target).map_err(|_| "which is not a path in the image")?;
        if let Some(Aufs::Link(name)) = whiteout::aufs(to.names()) {
            let kept = if self.aufs.0 == layer { self.aufs.1.get(name) } else { None };
            return Ok((None, *kept.ok_or("which does not exist")?));
        }
        let found = self.tree.find_parent(&to).map_err(|_| "whose path is not a path")?;
        let place = found.ok_or("which does not exist")?;
        let found = self.tree.lookup(place.0, &place.1).ok_or("which does not exist")?.inode;
        if self.tree.names(found).is_some() {
            return Err("which is a directory");
        }
        Ok((Some(place), found))
    }

    fn root(&mut self, entry: Member) -> Result<(), LayerError> {
        if entry.kind != MemberKind::Directory {
            return Err(LayerError::refused(show(&entry.path), "it replaces the root directory"));
        }
        let root = self.tree.root();
        self.tree.get_mut(root).meta = self.meta(entry);
        Ok(())
    }

    fn hard_link(
        &mut self,
        layer: u32,
        entry: &Member,
        path: &TreePath<'_>,
        target: &[u8],
    ) -> Result<(), LayerError> {
        let refused =
            |why| LayerError::HardLink { entry: show(&entry.path), target: show(target), why };
        let (place, inode) = self.target(layer, target).map_err(refused)?;
        let own = self.tree.parent_over(path, layer, &self.implied);
        let own = own.map_err(|e| path_error(entry, e))?;
        if place.is_some_and(|place| place == own) {
            return Err(refused("which is itself"));
        }
        self.tree.link(own.0, &own.1, inode, layer);
        Ok(())
    }

    fn meta(&mut self, entry: Member) -> Meta {
        let path = entry.path;
        if entry.acl {
            self.warn(format!("{}: POSIX ACL dropped, squashfs cannot hold it", show(&path)));
        }
        let mut xattrs = BTreeMap::new();
        for (name, value) in entry.xattrs {
            let storable = |space: &&[u8]| name.starts_with(space) && name.len() > space.len();
            if NAMESPACES.iter().any(storable) && !name.contains(&0) && name.len() <= 255 {
                xattrs.insert(name, value);
            } else if name.starts_with(b"system.posix_acl_") {
                self.warn(format!("{}: POSIX ACL dropped, squashfs cannot hold it", show(&path)));
            } else {
                let name = show(&name);
                self.warn(format!(
                    "{}: attribute {name} dropped, squashfs cannot hold it",
                    show(&path)
                ));
            }
        }
        let xattrs = match self.xattrs.get(&xattrs) {
            _ if xattrs.is_empty() => self.no_xattrs.clone(),
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(xattrs);
                self.xattrs.insert(new.clone());
                new
            }
        };
        Meta { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.last() == Some(&warning) {
            return;
        }
        self.warned += warning.len();
        if self.warned < MAX_WARNINGS {
            self.warnings.push(warning);
        } else {
            self.more_warnings += 1;
        }
    }
}

fn path_error(entry: &Member, source: PathError) -> LayerError {
    match source {
        PathError::TooDeep(value) => {
            LayerError::Limit { entry: show(&entry.path), limit: "path depth", value: value as u64 }
        }
        source => LayerError::Path { entry: show(&entry.path), source },
    }
}

fn limit(entry: &Member, name: &'static str, value: u64, limit: u64) -> Result<(), LayerError> {
    check(name, value, limit).map_err(|passed| LayerError::limit(show(&entry.path), &passed))
}

/// A symbolic link's target, which squashfs and Linux bound at 4,095 bytes.
fn symlink(entry: &Member, target: &[u8]) -> Result<Box<[u8]>, LayerError> {
    let why = match target {
        [] => "it is a symbolic link to nothing",
        target if target.contains(&0) => "its target holds a NUL byte",
        target if target.len() > 4095 => "its target has more than 4095 bytes",
        target => return Ok(target.into()),
    };
    Err(LayerError::refused(show(&entry.path), why))
}
