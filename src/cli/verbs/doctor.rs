//! `moorline doctor`: what works here, what does not, and the remedy.
//!
//! ```text
//! ok       it works
//! note     it is absent, and nothing needs it yet
//! problem  something that a verb needs does not work; the exit code is that of the worst
//! ```

use clap::Args as ClapArgs;
use serde_json::json;

use crate::cli::context::{Context, Global, Threads};
use crate::cli::show::document;
use crate::cli::show::exit;
use crate::cli::show::output::{self, Report};
use crate::doctor::{self, Finding, Health};

/// Check this machine, the registry and the engines, with a remedy for each problem.
///
/// Nothing is changed but the directories that every verb makes. The registry and the engines are asked
/// whether they answer.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline doctor
  moorline --json doctor")]
pub struct Args {}

/// The verb: prints a line for each finding, and its remedy below it.
pub fn run(context: &Context) -> u8 {
    show(context.voice.json, &doctor::examine(context))
}

/// The same where the configuration cannot be read: that is the first finding, and the rest is looked at without the
/// user's file, where that was the one.
pub fn without_settings(global: &Global, threads: Threads, broken: &Report) -> u8 {
    let mut findings = vec![Finding::of_configuration(&*broken.0)];
    let none = Global { config: Some("/dev/null".into()), ..global.clone() };
    if let Ok(context) = Context::read(&none, threads) {
        findings.extend(doctor::examine(&context));
    }
    show(global.json.is_some(), &findings)
}

fn show(json: bool, findings: &[Finding]) -> u8 {
    if json {
        document::print(&findings.iter().map(value).collect::<Vec<_>>());
    } else {
        for finding in findings {
            output::line(text(finding));
        }
    }
    findings.iter().map(code).max().unwrap_or(0)
}

fn code(finding: &Finding) -> u8 {
    match finding.health {
        Health::Ok | Health::Note => 0,
        Health::Problem(kind) => exit::code(kind),
    }
}

fn value(finding: &Finding) -> serde_json::Value {
    let state = match finding.health {
        Health::Ok => "ok",
        Health::Note => "note",
        Health::Problem(_) => "problem",
    };
    json!({ "what": finding.what, "state": state, "said": finding.said, "remedy": finding.remedy })
}

fn text(finding: &Finding) -> String {
    let mark = match finding.health {
        Health::Ok => "ok",
        Health::Note => "note",
        Health::Problem(_) => "PROBLEM",
    };
    let line = format!("{mark:<8} {:<12} {}", finding.what, output::cell(&finding.said));
    match &finding.remedy {
        Some(remedy) => format!("{line}\n{:22}try: {}", "", output::cell(remedy)),
        None => line,
    }
}
