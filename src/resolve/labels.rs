//! What an image says of itself: the commit and the project that it was built from.
//!
//! ```text
//!  org.opencontainers.image.revision = 1a2b3c4d...                        commit
//!  org.opencontainers.image.source   = https://gitlab.example/group/project   project
//! ```
//!
//! A label of the configuration counts before an annotation of the manifest or index, which builders write beside it or
//! in its place. Source: OCI image specification, "Pre-Defined Annotation Keys". Not promised: that a label is true. It
//! is the image's own word, and many images inherit it from their base. So a label that names another project than the
//! one where the image lies is ignored.

use std::collections::BTreeMap;

use crate::oci::Repository;
use crate::pin::{Origin, Resolved};

/// The commit.
pub(super) const REVISION: &str = "org.opencontainers.image.revision";
/// The project's address.
pub(super) const SOURCE: &str = "org.opencontainers.image.source";

/// Both places where an image says it.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) annotations: &'a BTreeMap<String, String>,
}

impl<'a> Words<'a> {
    pub(super) fn of(resolved: &'a Resolved) -> Self {
        Self { labels: &resolved.labels, annotations: &resolved.annotations }
    }

    /// What is said under a name, and where.
    pub(super) fn said(self, name: &str) -> Option<(&'a str, &'static str)> {
        let label = text(self.labels, name).map(|text| (text, "label"));
        label.or_else(|| text(self.annotations, name).map(|text| (text, "annotation")))
    }
}

/// The text of a name without the space around it; none when it is empty.
fn text<'a>(texts: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    texts.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// Those of many annotations that say where an image comes from.
pub(super) fn telling(
    annotations: &BTreeMap<String, String>,
) -> impl Iterator<Item = (String, String)> {
    let of = |name: &str| Some((name.to_owned(), text(annotations, name)?.to_owned()));
    [of(REVISION), of(SOURCE)].into_iter().flatten()
}

/// Where an image's labels and its annotations say different things; the labels count.
#[must_use]
pub fn contradictions(resolved: &Resolved) -> Vec<String> {
    let differ = |name: &'static str, same: fn(&str, &str) -> bool| {
        let label = text(&resolved.labels, name)?;
        let annotation = text(&resolved.annotations, name).filter(|other| !same(label, other))?;
        Some(format!(
            "{}: the image's label {name} says {label:.200}, its annotation {annotation:.200}",
            resolved.pin.asked
        ))
    };
    let commits = |one: &str, other: &str| {
        one.eq_ignore_ascii_case(other) || same_commit(&one.to_lowercase(), &other.to_lowercase())
    };
    let sources = |one: &str, other: &str| one == other || source_of(one) == source_of(other);
    [differ(REVISION, commits), differ(SOURCE, sources)].into_iter().flatten().collect()
}

/// The origin of an image of which nothing else is known, by its own words alone.
#[must_use]
pub(super) fn origin(words: Words<'_>, repository: &Repository) -> Option<Origin> {
    let mut origin = Origin::default();
    if let Some((source, place)) = words.said(SOURCE) {
        let (_, path) = source_of(source)?;
        let project = path.parse::<Repository>().ok()?;
        if !is_below(repository.as_str(), project.as_str()) {
            return None;
        }
        origin.evidence.insert("project".into(), place.into());
        origin.project = Some(project.to_string());
    }
    if let Some((revision, place)) = words.said(REVISION)
        && is_commit(revision)
    {
        origin.evidence.insert("commit".into(), place.into());
        origin.commit = Some(revision.to_lowercase());
    }
    (!origin.evidence.is_empty()).then_some(origin)
}

/// Whether a repository is a project's own, or below it.
pub(super) fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A commit's id, whole or short.
pub(super) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// One may be the short form of the other.
pub(super) fn same_commit(one: &str, other: &str) -> bool {
    is_commit(one) && is_commit(other) && (one.starts_with(other) || other.starts_with(one))
}

/// Host and `group/project` of `https://gitlab.example/group/project(.git)`, in lower case.
pub(super) fn source_of(url: &str) -> Option<(String, String)> {
    let rest = url.split_once("://")?.1.to_lowercase();
    let (host, path) = rest.split_once('/')?;
    // a user in front of the host is not part of its name
    let host = host.rsplit('@').next()?;
    let path = path.split("/-/").next()?.trim_matches('/');
    Some((host.to_owned(), path.strip_suffix(".git").unwrap_or(path).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compared() {
        assert!(same_commit("1a2b3c4d", "1a2b3c4d5e6f"));
        assert!(!same_commit("1a2b3c4d", "1a2b3c4e5e6f") && !same_commit("main", "main"));
        let of = |url: &str| source_of(url);
        let expected = Some(("gitlab.example".to_owned(), "group/project".to_owned()));
        assert_eq!(of("https://gitlab.example/Group/Project.git"), expected);
        assert_eq!(of("https://gitlab.example/group/project/-/tree/main"), expected);
        assert_eq!(of("https://user@gitlab.example/group/project/"), expected);
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn only_what_fits_the_place_is_taken() {
        let of = |revision: &str, source: &str| {
            let labels = [(REVISION, revision), (SOURCE, source)];
            let labels = labels.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
            let place = "group/project/tool".parse().unwrap();
            let none = BTreeMap::new();
            let of_labels = origin(Words { labels: &labels, annotations: &none }, &place);
            // the same as annotations, with their own word
            let found = origin(Words { labels: &none, annotations: &labels }, &place);
            let evidence = found.iter().flat_map(|found| found.evidence.values());
            assert!(evidence.clone().all(|word| word == "annotation"));
            let facts = |found: Option<Origin>| found.map(|found| (found.project, found.commit));
            assert_eq!(facts(found.clone()), facts(of_labels.clone()));
            facts(of_labels)
        };
        let (project, commit) = (Some("group/project".to_owned()), Some("1a2b3c4d".to_owned()));
        let own = "https://gitlab.example/Group/project.git";
        assert_eq!(of("1A2B3C4D", own), Some((project.clone(), commit.clone())));
        assert_eq!(of("main", own), Some((project, None)));
        assert_eq!(of("1a2b3c4d", ""), Some((None, commit)));
        // inherited from a base, or no address at all
        assert_eq!(of("1a2b3c4d", "https://gitlab.example/base/fedora"), None);
        assert_eq!(of("1a2b3c4d", "https://gitlab.example/group/proj"), None);
        assert_eq!(of("1a2b3c4d", "\u{1b}[2J"), None);
        assert_eq!(of("", ""), None);
    }
}
