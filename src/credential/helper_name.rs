//! The name of a credential helper, without `docker-credential-`.

/// The longest name; a file name has at most 255 bytes.
pub(super) const LONGEST_NAME: usize = 100;

/// Whether it can be one.
pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
