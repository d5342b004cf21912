//! The `WWW-Authenticate` header of a 401.
//!
//! ```text
//! Bearer realm="https://gitlab.example/jwt/auth",service="container_registry",scope="repository:a/b:pull"
//! ^scheme ^name ^value, quoted or not
//! ```
//!
//! Source: RFC 9110, section 11.6.1 (grammar; several challenges may share a header), and docker
//! distribution's "Token Authentication Specification" (parameters).

use std::borrow::Cow;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A token from the realm.
    Bearer(Bearer),
    /// User name and password with each request.
    Basic,
}

/// The parameters of a bearer challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The URL to ask for a token, as it was written.
    pub realm: String,
    /// Who the token is for.
    pub service: Option<String>,
    /// `invalid_token`, `insufficient_scope`.
    pub error: Option<String>,
}

impl Challenge {
    /// Whether both lead to the same tokens.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Basic, Self::Basic) => true,
            (Self::Bearer(one), Self::Bearer(other)) => {
                (&one.realm, &one.service) == (&other.realm, &other.service)
            }
            _ => false,
        }
    }

    /// The first bearer challenge, else a basic one; `None` when there is neither.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let all: Vec<(String, Vec<(String, String)>)> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .flat_map(|value| parse(&readable(value.as_bytes())))
            .collect();
        let bearer = all.iter().filter(|(scheme, _)| scheme == "bearer").find_map(|(_, found)| {
            let get = |name: &str| found.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            Some(Bearer { realm: get("realm")?, service: get("service"), error: get("error") })
        });
        let basic = || all.iter().any(|(scheme, _)| scheme == "basic").then_some(Self::Basic);
        bearer.map(Self::Bearer).or_else(basic)
    }
}

/// A header's text: UTF-8, else Latin-1 as RFC 9110, 5.5 has it. A realm may hold either.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect::<String>().into(),
    }
}

/// The schemes that a server offers, as it writes them, for a message; empty when it offers none.
pub(super) fn schemes(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(WWW_AUTHENTICATE).iter();
    all.flat_map(|value| parse(&readable(value.as_bytes()))).map(|(scheme, _)| scheme).collect()
}

/// All challenges of one header: scheme and parameters, names in lower case.
fn parse(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        if end == 0 {
            return found; // the end, or something that is no challenge
        }
        let (word, after) = rest.split_at(end);
        let word = word.to_ascii_lowercase();
        if let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            let (value, after) = take_value(value.trim_start_matches([' ', '\t']));
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word, value));
            }
            rest = after;
        } else {
            found.push((word, Vec::new()));
            rest = after;
        }
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)
}

/// A quoted or bare value and what follows it.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers)
    }

    #[allow(clippy::unnecessary_wraps)] // what Challenge::of answers
    fn bearer(realm: &str, service: Option<&str>, error: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer(Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            error: error.map(Into::into),
        }))
    }

    #[test]
    fn challenges_as_registries_write_them() {
        let gitlab = r#"Bearer realm="https://g.example/jwt/auth",service="container_registry",scope="repository:a/b:pull,push",error="invalid_token""#;
        let realm = "https://g.example/jwt/auth";
        assert_eq!(of(&[gitlab]), bearer(realm, Some("container_registry"), Some("invalid_token")));
        assert_eq!(of(&[r#"Basic realm="x", bearer realm="y""#]), bearer("y", None, None));
        assert_eq!(
            of(&["Basic realm=x", "BEARER realm=https://g.example/t"]),
            bearer("https://g.example/t", None, None)
        );
        assert_eq!(of(&[r#"Bearer realm = "a\"b" , service=s"#]), bearer("a\"b", Some("s"), None));
        assert_eq!(of(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(of(&["Bearer service=x"]), None);
        assert_eq!(of(&["Negotiate", ""]), None);
        assert_eq!(of(&[r#"Bearer realm="unterminated"#]), bearer("unterminated", None, None));
    }

    /// One odd byte in a realm's name or description is no reason to send no credential at all.
    #[test]
    fn realms_in_utf_8_and_latin_1() {
        let of = |bytes: &[u8]| {
            let value = HeaderValue::from_bytes(bytes).unwrap();
            Challenge::of(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]))
        };
        assert_eq!(of("Basic realm=\"Zugang für Gäste\"".as_bytes()), Some(Challenge::Basic));
        assert_eq!(of(b"Basic realm=\"Zugang f\xfcr G\xe4ste\""), Some(Challenge::Basic));
        let service = "Bearer realm=\"https://g.example/t\",service=\"für\"";
        assert_eq!(of(service.as_bytes()), bearer("https://g.example/t", Some("für"), None));
        let latin = b"Bearer realm=\"https://g.example/t\",service=\"f\xfcr\"";
        assert_eq!(of(latin), bearer("https://g.example/t", Some("für"), None));
    }

    proptest! {
        #[test]
        fn any_header_ends(text in "[ -~\u{80}-\u{ff}]{0,80}") {
            let _ = parse(&text);
        }
    }
}
