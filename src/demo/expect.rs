//! Checks an answer of a command against what the story promises.

use super::DemoError;

pub(super) fn same(what: &'static str, expected: &str, got: &str) -> Result<(), DemoError> {
    if expected == got {
        return Ok(());
    }
    Err(DemoError::Unexpected { what, expected: expected.to_owned(), got: got.to_owned() })
}

pub(super) fn contains(what: &'static str, expected: &str, got: &str) -> Result<(), DemoError> {
    if got.contains(expected) {
        return Ok(());
    }
    Err(DemoError::Unexpected { what, expected: expected.to_owned(), got: got.to_owned() })
}
