//! A registry's credential: the realm, the secret, one check, and the place where it is kept.

use super::realm;
use super::sentences::{kept_in, opens};
use super::surroundings::{Surroundings, User};
use crate::credential::{Keeper, Scope, Stored};
use crate::failure::Report;
use crate::oci::Repository;
use crate::registry::Grant;
use crate::secret::{Candidate, Credential, Realm};
use crate::text::one_line;

/// What is to be kept, and where.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    /// The registry, or a project or group of it.
    pub scope: Scope,
    /// The user name.
    pub username: String,
    /// The realm that the user named.
    pub realm: Option<Realm>,
    /// Where; `None` for the first place that answers.
    pub store: Option<Keeper>,
}

/// What was kept.
#[derive(Clone, Debug)]
pub struct KeptLogin {
    /// The realm that was confirmed with it.
    pub realm: Option<Realm>,
    /// What the registry said of it.
    pub grant: Grant,
    /// Where it is.
    pub stored: Stored,
}

/// Checks a credential and keeps it. The registry is asked before the user: a wrong host should not cost a typed
/// secret.
///
/// # Errors
/// When the credential is refused or of the wrong kind, the realm is not known, or nothing can be stored; nothing
/// is stored then.
pub fn keep(
    here: &dyn Surroundings,
    wish: &LoginRequest,
    user: impl User,
) -> Result<KeptLogin, Report> {
    let LoginRequest { scope, username, .. } = wish;
    let (client, runtime) = (here.client()?, here.runtime()?);
    let named = runtime.block_on(client.realm(&scope.registry, scope.prefix.as_ref()))?;
    let realm = realm::confirmed(here, &user, wish.realm.as_ref(), &scope.registry, named)?;
    let question = format!("Token or password of {}", one_line(username));
    let credential = Credential { username: username.clone(), password: user.secret(&question)? };
    let candidate = Candidate {
        credential: credential.clone(),
        source: "this login".into(),
        realms: realm.iter().cloned().collect(),
    };
    let asked = asked(here, scope);
    let grant = runtime.block_on(client.check(&scope.registry, &asked, candidate))?;
    let stored = here.credentials().store(scope, &credential, realm.as_ref(), wish.store)?;
    for note in &stored.notes {
        here.say(note);
    }
    here.say(&opens(scope, &asked, &grant));
    let (user, place) = (one_line(username), kept_in(&stored));
    here.say(&format!("logged in to {scope} as {user}; kept in {place}"));
    Ok(KeptLogin { realm, grant, stored })
}

/// What the registry is asked about: the project of the login itself, and those of the images in moorline.toml
/// that it would be used for.
fn asked(here: &dyn Surroundings, scope: &Scope) -> Vec<Repository> {
    let mut asked: Vec<Repository> = scope.prefix.iter().cloned().collect();
    for repository in here.images_within(scope) {
        if !asked.contains(&repository) {
            asked.push(repository);
        }
    }
    asked
}
