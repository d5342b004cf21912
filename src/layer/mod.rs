//! One layer of an image: from its compressed blob to changes of the [`Tree`](crate::tree::Tree).
//!
//! ```text
//! blob --stream.rs--> tar bytes --reader.rs--> entries --merge.rs--> Tree + Contents
//!   compression.rs,      header.rs pax.rs sparse.rs     whiteouts,
//!   diff_id, ratio                       |              hard links
//!                                         `--entries.rs index.rs--> kept, to be merged without the blob
//! ```
//!
//! Floor 3: readers are passed in. A layer is written by anybody, so everything is bounded by
//! [`Limits`], each named in its error, and what programs are known to read in different ways is
//! refused instead of guessed: then the tree is the same that GNU tar, bsdtar or umoci would make.
//!
//! The archive is read here and not by the `tar` crate because that one splits PAX records at line
//! ends (a capability may hold one), reads long names without a bound, and knows no PAX sparse
//! files; the tests make their archives with it.
//!
//! Sources: OCI image specification 1.1, `layer.md`; POSIX.1-2017 `pax`; GNU tar manual, "Basic Tar
//! Format" and "Storing Sparse Files".

mod compression;
mod entries;
mod error;
mod forecast;
mod header;
mod index;
mod limits;
mod merge;
mod number;
mod pax;
mod reader;
mod sparse;
mod stream;
mod varint;
mod whiteout;

pub use compression::Compression;
pub use entries::Entries;
pub use error::LayerError;
pub use forecast::Forecast;
pub use index::LayerIndex;
pub use limits::Limits;
pub use merge::{FileEntry, Merger};
pub use reader::{Member, MemberKind, TarReader};
pub use stream::LayerStream;
pub(crate) use stream::recycle;
