//! The in-memory file system: what an image's layers add up to, before it has an on-disk form.
//!
//! ```text
//! name -> Dirent { inode, layer } -> Inode { meta, kind }        several names, one inode: hard links
//!                                          kind: directory (sorted names), file (content), ...
//! Contents: (size, hash) -> ContentId                            equal files are one content
//! ```
//!
//! Floor 2: no I/O and no format. Names are bytes, sorted as unsigned bytes; nothing here asks for
//! UTF-8. File data is never held, only what identifies it. Paths are resolved inside the tree as
//! `chroot` would: a symbolic link in a parent is followed and can never lead outside.

mod content;
mod fs;
mod id;
mod inode;
mod name;
mod names;
mod number;
mod path;
mod resolve;

pub use content::{Class, Content, ContentId, Contents, PieceHash, Scan};
pub use fs::Tree;
pub use id::InodeId;
pub use inode::{Inode, Kind, Meta, Xattrs};
pub use name::Name;
pub use names::{Dirent, Names};
pub use number::Numbering;
pub use path::{MAX_NAME, PathError, TreePath, show};
pub use resolve::NameIn;
