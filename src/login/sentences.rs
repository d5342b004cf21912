//! What the user is told of a credential: what it opens, where it is, and for how long.

use crate::credential::{Keeper, Scope, Stored};
use crate::oci::Repository;
use crate::registry::Grant;
use crate::text::plural;

/// Which projects the credential opens, as far as a registry tells.
pub(super) fn opens(scope: &Scope, asked: &[Repository], grant: &Grant) -> String {
    const CLOSED: &str = "it is a group, and a registry does not say which projects it has; or it is missing, \
                          or not the token's own; or the token lacks read_registry";
    let list = |all: &[&Repository]| {
        all.iter().map(|repository| repository.as_str()).collect::<Vec<_>>().join(", ")
    };
    match grant {
        Grant::NotAsked => {
            "the registry allows anonymous access, so the credential was stored without a check"
                .into()
        }
        Grant::Pulls(open) => {
            let closed: Vec<_> = asked.iter().filter(|one| !open.contains(one)).collect();
            let mut text = format!(
                "the credential is right and pulls {}",
                list(&open.iter().collect::<Vec<_>>())
            );
            if !closed.is_empty() {
                text += &format!("; not granted: {} ({CLOSED})", list(&closed));
            }
            text
        }
        Grant::Accepted => {
            "the credential is right; this registry says only with an image what it opens".into()
        }
        Grant::Known if asked.is_empty() => format!(
            "the credential is right; a registry does not say which projects it opens: \
             moorline login {scope}/GROUP/PROJECT --username NAME asks for one"
        ),
        Grant::Known => format!(
            "the credential is right; not granted: {} ({CLOSED})",
            list(&asked.iter().collect::<Vec<_>>())
        ),
    }
}

/// Where a secret is, and for how long.
pub(super) fn kept_in(stored: &Stored) -> String {
    match (stored.place, stored.lasts) {
        (Keeper::File, _) => "a file that only you can read, until moorline logout".into(),
        (place, None) => format!("{}, until moorline logout", place.described()),
        (place, Some(lasts)) => format!(
            "{} of this machine, until it restarts or nobody uses it for {}; to keep it longer, and \
             for all machines with this home directory: --store file",
            place.described(),
            duration(lasts.as_secs())
        ),
    }
}

/// `3 days`, `90 minutes`: in the largest unit that is exact.
fn duration(seconds: u64) -> String {
    let units = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute"), (1, "second")];
    let exact =
        units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    let (unit, name) = exact.unwrap_or((1, "second"));
    plural(usize::try_from(seconds / unit).unwrap_or(usize::MAX), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let told = [259_200, 3_600, 5_400, 61, 1, 0].map(duration);
        assert_eq!(told, ["3 days", "1 hour", "90 minutes", "61 seconds", "1 second", "0 seconds"]);
    }

    #[test]
    fn what_is_not_granted_is_named() {
        let scope = Scope::typed("registry.example/group").unwrap();
        let names: Vec<Repository> =
            ["group/a", "group/b"].iter().map(|name| name.parse().unwrap()).collect();
        let pulls = opens(&scope, &names, &Grant::Pulls(vec![names[0].clone()]));
        assert!(
            pulls.starts_with("the credential is right and pulls group/a; not granted: group/b (")
        );
        assert!(
            opens(&scope, &[], &Grant::Known)
                .ends_with("/GROUP/PROJECT --username NAME asks for one")
        );
    }
}
