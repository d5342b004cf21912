//! The house rules that a compiler does not check, read from the source text.
//!
//! - A module uses only modules of lower floors (`// floor N` in `src/lib.rs` is the one list),
//!   never a neighbour on its own floor. Unit tests may also use a neighbour, such as the stand-in.
//! - A secret is opened (`.expose()`) only in the files named here.
//! - Only `cli` prints.
//! - No file outgrows 600 lines.
//! - An engine's name, commands and variables stand in its own file only: what others must know of it are its
//!   `Facts`.
//!
//! Circles of files inside a room, and logic in `mod.rs`, are in `circles`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files that may look into a secret: where it is made, sent, checked or stored.
const MAY_EXPOSE: &[&str] = &[
    "credential/file.rs",
    // writes the file that is handed to a worker which pulls
    "credential/handed.rs",
    // takes the line end off a helper's secret
    "credential/helper.rs",
    "credential/kernel.rs",
    "credential/desktop.rs",
    // which kind a credential is says the front of its secret
    "gitlab/token.rs",
    "gitlab/transport.rs",
    // hands the stand-in's deploy token to `login`, on its stdin
    "demo/shell.rs",
    // hands a proxy's user and password to the HTTP library
    "net/proxy.rs",
    "registry/basic.rs",
    "registry/gates.rs",
    "registry/token_request.rs",
    "secret/value.rs",
    "standin/api_call.rs",
    "standin/gitlab_api.rs",
    "standin/token.rs",
];

/// The directory that may print.
const MAY_PRINT: &str = "cli/";

/// The files that take a handle of the caller's, or the terminal itself, and why no foreign text gets past them.
const MAY_REACH_A_TERMINAL: &[&str] = &[
    // the boundary: every text goes through `text`
    "cli/show/output.rs",
    // only whether it is a terminal, and how wide
    "cli/show/window.rs",
    // numbers and words of its own, on bars
    "cli/show/progress.rs",
    // a sentence with a job's id, made one line before
    "cli/show/interrupted.rs",
    // questions, made harmless where they are asked
    "cli/show/terminal.rs",
    // they hand the worker its standard error: execute/worker.rs makes what it says harmless
    "main.rs",
    "bin/moorline-worker.rs",
    // pipes between processes of Moorline
    "execute/early.rs",
    // only whether they are terminals; what is carried is the program's own output
    "execute/terminal/outer.rs",
    // the device of a container
    "execute/inside/arrange.rs",
];

const MOST_LINES: usize = 600;

/// One line of code: comments are left out.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
    /// Behind `#[cfg(test)]`, where the unit tests stand by custom.
    test: bool,
}

/// A source file: its path below `src/`, with `/` between the parts.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The top-level module that the file belongs to; `None` for `lib.rs` and the programs' main files.
    fn module(&self) -> Option<&str> {
        match self.path.split_once('/') {
            // a program's main file, like main.rs
            Some(("bin", _)) => None,
            Some((folder, _)) => Some(folder),
            None => self.path.strip_suffix(".rs").filter(|name| !matches!(*name, "lib" | "main")),
        }
    }

    /// How many `super::` lead from the file's own module to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut testing = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            let text = line.trim();
            testing |= text.starts_with("#[cfg(test)]");
            (!text.starts_with("//")).then_some(Line { number: at + 1, text, test: testing })
        })
    }
}

