//! Answers as a `JUnit` document, which GitLab and other CI servers show beside their tests.
//!
//! ```text
//! Match                        passed; what stands behind *but* is in <system-out>
//! Match, but, where the policy
//!   takes only plain ones      <failure type="policy">
//! Mismatch                     <failure type="mismatch">
//! Unproven                     <skipped>: nobody showed anything, neither good nor bad
//! ```
//!
//! There is no specification by an owner; the elements are those of Ant's `JUnit` formatter that GitLab's "Unit test
//! reports" lists: `testsuite`, `testcase` with `name`, `classname`, `file`, and `failure`, `skipped`, `system-out`.
//! The text is XML 1.0: what XML has no sign for is replaced.
//!
//! *Not promised:* that a passed test case proves more than the verdict does. The names of test cases stay the same
//! from pipeline to pipeline when the job has a name, so that a server can compare them.

use std::fmt::Write;

use super::job::JobAnswer;
use super::verdict::{Because, Verdict, because};

/// The document. `plain_only`: a *Match* with a *but* counts as a failure, as the policy `plain_match_only` says.
#[must_use]
pub fn junit(answers: &[JobAnswer], plain_only: bool) -> String {
    let cases: Vec<String> = answers.iter().map(|answer| case(answer, plain_only)).collect();
    let count = |what: &str| cases.iter().filter(|case| case.contains(what)).count();
    // the element's own name: foreign text has its `<` escaped and cannot be taken for one
    let (failures, skipped) = (count("<failure "), count("<skipped "));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites>\n\
         <testsuite name=\"moorline audit\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">\n\
         {}</testsuite>\n\
         </testsuites>\n",
        cases.len(),
        cases.concat()
    )
}

fn case(answer: &JobAnswer, plain_only: bool) -> String {
    let because = because(answer.verdict, &answer.why, &answer.qualified);
    let word = answer.verdict.word();
    let reason = match &because {
        Because::But(text) => format!("{word}, {text}"),
        Because::Why(why) => format!("{word}: {why}"),
    };
    let name = answer.name.clone().unwrap_or_else(|| format!("job {}", answer.job));
    let mut text = format!(
        "<testcase classname=\"moorline.image\" name=\"{}: ran the image that was asked for\">\n",
        escaped(&name)
    );
    let said = escaped(&reason);
    match answer.verdict {
        Verdict::Mismatch => {
            let _ =
                writeln!(text, "<failure type=\"mismatch\" message=\"{said}\">{said}</failure>");
        }
        Verdict::Match if plain_only && matches!(because, Because::But(_)) => {
            let _ = writeln!(text, "<failure type=\"policy\" message=\"{said}\">{said}</failure>");
        }
        Verdict::Unproven => {
            let _ = writeln!(text, "<skipped message=\"{said}\"/>");
        }
        Verdict::Match => {}
    }
    let mut lines = vec![format!("job {}: {}", answer.job, answer.state)];
    lines.extend(answer.image().map(|image| format!("image {image}")));
    for attempt in answer.submissions.iter().flat_map(|submission| &submission.attempts) {
        let measured = attempt.measured.as_deref().unwrap_or("nothing");
        lines.push(format!("measured {measured} on {}", attempt.host));
    }
    lines.push(reason);
    lines.extend(answer.notes.iter().cloned());
    let _ = writeln!(text, "<system-out>{}</system-out>\n</testcase>", escaped(&lines.join("\n")));
    text
}

/// Foreign text in an attribute or an element. XML 1.0, section 2.2, has no control characters but tab and line
/// ends, and not the last two code points of the first plane.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Reason;
    use crate::audit::testing::answer;
    use crate::worker::Qualifier;

    #[test]
    fn each_verdict_is_what_a_ci_server_shows() {
        let (good, bad) = (answer(Reason::SameDigest), answer(Reason::OtherDigest));
        let (open, mut odd) = (answer(Reason::NoReceipt), answer(Reason::SameDigest));
        odd.qualified.push(Qualifier::Mount);
        let all = [good, bad, open, odd];
        let text = junit(&all, false);
        assert!(text.contains(r#"tests="4" failures="1" errors="0" skipped="1""#), "{text}");
        assert!(text.contains(r#"<failure type="mismatch" message="Mismatch: "#), "{text}");
        assert!(text.contains(r#"<skipped message="Unproven: no receipt was collected"/>"#));
        assert!(text.contains("Match, but a mount lay over files of the image"));
        let text = junit(&all, true);
        assert!(text.contains(r#"failures="2""#), "{text}");
        assert!(text.contains(r#"<failure type="policy" message="Match, but "#), "{text}");
    }

    #[test]
    fn foreign_text_stays_text() {
        let mut hostile = answer(Reason::SameDigest);
        hostile.name = Some("a\"/><failure type=\"x\">&\u{1b}[31m\u{0}\u{ffff}".into());
        hostile.notes = vec!["]]></system-out><failure >".into()];
        let text = junit(&[hostile], false);
        assert!(text.contains("failures=\"0\""), "{text}");
        assert!(text.contains(
            "a&quot;/&gt;&lt;failure type=&quot;x&quot;&gt;&amp;\u{fffd}[31m\u{fffd}\u{fffd}"
        ));
        assert!(!text.contains("]]>"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
}
