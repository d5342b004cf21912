//! Proxies as the environment names them: which one a URL goes through, and what it may see.
//!
//! ```text
//!  https://host  https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY   the first that is not empty
//!  http://host   http_proxy,  HTTP_PROXY,  all_proxy, ALL_PROXY
//!  no_proxy, NO_PROXY   example.org,.example.org,10.0.0.0/8,[fd00::1]:5000,*
//! ```
//!
//! Sources: curl's manual ("Environment", "--noproxy") and the documentation of Go's
//! `golang.org/x/net/http/httpproxy`. Where they differ: lower case wins (curl), a leading dot
//! makes no difference (curl), a port in `no_proxy` counts (Go), a proxy without a port has that of
//! its scheme (Go). Loopback never goes through a proxy (Go).
//!
//! The variables are passed in. A proxy's own user and password are a [`Secret`]; they go
//! to the proxy only. Not promised: SOCKS.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::failure::{Failure, Kind};
use crate::secret::{Credential, Secret};

/// A variable that names no proxy that can be used; its value, which may hold a password, is not
/// repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy in {variable} cannot be used: {reason}")]
pub struct ProxyError {
    /// `https_proxy`, ...
    pub variable: &'static str,
    /// Why.
    pub reason: String,
}

impl Failure for ProxyError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(format!(
            "write {}=http://host:port, or name the hosts that need no proxy in no_proxy",
            self.variable
        ))
    }
}

/// One proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Without user and password.
    url: Url,
    credential: Option<Credential>,
    variable: &'static str,
}

impl Proxy {
    /// The variable that names it.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// As the HTTP library wants it.
    ///
    /// # Errors
    /// When it is no http or https proxy.
    pub fn for_client(&self) -> Result<reqwest::Proxy, ProxyError> {
        let bad = |reason: String| ProxyError { variable: self.variable, reason };
        if !matches!(self.url.scheme(), "http" | "https") {
            return Err(bad(format!("{} proxies are not supported", self.url.scheme())));
        }
        let proxy =
            reqwest::Proxy::all(self.url.clone()).map_err(|_| bad("it is no URL".into()))?;
        let Some(Credential { username, password }) = &self.credential else { return Ok(proxy) };
        let both = Secret::new(format!("{username}:{}", password.expose()));
        let basic = Secret::new(format!("Basic {}", STANDARD.encode(both.expose())));
        let mut header = HeaderValue::from_str(basic.expose())
            .map_err(|_| bad("its password cannot be sent".into()))?;
        // unlike the library's own way, it shows in no trace
        header.set_sensitive(true);
        Ok(proxy.custom_http_auth(header))
    }
}

impl fmt::Display for Proxy {
    /// `http://proxy.example:3128 (https_proxy)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url.as_str().trim_end_matches('/'), self.variable)
    }
}

/// How every reason begins that a connection through a proxy failed.
const THROUGH: &str = "through the proxy ";

impl Proxy {
    /// The reason of a failure, with the proxy on the way in front: it may be the one that failed.
    #[must_use]
    pub fn through(&self, reason: &str) -> String {
        // 403 of a filter, mostly: hyper-util says no more of it
        let refused = if refuses(reason) { "it refuses to connect there: " } else { "" };
        format!("{THROUGH}{self}: {refused}{reason}")
    }
}

/// Whether a proxy said no to CONNECT: another try would only repeat it.
#[must_use]
pub fn refuses(reason: &str) -> bool {
    reason.contains("tunnel error: unsuccessful")
}

/// What to do, when a reason is [`Proxy::through`]'s.
#[must_use]
pub fn hint(reason: &str, host: &str) -> Option<String> {
    if !reason.starts_with(THROUGH) {
        None
    } else if refuses(reason) {
        Some(format!(
            "the proxy does not connect to {host} (many allow port 443 only): ask who runs it, or add \
             {host} to no_proxy"
        ))
    } else {
        Some(format!("if {host} needs no proxy, add it to no_proxy; else ask who runs the proxy"))
    }
}

