//! Tables of what a real `HTCondor` 23.9 printed, and texts that try to be what they are not.

use proptest::prelude::*;

use super::*;
use crate::backend::testing::order;

/// Recorded: `condor_q -json -attributes ...` of a held, a waiting and a running job.
const QUEUE: &str = r#"[
{"ClusterId":1,"GlobalJobId":"localhost#1.0#1796019964","HoldReason":"submitted on hold at user's request",
 "HoldReasonCode":15,"JobStatus":5,"Owner":"moorline-test","ProcId":0,"QDate":1796019964},
{"ClusterId":2,"GlobalJobId":"localhost#2.0#1796019965","JobStatus":1,"Owner":"moorline-test","ProcId":0,"QDate":1796019965},
{"ClusterId":3,"GlobalJobId":"localhost#3.0#1796019966","JobStatus":2,"Owner":"moorline-test","ProcId":0,"QDate":1796019966},
{"ClusterId":4,"GlobalJobId":"localhost#4.0#1796019967","HoldReason":"via condor_hold (by user moorline-test)",
 "HoldReasonCode":1,"JobStatus":5,"Owner":"moorline-test","ProcId":0,"QDate":1796019967}
]
"#;

/// Recorded: `condor_history -json -attributes ...`.
const HISTORY: &str = r#"[
{"ClusterId":5,"CompletionDate":1796020004,"EnteredCurrentStatus":1796020004,"ExitBySignal":false,"ExitCode":7,
 "GlobalJobId":"localhost#5.0#1796020003","JobStatus":4,"LastHoldReason":"submitted on hold at user's request",
 "Owner":"moorline-test","ProcId":0,"QDate":1796020003},
{"ClusterId":6,"EnteredCurrentStatus":1796019967,"ExitBySignal":false,"GlobalJobId":"localhost#6.0#1796019964",
 "JobStatus":3,"LastHoldReason":"Error from slot1_1@localhost: Failed to execute","LastHoldReasonCode":6,
 "Owner":"moorline-test","ProcId":0,"QDate":1796019964,
 "RemoveReason":"The job attribute PeriodicRemove expression '(JobStatus == 1)' evaluated to TRUE"}
]
"#;

fn rows(whom: Whom, text: &str) -> Vec<Row> {
    HtCondor.rows(&Question::new(whom, ["condor_q"]), text)
}

#[test]
fn recorded_queue() {
    use JobState::{Running, Submitted};
    let rows = rows(Whom::Queue, QUEUE);
    let brief: Vec<_> =
        rows.iter().map(|row| (row.id.as_str(), row.seen.state, row.held)).collect();
    let expected = [
        ("1.0", Submitted, true),
        ("2.0", Submitted, false),
        ("3.0", Running, false),
        // the user's own hold is not ours to end
        ("4.0", Submitted, false),
    ];
    assert_eq!(brief, expected);
    let first = &rows[0];
    assert_eq!((first.cluster.as_deref(), first.submit), (Some("localhost"), 1_796_019_964));
    assert_eq!(first.user, "moorline-test");
    assert_eq!(rows[3].seen.reason.as_deref(), Some("via condor_hold (by user moorline-test)"));
    // nothing at all is printed where there is no job
    assert_eq!(super::ads("").len() + super::ads("[\n]\n").len(), 0);
}

#[test]
fn recorded_history() {
    let rows = rows(Whom::Accounting, HISTORY);
    let seen = &rows[0].seen;
    assert_eq!((seen.state, seen.exit_code, &seen.reason), (JobState::Failed, Some(7), &None));
    let seen = &rows[1].seen;
    assert_eq!((seen.state, seen.exit_code), (JobState::Failed, None));
    assert!(seen.reason.as_ref().unwrap().contains("Failed to execute"));
}

