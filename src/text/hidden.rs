//! The secrets that a text may echo, in the forms in which it may do so.
//!
//! ```text
//!  exactly   the secret, URL-encoded, HTML-escaped, base64
//!  loosely   the same and hexadecimal: only letters and digits count, and half of a long one is enough
//!            ("GLDT Xy7...", base64 wrapped at 76 columns or of "user:secret", a body cut in the middle)
//! ```
//!
//! This is for mistakes and plain echoes. A hostile server knows the credential that it was sent, and can write it in a
//! form that is not searched for.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use zeroize::Zeroizing;

/// Letters and digits that a form must have before it is looked for loosely: short ones would be
/// found in ordinary words.
const LEAST: usize = 6;

/// How many letters and digits in a row are taken for a part of a secret. Fewer would be found in
/// ordinary words: *registry* in `glpat-of-my-registry`.
const PART: (usize, usize) = (12, 32);

/// How many of the passing secrets are kept: a token ends after minutes, and a long pull needs many.
const PASSING: usize = 16;

/// The secrets that must not be repeated; wiped from memory when dropped. A clone shares the list, so
/// that one list serves all who talk to servers.
#[derive(Clone, Default)]
pub struct Hidden(Arc<Mutex<List>>);

#[derive(Default)]
struct List {
    lasting: Vec<Forms>,
    passing: VecDeque<Forms>,
}

/// All forms of one secret, the secret itself first.
type Forms = Arc<Vec<Form>>;

/// One way to write one secret.
struct Form {
    text: Zeroizing<String>,
    /// Its letters and digits, where it is looked for loosely.
    key: Zeroizing<Vec<char>>,
    base64: bool,
}

impl Hidden {
    /// All forms of these secrets; an empty one is passed over.
    #[must_use]
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let hidden = Self::default();
        for secret in secrets {
            hidden.add(secret);
        }
        hidden
    }

    /// One more secret.
    pub fn add(&self, secret: &str) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !secret.is_empty() && !list.knows(secret) {
            list.lasting.push(Arc::new(forms(secret)));
        }
    }

    /// A secret that lives for a short time only, such as a bearer token: the last 16 are kept.
    pub fn add_passing(&self, secret: &str) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !secret.is_empty() && !list.knows(secret) {
            if list.passing.len() == PASSING {
                list.passing.pop_front();
            }
            list.passing.push_back(Arc::new(forms(secret)));
        }
    }

    /// A text without them. Only what is stripped already may come here: see the room's own words.
    pub(super) fn replace(&self, text: &str) -> String {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Forms> = list.lasting.iter().chain(&list.passing).map(Arc::clone).collect();
        drop(list);
        let mut hide = vec![false; text.len()];
        for form in all.iter().flat_map(|forms| forms.iter()) {
            for found in form.find(text) {
                hide[found].fill(true);
            }
        }
        let mut shown = String::with_capacity(text.len());
        let mut before = false;
        for (at, c) in text.char_indices() {
            match (hide[at], before) {
                (true, false) => shown.push_str("***"),
                (true, true) => {}
                (false, _) => shown.push(c),
            }
            before = hide[at];
        }
        shown
    }
}

impl List {
    fn knows(&self, secret: &str) -> bool {
        let mut all = self.lasting.iter().chain(&self.passing);
        all.any(|forms| forms.first().is_some_and(|form| *form.text == secret))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(***)")
    }
}

fn forms(secret: &str) -> Vec<Form> {
    let form = |text: String| Form::new(text, false);
    let kept = |c: u8| c.is_ascii_alphanumeric();
    let mut forms = vec![
        form(secret.to_owned()),
        form(in_url(secret, |c| kept(c) || b"-._~".contains(&c))),
        form(in_url(secret, kept)),
        form(in_html(secret)),
        // the same as URL-encoding that leaves nothing as it is
        form(secret.bytes().map(|b| format!("{b:02x}")).collect()),
        Form::new(STANDARD.encode(secret), true),
        Form::new(URL_SAFE.encode(secret), true),
    ];
    // as a part of something longer: the first and last characters also depend on its neighbours
    for before in 0..3 {
        let all = Zeroizing::new([&[0; 2][..before], secret.as_bytes()].concat());
        let encoded = Zeroizing::new(STANDARD.encode(&*all));
        let (from, to) = ((before * 8).div_ceil(6), all.len() * 8 / 6);
        forms.extend(encoded.get(from..to).map(|core| Form::new(core.to_owned(), true)));
    }
    forms.retain(|form| form.key.len() >= LEAST || (!form.base64 && !form.text.is_empty()));
    forms
}

