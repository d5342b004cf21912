//! Values that are shortened so that they fit: each kind keeps the part that a reader, or Moorline itself, needs.
//!
//! ```text
//!  digest   registry.example/group/project@sha256:1428ab43…    a beginning is accepted wherever a digest is
//!  id       01jd5k8q2m4xt                                      a beginning is accepted wherever an id is
//!  path     …/jobs/01jd5k8q2m4xt/stdout                        the end says more
//!  text     a long comma…
//! ```

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands where something was left out.
pub const MORE: char = '…';
/// Characters of a digest that are always shown.
const LEAST_HEX: usize = 8;
/// Columns of a name that say something, with the `@` behind it.
const LEAST_NAME: usize = 6;
const SHA256: &str = "sha256:";

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The first characters that fit, with `…` when there are more.
pub fn text(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut short = first(text.chars(), most.saturating_sub(1));
    short.push(MORE);
    short
}

/// The last characters that fit, behind `…` when there are more.
pub fn path(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let end = first(text.chars().rev(), most.saturating_sub(1));
    std::iter::once(MORE).chain(end.chars().rev()).collect()
}

/// A beginning: it stands for the whole where it is typed again.
pub fn id(text: &str, most: usize) -> String {
    first(text.chars(), most)
}

/// A digest, also behind a name: the digest is cut first, then the name in front of it.
pub fn digest(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let Some((name, hex)) = text.rsplit_once(SHA256) else { return path(text, most) };
    let room = most.saturating_sub(width(name) + SHA256.len() + 1).max(LEAST_HEX);
    let hex: String = if hex.len() > room { short_hex(hex, room) } else { hex.to_owned() };
    let digest = format!("{SHA256}{hex}");
    match most.saturating_sub(width(&digest)) {
        // the digest alone says which image it is
        0..LEAST_NAME => digest,
        room => format!("{}{digest}", path(name, room)),
    }
}

fn short_hex(hex: &str, room: usize) -> String {
    hex.chars().take(room).chain([MORE]).collect()
}

/// `sha256:1428ab43…`, for a line of its own.
pub fn brief(digest: &str) -> String {
    match digest.strip_prefix(SHA256) {
        Some(hex) if hex.len() > LEAST_HEX => format!("{SHA256}{}", short_hex(hex, LEAST_HEX)),
        _ => digest.to_owned(),
    }
}

/// A text with all its digests brief.
pub fn digests_in(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(SHA256) {
        let (before, from) = rest.split_at(at);
        let hex = from[SHA256.len()..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let (digest, behind) = from.split_at(SHA256.len() + hex);
        short.push_str(before);
        let made = brief(digest);
        // one that was shortened before has its sign already
        rest = if made.ends_with(MORE) { behind.trim_start_matches(MORE) } else { behind };
        short.push_str(&made);
    }
    short + rest
}

fn first(chars: impl Iterator<Item = char>, most: usize) -> String {
    let mut taken = 0;
    chars
        .take_while(|c| {
            taken += c.width().unwrap_or(0);
            taken <= most
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_keeps_what_is_needed() {
        let hex = "1428ab43".repeat(8);
        let whole = format!("sha256:{hex}");
        assert_eq!(digest(&whole, 71), whole);
        assert_eq!(digest(&whole, 16), "sha256:1428ab43…");
        assert_eq!(digest(&format!("group/project@{whole}"), 30), "group/project@sha256:1428ab43…");
        assert_eq!(digest(&format!("group/project@{whole}"), 24), "…roject@sha256:1428ab43…");
        assert_eq!(digest(&format!("group/project@{whole}"), 20), "sha256:1428ab43…");
        assert_eq!(brief(&whole), "sha256:1428ab43…");
        assert_eq!(brief("gone"), "gone");
        assert_eq!(
            digests_in(&format!("a {whole}, sha256:12 b")),
            "a sha256:1428ab43…, sha256:12 b"
        );
        assert_eq!(digests_in("a sha256:1428ab4300… b"), "a sha256:1428ab43… b");
        assert_eq!(digests_in("a sha256:1428ab43… b"), "a sha256:1428ab43… b");
        assert_eq!(path("/home/me/jobs/stdout", 12), "…jobs/stdout");
        assert_eq!(text("echo hello", 6), "echo …");
        assert_eq!(id("01jd5k8q2m4xt", 4), "01jd");
        // two columns each
        assert_eq!(text("日本語", 5), "日本…");
    }
}
