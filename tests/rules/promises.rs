//! Each promise of Ganga's guide has its row in `docs/coming-from/ganga.md`, and each row names tests that exist.

use std::fs;
use std::path::Path;

/// How many promises the guide makes.
const PROMISES: usize = 17;

/// The words of a cell that stand between back quotes.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What is wrong with the tests that a cell names: `FILE` `FUNCTION`; and so on.
fn wrong(cell: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = code(cell);
    let (pairs, rest) = words.as_chunks::<2>();
    let mut found: Vec<String> = rest.iter().map(|word| format!("{word} stands alone")).collect();
    if pairs.is_empty() {
        found.push("no test is named".to_owned());
    }
    for [file, function] in pairs {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        let head = format!("fn {function}(");
        let is_test = text
            .split_once(&head)
            .is_some_and(|(before, _)| before.rsplit("\n\n").next().unwrap().contains("#[test]"));
        if !is_test {
            found.push(format!("{file} has no test {function}"));
        }
    }
    found
}

#[test]
fn every_promise_of_gangas_guide_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/coming-from/ganga.md")).unwrap();
    let (_, table) = page.split_once("## Promise by promise\n").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let numbers: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let expected: Vec<String> = (1..=PROMISES).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected);
    for row in rows {
        let [number, _, _, tests] = row[..] else { panic!("{row:?}") };
        let found = wrong(tests);
        assert!(found.is_empty(), "row {number}: {found:?}");
    }
    // the check can fail
    assert_eq!(wrong("`tests/rules/promises.rs` `lost`").len(), 1);
    assert_eq!(wrong("`tests/rules/lost.rs` `lost`; see `x`").len(), 2);
    assert_eq!(wrong("none").len(), 1);
}
