//! Secrets of the stand-in's own configuration, as its JSON holds them.

use serde::{Deserialize, Deserializer};

use crate::secret::Secret;

/// A text that is a secret from its first byte.
pub(super) fn secret<'de, D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
    String::deserialize(d).map(Secret::new)
}
