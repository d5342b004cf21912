use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::lock::FILE;
use crate::oci::{ConfigDigest, Digest, Reference, Sha256Digest};
use crate::pin::Origin;

fn pin(asked: &str, content: &str, platform: &str) -> Pin {
    let asked: Reference = asked.parse().unwrap();
    Pin {
        registry: asked.registry.clone(),
        repository: asked.repository.clone(),
        index: None,
        manifest: Digest::of(content.as_bytes()),
        config: ConfigDigest::of(b"config"),
        platform: platform.parse().unwrap(),
        asked,
        resolved_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        origin: None,
    }
}

fn file() -> &'static Path {
    Path::new(FILE)
}

fn parse(text: &str) -> Result<Lock, LockError> {
    Lock::parse(text, file())
}

fn two() -> Lock {
    let mut lock = Lock::default();
    let mut second = pin("r.example/group/b:v1", "two", "linux/arm64");
    second.index = Some(Digest::of(b"index"));
    let evidence = [("commit".to_owned(), "label".to_owned())].into();
    let commit = Some("1a2b3c4d".into());
    second.origin = Some(Origin { commit, evidence, ..Origin::default() });
    assert!(lock.put("b", None, second));
    assert!(lock.put("b", None, pin("r.example/group/b:v1", "one", "linux/amd64")));
    assert!(lock.put("a.1", None, pin("r.example/group/a", "a", "linux/amd64")));
    lock
}

#[test]
fn the_text_is_sorted_and_stable() {
    let text = two().write(file()).unwrap();
    snapbox::assert_data_eq!(
        &text,
        snapbox::file!["../../../tests/golden/lock/moorline.lock"].raw()
    );
    let read = parse(&text).unwrap();
    assert_eq!(read.entries(), two().entries());
    assert_eq!(read.write(file()).unwrap(), text);
}

#[test]
fn what_did_not_move_stays_as_it_is() {
    let mut lock = two();
    let before = lock.clone();
    let mut again = pin("r.example/group/b:v1", "one", "linux/amd64");
    again.resolved_at = "2027-01-01T00:00:00Z".parse().unwrap();
    assert!(!lock.put("b", None, again));
    assert_eq!(lock, before);
    assert!(lock.put("b", None, pin("r.example/group/b:v1", "moved", "linux/amd64")));
    assert_eq!(lock.entries().len(), 3);
    assert!(lock.find("b", &"linux/amd64".parse().unwrap()).is_some());
    assert!(lock.find("b", &"linux/ppc64le".parse().unwrap()).is_none());
}

#[test]
fn an_origin_once_known_is_kept() {
    let of = |facts: &[&str]| {
        let evidence = facts.iter().map(|fact| ((*fact).to_owned(), "api".to_owned()));
        let mut pin = pin("r.example/group/b:v1", "one", "linux/amd64");
        pin.origin = Some(Origin { evidence: evidence.collect(), ..Origin::default() });
        pin
    };
    let none = pin("r.example/group/b:v1", "one", "linux/amd64");
    let mut lock = Lock::default();
    lock.put("b", None, none.clone());
    let mut later = of(&["commit", "project"]);
    later.resolved_at = "2027-01-01T00:00:00Z".parse().unwrap();
    assert!(!lock.put("b", None, later));
    assert_eq!(lock.entries()[0].pin, of(&["commit", "project"]), "the time stays");
    for less in [none, of(&["commit"]), of(&["commit", "ref"])] {
        assert!(!lock.put("b", None, less));
        assert_eq!(lock.entries()[0].pin, of(&["commit", "project"]));
    }
    // another image has another origin, or none
    assert!(lock.put("b", None, pin("r.example/group/b:v1", "two", "linux/amd64")));
    assert_eq!(lock.entries()[0].pin.origin, None);
}

#[test]
fn differences_from_the_project_file() {
    let named = |rows: &[(&str, &str)]| -> Vec<(String, Named)> {
        let meant = |text: &str| Named::Reference(text.parse().unwrap());
        rows.iter().map(|(name, text)| ((*name).to_owned(), meant(text))).collect()
    };
    let lock = Lock::parse(&two().write(file()).unwrap(), file()).unwrap();
    let show = |rows: &[(&str, &str)]| -> Vec<String> {
        lock.differences(&named(rows)).iter().map(ToString::to_string).collect()
    };
    // `a` without a tag means `latest`, which is what the pin keeps
    let mut same = Lock::default();
    same.put("a", None, pin("r.example/group/a:latest", "a", "linux/amd64"));
    assert_eq!(same.differences(&named(&[("a", "r.example/group/a")])), []);
    assert_eq!(
        show(&[("b", "r.example/group/b:v2"), ("c", "r.example/c:1")]),
        [
            "b: locked as r.example/group/b:v1, and moorline.toml says r.example/group/b:v2",
            "c: not locked",
            "a.1: locked, but moorline.toml has no such name",
        ]
    );
}

