//! What the configuration says of names.

use std::collections::BTreeMap;

use crate::failure::Report;
use crate::pin::Built;

/// The names of moorline.toml and of the user's configuration.
pub trait Names {
    /// `[images]`: name -> reference.
    fn images(&self) -> &BTreeMap<String, String>;
    /// `[images]`: name -> what CI built.
    fn built(&self) -> &BTreeMap<String, Built>;
    /// The registry of names without one.
    fn default_registry(&self) -> &str;
    /// Refuses a word that may be a name of a project file that is not used.
    ///
    /// # Errors
    /// With the reason.
    fn no_lost_name(&self, what: &str) -> Result<(), Report>;
}
