//! Where CI jobs usually push an image: the tags of a commit, and those of a branch or tag.
//!
//! ```text
//!  commit   group/project:1a2b3c4d        $CI_COMMIT_SHORT_SHA
//!           group/project:<40 hex>        $CI_COMMIT_SHA
//!           group/project/SLUG:<40 hex>   Auto DevOps, branches
//!  ref      group/project:SLUG            $CI_COMMIT_REF_SLUG
//!           group/project:v1.0            $CI_COMMIT_TAG
//!           group/project:latest          the default branch
//! ```
//!
//! Source: GitLab's "Predefined CI/CD variables reference", "Build and push container images",
//! Auto DevOps' `Build.gitlab-ci.yml`. Pure: nothing is asked.

use crate::oci::Tag;

/// A tag to look for, in the project's own repository or below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsualTag {
    /// The repository below the project's; empty for the project's own.
    pub below: String,
    /// The tag.
    pub tag: Tag,
}

/// `$CI_COMMIT_REF_SLUG`: lower case, 63 characters at most, everything but `a-z0-9` a hyphen, none
/// of them first or last.
#[must_use]
pub fn slug(git_ref: &str) -> String {
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let text: String = git_ref.to_lowercase().chars().map(plain).take(63).collect();
    text.trim_matches('-').to_owned()
}

/// The tags of a commit, whose id may be short. `git_ref` adds Auto DevOps' repository.
#[must_use]
pub fn of_commit(sha: &str, git_ref: Option<&str>) -> Vec<UsualTag> {
    let mut places = Vec::new();
    let mut add = |below: &str, tag: &str| {
        let place = tag.parse().map(|tag| UsualTag { below: below.to_owned(), tag });
        places.extend(place.ok().filter(|place| !places.contains(place)));
    };
    if let Some(short) = sha.get(..8) {
        add("", short);
    }
    add("", sha);
    let slug = git_ref.map(slug).filter(|slug| !slug.is_empty());
    if let Some(slug) = slug.filter(|_| is_whole(sha)) {
        add(&slug, sha);
    }
    places
}

/// The tags of a branch or tag. What is no docker tag (`feature/x`) has only its slug.
#[must_use]
pub fn of_ref(git_ref: &str) -> Vec<UsualTag> {
    let mut tags: Vec<Tag> = Vec::new();
    for text in [git_ref, &slug(git_ref)] {
        tags.extend(text.parse().ok().filter(|tag| !tags.contains(tag)));
    }
    tags.into_iter().map(|tag| UsualTag { below: String::new(), tag }).collect()
}

/// Whether it is a whole commit id and no short one (SHA-1 or SHA-256).
fn is_whole(sha: &str) -> bool {
    matches!(sha.len(), 40 | 64) && sha.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slugs_as_gitlab_makes_them() {
        for (git_ref, expected) in [
            ("main", "main"),
            ("feature/Add_X", "feature-add-x"),
            ("v1.0", "v1-0"),
            ("-x-", "x"),
            ("\u{e4}\u{f6}", ""),
            (&format!("{}/y", "x".repeat(62)), &"x".repeat(62)),
        ] {
            assert_eq!(slug(git_ref), expected);
        }
    }

    fn shown(places: &[UsualTag]) -> Vec<String> {
        places.iter().map(|place| format!("{}:{}", place.below, place.tag)).collect()
    }

    #[test]
    fn tags_of_commits_and_refs() {
        let sha = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d";
        assert_eq!(
            shown(&of_commit(sha, Some("feature/x"))),
            [":1a2b3c4d".into(), format!(":{sha}"), format!("feature-x:{sha}")]
        );
        assert_eq!(shown(&of_commit("1a2b3c4d", Some("main"))), [":1a2b3c4d"]);
        assert_eq!(shown(&of_commit("1a2b3c4", None)), [":1a2b3c4"]);
        assert_eq!(shown(&of_ref("v1.0")), [":v1.0", ":v1-0"]);
        assert_eq!(shown(&of_ref("feature/x")), [":feature-x"]);
    }

    proptest! {
        #[test]
        fn a_slug_is_a_tag_or_nothing(git_ref in ".{0,100}") {
            let slug = slug(&git_ref);
            prop_assert!(slug.is_empty() || slug.parse::<Tag>().is_ok());
        }
    }
}
