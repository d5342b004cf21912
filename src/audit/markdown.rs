//! Answers as Markdown, for a note in a merge request.
//!
//! ```text
//! ### `NAME`                                   when there are several jobs
//! **Match**: the worker measured ...           or **Match**, but ...; **Mismatch**; **Unproven**
//!
//! - job `ID`: completed
//! - image `registry/group/project@sha256:...`
//! - measured `sha256:...` on `HOST` (measured)
//! - note: `...`
//! ```
//!
//! Names, hosts and notes are foreign text, and GitLab does what a note's text says: `@name` sends a mail, a line that
//! begins with `/` is a command, `#1` and links refer. So foreign text stands between backticks only, in one line,
//! without a backtick of its own, and never first in a line.

use std::fmt::Write as _;

use super::job::JobAnswer;
use super::verdict::{Because, because};
use crate::text::one_line;

/// The longest foreign text that is shown, in characters.
const MOST: usize = 300;

/// The document.
#[must_use]
pub fn markdown(answers: &[JobAnswer]) -> String {
    let mut text = String::new();
    for answer in answers {
        // writing to a String cannot fail
        let _ = one(&mut text, answer, answers.len() > 1);
    }
    text
}

fn one(text: &mut String, answer: &JobAnswer, of_several: bool) -> std::fmt::Result {
    let job = answer.job.to_string();
    if of_several {
        writeln!(text, "### {}\n", code(answer.name.as_deref().unwrap_or(&job)))?;
    }
    let word = answer.verdict.word();
    match because(answer.verdict, &answer.why, &answer.qualified) {
        Because::But(but) => writeln!(text, "**{word}**, {but}\n")?,
        Because::Why(why) => writeln!(text, "**{word}**: {why}\n")?,
    }
    let name = answer.name.as_deref().map(|name| format!(" ({})", code(name))).unwrap_or_default();
    writeln!(text, "- job {}{name}: {}", code(&job), code(&answer.state.to_string()))?;
    if let Some(image) = answer.image() {
        writeln!(text, "- image {}", code(&image))?;
    }
    for attempt in answer.submissions.iter().flat_map(|submission| &submission.attempts) {
        let measured = attempt.measured.as_deref().map_or_else(|| "nothing".to_owned(), code);
        let (host, grade) = (code(&attempt.host), code(attempt.grade.name()));
        writeln!(text, "- measured {measured} on {host} ({grade})")?;
    }
    for note in &answer.notes {
        writeln!(text, "- note: {}", code(note))?;
    }
    writeln!(text)
}

/// Foreign text that says nothing but itself.
fn code(text: &str) -> String {
    let mut shown: String = one_line(text).chars().take(MOST).collect();
    shown = shown.replace('`', "'");
    if shown.trim().is_empty() { "`?`".to_owned() } else { format!("`{shown}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Reason, testing};
    use crate::worker::Qualifier;

    /// A *Match* of it has a *but*.
    fn answer(reason: Reason) -> JobAnswer {
        JobAnswer { qualified: vec![Qualifier::Mount], ..testing::answer(reason) }
    }

    #[test]
    fn each_verdict_is_said() {
        let text = markdown(&[answer(Reason::SameDigest)]);
        assert!(text.starts_with("**Match**, but a mount lay over files of the image\n"), "{text}");
        let text = markdown(&[answer(Reason::OtherDigest), answer(Reason::NoReceipt)]);
        assert!(text.contains("### `fit`\n\n**Mismatch**: the worker measured another digest"));
        assert!(text.contains("**Unproven**: no receipt was collected\n"), "{text}");
    }

    #[test]
    fn foreign_text_does_nothing() {
        let mut hostile = answer(Reason::SameDigest);
        hostile.name = Some("x`\n/approve\n@all #1 <img src=x> \u{202e}".into());
        hostile.notes = vec!["/merge".into(), "`` ` ``".into(), String::new(), "a".repeat(5000)];
        let text = markdown(&[hostile]);
        for line in text.lines() {
            assert!(!line.trim_start().starts_with(['/', '@', '<']), "{line}");
            // what is left outside of the backticks is ours
            let outside: String = line.split('`').step_by(2).collect();
            assert!(!outside.contains(['@', '#', '<', '/']), "{line}");
            assert_eq!(line.matches('`').count() % 2, 0, "{line}");
        }
        assert!(text.len() < 1500, "{}", text.len());
    }
}