fn in_url(secret: &str, kept: impl Fn(u8) -> bool) -> String {
    let one = |b: u8| if kept(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    secret.bytes().map(one).collect()
}

fn in_html(secret: &str) -> String {
    let one = |c| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        '\'' => "&#39;".into(),
        c => String::from(c),
    };
    secret.chars().map(one).collect()
}

impl Form {
    fn new(text: String, base64: bool) -> Self {
        let ascii = text.is_ascii();
        let key = text.chars().filter_map(|c| letter(c, ascii)).collect();
        Self { text: Zeroizing::new(text), key: Zeroizing::new(key), base64 }
    }

    /// The parts of a text, in bytes, that show it.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let exact = text.match_indices(&*self.text);
        let mut found: Vec<_> = exact.map(|(at, same)| at..at + same.len()).collect();
        let length = self.key.len();
        if length >= LEAST {
            let part = if length < PART.0 { length } else { (length / 2).clamp(PART.0, PART.1) };
            let parts: HashSet<&[char]> = self.key.windows(part).collect();
            let ascii = self.text.is_ascii();
            let letters = Characters(text, 0)
                .filter_map(|(c, place)| Some((letter(c, ascii)?, place.start, place.end)));
            let (key, places): (Vec<char>, Vec<(usize, usize)>) =
                letters.map(|(c, from, to)| (c, (from, to))).unzip();
            let hits = key.windows(part).enumerate().filter(|(_, seen)| parts.contains(seen));
            found.extend(hits.map(|(at, _)| places[at].0..places[at + part - 1].1));
        }
        for one in &mut found {
            if self.base64 {
                *one = whole_word(text, one.clone());
            } else if text[..one.start].ends_with('%') {
                // the sign of an encoded first character
                one.start -= 1;
            }
        }
        found
    }
}

/// The characters of a text and their places. An escape sequence, as a debug output or JSON writes a
/// character that cannot be printed, is that character.
struct Characters<'a>(&'a str, usize);

impl Iterator for Characters<'_> {
    type Item = (char, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.1;
        let rest = self.0.get(start..)?;
        let first = rest.chars().next()?;
        let (c, length) = escaped(rest).unwrap_or((first, first.len_utf8()));
        self.1 = start + length;
        Some((c, start..self.1))
    }
}

/// The character that a text begins with as an escape sequence, and how long that is.
fn escaped(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix('\\')?;
    let (hex, length) = match rest.chars().next()? {
        'u' if rest[1..].starts_with('{') => {
            let end = rest.find('}').filter(|end| *end <= 9)?;
            (&rest[2..end], end + 2)
        }
        'u' => (rest.get(1..5)?, 6),
        'x' => (rest.get(1..3)?, 4),
        'n' | 'r' | 't' | '0' => return Some((' ', 2)),
        _ => return None,
    };
    // a surrogate is half a character, and no letter
    Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?).unwrap_or(' '), length))
}

/// What counts of a character when a text is looked through loosely.
fn letter(c: char, ascii: bool) -> Option<char> {
    // full-width forms look like ASCII
    let wide = matches!(c, '\u{ff01}'..='\u{ff5e}');
    let c = if wide { char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c) } else { c };
    let counts = if ascii { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() };
    counts.then(|| c.to_lowercase().next().unwrap_or(c))
}

