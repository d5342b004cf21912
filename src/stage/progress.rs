//! The events of a conversion, for a display of its progress.

use crate::oci::Descriptor;
use crate::store::Holder;

/// What happens, for who watches.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A layer is downloaded: which of how many.
    Layer {
        /// From 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What.
        layer: &'a Descriptor,
    },
    /// So much of a layer came by now.
    Received {
        /// From 1.
        number: usize,
        /// Bytes.
        bytes: u64,
    },
    /// Somebody else makes the image; `None` when it cannot be read who.
    Waiting(Option<&'a Holder>),
    /// A layer of an archive is read: which of how many. [`Progress::Received`] says how much.
    Reading {
        /// From 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What.
        layer: &'a Descriptor,
    },
    /// The layers become a SIF, maybe while some are still downloaded.
    Converting {
        /// Compressed bytes of the layers that are not known.
        bytes: u64,
    },
    /// So many more compressed bytes were read for it.
    Converted {
        /// Since the last time.
        bytes: u64,
    },
}