/// The floor of each module, as `src/lib.rs` lists them.
fn floors(lib: &str) -> BTreeMap<&str, u32> {
    let mut floors = BTreeMap::new();
    let mut floor = None;
    for line in lib.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("// floor ") {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            floor = digits.and_then(|number| number.parse().ok());
        } else if let Some(name) = line
            .strip_prefix("pub mod ")
            .or_else(|| line.strip_prefix("mod "))
            .and_then(|rest| rest.strip_suffix(';'))
        {
            let floor = floor
                .unwrap_or_else(|| panic!("src/lib.rs: `{name}` stands above the first floor"));
            floors.insert(name, floor);
        }
    }
    floors
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first names behind `crate::` in a text: `crate::a::B` gives `a`, `crate::{a::B, c}` gives `a` and `c`.
fn used(text: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    for (at, found) in text.match_indices("crate::") {
        // `$crate` and names that merely end in "crate" are something else
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.push((at, identifier(rest)));
            continue;
        };
        let (mut depth, mut start) = (0usize, Some(0));
        for (place, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = Some(place + 1),
                c if !c.is_whitespace() && start.is_some_and(|from| from <= place) => {
                    names.push((at, identifier(&group[place..])));
                    start = None;
                }
                _ => {}
            }
        }
    }
    names
}

/// The imports of a file that do not point downward.
fn misplaced(source: &Source, floors: &BTreeMap<&str, u32>) -> Vec<String> {
    let Some(module) = source.module() else {
        return Vec::new();
    };
    let Some(&own) = floors.get(module) else {
        return vec![format!("src/{}: module `{module}` has no floor in src/lib.rs", source.path)];
    };
    let mut found = Vec::new();
    // A group may run over lines, so the code is searched as one text.
    let mut code = String::new();
    let mut starts = Vec::new();
    for line in source.lines() {
        starts.push((code.len(), line));
        code.push_str(line.text);
        code.push('\n');
    }
    for (at, name) in used(&code) {
        let line = starts[starts.partition_point(|(start, _)| *start <= at) - 1].1;
        let place = format!("src/{}:{}", source.path, line.number);
        match floors.get(name) {
            Some(&floor) if floor > own => {
                found.push(format!(
                    "{place}: `{module}` (floor {own}) uses `{name}` (floor {floor}) above it"
                ));
            }
            Some(&floor) if floor == own && name != module && !line.test => {
                found.push(format!(
                    "{place}: `{module}` uses its neighbour `{name}` on floor {own}"
                ));
            }
            _ => {}
        }
    }
    for (_, line) in &starts {
        // an inline module adds a step of its own, so the name that is reached decides as well
        let paths = line.text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        for path in paths.filter(|path| path.matches("super::").count() >= source.depth()) {
            let reached = identifier(path.rsplit_once("super::").map_or("", |(_, rest)| rest));
            if floors.contains_key(reached) {
                let place = format!("src/{}:{}", source.path, line.number);
                found.push(format!(
                    "{place}: `super::` reaches the crate's root: write `crate::{reached}`"
                ));
            }
        }
    }
    found
}

/// The lines outside the unit tests that hold one of some words.
fn holding(source: &Source, words: &[&str]) -> Vec<String> {
    source
        .lines()
        .filter(|line| !line.test)
        .filter_map(|line| {
            let word = words.iter().find(|word| {
                line.text.match_indices(*word).any(|(at, _)| {
                    // `eprint!` holds `print!`
                    word.starts_with('.')
                        || !line.text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                })
            })?;
            Some(format!("src/{}:{}: {word}", source.path, line.number))
        })
        .collect()
}

pub(super) fn sources() -> Vec<Source> {
    let found = below("src");
    assert!(found.len() > 20, "only {} source files were found", found.len());
    found
}

/// The files of Rust below a folder of the repository, with their paths from there.
fn below(folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .expect("a source folder can be read")
            .map(|entry| entry.expect("a folder's entry can be read").path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(root).expect("it was found below the root");
                found.push(Source {
                    path: below.to_str().expect("source files have plain names").replace('\\', "/"),
                    text: fs::read_to_string(&path).expect("a source file can be read"),
                });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found
}

/// Fails with every offence on a line of its own.
pub(super) fn none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}\n{}", offences.join("\n"));
}

#[test]
fn imports_point_downward() {
    let sources = sources();
    let lib = sources.iter().find(|source| source.path == "lib.rs").expect("there is a lib.rs");
    let floors = floors(&lib.text);
    assert!(floors.len() > 10, "src/lib.rs lists only {floors:?}");
    let offences: Vec<String> =
        sources.iter().flat_map(|source| misplaced(source, &floors)).collect();
    none(&offences, "a module uses only floors below its own");
}

