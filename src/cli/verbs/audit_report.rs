//! `moorline audit report`: verdicts on jobs for people, in a merge request and at a commit.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::audit_export::answers;
use crate::audit::{Because, JobAnswer, Verdict, because, markdown};
use crate::cli::context::{Context, engines};
use crate::cli::show::document;
use crate::cli::show::failed::Failed;
use crate::cli::show::output::{self, CliError, Outcome, Report as Failure};
use crate::failure::Kind;
use crate::gitlab::{Client, Noted, State, Status, TokenKind};

/// `audit report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline audit report last
  moorline audit report --note --status --url \"$CI_JOB_URL\" \"$JOB\"")]
pub struct Report {
    #[arg(value_name = "JOB", required = true, help = engines::several_jobs())]
    jobs: Vec<String>,
    /// Write it into the merge request of this CI job, as one note that is updated in place
    #[arg(long)]
    note: bool,
    /// Mark the commit of this CI job: success, failed, or skipped when nothing is proven
    #[arg(long)]
    status: bool,
    /// The name of the note or status: one with the same name is replaced, others stay
    #[arg(long, value_name = "NAME", default_value = "moorline", value_parser = key)]
    key: String,
    /// Where more is, for a link
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    /// The merge request, where CI does not say it; with --project
    #[arg(long, value_name = "IID", requires = "project")]
    mr: Option<u64>,
    /// The project, where CI does not say it
    #[arg(long, value_name = "GROUP/PROJECT")]
    project: Option<String>,
}

/// It stands in a comment of HTML and in a list of statuses.
fn key(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !text.is_empty() && text.len() <= 100 && text.bytes().all(good) && !text.contains("--") {
        return Ok(text.to_owned());
    }
    Err("letters, digits and . _ - (no two hyphens together), at most 100".to_owned())
}

/// It stands in Markdown between brackets.
fn url(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_graphic() && !"<>()[]`\"\\".contains(c);
    let web = text.starts_with("https://") || text.starts_with("http://");
    if web && text.chars().all(good) { Ok(text.to_owned()) } else { Err("no web address".into()) }
}

/// The verb. Without `--note` and `--status` it prints the report. The exit code says whether it was written:
/// verdicts are `audit job`'s.
///
/// # Errors
/// When a job is unknown, the ledger cannot be read, or GitLab does not take it.
pub fn run(context: &Context, args: &Report) -> Outcome {
    let answers = answers(context, &args.jobs)?;
    let mut text = markdown(&answers);
    if let Some(url) = &args.url {
        // writing to a String cannot fail
        let _ = writeln!(text, "[report]({url})");
    }
    if !args.note && !args.status {
        if context.voice.json {
            document::print(&json!({ "format": "markdown", "text": text }));
        } else {
            output::bytes(text.as_bytes());
        }
        return Ok(0);
    }
    let client = writer(context)?;
    let mut failed = Failed::default();
    let (mut notes, mut marked) = (Vec::new(), false);
    if args.note {
        let places = merge_requests(context, args)?;
        if places.is_empty() {
            context.voice.say("there is no merge request: no note is written");
        }
        for (project, iid) in places {
            match note(context, &client, (&project, iid), &args.key, &text) {
                Ok(id) => notes.push(json!({ "project": project, "mr": iid, "note": id })),
                Err(report) => failed.add(report),
            }
        }
    }
    if args.status {
        match status(context, &client, args, &answers) {
            Ok(()) => marked = true,
            Err(report) => failed.add(report),
        }
    }
    if context.voice.json {
        document::print(&json!({ "notes": notes, "status": marked }));
    }
    failed.end()
}

/// A client whose token may write.
fn writer(context: &Context) -> Result<Client, Failure> {
    let hint = "make a project access token with the scope api and the role Developer, and put it into the masked and \
                protected variable MOORLINE_GITLAB_TOKEN";
    match context.gitlab()? {
        Some(client) if client.kind() == TokenKind::Access => Ok(client),
        Some(_) => Err(CliError::new(
            Kind::Denied,
            "a job's token writes no notes and no statuses: nothing was sent to GitLab",
        )
        .with_hint(hint)
        .into()),
        None => Err(CliError::new(
            Kind::Denied,
            "no token for GitLab's API is at hand: no note and no status is written",
        )
        .with_hint(hint)
        .into()),
    }
}

