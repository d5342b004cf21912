//! Files, in one way each: one way to open a file that somebody else may have put there, one to replace a
//! file, one to hash it, one to find a program, one to ask who else can write.
//!
//! ```text
//! foreign.rs   open and read: regular, of whom, how large, no link       ForeignFile::own(MOST).text(path)
//! trust.rs     who besides the caller can write a file or a directory    Writers::of(me).may_write(&meta)
//! replace.rs   a whole new file or the old one, also after a crash       replace(path, 0o644, bytes)
//! naming.rs    what a rename came to when its answer was lost            persist(file, path)
//! way.rs       who else could exchange a part of a path                  walk(path, &[0, me], false)
//! handles.rs   a path below a directory, no link followed on the way     handles::open(dir, path)
//! identity.rs  what a file is, as far as its metadata tell              Identity::of(&meta)
//! hash.rs      SHA-256 of what a reader gives                            sha256(&mut file)
//! read_at.rs   bytes by their place, by several threads                  source.read_exact_at(&mut bytes, at)
//! search.rs    a program in PATH                                         in_path(path, "apptainer")
//! local.rs     whether a file system belongs to this machine              is_local(statfs.f_type)
//! error.rs     what was done, on which file, and what the system said   FileError::about("cannot read", path)
//! barred.rs    which directory is in the way                              explained(path, error)
//! ```
//!
//! Floor 0: it knows paths and bytes, and nothing of images, jobs or configurations. The names in a
//! directory are in `listing`.

mod barred;
mod error;
mod foreign;
pub mod handles;
mod hash;
mod identity;
mod local;
mod naming;
mod read_at;
mod replace;
mod search;
mod trust;
mod way;

pub use barred::{barred, explained};
pub use error::FileError;
pub use foreign::{Folder, ForeignError, ForeignFile, MOST_CA_BYTES, Opened};
pub use hash::{Sum, sha256};
pub use identity::Identity;
pub use local::is_local;
pub use naming::{persist, rename};
pub use read_at::ReadAt;
pub use replace::{create, jot, publish, publish_new, replace, sync_folder};
pub use search::in_path;
pub use trust::{Outsider, Writers};
pub use way::{WayError, walk};
