//! The kernel's side: its requests, and our answers in its words.
//!
//! An image does not change, so the kernel may keep what it is told, also that there is no such name: Python
//! asks for many that are not there.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::answers::{Answers, Attribute, Fault, Shown};
use crate::files::ReadAt;
use crate::sif::hash_tree::{Checked, Counted};
use crate::squashfs::read::{Inode, Kind, ReadError, Type};

/// How long the kernel may keep an answer: as long as the mount lives.
const KEPT: Duration = Duration::from_secs(1 << 30);
/// What a request may ask for at most, in bytes.
const MOST: u32 = 1 << 20;
/// Requests that may wait, such as those for what will be read next.
const WAITING: u16 = 64;
/// What is used of the kernel where it has it.
const WANTED: [InitFlags; 6] = [
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_NO_OPEN_SUPPORT,
    InitFlags::FUSE_NO_OPENDIR_SUPPORT,
];

/// What is learnt while an image is served.
pub(super) struct Watch {
    /// The first thing that could not be answered.
    trouble: Mutex<Option<String>>,
    refused: AtomicBool,
    /// Called once, when a block was refused.
    alarm: Box<dyn Fn() + Send + Sync>,
}

impl Watch {
    pub(super) fn new(alarm: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let (trouble, refused) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { trouble, refused, alarm: Box::new(alarm) })
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn heard(&self, error: &ReadError, counted: Counted) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert_with(|| error.to_string());
        drop(trouble);
        if counted.refused > 0 && !self.refused.swap(true, Relaxed) {
            (self.alarm)();
        }
    }
}

/// A file system that the kernel asks.
pub(super) struct Kernel<S: 'static> {
    answers: Answers<Checked<S>>,
    watch: Arc<Watch>,
    /// Whether directories need not be opened.
    no_opendir: bool,
}

impl<S: ReadAt> Kernel<S> {
    pub(super) fn new(answers: Answers<Checked<S>>, watch: Arc<Watch>) -> Self {
        Self { answers, watch, no_opendir: false }
    }

    fn errno(&self, fault: &Fault) -> Errno {
        match fault {
            Fault::Nothing => Errno::ENOENT,
            Fault::OtherType => Errno::EINVAL,
            Fault::Read(error) => {
                self.watch.heard(error, self.answers.image().source().counted());
                Errno::EIO
            }
        }
    }

    fn directory(&self, fault: &Fault) -> Errno {
        match fault {
            Fault::OtherType => Errno::ENOTDIR,
            other => self.errno(other),
        }
    }
}

/// What `stat` shows. The caller is the owner of everything.
fn attributes(number: u64, shown: &Shown) -> FileAttr {
    let inode = match shown {
        Shown::OfImage(inode) => inode,
        Shown::Made { directory: true } => {
            let (kind, perm, nlink, size) = (FileType::Directory, 0o755, 2, 4096);
            return FileAttr { ino: INodeNo(number), kind, perm, nlink, size, ..nothing() };
        }
        Shown::Made { directory: false } => {
            return FileAttr { ino: INodeNo(number), perm: 0o644, nlink: 1, ..nothing() };
        }
    };
    of_image(number, inode)
}

fn of_image(number: u64, inode: &Inode) -> FileAttr {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(inode.mtime.into());
    // Linux' new_encode_dev
    let device = |major: u32, minor: u32| (minor & 0xFF) | major << 8 | (minor & !0xFF) << 12;
    let (kind, size, rdev) = match &inode.kind {
        Kind::Directory(_) => (FileType::Directory, 4096, 0),
        Kind::File(file) => (FileType::RegularFile, file.size, 0),
        Kind::Symlink(target) => (FileType::Symlink, target.len() as u64, 0),
        Kind::Block(major, minor) => (FileType::BlockDevice, 0, device(*major, *minor)),
        Kind::Character(major, minor) => (FileType::CharDevice, 0, device(*major, *minor)),
        Kind::Fifo => (FileType::NamedPipe, 0, 0),
        Kind::Socket => (FileType::Socket, 0, 0),
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: inode.mode & 0o7777,
        nlink: inode.links.max(1),
        uid: 0,
        gid: 0,
        rdev,
        blksize: 4096,
        flags: 0,
    }
}

