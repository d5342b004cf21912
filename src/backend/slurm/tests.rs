//! Tables of what a real Slurm 22.05 printed, and lines that try to be what they are not.

use proptest::prelude::*;

use super::*;
use crate::backend::testing::order;
use crate::job::JobState;

/// Recorded: `sacct -n -P -X -D -o JobIDRaw,Submit,User,State,ExitCode,Reason` with
/// `SLURM_TIME_FORMAT=%s`.
const SACCT: &str = "\
1|1795469378|moorline-test|COMPLETED|0:0|None
5|1795469378|moorline-test|CANCELLED by 0|0:0|None
6|1795469378|moorline-test|FAILED|3:0|None
7|1795469378|moorline-test|FAILED|0:9|None
8|1795469378|moorline-test|PENDING|0:0|JobHeldUser
9|1795469378|moorline-test|RUNNING|0:0|None
38|1795471205|moorline-test|TIMEOUT|0:0|None
";

/// Recorded: `squeue -h -t all -O ...` with `SLURM_TIME_FORMAT=%s`.
const SQUEUE: &str = "\
5|1795469378|moorline-test|CANCELLED|15|None|
8|1795469378|moorline-test|CANCELLED|0|JobHeldUser|
1|1795469378|moorline-test|COMPLETED|0|None|
6|1795469378|moorline-test|FAILED|768|NonZeroExitCode|
7|1795469378|moorline-test|FAILED|9|JobLaunchFailure|
10|1795469651|moorline-test|PENDING|0|None|
11|1795469651|moorline-test|PENDING|0|Priority|
38|1795471205|moorline-test|TIMEOUT|15|TimeLimit|
";

fn brief(rows: &[parse::Line]) -> Vec<(&str, JobState, Option<i32>, Option<String>)> {
    rows.iter()
        .map(|row| (row.id.as_str(), row.observation()))
        .map(|(id, seen)| (id, seen.state, seen.exit_code, seen.reason))
        .collect()
}

#[test]
fn recorded_sacct() {
    use JobState::{Completed, Failed, Killed, Running, Submitted};
    let held = Some("JobHeldUser".to_owned());
    let expected = [
        ("1", Completed, Some(0), None),
        ("5", Killed, None, Some("cancelled by uid 0".to_owned())),
        ("6", Failed, Some(3), None),
        ("7", Failed, Some(137), None),
        ("8", Submitted, None, held),
        ("9", Running, None, None),
        ("38", Failed, Some(218), None),
    ];
    assert_eq!(brief(&parse::sacct(SACCT)), expected);
}

#[test]
fn tasks_of_arrays() {
    let rows = parse::sacct(
        "6_7|1795469378|me|FAILED|3:0|None\n6_[8-400%50]|1795469378|me|PENDING|0:0|None\n\
         6_x|1795469378|me|FAILED|3:0|None\n6_[|1795469378|me|FAILED|3:0|None\n",
    );
    let queue = parse::squeue("6_[1-9:4,12]|1795469378|me|PENDING|0|Resources|\n");
    let said: Vec<String> = rows
        .iter()
        .chain(&queue)
        .map(|row| format!("{} {}", row.id, row.tasks.as_ref().unwrap()))
        .collect();
    assert_eq!(said, ["6 7", "6 8-400", "6 1,5,9,12"]);
    let tasks: Tasks = "1-400".parse().unwrap();
    let array = FACTS.array.as_ref().unwrap();
    assert_eq!((array.name)("6", &tasks, 7), "6_7");
    let (id, part) = (array.split)("6_7").unwrap();
    assert_eq!((id, part.task(&tasks)), ("6", Some(7)));
    for none in ["6", "6_", "6_x", "_7", "6_401_2"] {
        assert!((array.split)(none).is_none(), "{none}");
    }
    let key = EngineKey {
        kind: "slurm".into(),
        cluster: None,
        id: "6".into(),
        submitted_at: jiff::Timestamp::UNIX_EPOCH,
        owner: "me".into(),
    };
    let ended = Slurm.cancel_tasks(&key, &"3,5-9".parse().unwrap());
    assert_eq!(ended[0].argv, ["scancel", "6_[3-3]", "6_[5-9]"]);
}

#[test]
fn an_array_has_its_tasks_and_a_directory_for_each() {
    let array = |at_once| {
        let tasks = Some("1-3,9".parse().unwrap());
        let order = Order { tasks, at_once, ..order("/jobs/a%b") };
        Slurm.submit(&order).unwrap().argv
    };
    let argv = array(Some(2));
    for word in [
        "--array=1-3,9%2",
        "--output=/jobs/a%%b/tasks/%a/stdout",
        "--error=/jobs/a%%b/tasks/%a/stderr",
    ] {
        assert!(argv.iter().any(|given| given == word), "{word}: {argv:?}");
    }
    assert!(array(None).iter().any(|word| word == "--array=1-3,9"));
}

