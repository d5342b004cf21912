//! `moorline audit drift`: do registries still have what past jobs ran?

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::audit::{Pinned, pinned};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::fault;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::show::plural::plural;
use crate::failure::{Failure, Kind};
use crate::job::{JobId, Resources};
use crate::ledger::index::{Filter, Page};
use crate::ledger::{JobRecord, Payloads};
use crate::pin::Pin;
use crate::registry::RegistryError;
use crate::resolve::drift::{Drift, drift_many};

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

/// What the registry said of an image.
type Answer = Result<Vec<Drift>, RegistryError>;

/// The verb. Something found exits with 6, an image that could not be asked for with its error's code.
///
/// # Errors
/// When a job is unknown or the ledger cannot be read.
pub fn run(context: &Context, args: &Drifted) -> Outcome {
    let (found, chosen) = chosen(context, args)?;
    let pins: Vec<Pin> = found.images.iter().map(|(pin, _)| pin.clone()).collect();
    if !pins.is_empty() {
        args.credential.apply(context, pins.iter().map(|pin| Some(pin.registry.clone())))?;
    }
    let client = context.client()?;
    let answers = context.block_on(drift_many(&client, &pins))?;
    let rows: Vec<(&Pin, &[JobId], Answer)> = found
        .images
        .iter()
        .zip(answers)
        .map(|((pin, jobs), answer)| (pin, jobs.as_slice(), answer))
        .collect();
    let mut worst = 0;
    for (pin, jobs, answer) in &rows {
        match answer {
            Ok(drift) => {
                for note in drift.iter().filter(|drift| !drift.is_finding()) {
                    context.voice.say(format!("{}: {note}", pin.reference()));
                }
                let findings: Vec<&Drift> = drift.iter().filter(|d| d.is_finding()).collect();
                if findings.is_empty() {
                    continue;
                }
                worst = worst.max(crate::cli::show::exit::code(Kind::Integrity));
                if !context.voice.json {
                    output::line(text(pin, jobs, &findings));
                }
            }
            Err(error) => {
                worst = worst.max(crate::cli::show::exit::code(error.kind()));
                fault::error(&not_compared(pin, error));
            }
        }
    }
    if context.voice.json {
        let images: Vec<_> =
            rows.iter().map(|(pin, jobs, answer)| value(pin, jobs, answer)).collect();
        document::print(&json!({ "images": images, "without_registry": found.without }));
    }
    let mut said = format!("{} of {}", plural(rows.len(), "image"), plural(chosen, "job"));
    if !found.without.is_empty() {
        said +=
            &format!(", {} whose image came from no registry", plural(found.without.len(), "job"));
    }
    if worst == 0 {
        said += ": nothing found";
    }
    context.voice.say(said);
    Ok(worst)
}

/// The pins of the jobs that were asked for, and how many jobs these are.
fn chosen(context: &Context, args: &Drifted) -> Result<(Pinned, usize), Report> {
    if !args.jobs.is_empty() {
        let view = context.named(&args.jobs)?;
        let jobs = view.find_all(&args.jobs)?;
        return Ok((pinned(jobs.iter().copied()), jobs.len()));
    }
    let (mut found, mut count) = (Pinned::default(), 0);
    let young = |job: &&JobRecord| args.since.is_none_or(|since| job.last().time >= since);
    let page = Page { from: args.since.map(before), ..Page::newest(1000) };
    context.pages(Filter::All, page, Payloads::Left, |view| {
        let jobs: Vec<&JobRecord> = view.jobs().rev().filter(young).collect();
        found.add(jobs.iter().copied());
        count += jobs.len();
        Ok(())
    })?;
    found.sort();
    Ok((found, count))
}

/// No job of this time or later has a smaller id; ids are made a moment before the job is recorded.
fn before(time: Timestamp) -> JobId {
    let day = time.checked_sub(SignedDuration::from_hours(24)).unwrap_or(time);
    JobId::from_parts(u64::try_from(day.as_millisecond()).unwrap_or(0), 0)
}

/// A pin whose registry did not answer.
pub(super) fn not_compared(pin: &Pin, error: &RegistryError) -> Report {
    let asked = format!("{} was not compared: {error}", pin.reference());
    let failed = CliError::new(error.kind(), asked);
    Report::from(match error.hint() {
        Some(hint) => failed.with_hint(hint),
        None => failed,
    })
}

/// An image, what is the matter with it, and whose it is.
fn text(pin: &Pin, jobs: &[JobId], findings: &[&Drift]) -> String {
    let mut lines = vec![format!("{} ({})", pin.reference(), pin.platform)];
    lines.extend(findings.iter().map(|finding| format!("  {finding}")));
    lines.push(format!("  asked as {}", pin.asked));
    lines.extend(jobs.iter().map(|job| format!("  job {job}")));
    lines.join("\n")
}

fn value(pin: &Pin, jobs: &[JobId], answer: &Answer) -> serde_json::Value {
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
