//! What a JWT says of itself: its end, and the repositories that it opens.
//!
//! Source: RFC 7519; docker distribution's "Token Authentication Specification" (`access`). The registry checks the
//! signature. Here the claims only save a request.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// The claims that are looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    exp: Value,
    iat: Value,
    access: Option<Vec<AccessClaim>>,
}

#[derive(Deserialize)]
struct AccessClaim {
    name: String,
    actions: Vec<String>,
}

impl Claims {
    /// Empty for tokens that are no JWT.
    pub(super) fn of(token: &str) -> Self {
        token
            .split('.')
            .nth(1)
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }

    /// From the issuer's own two times, so that a wrong clock here does not matter.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        #[allow(clippy::cast_precision_loss)] // seconds of this century
        let now = || jiff::Timestamp::now().as_second() as f64;
        let life = seconds(&self.exp)? - seconds(&self.iat).unwrap_or_else(now);
        Some(Duration::try_from_secs_f64(life).unwrap_or_default())
    }

    /// The repositories in which it lets do all of these; `None` when it does not say.
    pub(super) fn covers(&self, needed: &[&str]) -> Option<BTreeSet<String>> {
        let may = |a: &&AccessClaim| {
            needed.iter().all(|action| a.actions.iter().any(|x| x == action || x == "*"))
        };
        let access = self.access.as_ref()?;
        Some(access.iter().filter(may).map(|a| a.name.clone()).collect())
    }

    /// The repositories that it lets push to and not pull from.
    pub(super) fn only_pushes(&self) -> BTreeSet<String> {
        let has = |a: &AccessClaim, action: &str| a.actions.iter().any(|x| x == action);
        let access = self.access.iter().flatten();
        access
            .filter(|a| has(a, "push") && !has(a, "pull") && !has(a, "*"))
            .map(|a| a.name.clone())
            .collect()
    }
}

/// A number of seconds, however it is written.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    number.filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_without_trust() {
        let jwt = |json: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(json));
        let claims = Claims::of(&jwt(
            r#"{"iat":1000,"exp":1300,"sub":null,"access":[{"type":"repository","name":"a/b","actions":["pull"]},{"type":"repository","name":"c/d","actions":[]},{"type":"repository","name":"e/f","actions":["push"]}]}"#,
        ));
        assert_eq!(claims.lifetime(), Some(Duration::from_secs(300)));
        assert_eq!(claims.covers(&["pull"]), Some(BTreeSet::from(["a/b".to_owned()])));
        assert_eq!(claims.covers(&["pull", "push"]), Some(BTreeSet::new()));
        assert_eq!(claims.only_pushes(), BTreeSet::from(["e/f".to_owned()]));
        let fraction = Claims::of(&jwt(r#"{"iat":"1000","exp":1300.0,"access":null}"#));
        assert_eq!(fraction.lifetime(), Some(Duration::from_secs(300)));
        for odd in ["opaque", "a.b.c", "..", &jwt("[]"), &jwt(r#"{"exp":"x"}"#)] {
            let claims = Claims::of(odd);
            assert!(claims.covers(&["pull"]).is_none() && claims.lifetime().is_none(), "{odd}");
        }
        // an end before the beginning is no reason to panic
        assert_eq!(Claims::of(&jwt(r#"{"iat":9,"exp":1}"#)).lifetime(), Some(Duration::ZERO));
    }
}
