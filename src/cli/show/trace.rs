//! What `-v` and `RUST_LOG` show on stderr. Headers with secrets are marked sensitive where they are
//! made; a test searches the trace for them.
//!
//! | | for | what | how |
//! |---|---|---|---|
//! | `-v` | people | what Moorline does | `. asking for a token (realm https://gitlab.example)` |
//! | `-vv` | developers | this, and the network's libraries | time, level, module, message, fields |
//! | `RUST_LOG` | developers | what its filter says; it wins over `-v` | likewise |

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Where a trace goes: through the boundary that every text on stderr goes through.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::cli::show::output::stderr_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the subscriber.
pub fn start(verbose: u8) {
    let of_developer = EnvFilter::try_from_default_env().ok();
    let filter = match (of_developer, verbose) {
        (Some(filter), _) => filter,
        (None, 0) => return,
        (None, 1) => {
            // a second start in one process is a test's business and changes nothing
            let _ = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new("moorline=debug"))
                .with_writer(|| Stderr)
                .event_format(People)
                .try_init();
            return;
        }
        (None, _) => EnvFilter::new("moorline=trace,hyper=debug,reqwest=debug"),
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(false)
        .try_init();
}

/// A sentence for each event: `. MESSAGE (NAME VALUE, ...)`.
struct People;

impl<S, N> FormatEvent<S, N> for People
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let Said { message, facts } = said;
        if facts.is_empty() {
            return writeln!(writer, ". {message}");
        }
        writeln!(writer, ". {message} ({})", facts.join(", "))
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    facts: Vec<String>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // a String takes all that is written to it
            let _ = write!(self.message, "{value:?}");
        } else if !field.name().starts_with("log.") {
            self.facts.push(format!("{} {value:?}", field.name().replace('_', " ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn people_read_sentences() {
        let kept = Kept::default();
        let to = kept.clone();
        let people = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || to.clone())
            .event_format(People)
            .finish();
        tracing::subscriber::with_default(people, || {
            tracing::debug!(registry = %"r.example", with_credential = true, "asking for a token");
            tracing::debug!("done");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            ". asking for a token (registry r.example, with credential true)\n. done\n"
        );
    }
}