/// The merge requests of this CI job: the one of its pipeline, or those that are open for its branch.
fn merge_requests(context: &Context, args: &Report) -> Result<Vec<(String, u64)>, Failure> {
    if let (Some(project), Some(iid)) = (&args.project, args.mr) {
        return Ok(vec![(project.trim_matches('/').to_owned(), iid)]);
    }
    if let Some(iid) = context.env("CI_MERGE_REQUEST_IID").and_then(|iid| iid.parse().ok()) {
        let project = context.env("CI_MERGE_REQUEST_PROJECT_PATH");
        let project = project.or_else(|| context.env("CI_PROJECT_PATH"));
        return Ok(project.map(|project| (project.to_owned(), iid)).into_iter().collect());
    }
    // group/project!333,fork/project!11
    if let Some(open) = context.env("CI_OPEN_MERGE_REQUESTS") {
        let one = |text: &str| {
            let (project, iid) = text.trim().rsplit_once('!')?;
            Some((project.to_owned(), iid.parse().ok()?))
        };
        return Ok(open.split(',').filter_map(one).collect());
    }
    if context.env("CI_PROJECT_PATH").is_some() {
        return Ok(Vec::new());
    }
    Err(CliError::usage("which merge request is meant is not known outside of GitLab CI")
        .with_hint("add --project GROUP/PROJECT --mr IID")
        .into())
}

fn note(
    context: &Context,
    client: &Client,
    (project, iid): (&str, u64),
    key: &str,
    text: &str,
) -> Result<u64, Failure> {
    let marker = format!("<!-- moorline audit {key} -->");
    let done = context.block_on(client.note(project, iid, &marker, text))??;
    let (id, what) = match done {
        Noted::New(id) => (id, "a note was written"),
        Noted::Updated(id) => (id, "the note has a new text"),
        Noted::Same(id) => (id, "the note says the same already"),
    };
    context.voice.say(format!("{what}: {}!{iid}", output::cell(project)));
    Ok(id)
}

fn status(
    context: &Context,
    client: &Client,
    args: &Report,
    answers: &[JobAnswer],
) -> Result<(), Failure> {
    let Some(job) = context.ci_job()? else {
        return Err(CliError::usage("which commit is meant is not known outside of GitLab CI")
            .with_hint("leave --status out")
            .into());
    };
    let only_plain = context.config.policy.plain_match_only.as_ref().is_some_and(|set| set.value);
    // the worst is the commit's
    let Some(worst) = answers.iter().max_by_key(|answer| answer.verdict) else { return Ok(()) };
    let refused = |answer: &JobAnswer| only_plain && !answer.qualified.is_empty();
    let (state, worst) = match worst.verdict {
        Verdict::Mismatch => (State::Failed, worst),
        Verdict::Unproven => (State::Skipped, worst),
        Verdict::Match => match answers.iter().find(|answer| refused(answer)) {
            Some(answer) => (State::Failed, answer),
            None => (State::Success, worst),
        },
    };
    let word = format!("{:?}", worst.verdict);
    let description = match because(worst.verdict, &worst.why, &worst.qualified) {
        Because::But(but) => format!("{word}, {but}"),
        Because::Why(why) => format!("{word}: {why}"),
    };
    let status = Status {
        commit: &job.commit,
        pipeline: job.pipeline,
        git_ref: job.git_ref.as_deref(),
        state,
        name: &args.key,
        description: &description,
        url: args.url.as_deref(),
    };
    let project = args.project.as_deref().unwrap_or(&job.project);
    context.block_on(client.mark(project, &status))??;
    context.voice.say(format!("the commit is marked: {description}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_markdown_is_harmless() {
        for good in ["moorline", "fit-2.x", "a_b"] {
            assert_eq!(key(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a-->", "a--b", "<x>", &"x".repeat(101)] {
            assert!(key(bad).is_err(), "{bad}");
        }
        url("https://gitlab.example/g/p/-/jobs/7/artifacts/file/report.txt?x=1#y").unwrap();
        for bad in ["javascript:x", "https://x y", "https://x)[y](z", "https://x\n/approve"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
