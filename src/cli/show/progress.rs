//! What is being done, on stderr: bars on a terminal, plain lines elsewhere, nothing with `--quiet`.
//!
//! ```text
//! layer 2 of 6   [=========>          ]  61.9 MB of 130.2 MB   84.1 MB/s
//! layer 3 of 6   [===>                ]  12.0 MB of 83.0 MB    31.0 MB/s
//! all layers     [=====>              ] 273.4 MB of 918.5 MB  115.0 MB/s
//! converting     [===>                ] 181.2 MB of 918.5 MB   98.7 MB/s
//! ```
//!
//! A layer's bar goes when the layer is there; all go when the work ends, whichever way.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::show::output::{self, Voice};
use crate::ledger::index;
use crate::stage::Progress;

/// Says what is done as this terminal, or file, can show it.
pub fn progress(voice: Voice) -> impl Fn(Progress<'_>) + Send + Sync + 'static {
    let bars = (stderr().is_terminal() && !voice.quiet).then(Bars::new);
    move |progress| match &bars {
        Some(bars) => bars.show(voice, &progress),
        None => line(voice, &progress),
    }
}

/// Shows how much of a file was sent; the bar goes at its end.
pub fn sending(voice: Voice, size: u64) -> impl Fn(u64) + Send + Sync + 'static {
    let bar = (stderr().is_terminal() && !voice.quiet).then(|| bar(size, "sending".to_owned()));
    move |sent| match &bar {
        Some(bar) if sent >= size => bar.finish_and_clear(),
        Some(bar) => bar.set_position(sent),
        None => {}
    }
}

/// Shows how much of the ledger was read, when that takes long; the bar goes at its end.
pub fn reading(voice: Voice) -> impl FnMut(index::Progress) + 'static {
    let began = Instant::now();
    let shows = stderr().is_terminal() && !voice.quiet;
    let mut shown: Option<ProgressBar> = None;
    let mut said = false;
    move |progress| {
        if progress.done >= progress.all {
            if let Some(bar) = shown.take() {
                bar.finish_and_clear();
            }
        } else if shows && began.elapsed() > SOON {
            let bar = shown.get_or_insert_with(|| bar(progress.all, "ledger's index".to_owned()));
            bar.set_length(progress.all);
            bar.set_position(progress.done);
        } else if !said && began.elapsed() > LONG {
            said = true;
            let size = output::size(progress.all);
            voice.say(format!("reading {size} of the ledger for its index"));
        }
    }
}

/// What takes less time is not shown.
const SOON: Duration = Duration::from_millis(300);
/// What takes longer is said also where there is no terminal.
const LONG: Duration = Duration::from_secs(5);

fn line(voice: Voice, progress: &Progress<'_>) {
    match progress {
        Progress::Layer { number, of, layer } => {
            voice.say(format!("downloading layer {number} of {of} ({})", output::size(layer.size)));
        }
        Progress::Reading { .. } | Progress::Received { .. } | Progress::Converted { .. } => {}
        Progress::Waiting(Some(holder)) => {
            voice.say(format!(
                "waiting for process {} on {}, which converts this image since {}",
                holder.pid,
                output::cell(&holder.host),
                holder.since.strftime("%Y-%m-%d %H:%M:%SZ"),
            ));
        }
        Progress::Waiting(None) => {
            voice.say("waiting for another process that converts this image");
        }
        Progress::Converting { bytes: 0 } => voice.say("converting layers that are known"),
        Progress::Converting { bytes } => {
            voice.say(format!("converting {} of layers", output::size(*bytes)));
        }
    }
}

/// The bars of one image.
struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that are on their way, by number; what they had when they were told last.
    layers: BTreeMap<usize, (ProgressBar, u64)>,
    total: Option<ProgressBar>,
    converting: Option<ProgressBar>,
}

impl Bars {
    fn new() -> Self {
        Self { all: MultiProgress::new(), state: Mutex::default() }
    }

    fn show(&self, voice: Voice, progress: &Progress<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { layers, total, converting } = &mut *state;
        match progress {
            Progress::Layer { number, of, layer } => {
                let bar = bar(layer.size, format!("layer {number} of {of}"));
                // above the bars of all layers and of the conversion
                let bar = self.all.insert(layers.len(), bar);
                bar.tick();
                layers.insert(*number, (bar, 0));
                let total = total
                    .get_or_insert_with(|| self.all.insert(layers.len(), bar_of_all("all layers")));
                total.inc_length(layer.size);
            }
            Progress::Reading { number, of, layer } => {
                let bar = bar(layer.size, format!("layer {number} of {of}"));
                let bar = self.all.insert(layers.len(), bar);
                bar.tick();
                // a second pass reads it again
                if let Some((before, _)) = layers.insert(*number, (bar, 0)) {
                    before.finish_and_clear();
                }
            }
            Progress::Received { number, bytes } => {
                let Some((bar, before)) = layers.get_mut(number) else { return };
                bar.set_position(*bytes);
                if let Some(total) = total {
                    total.inc(bytes.saturating_sub(*before));
                }
                *before = *bytes;
                if bar.length().is_some_and(|length| *bytes >= length) {
                    bar.finish_and_clear();
                    layers.remove(number);
                }
                if layers.is_empty()
                    && let Some(total) = total.as_ref().filter(|t| t.length() == Some(t.position()))
                {
                    total.finish_and_clear();
                }
            }
            Progress::Converting { bytes } => {
                let bar = self.all.add(bar(*bytes, "converting".to_owned()));
                bar.tick();
                *converting = Some(bar);
            }
            Progress::Converted { bytes } => {
                if let Some(bar) = converting {
                    let done = bar.position() + bytes;
                    // a second pass, or a known layer that had to be read after all
                    if bar.length().is_some_and(|length| length < done) {
                        bar.set_length(done);
                    }
                    bar.set_position(done);
                }
            }
            Progress::Waiting(_) => self.all.suspend(|| line(voice, progress)),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // a terminal that went away needs no clearing
        let _ = self.all.clear();
    }
}

fn bar(length: u64, what: String) -> ProgressBar {
    let bar = ProgressBar::new(length).with_style(style());
    bar.with_prefix(what)
}

fn bar_of_all(what: &str) -> ProgressBar {
    bar(0, what.to_owned())
}

const TEMPLATE: &str = "{prefix:<14} [{bar:24}] {decimal_bytes:>9} of {decimal_total_bytes:<9} {decimal_bytes_per_sec}";

fn style() -> ProgressStyle {
    // a template that is wrong is a mistake here, and no reason to fail a conversion
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;

    #[test]
    fn a_bar_says_what_how_much_and_how_fast() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let terminal = InMemoryTerm::new(3, 100);
        let bar = bar(10_000_000, "layer 1 of 6".to_owned());
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bar.set_position(5_000_000);
        bar.force_draw();
        let shown = terminal.contents();
        let start = "layer 1 of 6   [============>           ]   5.00 MB of 10.00 MB";
        assert!(shown.starts_with(start) && shown.ends_with("/s"), "{shown}");
    }
}
