//! A web page where a document should be: the login page of a proxy or of the server itself, an
//! error page of something in between.
//!
//! Many of them come with status 200, so that only a look at the bytes tells them from an answer.

/// A page, and what it calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its title as it was written: foreign text. Empty when it has none.
    pub title: String,
}

impl Page {
    /// The page that these bytes are; `None` when they are none.
    #[must_use]
    pub fn of(body: &[u8]) -> Option<Self> {
        let start = &body[..body.len().min(16 << 10)];
        let text = String::from_utf8_lossy(start);
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let lower = text.to_ascii_lowercase();
        // comments and the XML line may stand before it
        let is_page = lower.starts_with('<')
            && ["<!doctype html", "<html", "<head", "<body", "<title"]
                .iter()
                .any(|mark| lower.contains(mark));
        if !is_page {
            return None;
        }
        let title = lower.find("<title").and_then(|at| {
            let from = at + lower[at..].find('>')? + 1;
            let to = from + lower[from..].find("</title")?;
            text.get(from..to)
        });
        Some(Self { title: title.unwrap_or_default().trim().to_owned() })
    }

    /// Whether it looks like one where a person is to log in.
    #[must_use]
    pub fn is_login(&self, body: &[u8]) -> bool {
        let lower = String::from_utf8_lossy(body).to_ascii_lowercase();
        lower.contains("type=\"password\"")
            || lower.contains("type=password")
            || lower.contains("type='password'")
            || ["sign in", "log in", "login", "signin", "anmelde"]
                .iter()
                .any(|word| self.title.to_ascii_lowercase().contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_what_is_none() {
        let login = b"\xef\xbb\xbf\n<!DOCTYPE html><html><head><title lang=en>Sign in\n &middot; GitLab</title>";
        let page = Page::of(login).unwrap();
        assert_eq!(page.title, "Sign in\n &middot; GitLab");
        assert!(page.is_login(login));
        let plain = b"<HTML><BODY>502 Bad Gateway</BODY></HTML>";
        assert_eq!(Page::of(plain), Some(Page { title: String::new() }));
        assert!(!Page::of(plain).unwrap().is_login(plain));
        assert!(Page::of(b"<!-- x --><?xml version='1.0'?><html>").is_some());
        for none in
            [b"{\"token\":\"<html>\"}".as_slice(), b"", b"<Error><Code>AccessDenied</Code></Error>"]
        {
            assert_eq!(Page::of(none), None);
        }
    }
}
