//! A job: a pinned image, a command, and what they need. Pure data, floor 2.

mod added;
mod attempt;
mod delivery;
mod env;
mod filter;
mod id;
mod job_ref;
mod mount;
mod name;
mod resources;
mod runtime;
mod spec;
mod state;
mod tasks;
mod terms;
mod work_dir;

pub use added::{AddedEngines, AddedFile, AddedRuntime, StagedRuntime};
pub use attempt::{Evidence, Grade, Measured};
pub use delivery::Delivery;
pub use env::EnvVar;
pub use filter::CallFilter;
pub use id::{EngineKey, IntentId, JobId, Nonce, ParseIdError};
pub use job_ref::JobRef;
pub use mount::{Access, Mount, Need, ParseMountError};
pub use name::Name;
pub(crate) use name::open_names;
pub use resources::{ParseResourceError, Resources};
pub use runtime::RuntimeChoice;
pub use spec::JobSpec;
pub use state::{JobState, Observation};
pub use tasks::Tasks;
pub use terms::{Entrypoint, Input, Network, Terms};
pub use work_dir::WORK_DIR;