/// All that the environment says of proxies; the default is none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    /// Reads the variables through `get`.
    ///
    /// # Errors
    /// Names the variable whose value is no URL.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, ProxyError> {
        let first = |names: [&'static str; 4]| {
            let mut set = names.into_iter().filter_map(|name| Some((name, get(name)?.trim())));
            let found = set.find(|(_, value)| !value.is_empty());
            found.map(|(variable, value)| parse(variable, value)).transpose()
        };
        let none = get("no_proxy").filter(|v| !v.is_empty()).or_else(|| get("NO_PROXY"));
        let entries = none.unwrap_or_default().split([',', ' ', '\t']);
        Ok(Self {
            http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            exceptions: entries.filter_map(Exception::parse).collect(),
        })
    }

    /// The proxy that a URL goes through; `None` is the straight way.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default()?;
        let address: Option<IpAddr> = host.parse().ok();
        let loopback = host == "localhost"
            || host.ends_with(".localhost")
            || address.is_some_and(|ip| ip.to_canonical().is_loopback());
        let excepted = || self.exceptions.iter().any(|one| one.names(host, address, port));
        proxy.as_ref().filter(|_| !loopback && !excepted())
    }
}

fn parse(variable: &'static str, value: &str) -> Result<Proxy, ProxyError> {
    let bad = || ProxyError { variable, reason: "it is no URL".into() };
    let scheme = if value.contains("://") { "" } else { "http://" };
    let mut url = Url::parse(&format!("{scheme}{value}")).map_err(|_| bad())?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad());
    }
    let credential = (!url.username().is_empty()).then(|| Credential {
        username: decoded(url.username()),
        password: Secret::new(decoded(url.password().unwrap_or_default())),
    });
    // the path of a proxy means nothing, and a URL that keeps its user cannot be shown
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(bad());
    }
    Ok(Proxy { url, credential, variable })
}

