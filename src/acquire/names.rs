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
    /// Whether nobody said which registry that is: names without one would be Docker Hub's.
    fn is_hub_by_default(&self) -> bool;
    /// The host of the clone around the working directory, where it may be a GitLab.
    fn gitlab_clone(&self) -> Option<String>;
    /// The word with its digest whole, where it has a beginning of one; `None` where there is nothing to complete.
    ///
    /// # Errors
    /// When no digest that is known here begins so, or several do.
    fn whole_digest(&self, word: &str) -> Result<Option<String>, Report>;
    /// The repositories, with their registries, from which a whole digest came that is known here.
    ///
    /// # Errors
    /// When the records cannot be read.
    fn places_of(&self, digest: &str) -> Result<Vec<String>, Report>;
    /// Refuses a word that may be a name of a project file that is not used.
    ///
    /// # Errors
    /// With the reason.
    fn no_lost_name(&self, what: &str) -> Result<(), Report>;
}
