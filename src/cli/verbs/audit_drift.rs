//! `moorline audit drift`: do registries still have what past jobs ran?

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::audit::{Pinned, pinned_by};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::exit;
use crate::cli::show::fault;
use crate::cli::show::output::{self, Outcome};
use crate::failure::{Failure, Kind};
use crate::job::{JobId, Resources};
use crate::pin::Pin;
use crate::registry::RegistryError;
use crate::resolve::drift::{Drift, NotCompared, drift_many};
use crate::text::plural;

/// `audit drift`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline audit drift
  moorline audit drift 01jd
  moorline audit drift --since 30d")]
pub struct Drifted {
    #[arg(value_name = "JOB", conflicts_with = "since", help = format!(
        "Jobs: an id, a unique beginning of it, or an engine id such as {}; default: all",
        engines::example()
    ))]
    jobs: Vec<String>,
    /// Only jobs that were submitted since: a duration (30d, 12h), a date or a time
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// The verb. Something found exits with 6, an image that could not be asked for with its error's code.
///
/// # Errors
/// When a job is unknown or the ledger cannot be read.
pub fn run(context: &Context, args: &Drifted) -> Outcome {
    let (Pinned { images, without }, chosen) = pinned_by(context, &args.jobs, args.since)?;
    let pins: Vec<Pin> = images.iter().map(|(pin, _)| pin.clone()).collect();
    if !pins.is_empty() {
        args.credential.apply(context, pins.iter().map(|pin| Some(pin.registry.clone())))?;
    }
    let client = context.client()?;
    let answers = context.block_on(drift_many(&client, &pins))?;
    let (mut worst, mut values) = (0, Vec::new());
    for ((pin, jobs), answer) in images.iter().zip(answers) {
        values.push(value(pin, jobs, &answer));
        match answer {
            Ok(drift) => {
                let (findings, notes): (Vec<_>, Vec<_>) =
                    drift.iter().partition(|drift| drift.is_finding());
                for note in notes {
                    context.voice.say(format!("{}: {note}", pin.reference()));
                }
                if findings.is_empty() {
                    continue;
                }
                worst = worst.max(exit::code(Kind::Integrity));
                if !context.voice.json {
                    output::line(text(pin, jobs, &findings));
                }
            }
            Err(error) => {
                worst = worst.max(exit::code(error.kind()));
                fault::error(&NotCompared::of(pin, error).into());
            }
        }
    }
    if context.voice.json {
        document::print(&json!({ "images": values, "without_registry": without }));
    }
    let mut said = format!("{} of {}", plural(images.len(), "image"), plural(chosen, "job"));
    if !without.is_empty() {
        said += &format!(", {} whose image came from no registry", plural(without.len(), "job"));
    }
    if worst == 0 {
        said += ": nothing found";
    }
    context.voice.say(said);
    Ok(worst)
}

/// An image, what is the matter with it, and whose it is.
fn text(pin: &Pin, jobs: &[JobId], findings: &[&Drift]) -> String {
    let mut lines = vec![format!("{} ({})", pin.reference(), pin.platform)];
    lines.extend(findings.iter().map(|finding| format!("  {finding}")));
    lines.push(format!("  asked as {}", pin.asked));
    lines.extend(jobs.iter().map(|job| format!("  job {job}")));
    lines.join("\n")
}

fn value(
    pin: &Pin,
    jobs: &[JobId],
    answer: &Result<Vec<Drift>, RegistryError>,
) -> serde_json::Value {
    let mut value = json!({
        "reference": pin.reference().to_string(),
        "asked": pin.asked,
        "platform": pin.platform,
        "jobs": jobs,
    });
    match answer {
        Ok(drift) => {
            let (findings, notes): (Vec<_>, Vec<_>) = drift.iter().partition(|d| d.is_finding());
            value["findings"] = json!(findings);
            if !notes.is_empty() {
                value["notes"] = json!(notes);
            }
        }
        Err(error) => value["error"] = error.to_string().into(),
    }
    value
}

/// `30d`, `2026-11-01` (midnight in UTC), or `2026-11-01T12:00:00Z`.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        return TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(|e| e.to_string());
    }
    let bad = || "write a duration such as 30d, a date as 2026-11-01, or a time".to_owned();
    // without a unit it could be a year as well as minutes
    let unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let seconds = Resources::parse_time(text).ok().filter(|_| unit).ok_or_else(bad)?;
    let ago = SignedDuration::from_secs(i64::try_from(seconds).map_err(|_| bad())?);
    Timestamp::now().checked_sub(ago).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(since("2026-11-01"), Ok(at("2026-11-01T00:00:00Z")));
        assert_eq!(since("2026-11-01T12:30:00Z"), Ok(at("2026-11-01T12:30:00Z")));
        let before = since("30d").unwrap();
        assert!(Timestamp::now().duration_since(before) >= SignedDuration::from_hours(720));
        for bad in ["", "2026", "30", "yesterday", "99999999999999d"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