#[test]
fn secrets_are_opened_in_few_places() {
    let offences: Vec<String> = sources()
        .iter()
        .filter(|source| !MAY_EXPOSE.contains(&source.path.as_str()))
        .flat_map(|source| holding(source, &[".expose()", ".expose_secret()"]))
        .collect();
    none(&offences, "only the files of MAY_EXPOSE (tests/rules/floors.rs) look into a secret");
}

#[test]
fn only_the_command_line_prints() {
    let words = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    let offences: Vec<String> = sources()
        .iter()
        .filter(|source| !source.path.starts_with(MAY_PRINT))
        .flat_map(|source| holding(source, &words))
        .collect();
    none(&offences, "only cli prints; elsewhere a writer is passed in");
}

#[test]
fn what_reaches_a_terminal_goes_through_few_places() {
    let words = ["stdout()", "stderr()", "/dev/tty"];
    let offences: Vec<String> = sources()
        .iter()
        .filter(|source| !MAY_REACH_A_TERMINAL.contains(&source.path.as_str()))
        .flat_map(|source| holding(source, &words))
        .collect();
    none(
        &offences,
        "only the files of MAY_REACH_A_TERMINAL (tests/rules/floors.rs) take the handles on which foreign text could \
         reach a terminal; the others say it through cli/show/output.rs, which makes it harmless",
    );
}

#[test]
fn no_file_outgrows_its_page() {
    let long = |folder: &str| -> Vec<String> {
        below(folder)
            .iter()
            .map(|source| (source, source.text.lines().count()))
            .filter(|(_, lines)| *lines > MOST_LINES)
            .map(|(source, lines)| format!("{folder}/{}: {lines} lines", source.path))
            .collect()
    };
    let offences = ["src", "tests", "crates", "benches"].map(long).concat();
    none(&offences, "a file is split by 600 lines");
}

/// What names an engine: its name, its commands, the beginnings of its variables.
fn words_of(facts: &moorline::backend::Facts) -> Vec<String> {
    let words = [facts.name].into_iter().chain(facts.commands.iter().copied());
    words.chain(facts.families.iter().copied()).map(str::to_lowercase).collect()
}

/// The lines that name an engine, help texts and comments too; unit tests may.
fn naming(source: &Source, engine: &str, words: &[String]) -> Vec<String> {
    let own = [format!("backend/{engine}.rs"), format!("backend/{engine}/")];
    // words of other tools that users try: whether Moorline speaks to those is no matter there
    let foreign = source.path == "cli/args/foreign_words.rs";
    if foreign || source.path == own[0] || source.path.starts_with(&own[1]) {
        return Vec::new();
    }
    let listed = ["backend/mod.rs", "backend/known.rs"].contains(&source.path.as_str());
    let mut testing = source.path.ends_with("/tests.rs") || source.path.contains("/tests/");
    // unit tests in files of their own: the ledger's stored examples, the suite of its indexes
    testing |= ["/golden.rs", "index/suite.rs"].iter().any(|end| source.path.ends_with(end));
    let mut found = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        // a module that is a file of its own says nothing of the lines below
        let file = lines.get(at + 1).is_some_and(|next| next.ends_with(';'));
        testing |= line.trim() == "#[cfg(test)]" && !file;
        let lower = line.to_lowercase();
        let is_entry =
            listed && (lower.contains("mod ") || lower.contains("use ") || lower.contains("::"));
        if testing || is_entry {
            continue;
        }
        if let Some(word) = words.iter().find(|word| lower.contains(word.as_str())) {
            found.push(format!("src/{}:{}: {word}", source.path, at + 1));
        }
    }
    found
}

