//! Goldens of `--help` of every verb, and the page of the book that holds them. `SNAPSHOTS=overwrite cargo test --test cli` writes them anew.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::program;

fn help(words: &[&str]) -> String {
    let output = Command::new(program()).args(words).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{words:?}");
    assert!(output.stderr.is_empty(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_texts() {
    let verbs: &[&[&str]] = &[
        &[],
        &["init"],
        &["doctor"],
        &["login"],
        &["logout"],
        &["auth-explain"],
        &["resolve"],
        &["tags"],
        &["inspect"],
        &["lock"],
        &["convert"],
        &["verify"],
        &["run"],
        &["shell"],
        &["submit"],
        &["wait"],
        &["status"],
        &["logs"],
        &["fetch"],
        &["cancel"],
        &["rerun"],
        &["jobs"],
        &["recover"],
        &["audit"],
        &["audit", "job"],
        &["audit", "image"],
        &["audit", "drift"],
        &["audit", "export"],
        &["audit", "report"],
        &["audit", "sbom"],
        &["audit", "verify"],
        &["ledger"],
        &["ledger", "collect"],
        &["ledger", "merge"],
        &["cache"],
        &["cache", "key"],
        &["cache", "ls"],
        &["cache", "prune"],
        &["cache", "verify"],
        &["runtime"],
        &["runtime", "add"],
        &["runtime", "ls"],
        &["runtime", "rm"],
        &["config"],
        &["config", "show"],
        &["demo"],
        &["import"],
        &["import", "ganga"],
        &["completions"],
        &["man"],
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    for words in verbs {
        let name = if words.is_empty() { "moorline".into() } else { words.join("-") };
        let golden = snapbox::Data::read_from(&folder.join(format!("{name}.txt")), None).raw();
        snapbox::assert_data_eq!(help(words), golden);
    }
    // the page of the book
    let mut page = "# Help texts of all verbs\n\nThis page is what `moorline VERB --help` prints. A test writes it \
                    (`just golden`) and fails when it is out of date.\n"
        .to_owned();
    for words in verbs {
        let title = [&["moorline"], *words].concat().join(" ");
        write!(page, "\n## {title}\n\n```text\n{}\n```\n", help(words).trim_end()).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/commands.md");
    snapbox::assert_data_eq!(page, snapbox::Data::read_from(&golden, None).raw());
    // a new verb comes with its golden text
    for line in help(&[]).lines().skip_while(|line| !line.starts_with("Commands:")).skip(1) {
        let Some(verb) = line.split_whitespace().next() else { break };
        assert!(verb == "help" || verbs.iter().any(|words| words.first() == Some(&verb)), "{verb}");
    }
}

#[test]
fn examples_come_first_and_h_is_the_short_one() {
    let short = |words: &[&str]| {
        let output = Command::new(program()).args(words).arg("-h").env_clear().output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let (name, long) = (file.file_stem().unwrap(), std::fs::read_to_string(&file).unwrap());
        let at = |word: &str| long.find(word).unwrap_or_else(|| panic!("{name:?} has no {word}"));
        let (examples, usage) = (at("Examples:\n  "), at("Usage:"));
        assert!(examples < usage, "{name:?}");
        // a command that the window breaks cannot be copied
        for line in long[examples..usage].lines() {
            assert!(line.chars().count() <= 80, "{name:?}: {line}");
        }
    }
    for words in [&["run"][..], &["submit"], &["audit", "job"]] {
        let (short, long) = (short(words), help(words));
        assert!(!short.contains("--ca-file") && long.contains("--ca-file"), "{short}");
        assert!(short.lines().count() < long.lines().count(), "{short}");
    }
}

#[test]
fn version() {
    let output = Command::new(program()).arg("--version").env_clear().output().unwrap();
    let expected = concat!("moorline ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
