//! What a job asks of an engine, in units that do not depend on the engine.

use serde::{Deserialize, Serialize};

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct ParseResourceError {
    text: String,
    what: &'static str,
}

/// Requests; `None` leaves the engine's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Cores for one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory in MiB for the whole job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Wall time limit in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_seconds: Option<u64>,
    /// Partition or queue: an identifier, checked by [`Resources::identifier`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Account or project that pays: an identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Resources {
    /// Memory as `500M`, `4G` (powers of 1024); a bare number is MiB.
    ///
    /// # Errors
    /// When the text is no such amount.
    pub fn parse_memory(text: &str) -> Result<u64, ParseResourceError> {
        let bad = || ParseResourceError {
            text: text.to_owned(),
            what: "an amount of memory: write 500M or 4G (a bare number is MiB)",
        };
        let (number, factor) = match text.as_bytes().last() {
            Some(b'M' | b'm') => (&text[..text.len() - 1], 1),
            Some(b'G' | b'g') => (&text[..text.len() - 1], 1024),
            Some(b'T' | b't') => (&text[..text.len() - 1], 1024 * 1024),
            _ => (text, 1),
        };
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let n: u64 = number.parse().ok().filter(|n| *n > 0 && digits).ok_or_else(bad)?;
        n.checked_mul(factor).ok_or_else(bad)
    }

    /// A duration as `90s`, `30m`, `2h`, `1d` or `[D-]HH:MM:SS`; a bare number is minutes.
    ///
    /// # Errors
    /// When the text is no such duration.
    pub fn parse_time(text: &str) -> Result<u64, ParseResourceError> {
        let bad = || ParseResourceError {
            text: text.to_owned(),
            what: "a duration: write 90s, 30m, 2h, 1d or HH:MM:SS (a bare number is minutes)",
        };
        let number = |t: &str| {
            t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<u64>().ok()).flatten()
        };
        let seconds = if text.contains(':') {
            let (days, clock) = match text.split_once('-') {
                Some((d, clock)) => (number(d).ok_or_else(bad)?, clock),
                None => (0, text),
            };
            let parts: Option<Vec<u64>> = clock.split(':').map(number).collect();
            match parts.ok_or_else(bad)?.as_slice() {
                [h, m, s] if *m < 60 && *s < 60 => days
                    .checked_mul(86400)
                    .and_then(|d| h.checked_mul(3600).and_then(|h| d.checked_add(h + m * 60 + s))),
                _ => None,
            }
        } else {
            let (count, factor) = match text.as_bytes().last() {
                Some(b's') => (&text[..text.len() - 1], 1),
                Some(b'm') => (&text[..text.len() - 1], 60),
                Some(b'h') => (&text[..text.len() - 1], 3600),
                Some(b'd') => (&text[..text.len() - 1], 86400),
                _ => (text, 60),
            };
            number(count).and_then(|n| n.checked_mul(factor))
        };
        seconds.filter(|s| *s > 0).ok_or_else(bad)
    }

    /// A queue, partition or account name that is safe in every engine's language.
    ///
    /// # Errors
    /// When it holds anything but letters, digits and `._@+-`, or starts with `-`.
    pub fn identifier(text: &str) -> Result<String, ParseResourceError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._@+-".contains(&b);
        if text.is_empty() || text.len() > 128 || text.starts_with('-') || !text.bytes().all(good) {
            return Err(ParseResourceError {
                text: text.to_owned(),
                what: "a queue or account name (letters, digits and ._@+-)",
            });
        }
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(Resources::parse_memory("4G"), Ok(4096));
        assert_eq!(Resources::parse_memory("512"), Ok(512));
        for bad in ["", "G", "-1G", "4X", "0", "99999999999999999999G", "+4"] {
            assert!(Resources::parse_memory(bad).is_err(), "{bad}");
        }
        assert_eq!(Resources::parse_time("2h"), Ok(7200));
        assert_eq!(Resources::parse_time("30"), Ok(1800));
        assert_eq!(Resources::parse_time("1-00:00:01"), Ok(86401));
        for bad in ["", "h", "1:2", "1:99:00", "-5", "0", "1x"] {
            assert!(Resources::parse_time(bad).is_err(), "{bad}");
        }
        assert!(Resources::identifier("debug").is_ok());
        for bad in ["", "-x", "a b", "a\n#SBATCH", "a$(x)"] {
            assert!(Resources::identifier(bad).is_err(), "{bad}");
        }
    }
}