#[test]
fn an_engine_is_named_in_its_own_file_only() {
    let sources = sources();
    let engines: Vec<_> = moorline::backend::engines().filter(|facts| !facts.here).collect();
    assert!(!engines.is_empty());
    let mut offences = Vec::new();
    for facts in engines {
        let own = format!("backend/{}.rs", facts.name);
        assert!(sources.iter().any(|source| source.path == own), "{own} is {}'s file", facts.name);
        let words = words_of(facts);
        offences.extend(sources.iter().flat_map(|source| naming(source, facts.name, &words)));
    }
    none(&offences, "what others must know of an engine is in its Facts");
}

/// The rules themselves: each finds what it is there to find.
mod the_rules {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn house() -> BTreeMap<&'static str, u32> {
        floors(
            "// floor 0: names\npub mod oci;\n\n// floor 4: adapters\npub mod registry;\npub mod store;\n// floor 5: steps\npub mod stage;\n",
        )
    }

    #[test]
    fn floors_are_read_from_the_list() {
        let house: Vec<(&str, u32)> = house().into_iter().collect();
        assert_eq!(house, [("oci", 0), ("registry", 4), ("stage", 5), ("store", 4)]);
    }

    #[test]
    fn downward_is_allowed() {
        let text = "use crate::oci::Digest;\nuse crate::registry::auth;\nuse super::token;\n/// see [`crate::stage`]\n";
        assert_eq!(misplaced(&source("registry/blob.rs", text), &house()), [""; 0]);
    }

    #[test]
    fn upward_sideways_and_around_are_found() {
        let text = "use crate::{\n    oci::{Digest, Index},\n    stage::Image,\n};\nfn f() { crate::store::open() }\nuse super::super::stage;\n";
        let found = misplaced(&source("registry/blob.rs", text), &house());
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("src/registry/blob.rs:1:")
                && found[0].contains("`stage` (floor 5)")
        );
        assert!(
            found[1].starts_with("src/registry/blob.rs:5:")
                && found[1].contains("neighbour `store`")
        );
        assert!(found[2].starts_with("src/registry/blob.rs:6:") && found[2].contains("`super::`"));
        assert_eq!(misplaced(&source("registry/mod.rs", "use super::store;\n"), &house()).len(), 1);
    }

    #[test]
    fn unit_tests_may_use_a_neighbour_but_nothing_above() {
        let text = "#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::store::Store;\n    use crate::stage::Image;\n}\n";
        let found = misplaced(&source("registry/mod.rs", text), &house());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("uses `stage`"));
    }

    #[test]
    fn a_module_without_a_floor_is_found() {
        assert_eq!(misplaced(&source("attic/mod.rs", ""), &house()).len(), 1);
    }

    #[test]
    fn engines_are_found_in_comments_and_help() {
        let words = ["pbs".to_owned(), "qsub".to_owned()];
        let text = "//! Like PBS.\n/// Calls qsub.\nfn f() {}\n#[cfg(test)]\n// pbs\n";
        assert_eq!(naming(&source("cli/x.rs", text), "pbs", &words).len(), 2);
        assert_eq!(naming(&source("backend/pbs.rs", text), "pbs", &words), [""; 0]);
        assert_eq!(naming(&source("backend/pbs/argv.rs", text), "pbs", &words), [""; 0]);
        let line = "mod pbs;\n    &pbs::Pbs,\n// pbs is one\n";
        assert_eq!(naming(&source("backend/known.rs", line), "pbs", &words).len(), 1);
    }

    #[test]
    fn words_are_found_outside_comments_and_tests() {
        let text = "// println!\nlet x = secret.expose();\nmy_print!(x);\neprintln!(\"{x}\");\n#[cfg(test)]\nmod tests { fn f() { println!() } }\n";
        let source = source("registry/mod.rs", text);
        assert_eq!(holding(&source, &[".expose()"]), ["src/registry/mod.rs:2: .expose()"]);
        assert_eq!(
            holding(&source, &["print!", "println!", "eprintln!"]),
            ["src/registry/mod.rs:4: eprintln!"]
        );
    }
}
