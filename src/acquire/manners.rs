//! How a conversion behaves towards others on this machine.
//!
//! A conversion is a batch for the kernel (`SCHED_BATCH`, sched(7)): a thread that wakes up waits for its turn.
//! Its threads hand their work to one another, and each would interrupt the one that feeds it.

use std::num::NonZeroUsize;

use thread_priority::unix::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};
use thread_priority::{
    ThreadPriority, ThreadPriorityValue, set_thread_priority_and_policy, thread_native_id,
};

/// Threads on a login node, and elsewhere.
const SHARED: usize = 4;
const MOST: usize = 16;

/// What a conversion may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Threads that compress.
    pub threads: NonZeroUsize,
    /// Whether it gives way to others.
    pub nice: bool,
}

impl Manners {
    /// For a machine with so many cores; `asked` is what the user said, `shared` whether it is a login node.
    #[must_use]
    pub fn decide(asked: Option<NonZeroUsize>, cores: usize, shared: bool) -> Self {
        let most = cores.min(if shared { SHARED } else { MOST });
        let threads = asked.or(NonZeroUsize::new(most)).unwrap_or(NonZeroUsize::MIN);
        Self { threads, nice: shared }
    }

    /// Does the work as a batch, and gives way meanwhile if it should: in a thread of its own, whose
    /// threads inherit that, because a process cannot take it back and may start a job afterwards.
    ///
    /// # Panics
    /// When `work` does.
    pub fn with<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                // a kernel that refuses it: then without
                if self.nice {
                    let _ = rustix::process::nice(10);
                }
                let _ = batch();
                work()
            });
            match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

/// Makes a batch of this thread and of those that it starts; `None` when that cannot be.
fn batch() -> Option<()> {
    let nice = rustix::process::getpriority_process(None).ok()?;
    // the call sets the niceness too: 0 to 99 stand for 19 to -20
    let same = u8::try_from((99 * (19 - nice) - 49).max(0) / 39).ok()?;
    let same = ThreadPriority::Crossplatform(ThreadPriorityValue::try_from(same).ok()?);
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    set_thread_priority_and_policy(thread_native_id(), same, policy).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_nodes_are_shared() {
        let n = |n| NonZeroUsize::new(n).unwrap();
        let manners = |threads, nice| Manners { threads: n(threads), nice };
        assert_eq!(Manners::decide(None, 128, true), manners(4, true));
        assert_eq!(Manners::decide(None, 128, false), manners(16, false));
        assert_eq!(Manners::decide(None, 2, true), manners(2, true));
        assert_eq!(Manners::decide(Some(n(64)), 128, true), manners(64, true));
    }

    #[test]
    fn only_the_work_gives_way() {
        let of = || {
            let nice = rustix::process::getpriority_process(None).unwrap();
            (nice, thread_priority::unix::thread_schedule_policy().unwrap())
        };
        let (here, policy) = of();
        let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        for (nice, expected) in [(false, here), (true, (here + 10).min(19))] {
            let manners = Manners { threads: NonZeroUsize::MIN, nice };
            let there = manners.with(|| std::thread::spawn(of).join().unwrap());
            assert_eq!(there, (expected, batch), "{nice}");
            assert_eq!(of(), (here, policy));
        }
    }

    #[test]
    fn a_batch_keeps_its_niceness() {
        let of = || rustix::process::getpriority_process(None).unwrap();
        let here = of();
        for more in 0..=19 - here {
            let after = std::thread::spawn(move || {
                rustix::process::nice(more).unwrap();
                batch().map(|()| of())
            });
            assert_eq!(after.join().unwrap(), Some(here + more));
        }
    }
}
