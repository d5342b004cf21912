//! The book in `docs/` and the README hold together: each page is in `SUMMARY.md`, and each link leads to a
//! page and a heading that exist. `tests/run book` builds the book itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file below `docs/`, as a path from there.
fn pages() -> BTreeSet<PathBuf> {
    fn below(dir: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                found.insert(path.strip_prefix(root().join("docs")).unwrap().to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    below(&root().join("docs"), &mut found);
    found
}

/// The lines of a page that are not code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence = None;
    text.lines().enumerate().filter(move |(_, line)| {
        let line = line.trim_start();
        let ticks = line.bytes().take_while(|byte| *byte == b'`').count();
        match fence {
            None if ticks >= 3 => fence = Some(ticks),
            None => return true,
            Some(open) if ticks >= open && line.trim_start_matches('`').trim().is_empty() => {
                fence = None;
            }
            Some(_) => {}
        }
        false
    })
}

/// A line without what stands between back quotes.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("` `")
}

/// Where the links of a page lead, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    for (number, line) in prose(text) {
        let line = without_code(line);
        for piece in line.split("](").skip(1) {
            let target = piece.split([')', ' ']).next().unwrap();
            found.push((number + 1, target.to_owned()));
        }
    }
    found
}

/// A heading's anchor as mdBook and GitLab make it: lower case, blanks are hyphens, other marks vanish.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

/// The anchors of a page: its headings, numbered where one repeats, and `<a id="...">`.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut found, mut times) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    for (_, line) in prose(text) {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        if (1..=6).contains(&level) && line[level..].starts_with(' ') {
            // a link in a heading counts by its text
            let mut heading = line[level..].trim().to_owned();
            while let Some((before, rest)) = heading.split_once("](") {
                let after = rest.split_once(')').map_or("", |(_, after)| after);
                heading = format!("{}{after}", before.replacen('[', "", 1));
            }
            let name = anchor(&heading);
            let seen = times.entry(name.clone()).or_default();
            found.insert(if *seen == 0 { name } else { format!("{name}-{seen}") });
            *seen += 1;
        }
        for piece in line.split("<a id=\"").skip(1) {
            found.insert(piece.split('"').next().unwrap().to_owned());
        }
    }
    found
}

/// `docs/a/../b.md` as `docs/b.md`.
fn plain(path: &Path) -> PathBuf {
    let mut all = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(all.pop(), "{} leads out", path.display()),
            part => all.push(part),
        }
    }
    all
}

/// What is wrong with the links of a file, `from` is its path in the repository. A page of the book may
/// only lead to pages of the book: the book is read where there is no repository.
fn wrong(from: &Path) -> Vec<String> {
    let text = fs::read_to_string(root().join(from)).unwrap();
    let in_book = from.starts_with("docs");
    let mut found = vec![];
    for (line, link) in links(&text) {
        if link.starts_with("https://") {
            continue;
        }
        let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
        let target = if path.is_empty() {
            from.to_owned()
        } else {
            plain(&from.parent().unwrap().join(path))
        };
        let mut say = |what: &str| found.push(format!("{}:{line}: {link}: {what}", from.display()));
        if !root().join(&target).exists() {
            say("there is no such file");
        } else if in_book && !target.starts_with("docs") {
            say("leads out of the book; write the path as code");
        } else if !heading.is_empty() {
            let there = fs::read_to_string(root().join(&target)).unwrap();
            if !anchors(&there).contains(heading) {
                say("there is no such heading");
            }
        }
    }
    found
}

