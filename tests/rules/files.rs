//! No test is forgotten: every file of Rust below `tests/` belongs to a test program, and there are few
//! programs, because each is linked on its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// As many as `docs/architecture.md` names.
const MOST_PROGRAMS: usize = 6;

/// The files that a module declares with `mod NAME;` or `#[path = "..."]`, itself included, all the way down.
fn reached(file: &Path, found: &mut BTreeSet<PathBuf>) {
    if !found.insert(file.to_owned()) {
        return;
    }
    let text = fs::read_to_string(file).unwrap();
    let folder = file.parent().unwrap();
    let stem = file.file_stem().unwrap();
    // a file NAME.rs has its modules in NAME/, main.rs and mod.rs beside themselves
    let below = if stem == "main" || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
    let mut said = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            said = path.strip_suffix("\"]").map(|path| folder.join(path));
        } else if let Some(name) = line
            .strip_prefix("pub mod ")
            .or_else(|| line.strip_prefix("mod "))
            .and_then(|rest| rest.strip_suffix(';'))
        {
            let choices = [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")];
            let file = said.take().or_else(|| choices.into_iter().find(|path| path.exists()));
            let file = file.unwrap_or_else(|| panic!("{}: no file of `{name}`", folder.display()));
            reached(&file.canonicalize().unwrap(), found);
        }
    }
}

/// Every file of Rust below a folder.
pub fn all(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            all(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.insert(path);
        }
    }
}

#[test]
fn every_file_belongs_to_one_of_few_programs() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").canonicalize().unwrap();
    let (mut files, mut used, mut programs) = (BTreeSet::new(), BTreeSet::new(), vec![]);
    all(&tests, &mut files);
    for entry in fs::read_dir(&tests).unwrap().map(Result::unwrap) {
        let path = entry.path();
        assert!(path.extension().is_none_or(|kind| kind != "rs"), "a program of its own: {path:?}");
        if path.join("main.rs").exists() {
            reached(&path.join("main.rs"), &mut used);
            programs.push(entry.file_name());
        }
    }
    assert!(programs.len() <= MOST_PROGRAMS, "{programs:?}");
    let forgotten: Vec<_> = files.difference(&used).collect();
    assert!(forgotten.is_empty(), "no program has a `mod` for {forgotten:#?}");
}

/// `tests/run` runs what its lists name: a part that none of them names is never run.
#[test]
fn every_part_is_in_a_list_of_tests_run() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let run = fs::read_to_string(tests.join("run")).unwrap();
    let list = |name: &str| {
        let begin = format!("{name}=\"");
        let line = run.lines().find_map(|line| line.strip_prefix(&begin)?.strip_suffix('"'));
        let line = line.unwrap_or_else(|| panic!("tests/run has no {name}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let named: Vec<String> = [list("ALL"), list("LONG")].concat();
    let parts = fs::read_dir(tests.join("parts")).unwrap().map(|entry| entry.unwrap().path());
    let parts: BTreeSet<String> = parts
        .filter(|path| path.extension().is_some_and(|kind| kind == "sh"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(parts, named.iter().cloned().collect(), "in tests/parts/, and in ALL or LONG");
    assert_eq!(parts.len(), named.len(), "each is named once");
}
