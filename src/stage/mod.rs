//! From a pin to an image that a job can run: fetched, verified, converted, in the store.
//!
//! ```text
//! pin --known?--> SIF in the store ----------------------------+
//!     --fetch--> layers --> OCI archive in the store: Image::Oci      oci_archive.rs
//!     --look---> signed SIF beside the image in its registry ----+    published.rs
//!     --fetch--> layers in the store --convert--> SIF, by digest +--> Image::Sif
//! ```
//!
//! An image in a file (`oci:DIR` and the like) takes the same way from its archive instead of a
//! registry; it has no [`Pin`], its SIF says the manifest's digest.
//!
//! Layers that were converted before are neither fetched nor read again (`memory.rs`): their blocks
//! are copied from the SIFs of the store.
//!
//! A digest that was converted before under the same recipe needs no network. Not promised: that
//! the registry still has it.

mod archived;
pub mod artifact;
mod compare;
pub mod convert;
mod error;
mod file;
mod known;
mod make;
mod memory;
mod oci_archive;
mod progress;
pub mod published;
mod staged;
mod supply;
mod turn;
pub mod verify;

pub use archived::{Archived, Unconverted, archived};
pub use error::StageError;
pub use file::{NamedSif, Reading, digest_of, image_of, named};
pub use known::known_digest;
pub use make::{convert, fetch};
use make::{make, write};
pub use memory::Remembered;
pub use oci_archive::oci_archive;
pub use progress::Progress;
pub use staged::{Done, How, Staged};
pub use supply::{Show, Supply};
use turn::there;
pub use turn::{MyTurn, from_site, known, turn};
