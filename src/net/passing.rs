//! Which answers and faults another try may change.
//!
//! ```text
//!  429, 502, 503, 504     not now: asked again after a pause (RFC 9110, 15.6; RFC 6585, 4)
//!  refused, no TLS, a proxy that refuses     the same again: said at once
//! ```
//!
//! What a server adds for itself stands at its client: a registry's 500 is often its storage's, and passes; what GitLab was
//! told to do is not told twice.

/// Whether a status says that the server, or what stands before it, cannot answer now.
#[must_use]
pub fn is_passing(status: u16) -> bool {
    status == 429 || is_of_gateway(status)
}

/// Whether a status is a gateway's: what was asked may have been done behind it.
#[must_use]
pub fn is_of_gateway(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Whether another try would meet the same fault; `reason` is the client's whole error.
#[must_use]
pub fn is_final(reason: &str) -> bool {
    // what a proxy says to CONNECT is the third
    ["refused", "InvalidContentType", "authorization required"]
        .iter()
        .any(|word| reason.contains(word))
        || super::proxy_refuses(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_is_asked_again() {
        for status in [429, 502, 503, 504] {
            assert!(is_passing(status), "{status}");
        }
        for status in [200, 401, 404, 407, 500, 501] {
            assert!(!is_passing(status), "{status}");
        }
        assert!(is_of_gateway(503) && !is_of_gateway(429));
        assert!(is_final("tcp connect error: Connection refused (os error 111)"));
        assert!(!is_final("connection reset by peer"));
    }
}