#[test]
fn every_page_is_in_the_summary_once() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed: Vec<PathBuf> = links(&summary).into_iter().map(|(_, link)| link.into()).collect();
    let once: BTreeSet<PathBuf> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), once.len(), "a page is listed twice");
    let pages: BTreeSet<PathBuf> =
        pages().into_iter().filter(|page| page != Path::new("SUMMARY.md")).collect();
    let lost: Vec<_> = pages.difference(&once).collect();
    let made_up: Vec<_> = once.difference(&pages).collect();
    assert!(lost.is_empty(), "not in SUMMARY.md: {lost:?}");
    assert!(made_up.is_empty(), "in SUMMARY.md, and there is no such page: {made_up:?}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut files: Vec<PathBuf> =
        pages().into_iter().map(|page| Path::new("docs").join(page)).collect();
    files.extend(["README.md", "CONTRIBUTING.md", "ci-templates/README.md"].map(PathBuf::from));
    let found: Vec<String> = files.iter().flat_map(|file| wrong(file)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The quoted words of a kind in the source, tests left out.
fn words_of_the_source(kind: impl Fn(&str) -> bool) -> BTreeSet<String> {
    fn below(dir: &Path, see: &mut impl FnMut(&str)) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                below(&path, see);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && !path.ends_with("tests.rs")
            {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                code.split('"').skip(1).step_by(2).for_each(&mut *see);
            }
        }
    }
    let mut found = BTreeSet::new();
    below(&root().join("src"), &mut |word| {
        if kind(word) {
            found.insert(word.to_owned());
        }
    });
    found
}

/// The keys are checked by `config/settings/tests.rs`.
#[test]
fn every_variable_is_in_the_reference() {
    // of the build, of tests, or said of a job that is not Moorline's to describe here
    const OTHERS: [&str; 7] = [
        "CI_",
        "MOORLINE_",
        "MOORLINE_BUILD",
        "MOORLINE_LOCAL_JOB",
        "MOORLINE_LOCAL_TASK",
        "MOORLINE_TESTS_REQUIRE",
        "MOORLINE_TEST_LEASE_MS",
    ];
    let page = fs::read_to_string(root().join("docs/reference/environment.md")).unwrap();
    let variables = words_of_the_source(|word| {
        let ours = word.starts_with("MOORLINE_") || word.starts_with("CI_");
        ours && !OTHERS.contains(&word)
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    });
    assert!(variables.len() > 20, "{variables:?}");
    let lost: Vec<_> =
        variables.iter().filter(|word| !page.contains(&format!("`{word}`"))).collect();
    assert!(lost.is_empty(), "not in docs/reference/environment.md: {lost:?}");
}

/// The messages that `troubleshooting.md` quotes in its first column are in the source: between its `...` every
/// piece of at least ten letters.
#[test]
fn quoted_messages_are_messages() {
    let mut source = String::new();
    let mut files = vec![root().join("src")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            source.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    // a text over several lines is one text
    let source: String = source
        .split("\\\n")
        .enumerate()
        .map(|(number, part)| if number == 0 { part } else { part.trim_start() })
        .collect::<String>()
        .replace("\\\"", "\"");
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let (mut seen, mut lost) = (0, vec![]);
    for line in page.lines().filter_map(|line| line.strip_prefix("| ")) {
        let first = line.split(" | ").next().unwrap();
        for quoted in first.split('`').skip(1).step_by(2) {
            for piece in quoted.split("...").map(str::trim).filter(|piece| piece.len() >= 10) {
                seen += 1;
                if !source.contains(piece) {
                    lost.push(piece.to_owned());
                }
            }
        }
    }
    assert!(seen > 40, "{seen} pieces were found");
    assert!(lost.is_empty(), "no message says: {lost:#?}");
}

/// The walk above can fail.
#[test]
fn anchors_and_links_are_seen() {
    let page = "# A `b` c!\n## A b c\n<a id=\"x\"></a>\n```text\n# code [no](no.md)\n```\n\
                [one](a.md#b) `[two](two.md)` [three](https://x.example)\n## Von [Hub](hub.md) her\n";
    let all: Vec<String> = anchors(page).into_iter().collect();
    assert_eq!(all, ["a-b-c", "a-b-c-1", "von-hub-her", "x"]);
    let all: Vec<String> = links(page).into_iter().map(|(_, link)| link).collect();
    assert_eq!(all, ["a.md#b", "https://x.example", "hub.md"]);
}
