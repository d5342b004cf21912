//! `Retry-After`: how long a server asks to wait.
//!
//! Source: RFC 9110, 10.2.3 (seconds or a date). Servers also send `0`, a date that has passed (clocks
//! differ), and a fraction. None of these means "at once, as often as you like": a pause is never
//! shorter than the client's own.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Longer ones are taken for this: a wrong date must not stop everybody for years.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The pause that the `Retry-After` of an answer asks for.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wanted_pause(headers.get(RETRY_AFTER)?.to_str().ok()?)
}

/// The pause that a `Retry-After` asks for; `None` when it cannot be read, and when it asks for none.
#[must_use]
pub fn wanted_pause(value: &str) -> Option<Duration> {
    let text = value.trim();
    let pause = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_nan() => return None,
        Ok(seconds) if seconds > LONGEST.as_secs_f64() => LONGEST,
        Ok(seconds) => Duration::try_from_secs_f64(seconds.ceil()).unwrap_or_default(),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or_default()
        }
    };
    (!pause.is_zero()).then_some(pause.min(LONGEST))
}

/// The longer one of what a server asks for and the client's own pause.
#[must_use]
pub fn longer(own: Duration, wanted: Option<Duration>) -> Duration {
    wanted.map_or(own, |wanted| wanted.max(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Duration = Duration::from_millis(300);

    #[test]
    fn seconds_fractions_and_dates() {
        assert_eq!(wanted_pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(wanted_pause(" 1.5 "), Some(Duration::from_secs(2)));
        assert_eq!(wanted_pause("99999999999999999999"), Some(LONGEST));
        assert_eq!(wanted_pause("inf"), Some(LONGEST));
        for nothing in ["0", "-5", "soon", "", "NaN", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(wanted_pause(nothing), None, "{nothing}");
        }
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
        let date = later.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let pause = wanted_pause(&date).unwrap().as_secs();
        assert!((85..=90).contains(&pause), "{pause}");
    }

    #[test]
    fn never_shorter_than_ones_own() {
        assert_eq!(longer(OWN, wanted_pause("0")), OWN);
        assert_eq!(longer(OWN, wanted_pause("Wed, 21 Oct 2015 07:28:00 GMT")), OWN);
        assert_eq!(longer(OWN, wanted_pause("4")), Duration::from_secs(4));
        assert_eq!(longer(OWN, None), OWN);
    }
}
