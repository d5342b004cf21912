//! A job, or one task of a job that is an array: `ID`, `ID.7`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{JobId, ParseIdError, Tasks};

/// What a verb speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobRef {
    /// The job.
    pub job: JobId,
    /// One of its tasks; `None` means the whole.
    pub task: Option<u32>,
}

impl JobRef {
    /// Splits what a person types: `PREFIX.7` into `PREFIX` and 7. What has no such end is a whole job's name.
    #[must_use]
    pub fn split(text: &str) -> (&str, Option<u32>) {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        match text.rsplit_once('.') {
            Some((job, task)) => number(task).map_or((text, None), |task| (job, Some(task))),
            None => (text, None),
        }
    }
}

impl JobRef {
    /// What of `job` is repeated by one that has these tasks. A repetition keeps the numbers of its tasks, so a single
    /// one says which it is.
    #[must_use]
    pub fn repeated(job: JobId, tasks: Option<&Tasks>) -> Self {
        let single = tasks.filter(|tasks| tasks.count() == 1);
        Self { job, task: single.and_then(|tasks| tasks.at(0)) }
    }
}

impl From<JobId> for JobRef {
    fn from(job: JobId) -> Self {
        Self { job, task: None }
    }
}

impl PartialEq<JobId> for JobRef {
    fn eq(&self, job: &JobId) -> bool {
        self.task.is_none() && self.job == *job
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            None => self.job.fmt(f),
            Some(task) => write!(f, "{}.{task}", self.job),
        }
    }
}

impl FromStr for JobRef {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (job, task) = Self::split(text);
        Ok(Self { job: job.parse()?, task })
    }
}

impl Serialize for JobRef {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_tasks() {
        let job = JobId::from_parts(1_700_000_000_000, 42);
        for task in [None, Some(0), Some(7), Some(u32::MAX)] {
            let which = JobRef { job, task };
            assert_eq!(which.to_string().parse(), Ok(which));
        }
        assert_eq!(JobRef::split("01jd5k.12"), ("01jd5k", Some(12)));
        for whole in ["01jd5k", "01jd5k.", "01jd5k.x", "01jd5k.-1", "01jd5k.4294967296"] {
            assert_eq!(JobRef::split(whole), (whole, None));
        }
        assert!(format!("{job}.x").parse::<JobRef>().is_err());
        let repeated = |tasks: Option<&str>| {
            let tasks = tasks.map(|tasks| tasks.parse().unwrap());
            JobRef::repeated(job, tasks.as_ref()).task
        };
        assert_eq!([None, Some("1-3"), Some("7")].map(repeated), [None, None, Some(7)]);
    }
}