/// That there is no such name: an entry without a number, which the kernel keeps.
fn nothing() -> FileAttr {
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

fn kind(of: Type) -> FileType {
    match of {
        Type::Directory => FileType::Directory,
        Type::File => FileType::RegularFile,
        Type::Symlink => FileType::Symlink,
        Type::Block => FileType::BlockDevice,
        Type::Character => FileType::CharDevice,
        Type::Fifo => FileType::NamedPipe,
        Type::Socket => FileType::Socket,
    }
}

/// A value of a length that the kernel first asks for.
fn give(reply: ReplyXattr, size: u32, value: &[u8]) {
    match u32::try_from(value.len()) {
        Ok(length) if size == 0 => reply.size(length),
        Ok(length) if length <= size => reply.data(value),
        _ => reply.error(Errno::ERANGE),
    }
}

impl<S: ReadAt + Send + 'static> Filesystem for Kernel<S> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            // an older kernel does without
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(MOST);
        let _ = config.set_max_background(WAITING);
        self.no_opendir = config.capabilities().contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.answers.find(parent.0, name.as_bytes()) {
            Ok((number, shown)) => {
                reply.entry(&KEPT, &attributes(number, &shown), Generation(0));
            }
            Err(Fault::Nothing) => reply.entry(&KEPT, &nothing(), Generation(0)),
            Err(fault) => reply.error(self.directory(&fault)),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.answers.shown(number.0) {
            Ok(shown) => reply.attr(&KEPT, &attributes(number.0, &shown)),
            Err(fault) => reply.error(self.errno(&fault)),
        }
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if self.answers.remove(parent.0, name.as_bytes()) {
            reply.ok();
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.answers.target(number.0) {
            Ok(target) => reply.data(&target),
            Err(fault) => reply.error(self.errno(&fault)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // asks no more, and keeps what it has read
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.answers.read(number.0, offset, size.min(MOST) as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(fault) => reply.error(self.errno(&fault)),
        }
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if self.no_opendir {
            reply.error(Errno::ENOSYS);
        } else {
            let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
            reply.opened(FileHandle(0), flags);
        }
    }

    fn readdir(
        &self,
        _: &Request,
        directory: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let list = match self.answers.list(directory.0) {
            Ok(list) => list,
            Err(fault) => return reply.error(self.directory(&fault)),
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (at, name) in [".", ".."].into_iter().enumerate().skip(from) {
            // nobody asks which one is above
            if reply.add(directory, at as u64 + 1, FileType::Directory, name) {
                return reply.ok();
            }
        }
        for (at, listed) in list.iter().enumerate().skip(from.saturating_sub(2)) {
            let (found, name) = (INodeNo(listed.number), OsStr::from_bytes(&listed.name));
            if reply.add(found, at as u64 + 3, kind(listed.kind), name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _: &Request,
        directory: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let both = self
            .answers
            .list(directory.0)
            .and_then(|list| self.answers.shown(directory.0).map(|shown| (list, shown)));
        let (list, shown) = match both {
            Ok(both) => both,
            Err(fault) => return reply.error(self.directory(&fault)),
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (at, name) in [".", ".."].into_iter().enumerate().skip(from) {
            // the kernel takes no entry of these two
            let own = attributes(directory.0, &shown);
            if reply.add(directory, at as u64 + 1, name, &KEPT, &own, Generation(0)) {
                return reply.ok();
            }
        }
        for (at, listed) in list.iter().enumerate().skip(from.saturating_sub(2)) {
            let found = listed.number;
            let known = match self.answers.shown(found) {
                Ok(shown) => attributes(found, &shown),
                Err(fault) => {
                    // the name is there; who opens it gets the error
                    self.errno(&fault);
                    FileAttr { kind: kind(listed.kind), ..nothing() }
                }
            };
            let name = OsStr::from_bytes(&listed.name);
            if reply.add(INodeNo(found), at as u64 + 3, name, &KEPT, &known, Generation(0)) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (inodes, bytes) = self.answers.image().amount();
        reply.statfs(bytes.div_ceil(4096), 0, 0, inodes.into(), 0, 4096, 256, 4096);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if !self.answers.image().has_xattrs() {
            // asks no more
            return reply.error(Errno::ENOSYS);
        }
        if !name.as_bytes().starts_with(b"user.") {
            return reply.error(Errno::ENODATA);
        }
        match self.answers.xattrs(number.0) {
            Ok(all) => match all.iter().find(|(known, _)| known == name.as_bytes()) {
                Some((_, value)) => give(reply, size, value),
                None => reply.error(Errno::ENODATA),
            },
            Err(fault) => reply.error(self.errno(&fault)),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        if !self.answers.image().has_xattrs() {
            return reply.error(Errno::ENOSYS);
        }
        match self.answers.xattrs(number.0) {
            Ok(all) => {
                let ended = |(name, _): &Attribute| [name.as_slice(), b"\0"].concat();
                give(reply, size, &all.iter().flat_map(ended).collect::<Vec<u8>>());
            }
            Err(fault) => reply.error(self.errno(&fault)),
        }
    }
}