/// `%40` as `@`; what is no such code stays as it is (RFC 3986, section 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, code)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(Ok(byte)) = code.get(..2).map(|hex| u8::from_str_radix(hex, 16)) {
            bytes.push(byte);
            rest = &code[2..];
        } else {
            bytes.push(b'%');
            rest = code;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One entry of `no_proxy`.
#[derive(Clone, Debug)]
enum Exception {
    Everything,
    /// The addresses whose first bits are these.
    Network(IpAddr, u8),
    /// A name and all names below it, or an address; with a port only there.
    Host(String, Option<u16>),
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = text.split_once('/') {
            // what is no network excepts nothing
            return Some(Self::Network(address.parse().ok()?, bits.parse().ok()?));
        }
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        if text.parse::<IpAddr>().is_ok() {
            return Some(Self::Host(text, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text.as_str(), None),
        };
        let host = host.trim_start_matches('*').trim_start_matches('.');
        Some(Self::Host(bare(host), port))
    }

    fn names(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match self {
            Self::Everything => true,
            Self::Network(network, bits) => {
                address.is_some_and(|ip| is_within(ip.to_canonical(), *network, *bits))
            }
            Self::Host(name, at) => {
                let same = match (address, name.parse::<IpAddr>()) {
                    (Some(ip), Ok(named)) => ip == named,
                    (None, Err(_)) => {
                        let above = host.strip_suffix(name.as_str());
                        above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                    }
                    _ => false,
                };
                same && at.is_none_or(|at| at == port)
            }
        }
    }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            bits <= 32 && differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            bits <= 128 && differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(variables: &[(&str, &'static str)]) -> Proxies {
        read(variables).unwrap()
    }

    fn read(variables: &[(&str, &'static str)]) -> Result<Proxies, ProxyError> {
        Proxies::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| *value))
    }

    fn way(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&Url::parse(url).unwrap()).map(ToString::to_string)
    }

    #[test]
    fn the_first_variable_that_is_not_empty() {
        let some = proxies(&[
            ("https_proxy", ""),
            ("HTTPS_PROXY", "https://upper.example"),
            ("http_proxy", "plain.example:3128"),
            ("ALL_PROXY", "http://all.example"),
        ]);
        assert_eq!(
            way(&some, "https://r.example/").as_deref(),
            Some("https://upper.example (HTTPS_PROXY)")
        );
        assert_eq!(
            way(&some, "http://r.example/").as_deref(),
            Some("http://plain.example:3128 (http_proxy)")
        );
        let all =
            proxies(&[("all_proxy", "http://all.example"), ("ALL_PROXY", "http://b.example")]);
        assert_eq!(
            way(&all, "https://r.example").as_deref(),
            Some("http://all.example (all_proxy)")
        );
        assert_eq!(way(&proxies(&[]), "https://r.example"), None);
    }

    #[test]
    fn who_needs_no_proxy() {
        let with =
            |none: &'static str| proxies(&[("all_proxy", "http://p.example"), ("NO_PROXY", none)]);
        for (none, url, straight) in [
            ("", "https://r.example", false),
            ("", "https://localhost:5000", true),
            ("", "http://127.0.0.9", true),
            ("", "https://[::1]:5000", true),
            ("", "https://a.localhost", true),
            ("*", "https://r.example", true),
            ("r.example", "https://R.example", true),
            (".r.example", "https://r.example", true),
            ("other, r.example", "https://a.r.example", true),
            ("*.r.example", "https://a.r.example", true),
            ("r.example", "https://not-r.example", false),
            ("r.example:5000", "https://r.example", false),
            ("r.example:5000", "https://r.example:5000", true),
            ("10.0.0.0/8", "https://10.9.8.7", true),
            ("10.0.0.0/8", "https://11.9.8.7", false),
            ("0.0.0.0/0", "https://11.9.8.7", true),
            ("10.0.0.0/99", "https://10.0.0.0", false),
            ("10.1.2.3", "https://10.1.2.3:5000", true),
            ("10.1.2.3:80", "https://10.1.2.3:5000", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("fd00::/8", "https://[fe80::1]", false),
            ("[fd12::1]:5000", "https://[fd12::1]:5000", true),
            ("fd12::1", "https://[fd12::1]:5000", true),
        ] {
            assert_eq!(way(&with(none), url).is_none(), straight, "{none:?} {url}");
        }
    }

    #[test]
    fn its_password_is_not_shown() {
        let some = proxies(&[("https_proxy", "http://someone:hunter2@p.example:8080/x?y")]);
        let shown = format!("{some:?} {}", way(&some, "https://r.example").unwrap());
        assert!(shown.contains("http://p.example:8080"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let made = some.of(&Url::parse("https://r.example").unwrap()).unwrap().for_client();
        assert!(made.is_ok() && !format!("{made:?}").contains("hunter2"), "{made:?}");
    }

    #[test]
    fn users_and_passwords_are_decoded() {
        for (text, meant) in [("a%40b", "a@b"), ("50%", "50%"), ("%zz%2", "%zz%2"), ("%c3%a4", "ä")]
        {
            assert_eq!(decoded(text), meant);
        }
    }

    #[test]
    fn what_is_no_proxy_is_said_when_it_would_be_used() {
        let error = read(&[("https_proxy", "http://me:hunter2@")]).unwrap_err();
        assert_eq!(error.to_string(), "the proxy in https_proxy cannot be used: it is no URL");
        let socks = proxies(&[("ALL_PROXY", "socks5h://me:hunter2@p.example")]);
        let url = Url::parse("https://r.example").unwrap();
        let error = socks.of(&url).unwrap().for_client().unwrap_err();
        assert!(error.to_string().contains("socks5h proxies are not supported"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[ -~]{0,60}", host in "[a-z]{1,9}(\\.[a-z]{1,9}){0,2}") {
            let exceptions = text.split([',', ' ', '\t']).filter_map(Exception::parse).collect();
            let all = Proxies { exceptions, ..proxies(&[("all_proxy", "http://p.example")]) };
            let _ = all.of(&Url::parse(&format!("https://{host}")).unwrap());
        }

        #[test]
        fn a_network_holds_what_begins_alike(ip in any::<u32>(), other in any::<u32>(), bits in 0_u8..=32) {
            let same = bits == 0 || (ip ^ other) >> (32 - bits) == 0;
            let (ip, other) = (IpAddr::V4(ip.into()), IpAddr::V4(other.into()));
            prop_assert_eq!(is_within(ip, other, bits), same);
        }
    }
}
