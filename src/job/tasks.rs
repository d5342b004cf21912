//! Which tasks a job has, or a record speaks of: `1-400`, `7`, `1-3,9`.
//!
//! A million tasks in one state are one range, not a million records.
//!
//! A user may also write a step and how many run at once, as batch systems have it: `1-9:2`, `1-400%50`.

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

    /// Of numbers in any order, each once or more often; `None` when there are none.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut all: Vec<u32> = numbers.into_iter().collect();
        all.sort_unstable();
        let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
        for number in all {
            match ranges.last_mut() {
                Some(last) if number <= last.end().saturating_add(1) => {
                    *last = *last.start()..=number.max(*last.end());
                }
                _ => ranges.push(number..=number),
            }
        }
        (!ranges.is_empty()).then_some(Self(ranges))
    }

    /// Tasks with the same value, together; in the order of their first tasks.
    #[must_use]
    pub fn together<T: PartialEq>(each: impl IntoIterator<Item = (u32, T)>) -> Vec<(Self, T)> {
        let mut groups: Vec<(Vec<u32>, T)> = Vec::new();
        for (task, value) in each {
            match groups.iter_mut().find(|(_, known)| *known == value) {
                Some((tasks, _)) => tasks.push(task),
                None => groups.push((vec![task], value)),
            }
        }
        groups.into_iter().filter_map(|(tasks, value)| Some((Self::of(tasks)?, value))).collect()
    }

    /// The tasks of an array as a user writes them, and how many of them run at once at most: ranges in any order,
    /// each with a step if it is to have one.
    ///
    /// # Errors
    /// When the text is no such list, or there are more than [`Self::MOST`].
    pub fn parse_array(text: &str) -> Result<(Self, Option<u32>), ParseIdError> {
        let bad = |what| ParseIdError { text: text.to_owned(), what };
        let usual = "a list of tasks: write 1-400, 1,3,7-9, 0-100:10, or 1-400%50 for 50 at once";
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits).ok_or_else(|| bad(usual))
        };
        let (list, at_once) = match text.split_once('%') {
            Some((list, at_once)) => (list, Some(number(at_once)?)),
            None => (text, None),
        };
        if at_once == Some(0) {
            return Err(bad("a list of tasks of which some run: at least 1 at once"));
        }
        let mut numbers = Vec::new();
        for part in list.split(',') {
            let (range, step) = match part.split_once(':') {
                Some((range, step)) => (range, number(step)?),
                None => (part, 1),
            };
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let (from, to) = (number(from)?, number(to)?);
            if from > to || step == 0 {
                return Err(bad(usual));
            }
            let count = usize::try_from((to - from) / step).unwrap_or(usize::MAX);
            if numbers.len().saturating_add(count) >= Self::MOST {
                return Err(bad("a list of at most 10,000 tasks"));
            }
            numbers.extend((from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX)));
        }
        Ok((Self::of(numbers).ok_or_else(|| bad(usual))?, at_once))
    }

    /// More tasks than these are not one job: each has a directory and is looked at by itself.
    pub const MOST: usize = 10_000;

    /// Their numbers, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(Clone::clone)
    }

    /// The task at this place, from 0.
    #[must_use]
    pub fn at(&self, place: u64) -> Option<u32> {
        let mut left = place;
        for range in &self.0 {
            let length = u64::from(range.end() - range.start()) + 1;
            if left < length {
                return Some(range.start() + u32::try_from(left).ok()?);
            }
            left -= length;
        }
        None
    }

    /// The place of a task, from 0.
    #[must_use]
    pub fn place_of(&self, task: u32) -> Option<u64> {
        let mut before = 0;
        for range in &self.0 {
            if range.contains(&task) {
                return Some(before + u64::from(task - range.start()));
            }
            before += u64::from(range.end() - range.start()) + 1;
        }
        None
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

    #[test]
    fn what_users_write() {
        let parse = |text| Tasks::parse_array(text).map(|(t, once)| (t.to_string(), once));
        for (text, list, at_once) in [
            ("1-400", "1-400", None),
            ("9,1-3,2", "1-3,9", None),
            ("1-9:4", "1,5,9", None),
            ("0-3%2", "0-3", Some(2)),
            ("4294967295", "4294967295", None),
        ] {
            assert_eq!(parse(text), Ok((list.to_owned(), at_once)), "{text}");
        }
        for bad in ["", "1-", "3-1", "1-9:0", "1%0", "a", "1-4%", "0-4294967295", "1 - 4", "-1"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn places() {
        let tasks: Tasks = "3-5,9,11-12".parse().unwrap();
        for (place, task) in tasks.numbers().enumerate() {
            let place = u64::try_from(place).unwrap();
            assert_eq!((tasks.at(place), tasks.place_of(task)), (Some(task), Some(place)));
        }
        assert_eq!((tasks.at(6), tasks.place_of(6)), (None, None));
        assert_eq!(Tasks::of(tasks.numbers().chain([4, 5])), Some(tasks));
        assert_eq!(Tasks::of([]), None);
    }
}