#[test]
fn recorded_squeue() {
    use JobState::{Completed, Failed, Killed, Submitted};
    let because = |text: &str| Some(text.to_owned());
    let expected = [
        ("5", Killed, Some(143), None),
        ("8", Killed, None, None),
        ("1", Completed, Some(0), None),
        ("6", Failed, Some(3), because("NonZeroExitCode")),
        ("7", Failed, Some(137), because("JobLaunchFailure")),
        ("10", Submitted, None, None),
        ("11", Submitted, None, because("Priority")),
        ("38", Failed, Some(218), because("TimeLimit")),
    ];
    assert_eq!(brief(&parse::squeue(SQUEUE)), expected);
}

#[test]
fn every_word_of_slurm() {
    use JobState::{Completed, Failed, Killed, Running, Submitted, Unknown};
    for (word, exit, state, code) in [
        ("PENDING", "0:0", Submitted, None),
        ("CONFIGURING", "0:0", Submitted, None),
        ("REQUEUED", "0:0", Submitted, None),
        ("RUNNING", "0:0", Running, None),
        ("COMPLETING", "1:0", Running, None),
        ("SUSPENDED", "0:0", Running, None),
        ("COMPLETED", "0:0", Completed, Some(0)),
        ("CANCELLED by 1001", "0:15", Killed, Some(143)),
        ("CANCELLED+", "0:0", Killed, None),
        ("FAILED", "211:0", Failed, Some(211)),
        ("FAILED", "0:0", Failed, None),
        ("TIMEOUT", "0:0", Failed, Some(218)),
        ("TIMEOUT", "0:15", Failed, Some(218)),
        ("OUT_OF_MEMORY", "0:125", Failed, Some(218)),
        ("DEADLINE", "0:0", Failed, Some(218)),
        ("NODE_FAIL", "0:0", Failed, None),
        ("PREEMPTED", "0:0", Failed, None),
        ("BOOT_FAIL", "0:0", Failed, None),
        ("A_STATE_OF_2030", "0:0", Unknown, None),
    ] {
        let rows = parse::sacct(&format!("1|5|me|{word}|{exit}|None\n"));
        let seen = rows[0].observation();
        assert_eq!((seen.state, seen.exit_code), (state, code), "{word} {exit}");
    }
}

#[test]
fn lines_that_are_none() {
    for line in [
        "",
        "1|5|me|COMPLETED|0:0",
        "1|5|me|COMPLETED|0:0|None|more",
        "x|5|me|COMPLETED|0:0|None",
        "1.batch|5|me|COMPLETED|0:0|None",
        "1|Unknown|me|COMPLETED|0:0|None",
        "1|5||COMPLETED|0:0|None",
        "1|5|me||0:0|None",
        "1|5|me|completed|0:0|None",
        "-1|5|me|COMPLETED|0:0|None",
    ] {
        assert_eq!(parse::sacct(line), [], "{line}");
    }
    let escapes = parse::sacct("1|5|me|FAILED|1:0|\u{1b}[31mred\n");
    assert_eq!(escapes[0].reason.as_deref(), Some("red"));
}

#[test]
fn what_sbatch_says() {
    let ok = |out: &str| taken(Ended::Exit(0), out, "");
    let yes =
        |cluster: Option<&str>| Taken::Yes { id: "12".into(), cluster: cluster.map(str::to_owned) };
    assert_eq!(ok("12\n"), yes(None));
    assert_eq!(ok("12;far\n"), yes(Some("far")));
    assert_eq!(ok("welcome to the cluster\n12\n"), yes(None));
    for (ended, out, said, uncertain) in [
        (Ended::Exit(0), "", "", true),
        (Ended::Exit(0), "Submitted batch job 12\n", "", true),
        (Ended::TimedOut, "", "no answer in time", true),
        (Ended::Signal(9), "12\n", "ended by signal 9", true),
        (Ended::Exit(1), "12\n", "cannot close the connection", true),
        (Ended::Exit(1), "", "sbatch: error: invalid partition specified: x", false),
        (Ended::Exit(1), "", "Batch job submission failed: Invalid account", false),
        (Ended::Exit(1), "", "Unable to contact slurm controller (connect failure)", false),
        (
            Ended::Exit(1),
            "",
            "Batch job submission failed: Socket timed out on send/recv operation",
            true,
        ),
    ] {
        let taken = taken(ended, out, said);
        assert!(!matches!(taken, Taken::Yes { .. }), "{taken:?}");
        let is_uncertain = matches!(taken, Taken::Maybe(_));
        assert_eq!(is_uncertain, uncertain, "{ended:?} {out:?} {said:?}: {taken:?}");
    }
}

