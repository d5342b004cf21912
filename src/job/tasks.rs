//! Which tasks of a job a record speaks of: `1-400`, `7`, `1-3,9`.
//!
//! A million tasks in one state are one range, not a million records.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::id::ParseIdError;

/// Ranges of task numbers, ascending, apart from each other, never empty. A number is at least 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tasks(Vec<RangeInclusive<u32>>);

impl Tasks {
    /// One task.
    #[must_use]
    pub fn one(task: u32) -> Self {
        Self(vec![task..=task])
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.0
    }

    /// How many tasks these are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|r| u64::from(r.end() - r.start()) + 1).sum()
    }

    /// Whether a task is one of them.
    #[must_use]
    pub fn contains(&self, task: u32) -> bool {
        self.0.iter().any(|range| range.contains(&task))
    }
}

impl FromStr for Tasks {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseIdError { text: text.to_owned(), what: "a list of tasks such as 1-3,9" };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits).ok_or_else(bad)
        };
        let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (number(from)?, number(to)?);
            if from > to || ranges.last().is_some_and(|last| *last.end() >= from) {
                return Err(bad());
            }
            ranges.push(from..=to);
        }
        Ok(Self(ranges))
    }
}

impl fmt::Display for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

impl Serialize for Tasks {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tasks {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for good in ["7", "1-400", "1-3,9,11-4294967295"] {
            assert_eq!(good.parse::<Tasks>().unwrap().to_string(), good);
        }
        for bad in ["", "1-", "-1", "3-1", "1,1", "2-4,3", "+1", "1, 2", "4294967296"] {
            assert!(bad.parse::<Tasks>().is_err(), "{bad:?}");
        }
        let tasks: Tasks = "1-3,9".parse().unwrap();
        assert_eq!(tasks.count(), 4);
        assert!(tasks.contains(9) && !tasks.contains(4));
        assert!(Tasks::one(0).contains(0));
    }
}
