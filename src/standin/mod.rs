//! A stand-in for GitLab and its container registry, on loopback, for the demo and the tests.
//!
//! ```text
//!  client --GET /v2/...--------------> embedded registry   401 + challenge, later blobs and manifests
//!         --GET /jwt/auth + Basic----> stand-in for GitLab  {"token": "<RS256 JWT>"}
//!         --GET /v2/... + Bearer-----> embedded registry   checks the token's signature and access
//!
//!  or, with `registry: false`, only /jwt/auth, in front of docker-registry with `auth.token`
//! ```
//!
//! It is a *stand-in*: it answers what GitLab's `GET /jwt/auth` answers for deploy tokens, job
//! tokens and anonymous callers, a few routes of its REST API (reading what CI built, writing packages, releases,
//! notes and statuses), and nothing else of GitLab. The embedded registry serves
//! what [`Images`] holds and what was pushed to it. Sources: GitLab's
//! `doc/administration/packages/container_registry` and
//! `app/services/auth/container_registry_authentication_service.rb` (behaviour only), docker
//! distribution's "Token Authentication Specification", OCI distribution specification 1.1.
//!
//! Not promised: to be safe anywhere but on loopback, or fast.

mod access;
mod api_call;
mod config;
mod error;
mod facts;
mod gitlab_api;
mod images;
mod key;
mod notes;
mod packages;
mod pending;
mod registry;
mod said;
mod server;
mod shared;
mod token;
mod uploads;
mod written;

pub use config::{Account, Config, DeployToken, JobToken, OauthToken, Project, Scope, Visibility};
pub use error::StandInError;
pub use facts::{ApiToken, CiMergeRequest, CiPipeline, CiRelease, GitlabFacts};
pub use images::{Images, LayoutError};
pub use server::{Running, StandIn};
pub use shared::Seen;
use shared::Shared;
