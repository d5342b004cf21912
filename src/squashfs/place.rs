//! The writer's own number for a content. It is not written into the image.

use std::num::NonZeroU32;

/// A content's number in the order in which contents were written; it takes no more room where there
/// may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(NonZeroU32);

impl Place {
    /// From 0.
    pub(super) fn new(number: usize) -> Self {
        let from_one = u32::try_from(number + 1).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(from_one).unwrap_or(NonZeroU32::MAX))
    }

    /// From 0.
    pub(super) fn number(self) -> usize {
        self.0.get() as usize - 1
    }
}
