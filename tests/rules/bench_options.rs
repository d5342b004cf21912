//! The benches' own command line: what is unknown is an error, not half an hour of measuring.

#![allow(
    missing_docs,
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "of the benches"
)]

#[path = "../../benches/shared/options.rs"]
mod options;

use options::{Asked, parse};

fn parsed(line: &str) -> Result<Asked, String> {
    parse(line.split_whitespace().map(str::to_owned), &["image", "rounds"])
}

#[test]
fn options_have_values() {
    let Ok(Asked::Run(options)) = parsed("--image small,tiny --bench --rounds 5") else { panic!() };
    assert_eq!(options.get("image"), Some("small,tiny"));
    assert_eq!(options.number("rounds"), Some(5));
    assert_eq!(options.get("dir"), None);
    // what `cargo bench` itself gives
    assert_eq!(parsed("--bench"), parsed(""));
}

#[test]
fn help_wins_and_what_is_wrong_is_said() {
    for line in ["--help", "-h", "--rounds 3 --help", "--bench --help"] {
        assert_eq!(parsed(line), Ok(Asked::Help), "{line}");
    }
    for (line, wrong) in [
        ("--imgae small", "--imgae: there is no such option"),
        ("-image small", "-image: there is no such option"),
        ("small", "small: there is no such option"),
        ("--rounds", "--rounds: its value is missing"),
        ("--rounds 1 --rounds 2", "--rounds: given twice"),
    ] {
        assert_eq!(parsed(line), Err(wrong.to_owned()), "{line}");
    }
}