#[test]
fn find_reads_only_well_formed_lines_of_this_account() {
    let intent = IntentId::from_bytes([7; 16]);
    let tag = argv::tag(&intent);
    let find = |text: &str| {
        let rows = parse::find(text, "me", &intent);
        rows.into_iter().map(|row| (row.id, row.submit)).collect::<Vec<_>>()
    };
    let five = || ("5".to_owned(), 100);
    assert_eq!(find(&format!("5|100|me|{tag}sha256:aa")), [five()]);
    assert_eq!(find(&format!("5|100|me|sbatch a|b --comment={tag}x c|")), [five()]);
    // an engine that took it twice
    let twice = find(&format!("6|200|me|{tag}\n5|100|me|{tag}"));
    assert_eq!(twice, [("6".to_owned(), 200), five()]);
    for none in [
        format!("5|100|you|{tag}"),
        format!("5|Unknown|me|{tag}"),
        format!("5-1|100|me|{tag}"),
        format!("{tag}|5|100|me"),
        "5|100|me|moorline:07:".to_owned(),
        // a comment of two lines: the second one is no row
        format!("5|100|me|first\n{tag}"),
    ] {
        assert_eq!(find(&none), [], "{none}");
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let refused = |order: &Order| matches!(argv::sbatch(order), Err(BackendError::Unfit { .. }));
    for dir in ["relative", "/with\nline", "/with\\backslash", "/bell\u{7}"] {
        assert!(refused(&order(dir)), "{dir:?}");
    }
    for name in ["-x", "a b", "a\n#SBATCH", "$(x)", ""] {
        let mut order = order("/jobs/1");
        order.resources.queue = Some(name.to_owned());
        assert!(refused(&order), "{name:?}");
        order.resources.queue = None;
        order.resources.account = Some(name.to_owned());
        assert!(refused(&order), "{name:?}");
    }
    let digest = Order { digest: "sha256:a|b\n".to_owned(), ..order("/jobs/1") };
    assert!(refused(&digest));
}

proptest! {
    #[test]
    fn foreign_text_is_never_a_panic(text in "(?s).{0,200}") {
        let _ = (parse::sacct(&text), parse::squeue(&text));
        let _ = parse::find(&text, "me", &IntentId::from_bytes([7; 16]));
        let _ = taken(Ended::Exit(0), &text, "");
    }

    #[test]
    fn a_comment_can_follow_but_not_lead(text in "[a-z0-9|:\n]{0,80}") {
        // Whatever an account's other jobs hold in their comments, a row of another account is not
        // made to look like this one's.
        let line = format!("5|100|you|{}", text.replace('\n', " "));
        prop_assert_eq!(parse::find(&line, "me", &IntentId::from_bytes([7; 16])), []);
    }
}

/// Reported of a cancelled job that had waited: "killed: Resources". What it waited for is no reason of
/// its end.
#[test]
fn why_a_job_waited_is_not_why_it_ended() {
    let why = |row: &str| parse::sacct(row)[0].observation().reason;
    for waits in
        ["Resources", "Priority", "Dependency", "JobHeldUser", "BeginTime", "QOSMaxCpuLimit"]
    {
        assert_eq!(why(&format!("1|5|me|PENDING|0:0|{waits}\n")).as_deref(), Some(waits));
        for ended in ["CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "COMPLETED", "DEADLINE"] {
            assert_eq!(why(&format!("1|5|me|{ended}|0:0|{waits}\n")), None, "{ended} {waits}");
        }
        let cancelled = why(&format!("1|5|me|CANCELLED by 1001|0:0|{waits}\n"));
        assert_eq!(cancelled.as_deref(), Some("cancelled by uid 1001"));
    }
    assert_eq!(why("1|5|me|FAILED|1:0|NonZeroExitCode\n").as_deref(), Some("NonZeroExitCode"));
    let signal = "RaisedSignal:9(Killed)";
    assert_eq!(why(&format!("1|5|me|FAILED|0:9|{signal}\n")).as_deref(), Some(signal));
}

/// Only a hold as `sbatch --hold` sets it is ours to end; an administrator's is not.
#[test]
fn a_hold_is_told_from_other_waiting() {
    let held = |row: &str| parse::sacct(row)[0].row().held;
    assert!(held("1|5|me|PENDING|0:0|JobHeldUser\n"));
    for other in ["PENDING|0:0|JobHeldAdmin", "PENDING|0:0|Priority", "CANCELLED|0:0|JobHeldUser"] {
        assert!(!held(&format!("1|5|me|{other}\n")), "{other}");
    }
    let requeued = "7|1000|me|NODE_FAIL|0:0|None\n7|5000|me|COMPLETED|0:0|None\n";
    let may: Vec<bool> = parse::sacct(requeued).iter().map(|line| line.row().may_return).collect();
    assert_eq!(may, [true, false]);
}
