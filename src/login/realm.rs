//! Which realm a secret may be sent to.

use super::error::LoginError;
use super::surroundings::{Surroundings, User};
use crate::failure::Report;
use crate::oci::{DOCKER_HUB, Registry};
use crate::secret::Realm;

/// The realm that the secret may be sent to: named by the user (`wanted`), configured, confirmed at an earlier
/// login to this registry, the registry's own host, or confirmed now. `named` is what the registry says.
///
/// # Errors
/// When the registry's realm is another one than the user's, or is not confirmed.
pub(super) fn confirmed(
    here: &dyn Surroundings,
    asked: &impl User,
    wanted: Option<&Realm>,
    registry: &Registry,
    named: Option<Realm>,
) -> Result<Option<Realm>, Report> {
    let Some(named) = named else { return Ok(wanted.cloned()) };
    if let Some(wanted) = wanted {
        if *wanted != named {
            let (registry, wanted) = (registry.clone(), wanted.clone());
            return Err(LoginError::OtherRealm { registry, named, wanted }.into());
        }
        return Ok(Some(named));
    }
    // an http realm of a registry that is not listed as insecure is refused by the client
    let is_own = [format!("https://{registry}"), format!("http://{registry}")]
        .iter()
        .any(|own| own.parse().is_ok_and(|own: Realm| own == named))
        && (named.is_https() || here.is_insecure(registry));
    let hub = registry.as_str() == DOCKER_HUB && named.to_string() == "https://auth.docker.io";
    let logins = here.credentials().list()?;
    let mut remembered = logins.iter().filter(|row| row.scope.is_of(registry));
    let confirmed = here.known_realms(registry).contains(&named)
        || remembered.any(|row| row.realm.as_ref() == Some(&named));
    if is_own || hub || confirmed {
        return Ok(Some(named));
    }
    let question =
        format!("{registry} gets its tokens from {named}. Send your secret there? [y/N] ");
    match asked.confirms(&question)? {
        Some(true) => Ok(Some(named)),
        Some(false) => Err(LoginError::Declined { named }.into()),
        None => Err(LoginError::Unconfirmed { registry: registry.clone(), named }.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;

    use super::*;
    use crate::config::ServerUrl;
    use crate::credential::{Chain, Keeper, Scope, Settings};
    use crate::failure::Kind;
    use crate::gitlab::{self, Token};
    use crate::oci::Repository;
    use crate::registry::Client;
    use crate::secret::{Credential, Secret};

    /// A place where nobody is asked over the network.
    struct Here {
        folder: tempfile::TempDir,
        known: Vec<Realm>,
        insecure: bool,
    }

    impl Surroundings for Here {
        fn client(&self) -> Result<Client, Report> {
            unreachable!("no registry is asked")
        }
        fn runtime(&self) -> Result<&Runtime, Report> {
            unreachable!("nobody is asked")
        }
        fn gitlab_at(&self, _: ServerUrl, _: Token) -> Result<gitlab::Client, Report> {
            unreachable!("no GitLab is asked")
        }
        fn credentials(&self) -> Chain {
            Chain::new(Settings::file_only(self.folder.path().join("moorline/credentials.json")))
        }
        fn known_realms(&self, _: &Registry) -> Vec<Realm> {
            self.known.clone()
        }
        fn is_insecure(&self, _: &Registry) -> bool {
            self.insecure
        }
        fn images_within(&self, _: &Scope) -> Vec<Repository> {
            Vec::new()
        }
        fn say(&self, _: &str) {}
    }

    fn here() -> Here {
        Here { folder: tempfile::tempdir().unwrap(), known: Vec::new(), insecure: false }
    }

    /// Answers so, or cannot be asked.
    struct Answers(Option<bool>);

    impl User for Answers {
        fn secret(self, _: &str) -> Result<Secret, Report> {
            unreachable!("the realm comes first")
        }
        fn confirms(&self, question: &str) -> Result<Option<bool>, Report> {
            assert!(question.contains("Send your secret there?"), "{question}");
            Ok(self.0)
        }
    }

    /// What a question would be an error for.
    struct NotAsked;

    impl User for NotAsked {
        fn secret(self, _: &str) -> Result<Secret, Report> {
            unreachable!("the realm comes first")
        }
        fn confirms(&self, question: &str) -> Result<Option<bool>, Report> {
            panic!("nobody is asked: {question}")
        }
    }

    const REGISTRY: &str = "registry.example";
    const GITLAB: &str = "https://gitlab.example";

    fn ask(
        here: &Here,
        user: &impl User,
        wanted: Option<&str>,
        (registry, named): (&str, Option<&str>),
    ) -> Result<Option<String>, Kind> {
        let realm = |text: &str| text.parse::<Realm>().unwrap();
        let (wanted, named) = (wanted.map(realm), named.map(realm));
        let found = confirmed(here, user, wanted.as_ref(), &registry.parse().unwrap(), named);
        found.map(|realm| realm.map(|realm| realm.to_string())).map_err(|Report(e)| e.kind())
    }

    #[test]
    fn nobody_is_asked_about_a_realm_that_is_the_registrys_own_or_known() {
        let own =
            |here: &Here, registry, named| ask(here, &NotAsked, None, (registry, Some(named)));
        let same = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(ask(&here(), &NotAsked, None, (REGISTRY, None)), Ok(None));
        assert_eq!(
            own(&here(), REGISTRY, "https://registry.example"),
            same("https://registry.example")
        );
        let hub = "https://auth.docker.io";
        assert_eq!(own(&here(), DOCKER_HUB, hub), same(hub));
        let listed = Here { insecure: true, ..here() };
        assert_eq!(
            own(&listed, REGISTRY, "http://registry.example"),
            same("http://registry.example")
        );
        let configured = Here { known: vec![GITLAB.parse().unwrap()], ..here() };
        assert_eq!(own(&configured, REGISTRY, GITLAB), same(GITLAB));
    }

    #[test]
    fn a_realm_of_an_earlier_login_is_known_for_its_registry_only() {
        let here = here();
        let credential = Credential { username: "ada".into(), password: Secret::new("x".into()) };
        let scope = Scope::typed("registry.example/group").unwrap();
        let realm: Realm = GITLAB.parse().unwrap();
        let chain = here.credentials();
        chain.store(&scope, &credential, Some(&realm), Some(Keeper::File)).unwrap();
        let known = ask(&here, &NotAsked, None, (REGISTRY, Some(GITLAB)));
        assert_eq!(known, Ok(Some(GITLAB.to_owned())));
        let other = ask(&here, &Answers(None), None, ("other.example", Some(GITLAB)));
        assert_eq!(other, Err(Kind::Denied));
    }

    #[test]
    fn any_other_realm_needs_the_users_word() {
        let said = |answer| ask(&here(), &Answers(answer), None, (REGISTRY, Some(GITLAB)));
        assert_eq!(said(Some(true)), Ok(Some(GITLAB.to_owned())));
        assert_eq!([said(Some(false)), said(None)], [Err(Kind::Denied), Err(Kind::Denied)]);
        // an http realm of the registry's own name is not its own as long as it is not listed
        let http = ask(&here(), &Answers(None), None, (REGISTRY, Some("http://registry.example")));
        assert_eq!(http, Err(Kind::Denied));
    }

    #[test]
    fn a_realm_that_the_user_named_must_be_the_registrys() {
        let named = |wanted| ask(&here(), &NotAsked, Some(wanted), (REGISTRY, Some(GITLAB)));
        assert_eq!(named(GITLAB), Ok(Some(GITLAB.to_owned())));
        assert_eq!(named("https://other.example"), Err(Kind::Denied));
        assert_eq!(named("https://gitlab.example:8443"), Err(Kind::Denied));
        // a registry that names none gets nothing but what the user said
        let unnamed = ask(&here(), &NotAsked, Some(GITLAB), (REGISTRY, None));
        assert_eq!(unnamed, Ok(Some(GITLAB.to_owned())));
    }
}
