//! A name says one thing: words that could stand for anything are the names of few types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::files::all;

/// Words that stood for up to nine things once, and how many types may still be called so.
const VAGUE: [(&str, usize); 5] =
    [("Answer", 4), ("Entry", 2), ("From", 0), ("Place", 3), ("Question", 2)];

#[test]
fn no_name_stands_for_everything() {
    let mut files = BTreeSet::new();
    all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 500, "{} files", files.len());
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in files {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let words: Vec<&str> = line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| !word.is_empty())
                .collect();
            let defined = words
                .windows(2)
                .find(|pair| matches!(pair[0], "struct" | "enum" | "trait" | "type"))
                .filter(|_| matches!(words[0], "pub" | "struct" | "enum" | "trait" | "type"))
                .map(|pair| pair[1]);
            if let Some((name, _)) = VAGUE.iter().find(|(name, _)| Some(*name) == defined) {
                found.entry(name).or_default().push(file.display().to_string());
            }
        }
    }
    for (name, most) in VAGUE {
        let of = found.remove(name).unwrap_or_default();
        assert!(of.len() <= most, "{name} is the name of {} types: {of:#?}", of.len());
    }
}
