//! What obtaining an image needs of the place where the program runs.

use std::num::NonZeroUsize;

use tokio::runtime::Runtime;

use super::manners::Manners;
use super::names::Names;
use crate::config::{Config, ServerUrl};
use crate::credential::Listed;
use crate::failure::Report;
use crate::files::{Identity, Writers};
use crate::gitlab::{self, CiJob};
use crate::layer::Limits;
use crate::oci::Platform;
use crate::pin::Image;
use crate::registry::Client;
use crate::sif::hash_tree::Once;
use crate::stage::Show;
use crate::store::{SiteStore, Store};

/// Configuration, clients, store, and the one who is told. The command line implements it; a test or a service
/// may do so, too.
pub trait Surroundings: Names {
    /// The merged configuration.
    fn config(&self) -> &Config;
    /// Another file of the project; `None` when there is none.
    ///
    /// # Errors
    /// When it is not used.
    fn project_file(&self, name: &str) -> Result<Option<String>, Report>;
    /// Who may have written what the project brings.
    fn project_writers(&self) -> Writers;

    /// The registry client of the command.
    ///
    /// # Errors
    /// When it cannot be made.
    fn client(&self) -> Result<Client, Report>;
    /// Who plays Singularity Hub.
    ///
    /// # Errors
    /// When the address is none.
    fn hub(&self) -> Result<ServerUrl, Report>;
    /// The logins that are kept.
    ///
    /// # Errors
    /// When the file that remembers them is broken.
    fn logins(&self) -> Result<Vec<Listed>, Report>;
    /// The job of GitLab CI that this process runs in.
    ///
    /// # Errors
    /// When CI's own variables contradict what GitLab documents.
    fn ci_job(&self) -> Result<Option<CiJob>, Report>;
    /// CI's own server.
    fn ci_server(&self) -> Option<ServerUrl>;
    /// GitLab's server: configured, or CI's own.
    fn gitlab_server(&self) -> Option<ServerUrl>;
    /// A client for GitLab's API, where its server is known and a token for it is at hand.
    ///
    /// # Errors
    /// When the token may not be sent there.
    fn gitlab(&self) -> Result<Option<gitlab::Client>, Report>;
    /// What runs asynchronous work.
    ///
    /// # Errors
    /// When the system refuses what it needs.
    fn runtime(&self) -> Result<&Runtime, Report>;

    /// The own store.
    ///
    /// # Errors
    /// When its directory is not safe or cannot be made.
    fn store(&self) -> Result<Store, Report>;
    /// The site's store, where one is configured.
    fn site_store(&self) -> Option<SiteStore>;
    /// What a SIF file that was named gave when it was read before.
    fn read_before(&self, file: &Identity) -> Option<Once>;
    /// Notes what one gave.
    fn note_reading(&self, file: &Identity, once: Once);
    /// What foreign layers may ask for at most.
    fn limits(&self) -> Limits;
    /// How much of this machine a conversion takes; `asked` is what the user said.
    fn manners(&self, asked: Option<NonZeroUsize>) -> Manners;

    /// Progress and remarks.
    fn say(&self, text: &str);
    /// What concerns the result.
    fn warn(&self, text: &str);
    /// A new display of progress; it goes when it is dropped.
    fn show(&self) -> Show;
    /// Something is about to be put into this store: says when that is no good place.
    fn suits(&self, store: &Store);
    /// A conversion is about to begin: says when there is little room.
    fn has_room(&self, store: &Store);
    /// What the image of an archive is for: there is no pin that says it to the job.
    fn is_for(&self, platform: Platform);
    /// An image was put into the store: keeps that to its limit.
    fn stored(&self, image: &Image);
}

/// Runs something asynchronous to its end.
///
/// # Errors
/// When the system refuses what the runtime needs.
pub fn block_on<F: Future>(here: &dyn Surroundings, work: F) -> Result<F::Output, Report> {
    Ok(here.runtime()?.block_on(work))
}
