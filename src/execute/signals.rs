//! Signals that end a job or are passed on to its program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};

/// What ends a job.
pub(super) const ENDING: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT];

/// What a program in a container is told of.
pub(super) const FORWARDED: [i32; 6] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// Takes the ending signals by a flag. Handlers survive a fork: the process that hakoniwa puts
/// between worker and container does not die of a signal to the whole group.
pub(super) struct Shield(Arc<AtomicUsize>);

impl Shield {
    pub(super) fn raise() -> io::Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in ENDING {
            let value = usize::try_from(signal).unwrap_or(0);
            signal_hook::flag::register_usize(signal, Arc::clone(&last), value)?;
        }
        Ok(Self(last))
    }

    /// The last signal that came.
    pub(super) fn last(&self) -> Option<Signal> {
        i32::try_from(self.0.load(Ordering::SeqCst)).ok().and_then(Signal::from_named_raw)
    }
}

/// A thread that acts on signals while this lives.
pub(super) struct Watch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(
        signals: &[i32],
        mut act: impl FnMut(Signal) + Send + 'static,
    ) -> io::Result<Self> {
        let mut signals = Signals::new(signals)?;
        let handle = signals.handle();
        let thread = std::thread::spawn(move || {
            signals.forever().filter_map(Signal::from_named_raw).for_each(&mut act);
        });
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The first ending signal wins, the second one means now.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<AtomicUsize>);

impl Told {
    /// Notes a signal; whether it was the first.
    pub(super) fn first(&self, signal: Signal) -> bool {
        let number = usize::try_from(signal.as_raw()).unwrap_or(0);
        self.0.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The exit code that the first signal makes, if one came.
    pub(super) fn code(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::SeqCst)).ok().filter(|n| *n != 0).map(|n| 128 + n)
    }
}