/// All of the base64 around a part of it.
fn whole_word(text: &str, part: Range<usize>) -> Range<usize> {
    let is_in = |b: &u8| b.is_ascii_alphanumeric() || b"+/=-_".contains(b);
    let bytes = text.as_bytes();
    let before = bytes[..part.start].iter().rev().take_while(|b| is_in(b)).count();
    let after = bytes[part.end..].iter().take_while(|b| is_in(b)).count();
    part.start - before..part.end + after
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "gldt-Xy7_Qp9z+R2wLmN4";

    fn without(secret: &str, text: &str) -> String {
        Hidden::of([secret]).replace(text)
    }

    #[test]
    fn forms_in_which_a_secret_comes_back() {
        let both = STANDARD.encode(format!("deploy:{SECRET}"));
        let wrapped = format!("{}\n{}", &both[..12], &both[12..]);
        let hex: String = SECRET.bytes().map(|b| format!("{b:02X}")).collect();
        let everything: String = SECRET.bytes().map(|b| format!("%{b:02x}")).collect();
        for echo in [
            SECRET.to_owned(),
            SECRET.to_uppercase(),
            STANDARD.encode(SECRET),
            URL_SAFE.encode(SECRET).trim_end_matches('=').to_owned(),
            both.clone(),
            STANDARD.encode(format!("x{SECRET}yy")),
            wrapped,
            in_url(SECRET, |c| c.is_ascii_alphanumeric()),
            "gldt-Xy7_Qp9z%2bR2wLmN4".into(),
            everything,
            hex,
            "ｇｌｄｔ－Ｘｙ７＿Ｑｐ９ｚ＋Ｒ２ｗＬｍＮ４".into(),
            SECRET.chars().map(|c| format!("{c} ")).collect(),
            SECRET.chars().map(|c| format!("{c}\u{301}")).collect(),
        ] {
            let shown = without(SECRET, &format!("before {echo} after"));
            assert!(
                shown.starts_with("before ***") && shown.trim_end().ends_with(" after"),
                "{echo}: {shown}"
            );
            let left: String = shown.replace("before", "").replace("after", "");
            assert!(!left.contains(|c: char| c.is_alphanumeric()), "{echo}: {shown}");
        }
    }

    /// As `{:?}` and JSON inside JSON write what cannot be printed.
    #[test]
    fn escape_sequences_are_what_they_stand_for() {
        for echo in [
            SECRET.chars().map(|c| format!("{c}\\u{{200b}}")).collect::<String>(),
            SECRET.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect(),
            SECRET.chars().map(|c| format!("{c}\\x01\\ude00\\n")).collect(),
        ] {
            let shown = without(SECRET, &format!("before {echo} after"));
            let left = shown.replace("before", "").replace("after", "");
            assert!(shown.starts_with("before ***") && left.len() < 20, "{echo}: {shown}");
        }
        assert_eq!(without(SECRET, "C:\\users\\x \\u{zz} \\u12"), "C:\\users\\x \\u{zz} \\u12");
    }

    #[test]
    fn half_of_it_is_too_much() {
        assert_eq!(without(SECRET, "it begins gldt-Xy7_Qp9z+R2"), "it begins ***");
        assert_eq!(without("glpat-of-my-registry", "read_registry"), "read_registry");
        assert_eq!(without(SECRET, "gldt is a prefix"), "gldt is a prefix");
    }

    #[test]
    fn marks_of_a_secret_go_with_it() {
        assert_eq!(without("!pa&ss<wo'rd!", "no !pa&amp;ss&lt;wo&#39;rd! no"), "no *** no");
        assert_eq!(without("!pa&ss<wo'rd!", "no !pa&ss<wo'rd! no"), "no *** no");
        assert_eq!(without("пароль-№7", "нет ПАРОЛЬ №7"), "нет ***");
        assert_eq!(without("пароль-№7", &in_url("пароль-№7", |_| false)), "***");
    }

    #[test]
    fn short_ones_are_looked_for_as_they_are() {
        assert_eq!(without("s3", "s3 and S3"), "*** and S3");
        assert_eq!(without("%%", "100%%"), "100***");
        assert_eq!(without("", "nothing"), "nothing");
        assert_eq!(format!("{:?}", Hidden::of([SECRET])), "Hidden(***)");
    }

    #[test]
    fn one_list_for_all_who_share_it() {
        let hidden = Hidden::default();
        hidden.clone().add("password-of-all");
        for number in 0..20 {
            hidden.add_passing(&format!("token-of-minute-{number}-abcdef"));
            hidden.add("password-of-all");
        }
        assert_eq!(hidden.replace("password-of-all"), "***");
        assert_eq!(hidden.replace("token-of-minute-19-abcdef"), "***");
        let list = hidden.0.lock().unwrap();
        assert_eq!((list.lasting.len(), list.passing.len()), (1, PASSING));
    }

    proptest! {
        #[test]
        fn never_there_afterwards(secret in "[!-~]{6,30}", before in "[a-z ]{0,9}", after in "(?s).{0,9}") {
            let shown = without(&secret, &format!("{before}{secret}{after}"));
            prop_assert!(!shown.contains(&secret), "{shown}");
            let encoded = STANDARD.encode(&secret);
            let shown = without(&secret, &format!("{before}{encoded}{after}"));
            prop_assert!(!shown.contains(&encoded) || encoded.len() < LEAST, "{shown}");
        }
    }
}