#[test]
fn how_jobs_end() {
    use JobState::{Completed, Failed, Killed, Running};
    let periodic = "The job attribute PeriodicRemove expression 'x' evaluated to TRUE";
    let removed = |why: &str, more: &str| {
        format!(r#""JobStatus":3,"RemoveReason":"{why}","EnteredCurrentStatus":100{more}"#)
    };
    for (ad, state, code) in [
        (r#""JobStatus":4,"ExitBySignal":false,"ExitCode":0"#.to_owned(), Completed, Some(0)),
        (r#""JobStatus":4,"ExitBySignal":false,"ExitCode":200"#.to_owned(), Failed, Some(200)),
        (r#""JobStatus":4,"ExitBySignal":true,"ExitSignal":9"#.to_owned(), Failed, Some(137)),
        (removed("via condor_rm (by user ada)", ""), Killed, None),
        // the memory limit, then the machine that went away, then the wall time
        (removed(periodic, r#","LastHoldReasonCode":34"#), Failed, Some(218)),
        (removed(periodic, r#","LastHoldReasonCode":15"#), Failed, None),
        (removed(periodic, r#","JobCurrentStartDate":40,"MoorlineLimit":60"#), Failed, Some(218)),
        (removed(periodic, r#","JobCurrentStartDate":90,"MoorlineLimit":60"#), Failed, None),
    ] {
        let text = format!(r#"[{{"ClusterId":1,"ProcId":0,{ad}}}]"#);
        let seen = &rows(Whom::Accounting, &text)[0].seen;
        assert_eq!((seen.state, seen.exit_code), (state, code), "{ad}");
    }
    // in the queue a removed job still has processes
    let text = format!(r#"[{{"ClusterId":1,"ProcId":0,{}}}]"#, removed("via condor_rm", ""));
    assert_eq!(rows(Whom::Queue, &text)[0].seen.state, Running);
}

#[test]
fn what_condor_submit_says() {
    let answer = |ended, stdout: &str, stderr: &str| {
        let (stdout, stderr) = (stdout.to_owned(), stderr.to_owned());
        HtCondor.taken(&order("/jobs/1"), &Finished { ended, stdout, stderr })
    };
    let yes = Taken::Yes { id: "12.0".into(), cluster: None };
    assert_eq!(answer(Ended::Exit(0), "12.0 - 12.0\n", ""), yes);
    assert_eq!(answer(Ended::Exit(0), "a warning of the site\n12.0 - 12.0\n", ""), yes);
    for (ended, out, said, uncertain) in [
        (Ended::Exit(0), "", "", true),
        (Ended::TimedOut, "", "", true),
        (Ended::Signal(9), "12.0 - 12.0\n", "", true),
        (Ended::Exit(1), "", "ERROR: Failed to commit job submission into the queue.", true),
        (Ended::Exit(1), "", "ERROR: hold=tru( is invalid, must eval to a boolean.", false),
        (Ended::Exit(1), "", "ERROR: Can't find address of local schedd", false),
    ] {
        let taken = answer(ended, out, said);
        assert_eq!(matches!(taken, Taken::Maybe(_)), uncertain, "{taken:?}");
        assert!(!matches!(taken, Taken::Yes { .. }), "{taken:?}");
    }
    let nobody = answer(Ended::Exit(1), "", "ERROR: Can't find address of local schedd");
    assert!(matches!(nobody, Taken::Unreachable(_)), "{nobody:?}");
}

#[test]
fn what_cannot_be_said_is_refused() {
    let refused = |order: &Order| matches!(HtCondor.submit(order), Err(BackendError::Unfit { .. }));
    for dir in ["relative", "/with\nline", "/with\\backslash", "/bell\u{7}", "/a\"b", "/$$(X)"] {
        assert!(refused(&order(dir)), "{dir:?}");
    }
    for name in ["-x", "a b", "a\nqueue 5", "$(x)", ""] {
        let mut order = order("/jobs/1");
        order.resources.account = Some(name.to_owned());
        assert!(refused(&order), "{name:?}");
    }
    let mut queue = order("/jobs/1");
    queue.resources.queue = Some("short".into());
    assert!(refused(&queue), "there are none");
    assert!(refused(&Order { digest: "sha256:a\"\nqueue 5".to_owned(), ..order("/jobs/1") }));
    let text = description(&order("/jobs/$(HOME)")).unwrap();
    assert!(!text.contains("$(HOME)") && text.contains("/jobs/$(DOLLAR)(HOME)/work"), "{text}");
}

#[test]
fn an_array_is_one_cluster() {
    let array = Order { tasks: Some("1-2,9".parse().unwrap()), ..order("/jobs/1") };
    let text = description(&array).unwrap();
    for line in [
        "initialdir = /jobs/1/tasks/$(MoorlineNumber)",
        "output = /jobs/1/tasks/$(MoorlineNumber)/stdout",
        "environment = \"CONDOR_JOB_ID=$(ClusterId) CONDOR_TASK_ID=$(MoorlineNumber)\"",
        "+MoorlineTask = $(MoorlineNumber)",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    assert!(text.ends_with("queue MoorlineNumber from (\n1\n2\n9\n)\n"), "{text}");
    let tasks: Tasks = "1-2,9".parse().unwrap();
    let facts = FACTS.array.as_ref().unwrap();
    assert_eq!((facts.name)("12", &tasks, 9), "12.2");
    let (id, part) = (facts.split)("12.2").unwrap();
    assert_eq!((id, part.task(&tasks)), ("12", Some(9)));
    assert!((facts.split)("12").is_none() && (facts.split)("12.x").is_none());
    let said =
        Finished { ended: Ended::Exit(0), stdout: "12.0 - 12.2\n".into(), stderr: String::new() };
    assert_eq!(HtCondor.taken(&array, &said), Taken::Yes { id: "12".into(), cluster: None });
    let text =
        r#"[{"ClusterId":12,"ProcId":2,"MoorlineTask":9,"JobStatus":2,"Owner":"me","QDate":5}]"#;
    let row = &rows(Whom::Queue, text)[0];
    assert_eq!((row.id.as_str(), &row.tasks), ("12", &Some(Tasks::one(9))));
}

#[test]
fn files_are_brought_from_where_they_are() {
    let sent = |image: &str| Order {
        sent: Some(Sent { image: Some(image.into()), worker: "/jobs/bin/aa/moorline".into() }),
        ..order("/jobs/1")
    };
    let text = description(&sent("/store/a b.sif")).unwrap();
    for line in [
        "arguments = \"'control/job.sh' 'control'\"",
        "initialdir = /jobs/1",
        "should_transfer_files = YES",
        "transfer_input_files = /jobs/1/control, /jobs/1/work, /store/a b.sif, /jobs/bin/aa/moorline",
        "transfer_output_files = work, returned",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    for image in ["/store/a,b.sif", "/store/http://a.sif", "/store/a.sif ", "a.sif"] {
        assert!(description(&sent(image)).is_err(), "{image:?}");
    }
}

proptest! {
    #[test]
    fn foreign_text_is_never_a_panic(text in "(?s).{0,200}") {
        let _ = ads(&text);
        let ad = serde_json::json!([{"ClusterId": 1, "HoldReason": text, "RemoveReason": text, "JobStatus": 3}]);
        let rows = rows(Whom::Accounting, &ad.to_string());
        let reason = rows[0].seen.reason.clone().unwrap_or_default();
        prop_assert!(!reason.contains(char::is_control));
    }

    /// A directory's name is a value of its line and never a line of its own.
    #[test]
    fn a_path_is_no_command(name in "[ -~\n\t]{0,40}") {
        if let Ok(text) = description(&order(&format!("/jobs/{name}"))) {
            let lines = description(&order("/jobs/1")).unwrap().lines().count();
            prop_assert_eq!(text.lines().count(), lines);
            prop_assert_eq!(text.matches("$(").count(), 2 + text.matches("$(DOLLAR)").count());
        }
    }
}
