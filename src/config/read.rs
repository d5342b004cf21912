//! TOML values as types, with the line and key in every error.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Level, Origin, Problem};
use crate::job::{EnvVar, Resources};

/// Larger files are refused before they are parsed.
const MOST_BYTES: usize = 1 << 20;

/// The text of a file and its name.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    pub(super) file: &'t Path,
    pub(super) text: &'t str,
    /// Whose configuration file it is; `None` of a job file.
    pub(super) level: Option<Level>,
}

impl<'t> Source<'t> {
    pub(super) fn table(&self) -> Result<DeTable<'t>, ConfigError> {
        if self.text.len() > MOST_BYTES {
            let problem = Problem::TooLarge { bytes: self.text.len(), limit: MOST_BYTES };
            return Err(self.error(0, problem));
        }
        DeTable::parse(self.text).map(Spanned::into_inner).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            self.error(start, Problem::Toml(e.message().to_owned()))
        })
    }

    pub(super) fn error(&self, offset: usize, problem: Problem) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: self.line(offset),
            problem,
            job_file: self.level.is_none(),
        }
    }

    /// The line of a byte, from 1.
    fn line(&self, offset: usize) -> usize {
        1 + self.text.get(..offset).unwrap_or(self.text).matches('\n').count()
    }
}

/// A value, its key, and where they stand.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) source: Source<'a>,
    /// The key's whole path.
    pub(super) key: &'a str,
    /// Its last name.
    pub(super) name: &'a str,
    pub(super) value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Item<'a> {
    /// Where it was said. A job file is the user's: it is named on the command line.
    pub(super) fn origin(&self) -> Origin {
        Origin::File {
            level: self.source.level.unwrap_or(Level::User),
            file: self.source.file.to_owned(),
            line: self.source.line(self.value.span().start),
        }
    }

    /// Whether somebody else's input says it.
    pub(super) fn is_of_project(&self) -> bool {
        self.source.level == Some(Level::Project)
    }

    pub(super) fn error(&self, problem: Problem) -> ConfigError {
        self.source.error(self.value.span().start, problem)
    }

    fn bad_type(&self, expected: &'static str) -> ConfigError {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(Problem::Type { key: self.key.to_owned(), expected, found })
    }

    pub(super) fn bad_value(&self, why: impl Display) -> ConfigError {
        self.error(Problem::Value { key: self.key.to_owned(), why: why.to_string() })
    }

    pub(super) fn table(&self) -> Result<&'a DeTable<'a>, ConfigError> {
        self.value.get_ref().as_table().ok_or_else(|| self.bad_type("a table"))
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        self.value.get_ref().as_str().ok_or_else(|| self.bad_type("a text in quotes"))
    }

    /// A text that is not empty and fits on one line.
    pub(super) fn line_of_text(&self) -> Result<String, ConfigError> {
        let text = self.text()?;
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(self.bad_value("it must not be empty and not hold control characters"));
        }
        Ok(text.to_owned())
    }

    pub(super) fn parsed<T>(&self) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.text()?.parse().map_err(|e| self.bad_value(e))
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Result<Vec<Item<'a>>, ConfigError> {
        let array = self.value.get_ref().as_array().ok_or_else(|| self.bad_type("a list"))?;
        Ok(array.iter().map(|value| Item { value, ..*self }).collect())
    }

    /// The items of a list, or the one item that stands without brackets.
    pub(super) fn one_or_more(&self) -> Result<Vec<Item<'a>>, ConfigError> {
        if self.value.get_ref().is_str() { Ok(vec![*self]) } else { self.list() }
    }

    /// A path that does not depend on where the program was started.
    pub(super) fn absolute_path(&self) -> Result<PathBuf, ConfigError> {
        let text = self.line_of_text()?;
        let path = PathBuf::from(&text);
        if !path.is_absolute() || path.components().any(|c| c.as_os_str() == "..") {
            return Err(self.bad_value(format!(
                "{text:?} is not an absolute path (~ and variables are not expanded)"
            )));
        }
        Ok(path)
    }

    pub(super) fn yes_or_no(&self) -> Result<bool, ConfigError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.bad_type("true or false"))
    }

    pub(super) fn cpus(&self) -> Result<u32, ConfigError> {
        let number = self.integer().ok_or_else(|| self.bad_type("a whole number"))?;
        let cpus = number.parse().ok().filter(|n| *n > 0);
        cpus.ok_or_else(|| self.bad_value(format!("{number} is not a number of cores")))
    }

    /// A bound: a whole number above 0.
    pub(super) fn limit(&self) -> Result<u64, ConfigError> {
        let number = self.integer().ok_or_else(|| self.bad_type("a whole number"))?;
        let limit = number.parse().ok().filter(|n| *n > 0);
        limit.ok_or_else(|| self.bad_value(format!("{number} is not a limit: it must be above 0")))
    }

    /// MiB: `"4G"`, or a bare number.
    pub(super) fn memory(&self) -> Result<u64, ConfigError> {
        Resources::parse_memory(&self.amount("an amount such as \"4G\", or a number of MiB")?)
            .map_err(|e| self.bad_value(e))
    }

    /// Bytes: `"50G"`, or a bare number of bytes.
    pub(super) fn size(&self) -> Result<u64, ConfigError> {
        parse_size(&self.amount("a size such as \"50G\", or a number of bytes")?)
            .map_err(|e| self.bad_value(e))
    }

    /// A user's number.
    pub(super) fn uid(&self) -> Result<u32, ConfigError> {
        let number = self.integer().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.bad_type("a user's number"))
    }

    /// A duration with its unit: `"7d"`.
    pub(super) fn age(&self) -> Result<Duration, ConfigError> {
        parse_age(self.text()?).map_err(|e| self.bad_value(e))
    }

    /// Seconds: `"2h"`, or a bare number of minutes.
    pub(super) fn time(&self) -> Result<u64, ConfigError> {
        Resources::parse_time(&self.amount("a duration such as \"2h\", or a number of minutes")?)
            .map_err(|e| self.bad_value(e))
    }

    pub(super) fn identifier(&self) -> Result<String, ConfigError> {
        Resources::identifier(self.text()?).map_err(|e| self.bad_value(e))
    }

    /// The variable that the table's key `name` and this value make.
    pub(super) fn variable(&self, name: &str) -> Result<EnvVar, ConfigError> {
        format!("{name}={}", self.text()?).parse().map_err(|e| self.bad_value(e))
    }

    fn amount(&self, expected: &'static str) -> Result<String, ConfigError> {
        let text = self.value.get_ref().as_str().map(str::to_owned);
        text.or_else(|| self.integer()).ok_or_else(|| self.bad_type(expected))
    }

    /// A number or a line of text, as text.
    pub(super) fn number_or_text(&self, expected: &'static str) -> Result<String, ConfigError> {
        match self.integer() {
            Some(number) => Ok(number),
            None if self.value.get_ref().is_str() => self.line_of_text(),
            None => Err(self.bad_type(expected)),
        }
    }

    /// A whole number in decimal.
    fn integer(&self) -> Option<String> {
        let integer = self.value.get_ref().as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|n| n.to_string())
    }
}

/// Bytes as `500M`, `50G` or `2T` (powers of 1024); a bare number is bytes.
///
/// # Errors
/// When the text is no size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size: write 500M, 50G or 2T");
    let shift = match text.bytes().last() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        Some(b't' | b'T') => 40,
        _ => 0,
    };
    let number = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number = whole(number).ok_or_else(bad)?;
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// A duration as `90s`, `30m`, `12h`, `30d` or `8w`: the unit is never guessed.
///
/// # Errors
/// When the text is no duration.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not an age: write 90s, 30m, 12h, 30d or 8w");
    let unit = match text.bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86400,
        Some(b'w') => 7 * 86400,
        _ => return Err(bad()),
    };
    let number = whole(&text[..text.len() - 1]).ok_or_else(bad)?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(bad)
}

fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("50G"), Ok(50 << 30));
        assert_eq!(parse_age("30d"), Ok(Duration::from_secs(30 * 86400)));
        assert_eq!(parse_age("0s"), Ok(Duration::ZERO));
        for bad in ["", "G", "1.5G", "-1", "99999999999T", "1 G", "é"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        for bad in ["", "d", "30", "1x", "-1d", "99999999999999999w", "1é"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }
}
