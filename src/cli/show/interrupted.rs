//! A `wait` that is interrupted says how to go on: the jobs do not end with it.
//!
//! A signal that was ignored when the program began (`nohup`, a shell's background) stays ignored.

use std::io::Write;
use std::thread::JoinHandle;

use crate::cli::show::output;
use crate::procstatus::ProcStatus;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;

/// Says it for as long as the value lives.
pub struct Interrupted {
    watch: Option<(Handle, JoinHandle<()>)>,
}

impl Interrupted {
    /// `jobs` are the jobs' names as the command line had them. Where no handler can be installed, an
    /// interrupt ends the program without a word, as before.
    pub fn says(jobs: &str) -> Self {
        let status = ProcStatus::own();
        let wanted =
            [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !status.ignores(*signal));
        let Ok(mut signals) = Signals::new(wanted) else { return Self { watch: None } };
        let handle = signals.handle();
        let jobs = output::cell(jobs);
        let words = format!(
            "\ninterrupted: the jobs go on; moorline wait {jobs} waits again, moorline cancel {jobs} ends them"
        );
        let thread = std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // nobody is left to tell when stderr is gone
                let _ = writeln!(std::io::stderr(), "{words}");
                // ends as whoever sent it expects: by the signal
                let _ = emulate_default_handler(signal);
            }
        });
        Self { watch: Some((handle, thread)) }
    }
}

impl Drop for Interrupted {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.watch.take() {
            handle.close();
            let _ = thread.join();
        }
    }
}
