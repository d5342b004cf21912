//! What a text can do to a terminal or to its reader's eyes, and how that is taken out.
//!
//! | taken out | because |
//! |---|---|
//! | C0, DEL and C1 control characters | they move the cursor, ring, switch character sets |
//! | whole escape sequences (`ESC [ ... m`, `ESC ] ... BEL`, also with C1 introducers) | they colour, retitle, write the clipboard, answer as if typed |
//! | bidirectional controls | they show a text in another order than it has |
//! | zero-width, filler and tag characters, variation selectors | they hide text in text |
//! | line and paragraph separators | some programs break a line there |
//!
//! Sources: ECMA-48, 5.4 (control sequences) and 5.6 (control strings); Unicode's
//! `Default_Ignorable_Code_Point` (`DerivedCoreProperties.txt`); Unicode Technical Report 36, 2.5.

use std::iter::Peekable;
use std::str::Chars;

/// Whether a character is taken out by itself. A line feed counts as harmful here; [`lines`] keeps it.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// What stands where something was taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing: for sentences.
    None,
    /// One `?` for everything that was taken out in a row: for names, which must not look like
    /// another one.
    Question,
}

/// For a terminal: each harmful part becomes `?`, lines stay lines.
#[must_use]
pub fn lines(text: &str) -> String {
    without_harm(text, Mark::Question, true)
}

/// For one line of a terminal, such as a table's cell: as [`lines`], and a line's end becomes a blank.
#[must_use]
pub fn one_line(text: &str) -> String {
    without_harm(text, Mark::Question, false)
}

/// A JSON document whose strings hold their harmful characters as `\uXXXX`: the same document, and
/// harmless where it is shown.
#[must_use]
pub fn json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        // between strings JSON has these only as line ends
        if c != '\n' && is_harmful(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

pub(super) fn without_harm(text: &str, mark: Mark, keep_lines: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut marked = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let kept = match c {
            '\n' if keep_lines => Some('\n'),
            '\n' | '\t' => Some(' '),
            // a line's end as Windows and HTTP write it
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\u{1b}' => {
                escape(&mut chars);
                None
            }
            '\u{9b}' => {
                control_sequence(&mut chars);
                None
            }
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => {
                control_string(&mut chars);
                None
            }
            c => (!is_harmful(c)).then_some(c),
        };
        match kept {
            Some(c) => {
                shown.push(c);
                marked = false;
            }
            None if mark == Mark::Question && !marked => {
                shown.push('?');
                marked = true;
            }
            None => {}
        }
    }
    shown
}

/// What follows an ESC and belongs to it.
fn escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            control_sequence(chars);
        }
        Some('P' | 'X' | ']' | '^' | '_') => {
            chars.next();
            control_string(chars);
        }
        // intermediate bytes, then one final byte
        Some(' '..='/') => {
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
        Some('0'..='~') => {
            chars.next();
        }
        _ => {}
    }
}

/// Parameters and a final byte. Terminals obey control characters in the middle, so these do not end it.
fn control_sequence(chars: &mut Peekable<Chars<'_>>) {
    let inside = |c: &char| {
        matches!(c, ' '..='?') || (is_harmful(*c) && !matches!(c, '\n' | '\u{1b}' | '\u{9b}'))
    };
    while chars.next_if(inside).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// A string up to its BEL or string terminator. Without one only the introducer goes: the rest of
/// the text is shown, since it must not be swallowed by who wrote its beginning.
fn control_string(chars: &mut Peekable<Chars<'_>>) {
    let mut rest = chars.clone();
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => {
                *chars = rest;
                return;
            }
            '\u{1b}' if rest.peek() == Some(&'\\') => {
                rest.next();
                *chars = rest;
                return;
            }
            '\n' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripped(text: &str) -> String {
        without_harm(text, Mark::None, false)
    }

    #[test]
    fn whole_sequences_go() {
        for (text, expected) in [
            ("a\x1b[31mb", "ab"),
            ("a\x1b[38;5;1mb\x1b[0m", "ab"),
            ("a\u{9b}2Jb", "ab"),
            ("a\x1b]0;title\x07b", "ab"),
            ("a\x1b]52;c;cm0gLXJm\x1b\\b", "ab"),
            ("a\u{9d}8;;http://x\u{9c}b", "ab"),
            ("a\x1bPq#0\x1b\\b", "ab"),
            ("a\x1b(0b", "ab"),
            ("a\x1bcb", "ab"),
            ("a\x1b[3\x01\u{200b}1mb", "ab"),
            // without an end nothing is swallowed
            ("a\x1b]0;b", "a0;b"),
            ("a\x1b[", "a"),
            ("a\x1b", "a"),
            ("a\x1b\x1b[1mb", "ab"),
        ] {
            assert_eq!(stripped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_keep_a_mark_and_sentences_do_not() {
        assert_eq!(lines("a\x1b[31mb\u{202e}c\u{7}\n"), "a?b?c?\n");
        assert_eq!(one_line("a\nb\r\nc\td"), "a b c d");
        assert_eq!(one_line("a\u{200b}\u{200b}b"), "a?b");
        assert_eq!(lines("a\rb"), "a?b");
        assert_eq!(stripped("Grüße, 日本, é, e\u{301}, 👩"), "Grüße, 日本, é, e\u{301}, 👩");
    }

    #[test]
    fn every_character_of_the_list_goes() {
        let listed =
            ['\0', '\x7f', '\u{80}', '\u{9f}', '\u{61c}', '\u{200b}', '\u{200e}', '\u{202a}']
                .into_iter()
                .chain([
                    '\u{2028}',
                    '\u{2060}',
                    '\u{2066}',
                    '\u{2069}',
                    '\u{feff}',
                    '\u{e0001}',
                    '\u{e0041}',
                ])
                .chain(['\u{fe0f}', '\u{e0100}', '\u{ad}', '\u{3164}', '\u{fffb}']);
        for c in listed {
            assert_eq!(stripped(&format!("a{c}b")), "ab", "{c:?}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "a\u{202e}\u{9b}": ["\x1b[31m\u{e0041}\u{7f}", "ü\n"] });
        let shown = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!shown.chars().any(|c| c != '\n' && is_harmful(c)), "{shown:?}");
        assert!(shown.contains('ü'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text in "(?s).{0,60}") {
            prop_assert!(!one_line(&text).chars().any(is_harmful));
            prop_assert!(!lines(&text).chars().any(|c| c != '\n' && is_harmful(c)));
            prop_assert_eq!(stripped(&stripped(&text)), stripped(&text));
        }

        #[test]
        fn escapes_of_any_kind_go(text in "[\u{1b}\u{9b}\u{9d}\\[\\]P0-9;mab\u{7}\u{202e}\u{e0041}\n]{0,40}") {
            prop_assert!(!one_line(&text).chars().any(is_harmful));
        }
    }
}