#[test]
fn what_ci_built_needs_schema_2() {
    let words = |git_ref: &str| {
        let (project, git_ref) = (Some("group/b".into()), Some(git_ref.into()));
        Built { project, git_ref, ..Built::default() }
    };
    let mut lock = two();
    lock.put("main", Some(words("main")), pin("r.example/group/b:1a2b3c4d", "m", "linux/amd64"));
    let text = lock.write(file()).unwrap();
    snapbox::assert_data_eq!(&text, snapbox::file!["../../../tests/golden/lock/built.lock"].raw());
    let read = parse(&text).unwrap();
    assert_eq!(read.entries(), lock.entries());
    let named = |meant: Named| read.differences(&[("main".into(), meant)]);
    let same = |finding: &Finding| !matches!(finding, Finding::NotNamed { .. });
    assert!(!named(Named::Built(words("main"))).iter().any(same));
    let moved = named(Named::Built(words("v1")));
    let expected = "main: locked as --project group/b --ref main, and moorline.toml says \
                    --project group/b --ref v1";
    assert_eq!(moved[0].to_string(), expected);
    // a reference that happens to be what was found is another way to say it
    let found = Named::Reference("r.example/group/b:1a2b3c4d".parse().unwrap());
    assert!(matches!(named(found)[0], Finding::Changed { .. }));
    // without it the file is one of before
    lock.put("main", None, pin("r.example/group/b:1a2b3c4d", "m", "linux/amd64"));
    assert!(lock.write(file()).unwrap().contains("schema = 1\n"));
}

#[test]
fn broken_files_are_named() {
    let good = two().write(file()).unwrap();
    let show = |text: &str| parse(text).unwrap_err().to_string();
    assert!(show("").contains("missing field `schema`"));
    assert!(show("schema = 0").contains("schema is 0"));
    assert!(show(&good.replace("linux/arm64", "linux")).contains("\"b\":"));
    assert!(show(&good.replace("linux/arm64", "linux/amd64")).contains("stands twice"));
    assert!(
        show(&good.replace("manifest = \"sha256:", "manifest = \"sha256:../")).contains("digest")
    );
    assert!(show(&"#".repeat(5 << 20)).contains("bytes"));
}

#[test]
fn a_newer_file_is_read_and_not_written() {
    let newer = two().write(file()).unwrap().replace("schema = 1", "schema = 5\nmore = true");
    let lock = parse(&newer).unwrap();
    assert_eq!(lock.entries().len(), 3);
    assert!(matches!(lock.write(file()), Err(LockError::Newer { found: 5, .. })));
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in "(?s).{0,300}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_name_comes_through(name in ".{0,40}") {
        let mut lock = Lock::default();
        lock.put(&name, None, pin("r.example/a:v1", "x", "linux/amd64"));
        let read = parse(&lock.write(file()).unwrap()).unwrap();
        prop_assert_eq!(&read.entries()[0].name, &name);
    }
}

#[test]
fn names_of_hubs_are_read_written_and_stand_once() {
    let file = std::path::Path::new("moorline.lock");
    let mut lock = Lock::default();
    let asked: HubName = "shub://b/tool:v1".parse().unwrap();
    let (one, two) = (SifDigest::from_bytes([1; 32]), SifDigest::from_bytes([2; 32]));
    assert!(lock.put_hub("tool", asked.clone(), one));
    assert!(!lock.put_hub("tool", asked.clone(), one));
    assert!(lock.put_hub("tool", asked.clone(), two));
    assert!(lock.put_hub("a", asked.clone(), one));
    let text = lock.write(file).unwrap();
    assert!(text.contains("schema = 4"), "{text}");
    let read = Lock::parse(&text, file).unwrap();
    assert_eq!(read.hubs(), lock.hubs());
    assert_eq!(read.hub(Some("tool"), &asked), Some(two));
    assert_eq!(read.hub(None, &asked.pinned(two)), Some(two));
    assert_eq!(read.hub(Some("other"), &asked), None);
    assert_eq!(read.hub(Some("tool"), &"shub://b/tool:v2".parse().unwrap()), None);
    let twice = text.replace("name = \"a\"", "name = \"tool\"");
    assert!(Lock::parse(&twice, file).unwrap_err().to_string().contains("stands twice"));
}
