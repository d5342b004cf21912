//! What a conversion may use of earlier ones. It changes how long the conversion takes, and never a byte.

use std::fs::File;
use std::io::{self, Write};

use crate::layer::LayerIndex;
use crate::oci::DiffId;
use crate::squashfs::Pack;

/// Earlier conversions with the same recipe, and where this one leaves what it learns.
pub trait Memory {
    /// SIFs from which blocks may be taken, in the order in which they are asked.
    fn packs(&mut self) -> Vec<Pack>;

    /// What is in a layer.
    fn layer(&mut self, diff_id: &DiffId) -> Option<LayerIndex>;

    /// A pack turned out to be damaged.
    fn damaged(&mut self, pack: &str);

    /// Keeps the index of a layer, which `write` writes.
    ///
    /// # Errors
    /// When it cannot be written; the conversion goes on.
    fn keep_layer(
        &mut self,
        diff_id: &DiffId,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()>;

    /// An empty file without a name, for what was written in vain and can be used again.
    fn spare(&mut self) -> Option<File>;
}

/// Knows nothing and keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Memory for Forgetful {
    fn packs(&mut self) -> Vec<Pack> {
        Vec::new()
    }

    fn layer(&mut self, _: &DiffId) -> Option<LayerIndex> {
        None
    }

    fn damaged(&mut self, _: &str) {}

    fn keep_layer(
        &mut self,
        _: &DiffId,
        _: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        Ok(())
    }

    fn spare(&mut self) -> Option<File> {
        None
    }
}

/// Keeps, but knows nothing: for a conversion that could not be done with what was known.
pub(super) struct Anew<'a>(pub(super) &'a mut dyn Memory);

impl Memory for Anew<'_> {
    fn packs(&mut self) -> Vec<Pack> {
        Vec::new()
    }

    fn layer(&mut self, _: &DiffId) -> Option<LayerIndex> {
        None
    }

    fn damaged(&mut self, pack: &str) {
        self.0.damaged(pack);
    }

    fn keep_layer(
        &mut self,
        diff_id: &DiffId,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.0.keep_layer(diff_id, write)
    }

    fn spare(&mut self) -> Option<File> {
        self.0.spare()
    }
}
