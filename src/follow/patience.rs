//! How long a `wait` goes on when nobody says how a job is.
//!
//! ```text
//! the engine answers, the job waits or runs       for ever; a short pause, then up to 5 s
//! the engine does not answer                      asked again with growing pauses, up to `silent`
//! the engine answers and does not know the job    up to `unknown`: accounting lags, a receipt may come
//! ```

use std::time::{Duration, Instant};

use crate::net::Backoff;

/// The pauses between two questions that are answered grow from the first to the second of these.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The longest pause between two questions that nobody answers.
const SILENT_PAUSE: Duration = Duration::from_secs(30);

/// How long nobody may say how a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The engine answers and does not know the job.
    pub unknown: Duration,
    /// The engine does not answer.
    pub silent: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unknown: Duration::from_secs(300), silent: Duration::from_secs(86_400) }
    }
}

/// What follows from one round of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRound<J> {
    /// Ask again after this pause.
    Again(Duration),
    /// The engine has not known this job for this long.
    Unknown(J, Duration),
    /// The engine of this job has not answered for this long.
    Silent(J, Duration),
}

/// The state of one `wait`.
#[derive(Debug)]
pub struct Patience {
    limits: Limits,
    pause: Duration,
    back_off: Option<Backoff>,
    silent_since: Option<Instant>,
    unknown_since: Option<Instant>,
}

impl Patience {
    /// With these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, pause: PAUSES.0, back_off: None, silent_since: None, unknown_since: None }
    }

    /// After a round of questions at `now`: a job that has not ended and whose engine was silent, and one that
    /// its engine did not know.
    pub fn round<J>(
        &mut self,
        now: Instant,
        silent: Option<J>,
        unknown: Option<J>,
    ) -> NextRound<J> {
        let is = (silent.is_some(), unknown.is_some());
        let since = |held: &mut Option<Instant>, is: bool| {
            *held = is.then(|| held.unwrap_or(now));
            held.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
        };
        let silence = since(&mut self.silent_since, is.0);
        let ignorance = since(&mut self.unknown_since, is.1);
        if let Some(job) = unknown
            && ignorance >= self.limits.unknown
        {
            return NextRound::Unknown(job, ignorance);
        }
        if let Some(job) = silent
            && silence >= self.limits.silent
        {
            return NextRound::Silent(job, silence);
        }
        let (silent, unknown) = is;
        let pause = if silent {
            let back_off =
                self.back_off.get_or_insert_with(|| Backoff::new(Duration::from_secs(1)));
            back_off.pause().min(SILENT_PAUSE)
        } else {
            self.back_off = None;
            let pause = self.pause;
            self.pause = (self.pause * 3 / 2).min(PAUSES.1);
            pause
        };
        // a limit is met at its time, not a pause later
        let left = |is: bool, limit: Duration, gone: Duration| {
            if is { limit.saturating_sub(gone) } else { Duration::MAX }
        };
        let left = left(silent, self.limits.silent, silence).min(left(
            unknown,
            self.limits.unknown,
            ignorance,
        ));
        NextRound::Again(pause.min(left.max(Duration::from_millis(10))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn round(patience: &mut Patience, now: Instant, silent: bool, unknown: bool) -> NextRound<()> {
        patience.round(now, silent.then_some(()), unknown.then_some(()))
    }

    #[test]
    fn an_engine_that_answers_is_waited_for_without_end() {
        let start = Instant::now();
        let mut patience = Patience::new(Limits::default());
        for day in 0..1000 {
            let verdict = round(&mut patience, at(start, day * 86_400), false, false);
            assert!(matches!(verdict, NextRound::Again(pause) if pause <= PAUSES.1), "{verdict:?}");
        }
    }

    #[test]
    fn ignorance_has_an_end_and_an_answer_starts_it_anew() {
        let start = Instant::now();
        let mut patience = Patience::new(Limits::default());
        assert!(matches!(round(&mut patience, start, false, true), NextRound::Again(_)));
        assert!(matches!(round(&mut patience, at(start, 299), false, true), NextRound::Again(_)));
        assert!(matches!(round(&mut patience, at(start, 299), false, false), NextRound::Again(_)));
        assert!(matches!(round(&mut patience, at(start, 598), false, true), NextRound::Again(_)));
        assert!(matches!(
            round(&mut patience, at(start, 898), false, true),
            NextRound::Unknown((), _)
        ));
    }

    #[test]
    fn silence_is_asked_with_growing_pauses() {
        let start = Instant::now();
        let mut patience = Patience::new(Limits::default());
        let mut gone = Duration::ZERO;
        let mut rounds = 0;
        let end = loop {
            match round(&mut patience, start + gone, true, false) {
                NextRound::Again(pause) => {
                    assert!(pause <= SILENT_PAUSE);
                    gone += pause;
                    rounds += 1;
                }
                end => break end,
            }
        };
        assert_eq!(end, NextRound::Silent((), gone));
        assert!(gone >= Limits::default().silent && gone < Duration::from_secs(86_401), "{gone:?}");
        assert!(rounds < 7000, "{rounds} questions in a day");
        // a controller that was away for a minute is asked at least five times in it
        let mut patience = Patience::new(Limits::default());
        let (mut gone, mut asked) = (Duration::ZERO, 0);
        while gone < Duration::from_secs(60) {
            if let NextRound::Again(pause) = round(&mut patience, start + gone, true, false) {
                gone += pause;
                asked += 1;
            }
        }
        assert!((4..=20).contains(&asked), "{asked}");
    }

    #[test]
    fn a_limit_is_met_at_its_time() {
        let start = Instant::now();
        let limits = Limits { unknown: Duration::from_secs(2), silent: Duration::from_secs(2) };
        let mut patience = Patience::new(limits);
        round(&mut patience, start, true, true);
        let NextRound::Again(pause) =
            round(&mut patience, start + Duration::from_millis(1990), true, true)
        else {
            panic!("too early")
        };
        assert!(pause <= Duration::from_millis(10), "{pause:?}");
    }
}
