//! GitLab's REST API, as far as "what CI built" needs it, and the conventions of its CI.
//!
//! ```text
//!  project + branch | commit | pipeline | job | merge request | release
//!     --GET /api/v4/projects/...-->  commit, ref, pipeline      (a token that may read the API)
//!     --convention-->                repository:tag             (convention.rs, no request at all)
//!  a verdict  --POST, PUT-->         a note, a commit's status (writing.rs; a token with the scope api)
//!  a CI job's own variables -->      CiJob                      (ci.rs)
//!  a build job's digest file -->     Handed                     (handed.rs)
//!  a clone's git configuration -->   Remote                     (remote.rs; own_registry.rs: its registry by name)
//! ```
//!
//! Floor 4. Endpoints and their parameters are the crate `gitlab`'s; the connection is ours
//! (`transport.rs`, and `docs/gitlab.md` says why): the token goes to the configured server and
//! nowhere else, no redirect is followed, answers are capped. Source: GitLab's "REST API resources",
//! "Predefined CI/CD variables reference".
//!
//! Not promised: that an image of a commit exists; the registry is asked for that
//! (`resolve::origin`).

mod answers;
mod api;
mod ci;
mod client;
mod convention;
mod error;
mod handed;
mod handed_text;
mod options;
mod own_registry;
mod remote;
mod token;
mod transport;
mod writing;

pub use answers::{AccessToken, Commit, Job, MergeRequest, Pipeline, Project, Release, Repository};
pub use ci::CiJob;
pub use client::Client;
pub use convention::{UsualTag, of_commit, of_ref, slug};
pub use error::GitlabError;
pub use handed::{Handed, HandedError};
pub use options::{Notice, Options};
pub use own_registry::is_own_registry;
pub use remote::{Found, Remote, look, remote};
pub use token::{CredentialKind, Token, TokenKind};
pub use writing::{Noted, State, Status};
