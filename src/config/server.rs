//! The address of a web server: scheme, host, port, and the path where GitLab is installed below one.

use std::fmt;
use std::str::FromStr;

use crate::oci::Registry;

/// `https://host[:port][/path]`; `http://` only on loopback. Never holds a user, password, query
/// or fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUrl {
    https: bool,
    host: Registry,
    path: String,
}

/// A text that is no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseServerError {
    /// Not `https://host[:port][/path]`. The text may hold a password and is not repeated.
    #[error("this is not a server: write https://host or https://host:port")]
    Form,
    /// Plain http to another machine.
    #[error("http://{0} is not encrypted: write https:// (http:// is only for loopback)")]
    Plain(Registry),
}

impl ServerUrl {
    /// Host and port.
    #[must_use]
    pub fn host(&self) -> &Registry {
        &self.host
    }

    /// The path, empty or beginning with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn is_loopback(host: &Registry) -> bool {
    let name = host.as_str();
    let name = match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => name.split_once(':').map_or(name, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl FromStr for ServerUrl {
    type Err = ParseServerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (https, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(ParseServerError::Form),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host: Registry =
            host.to_ascii_lowercase().parse().map_err(|_| ParseServerError::Form)?;
        let path = path.trim_end_matches('/');
        let good = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !path.is_empty() && !path.split('/').all(good) {
            return Err(ParseServerError::Form);
        }
        if !https && !is_loopback(&host) {
            return Err(ParseServerError::Plain(host));
        }
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { https, host, path })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, printed) in [
            ("https://gitlab.example", "https://gitlab.example"),
            ("https://GitLab.example/", "https://gitlab.example"),
            ("https://gitlab.example:8443/git/lab/", "https://gitlab.example:8443/git/lab"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("http://[::1]:5000", "http://[::1]:5000"),
            ("http://localhost", "http://localhost"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn refusals_repeat_no_password() {
        for text in [
            "",
            "gitlab.example",
            "ftp://gitlab.example",
            "https://",
            "https://user:hunter2@gitlab.example",
            "https://gitlab.example?hunter2",
            "https://gitlab.example/a?private_token=hunter2",
            "https://gitlab.example/a/../b",
            "https://gitlab.example#hunter2",
            "http://gitlab.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
        ] {
            let error = text.parse::<ServerUrl>().expect_err(text);
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
