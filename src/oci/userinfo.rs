//! A user and a password in front of a host, and what an error says instead of repeating them.
//!
//! ```text
//! user:password@registry.example/group/project:v1     a URL's userinfo (RFC 3986, 3.2.1)
//! https://registry.example/x?private_token=...        a secret in a query
//! registry.example/group/project:v1@sha256:9f86...    no user: what follows the @ is a digest
//! ```
//!
//! An image reference has no user part. Whoever writes one has often pasted a password with it, and an error that
//! repeats it would put it into the logs of a CI job.

use std::borrow::Cow;

/// Instead of a text that may hold a secret.
const HIDDEN: &str = "***";

/// Where a user ends: the last `@` behind which no digest stands.
fn end_of_user(text: &str) -> Option<usize> {
    let is_digest = |rest: &str| rest.starts_with("sha256:") || rest.starts_with("sha512:");
    text.match_indices('@')
        .filter(|(at, _)| !is_digest(&text[at + 1..]))
        .map(|(at, _)| at)
        .next_back()
}

/// Whether a text that should be a reference, a registry or a server has a user or a query in it.
#[must_use]
pub fn may_hold_secret(text: &str) -> bool {
    end_of_user(text).is_some() || text.contains("://") && text.contains(['?', '#'])
}

/// The text for a message: its beginning, or `***` when it may hold a secret.
#[must_use]
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    if may_hold_secret(text) { HIDDEN.to_owned() } else { text.chars().take(LONGEST).collect() }
}

/// Prose in which users and passwords of addresses are replaced by `***`: the last look at what is printed.
/// A user without a password stays where no scheme stands in front: `git@host:path`.
#[must_use]
pub fn without_users(text: &str) -> Cow<'_, str> {
    if !(text.contains('@') || text.contains("://") && text.contains('?')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_inclusive(limit).map(|piece| query(user(piece))).collect())
}

/// What ends an address in prose.
fn limit(c: char) -> bool {
    c.is_whitespace() || "\"'`()<>,;".contains(c)
}

fn user(piece: &str) -> Cow<'_, str> {
    let Some(end) = end_of_user(piece) else { return Cow::Borrowed(piece) };
    let (head, rest) = piece.split_at(end);
    match head.split_once("://") {
        Some((scheme, _)) => Cow::Owned(format!("{scheme}://{HIDDEN}{rest}")),
        None if head.contains(':') => Cow::Owned(format!("{HIDDEN}{rest}")),
        None => Cow::Borrowed(piece),
    }
}

/// An address without the values of its query that are secrets by their names.
fn query(piece: Cow<'_, str>) -> Cow<'_, str> {
    let Some((before, query)) = piece.split_once('?').filter(|(head, _)| head.contains("://"))
    else {
        return piece;
    };
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["token", "password", "secret", "signature", "key"].iter().any(|word| name.contains(word))
    };
    let kept = query.split_inclusive('&').map(|part| match part.split_once('=') {
        Some((name, value)) if is_secret(name) => {
            let end = &value[value.trim_end_matches(|c| c == '&' || limit(c)).len()..];
            format!("{name}={HIDDEN}{end}")
        }
        _ => part.to_owned(),
    });
    Cow::Owned(format!("{before}?{}", kept.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_are_told_from_digests() {
        for secret in [
            "user:hunter2@registry.example/a",
            "hunter2@registry.example/a",
            "https://user:hunter2@registry.example",
            "https://user:hunter2@registry.example/a@sha256:00",
            "user:hunter2@sharepoint.example/a",
            "user:hunt@er2@registry.example",
            "https://gitlab.example/a?private_token=hunter2",
            "https://gitlab.example/a#hunter2",
        ] {
            assert!(may_hold_secret(secret), "{secret}");
            assert_eq!(shown(secret), "***");
        }
        for plain in [
            "registry.example:5000/a:v1",
            "registry.example/a@sha256:00",
            "registry.example/a:v1@sha512:00",
            "https://registry.example/a",
            "a?b",
            "",
        ] {
            assert!(!may_hold_secret(plain), "{plain}");
            assert_eq!(shown(plain), plain);
        }
    }

    #[test]
    fn prose_loses_its_users() {
        for (text, printed) in [
            ("no host", "no host"),
            (
                "cannot reach https://u:hunter2@r.example/a: refused",
                "cannot reach https://***@r.example/a: refused",
            ),
            ("\"u:hunter2@r.example\" is not a registry", "\"***@r.example\" is not a registry"),
            ("(u:hunt@er2@r.example)", "(***@r.example)"),
            ("git@gitlab.example:g/p", "git@gitlab.example:g/p"),
            ("https://hunter2@r.example", "https://***@r.example"),
            ("r.example:5000/a:v1@sha256:00 pinned", "r.example:5000/a:v1@sha256:00 pinned"),
            ("mail me@example.org", "mail me@example.org"),
            (
                "GET https://r.example/a?per_page=9&private_token=hunter2&x=1 failed",
                "GET https://r.example/a?per_page=9&private_token=***&x=1 failed",
            ),
            ("\"https://r.example/a?job_token=hunter2\"", "\"https://r.example/a?job_token=***\""),
            ("why? https://r.example/a", "why? https://r.example/a"),
        ] {
            assert_eq!(without_users(text), printed);
        }
    }

    proptest! {
        #[test]
        fn no_password_comes_through(
            user in "[a-z]{1,8}", password in "[A-Z0-9!#$%&+=^_|~@:]{4,20}", before in "[ a-z]{0,9}"
        ) {
            prop_assume!(!password.contains("@sha"));
            let text = format!("{before} https://{user}:{password}@registry.example/x {user}:{password}@r.example");
            let printed = without_users(&text).into_owned();
            prop_assert!(!printed.contains(&password), "{printed}");
        }
    }
}
