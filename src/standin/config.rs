//! What the stand-in knows: projects and tokens. As JSON:
//!
//! ```json
//! {
//!   "service": "container_registry",
//!   "issuer": "gitlab-issuer",
//!   "token_seconds": 300,
//!   "projects": [ {"path": "group/project", "visibility": "private"} ],
//!   "deploy_tokens": [ {"username": "gitlab+deploy-token-1", "secret": "gldt-...",
//!                       "scopes": ["read_registry"], "project": "group/project"},
//!                      {"username": "site", "secret": "gldt-...",
//!                       "scopes": ["read_registry", "write_registry"], "group": "group"} ],
//!   "job_tokens": [ {"secret": "glcbt-...", "project": "group/project"} ],
//!   "oauth_tokens": [ {"secret": "...", "projects": ["group/project"]} ],
//!   "accounts": [ {"username": "ada", "secret": "...", "projects": ["group/project"], "two_factor": false} ]
//! }
//! ```
//!
//! Every key but `projects` may be left out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::secret::Secret;

/// What to serve and to whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen: loopback; port 0 takes any free one.
    #[serde(skip)]
    pub listen: SocketAddr,
    /// The host that its registry names for tokens, where that is another name than the registry's, as at most
    /// sites of GitLab: `localhost`.
    #[serde(skip)]
    pub realm_host: Option<String>,
    /// Whether the embedded registry is served too.
    #[serde(skip)]
    pub registry: bool,
    /// The `service` that token requests must name, and the tokens' audience.
    pub service: String,
    /// The tokens' issuer.
    pub issuer: String,
    /// How long a token lives; GitLab's default is 5 minutes.
    #[serde(rename = "token_seconds", deserialize_with = "seconds")]
    pub token_lifetime: Duration,
    /// The projects that exist.
    pub projects: Vec<Project>,
    /// The deploy tokens that exist.
    pub deploy_tokens: Vec<DeployToken>,
    /// The CI job tokens that are valid now.
    pub job_tokens: Vec<JobToken>,
    /// The OAuth tokens that are valid now.
    pub oauth_tokens: Vec<OauthToken>,
    /// Users who may give their password.
    pub accounts: Vec<Account>,
    /// What its REST API knows.
    pub gitlab: super::facts::GitlabFacts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            realm_host: None,
            registry: true,
            service: "container_registry".into(),
            issuer: "gitlab-issuer".into(),
            token_lifetime: Duration::from_secs(300),
            projects: Vec::new(),
            deploy_tokens: Vec::new(),
            job_tokens: Vec::new(),
            oauth_tokens: Vec::new(),
            accounts: Vec::new(),
            gitlab: super::facts::GitlabFacts::default(),
        }
    }
}

/// A project and who may read it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// `group/project`, any depth.
    pub path: String,
    /// Private unless said otherwise.
    #[serde(default)]
    pub visibility: Visibility,
}

/// Who may read a project without a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Nobody.
    #[default]
    Private,
    /// Everybody.
    Public,
}

/// A deploy token of a project or of a group.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployToken {
    /// The user name that must be given exactly.
    pub username: String,
    /// The secret.
    #[serde(deserialize_with = "super::facts::secret")]
    pub secret: Secret,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The project that it belongs to.
    #[serde(default)]
    pub project: Option<String>,
    /// The group that it belongs to: every project below.
    #[serde(default)]
    pub group: Option<String>,
}

/// What a deploy token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Pull images.
    ReadRegistry,
    /// Push images.
    WriteRegistry,
    /// Clone the git repository: no registry ability.
    ReadRepository,
    /// Read packages: no registry ability.
    ReadPackageRegistry,
}

/// A running job's token: pulls and pushes in its own project.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobToken {
    /// `$CI_JOB_TOKEN`.
    #[serde(deserialize_with = "super::facts::secret")]
    pub secret: Secret,
    /// The job's project.
    pub project: String,
}

/// An OAuth token of a user: pulls and pushes where the user may; the user name is ignored.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthToken {
    /// The secret.
    #[serde(deserialize_with = "super::facts::secret")]
    pub secret: Secret,
    /// The user's projects.
    pub projects: Vec<String>,
}

/// A user with a password: pulls and pushes in the projects, unless a second factor is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The user name.
    pub username: String,
    /// The password.
    #[serde(deserialize_with = "super::facts::secret")]
    pub secret: Secret,
    /// The user's projects.
    pub projects: Vec<String>,
    /// Whether the password alone opens nothing.
    #[serde(default)]
    pub two_factor: bool,
}

fn seconds<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    u64::deserialize(d).map(Duration::from_secs)
}

/// Whether `path` is `above` or lies below it.
pub(super) fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Config {
    /// The project that a registry repository belongs to: `grp/proj/sub/img` belongs to `grp/proj`.
    pub(super) fn project_of(&self, repository: &str) -> Option<(usize, &Project)> {
        self.projects
            .iter()
            .enumerate()
            .filter(|(_, project)| is_below(repository, &project.path))
            .max_by_key(|(_, project)| project.path.len())
    }
}
