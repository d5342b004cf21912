//! Configuration files and job files: text in, types out. `cli` decides which files are read.
//!
//! ```text
//! site      /etc/moorline/config.toml                 trusted
//! user      $XDG_CONFIG_HOME/moorline/config.toml     trusted
//! project   moorline.toml                             somebody else's input: names, references,
//!                                                     resources, mounts and environment only; no
//!                                                     variable that decides what runs (variables.rs)
//! ------- merge: the later wins -------------------- > Config, each value with its Origin
//! job file  submit -f job.toml                        keys equal the long flags
//! ```
//!
//! Source: TOML 1.0; `docs/reference/files.md` is the list of keys, `settings/rows.rs` the one in code.

mod error;
mod job_file;
mod keys;
mod origin;
mod places;
mod read;
mod server;
mod settings;
mod variables;

pub use error::{ConfigError, Problem};
pub use job_file::{JobFile, JobFiles};
pub use origin::{Level, Origin, Value};
pub use places::{PROJECT_FILE, SITE_FILE, USER_FILE};
pub use read::{parse_age, parse_size};
pub use server::{ParseServerError, ServerUrl};
pub use settings::{
    BackendSettings, Config, DeliverySettings, GitlabSettings, Head, HubSettings, Meant,
    PolicySettings, RegistrySifSettings, ShownValue, StoreSettings, SubmitSettings, WaitSettings,
    Who,
};
pub use variables::decides_what_runs;
