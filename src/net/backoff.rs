//! Pauses between the tries of one request: each twice as long as the last, and spread.
//!
//! ```text
//!  first, 2 first, 4 first, ...   each times a factor from 0.5 to 1.5, drawn anew
//! ```
//!
//! Used by whoever asks a server again. The factor keeps the jobs of one node, which were
//! turned away together, from coming back together.

use std::time::Duration;

/// The pauses of one request.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Backoff {
    /// Begins with about this pause.
    #[must_use]
    pub fn new(first: Duration) -> Self {
        Self(first)
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        // without randomness there is only no spread
        self.pause_with(getrandom::u32().unwrap_or(u32::MAX / 2))
    }

    fn pause_with(&mut self, random: u32) -> Duration {
        let factor = 0.5 + f64::from(random) / f64::from(u32::MAX);
        let pause = Duration::try_from_secs_f64(self.0.as_secs_f64() * factor);
        let pause = pause.unwrap_or(Duration::MAX);
        self.0 = self.0.saturating_mul(2);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(250);

    fn five(random: u32) -> Vec<Duration> {
        let mut pauses = Backoff::new(FIRST);
        (0..5).map(|_| pauses.pause_with(random)).collect()
    }

    #[test]
    fn pauses_double_between_half_and_one_and_a_half() {
        let ms = |all: [u64; 5]| all.map(Duration::from_millis).to_vec();
        assert_eq!(five(0), ms([125, 250, 500, 1000, 2000]));
        assert_eq!(five(u32::MAX), ms([375, 750, 1500, 3000, 6000]));
        // every draw between them is a pause of its own, in its order
        let draws = (0..=1000).map(|i| i * (u32::MAX / 1000));
        let pauses: Vec<_> = draws.map(|random| Backoff::new(FIRST).pause_with(random)).collect();
        assert!(pauses.windows(2).all(|two| two[0] < two[1]), "{pauses:?}");
    }

    /// A pause that no clock can hold is no panic.
    #[test]
    fn endless_tries_have_a_longest_pause() {
        let mut pauses = Backoff::new(Duration::from_secs(1));
        for _ in 0..70 {
            pauses.pause_with(0);
        }
        let mut longest = Backoff::new(Duration::MAX);
        assert_eq!(longest.pause_with(u32::MAX), Duration::MAX);
    }

    /// Those who were turned away at the same moment: no two of a thousand come back together, and
    /// they come over the whole span.
    #[test]
    fn two_clients_do_not_wait_alike() {
        let sequence = || {
            let mut pauses = Backoff::new(FIRST);
            [pauses.pause(), pauses.pause(), pauses.pause()]
        };
        let mut all: Vec<_> = (0..1000).map(|_| sequence()).collect();
        for pauses in &all {
            for (pause, nominal) in pauses.iter().zip([FIRST, FIRST * 2, FIRST * 4]) {
                assert!((nominal / 2..=nominal * 3 / 2).contains(pause), "{pause:?}");
            }
        }
        let early = all.iter().filter(|pauses| pauses[0] < FIRST).count();
        assert!((300..700).contains(&early), "{early} of 1000 in the first half");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 1000, "some waited alike");
    }
}
