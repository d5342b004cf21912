//! The stories with an engine that says what the test wants, a real ledger, and a clock that nobody waits for.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;
use crate::backend::{Backend, BackendError, Facts, Order, Seen, Submission as Planned, engines};
use crate::failure::{Kind, Report};
use crate::job::{EngineKey, IntentId, JobId, JobState, Observation};
use crate::ledger::index::{Catalogue, Filter, Page, Where};
use crate::ledger::testing::{self, entry};
use crate::ledger::{Ledger, Payloads, Recorded, View};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;

/// What the engine says to one question.
#[derive(Clone, Copy, Debug)]
enum Says {
    State(JobState),
    Ended(i32),
    Forgot,
    Nothing,
}

/// What it says of every job, question by question; the last answer stays.
#[derive(Debug, Default)]
struct Script {
    answers: RefCell<Vec<Says>>,
    cancelled: Cell<usize>,
}

struct Scripted(Rc<Script>);

/// An engine with jobs elsewhere.
fn facts() -> &'static Facts {
    engines().find(|facts| facts.takes_orders() && !facts.here).unwrap()
}

/// One that shows a new job late.
struct Late;

impl Backend for Late {
    fn facts(&self) -> &'static Facts {
        static FACTS: std::sync::OnceLock<Facts> = std::sync::OnceLock::new();
        FACTS.get_or_init(|| Facts {
            visible_after: Duration::from_secs(3600),
            ..Facts::OF_THIS_MACHINE
        })
    }
    fn plan(&self, _: &Order) -> Result<Planned, BackendError> {
        unreachable!("nothing is planned")
    }
    fn submit(&self, _: &Order) -> Result<EngineKey, BackendError> {
        unreachable!("nothing is submitted")
    }
    fn status(&self, _: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        unreachable!("no job is known")
    }
    fn ready(&self) -> Result<String, BackendError> {
        Ok(String::new())
    }
    fn cancel(&self, _: &EngineKey) -> Result<(), BackendError> {
        unreachable!("no job is known")
    }
    fn find(&self, _: &JobId, _: &IntentId) -> Result<Vec<EngineKey>, BackendError> {
        Ok(Vec::new())
    }
}

#[test]
fn a_no_that_comes_too_early_is_none() {
    let here = Here::new(&[Says::Nothing]);
    let entry = here.job(1, false);
    let job = || here.view(&[entry.job], Payloads::Loaded).unwrap().job(entry.job).unwrap().clone();
    let ledger = here.ledger().unwrap();
    let before = job().last().history.len();
    let settled = settle(&ledger, &Late, here.jobs_dir(), job().last()).unwrap();
    assert!(matches!(settled, Settled::NotYet(left) if left > Duration::from_secs(3500)));
    assert_eq!(job().last().history.len(), before, "nothing is recorded");
}

impl Backend for Scripted {
    fn facts(&self) -> &'static Facts {
        facts()
    }
    fn plan(&self, _: &Order) -> Result<Planned, BackendError> {
        unreachable!("nothing is planned")
    }
    fn submit(&self, _: &Order) -> Result<EngineKey, BackendError> {
        unreachable!("nothing is submitted")
    }
    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        let mut answers = self.0.answers.borrow_mut();
        let says = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        let seen = match says {
            Says::State(state) => Observation::of(state).into(),
            Says::Ended(0) => {
                Observation { exit_code: Some(0), ..Observation::of(JobState::Completed) }.into()
            }
            Says::Ended(code) => {
                Observation { exit_code: Some(code), ..Observation::of(JobState::Failed) }.into()
            }
            Says::Forgot => Seen::unknown("no such job"),
            Says::Nothing => {
                let engine = facts().name;
                return Err(BackendError::Unreachable { engine, said: "timed out".into() });
            }
        };
        Ok(vec![seen; jobs.len()])
    }
    fn ready(&self) -> Result<String, BackendError> {
        Ok(String::new())
    }
    fn cancel(&self, _: &EngineKey) -> Result<(), BackendError> {
        self.0.cancelled.set(self.0.cancelled.get() + 1);
        Ok(())
    }
    fn find(&self, _: &JobId, _: &IntentId) -> Result<Vec<EngineKey>, BackendError> {
        Ok(Vec::new())
    }
}

struct Here {
    dir: tempfile::TempDir,
    script: Rc<Script>,
    start: Instant,
    gone: Cell<Duration>,
    warned: RefCell<Vec<String>>,
    /// How often an engine was set up.
    made: Cell<usize>,
    ended: RefCell<Vec<JobId>>,
}

impl Here {
    fn new(answers: &[Says]) -> Self {
        let script = Script { answers: RefCell::new(answers.to_vec()), ..Script::default() };
        Self {
            dir: testing::private(),
            script: Rc::new(script),
            start: Instant::now(),
            gone: Cell::default(),
            warned: RefCell::default(),
            made: Cell::default(),
            ended: RefCell::default(),
        }
    }

    /// The job with this number; without an engine's key it is uncertain.
    fn job(&self, n: u64, taken: bool) -> Recorded {
        let ledger = Ledger::open(&self.ledger_dir()).unwrap();
        let image = testing::sif(None, SifDigest::of(b"sif"));
        let entry = ledger.intend(&testing::intent(&entry(n), facts().name, image)).unwrap();
        if taken {
            ledger.submitted(&entry, &testing::key(facts().name, n)).unwrap();
        } else {
            ledger.uncertain(&entry, "no answer").unwrap();
        }
        entry
    }

    fn ledger_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("ledger")
    }

    fn all(&self) -> Catalogue {
        Catalogue::new(&self.ledger_dir(), None, Where::Memory)
    }

    fn wait(&self, names: &[&str], limits: Limits, timeout: Option<u64>) -> (Vec<String>, Waited) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut told = Vec::new();
        let heard = |heard: Heard<'_>| {
            told.push(match heard {
                Heard::Warning(_) => "warning".to_owned(),
                Heard::State(job) => job.now.settled.state.to_string(),
                Heard::Silent(_) => "silent".to_owned(),
                Heard::Answers => "answers".to_owned(),
            });
        };
        let row = |job: &Known<'_>| (job.record.id, job.now.settled.exit_code);
        let waited = wait(self, &names, timeout.map(Duration::from_secs), limits, heard, row);
        (told, waited)
    }
}

type Waited = Result<Vec<(JobId, Option<i32>)>, Report>;

impl Surroundings for Here {
    fn jobs_dir(&self) -> &Path {
        self.dir.path()
    }
    fn engine(&self, kind: &str) -> Option<Box<dyn Backend>> {
        self.made.set(self.made.get() + 1);
        (kind == facts().name).then(|| Box::new(Scripted(Rc::clone(&self.script))) as _)
    }
    fn ended(&self, _: &Image, _: Option<&Path>, job: &JobId) {
        self.ended.borrow_mut().push(*job);
    }
    fn ledger(&self) -> Result<Ledger, Report> {
        Ok(Ledger::open(&self.ledger_dir())?)
    }
    fn ledger_if_writable(&self) -> Result<Result<Ledger, String>, Report> {
        Ok(Ok(self.ledger()?))
    }
    fn named(&self, names: &[String]) -> Result<View, Report> {
        Ok(self.all().named(names).unwrap())
    }
    fn jobs(&self, ids: &[JobId]) -> Result<View, Report> {
        Ok(self.all().of(ids)?)
    }
    fn page(&self, filter: Filter, page: Page) -> Result<Vec<JobId>, Report> {
        Ok(self.all().page(filter, page)?)
    }
    fn view(&self, ids: &[JobId], payloads: Payloads) -> Result<View, Report> {
        let mut all = self.all();
        all.page(Filter::All, Page::newest(1))?;
        Ok(all.view(ids, payloads)?)
    }
    fn warn(&self, text: &str) {
        self.warned.borrow_mut().push(text.to_owned());
    }
    fn now(&self) -> Instant {
        self.start + self.gone.get()
    }
    fn pause(&self, length: Duration) {
        self.gone.set(self.gone.get() + length);
    }
}

const USUAL: Limits =
    Limits { unknown: Duration::from_secs(300), silent: Duration::from_secs(86_400) };

#[test]
fn each_thing_is_told_once_and_the_order_is_that_of_the_names() {
    use JobState::{Running, Submitted};
    let here = Here::new(&[
        Says::State(Submitted),
        Says::State(Submitted),
        Says::State(Running),
        Says::Nothing,
        Says::Nothing,
        Says::State(Running),
        Says::Ended(3),
    ]);
    let (one, two) = (here.job(1, true).job, here.job(2, true).job);
    let (told, waited) = here.wait(&["last", &one.to_string()], USUAL, None);
    assert_eq!(waited.unwrap(), [(two, Some(3)), (one, Some(3))]);
    assert_eq!(
        told,
        ["submitted", "submitted", "running", "running", "silent", "running", "running", "answers"]
    );
    assert_eq!(*here.ended.borrow(), [two, one]);
}

#[test]
fn a_wait_that_gives_up_says_why() {
    let until = |says: Says, timeout| {
        let here = Here::new(&[says]);
        let job = here.job(1, true).job;
        let Report(error) = here.wait(&[&job.to_string()], USUAL, timeout).1.unwrap_err();
        assert_eq!(error.kind(), Kind::Engine);
        (here.gone.get().as_secs(), error.to_string(), error.hint().unwrap())
    };
    let (gone, said, hint) = until(Says::Forgot, None);
    assert!((300..=301).contains(&gone), "{gone}");
    assert!(said.contains("has not known it for 300 s") && hint.contains("--unknown"), "{said}");
    let (gone, said, hint) = until(Says::Nothing, None);
    assert!((86_400..=86_401).contains(&gone), "{gone}");
    assert!(said.contains("timed out") && hint.contains("--silent"), "{said}");
    let (gone, said, _) = until(Says::State(JobState::Running), Some(60));
    assert_eq!(gone, 60);
    assert!(said.contains("in the given time"), "{said}");
    // nobody is asked for one that no engine is known to have
    let here = Here::new(&[Says::Nothing]);
    here.job(1, false);
    let Report(error) = here.wait(&["last"], USUAL, None).1.unwrap_err();
    assert!(error.to_string().contains("uncertain"), "{error}");
    assert_eq!(here.gone.get(), Duration::ZERO);
}

#[test]
fn the_whole_ledger_is_swept_and_each_warning_is_given_once() {
    let here = Here::new(&[Says::Ended(0)]);
    for n in 1..=3 {
        here.job(n, true);
    }
    assert_eq!(collect_all(&here).unwrap(), Swept { all: 3, open: 0 });
    assert_eq!(here.ended.borrow().len(), 3);
    // what ended is not asked for again
    here.script.answers.borrow_mut()[0] = Says::Nothing;
    assert_eq!(collect_all(&here).unwrap(), Swept { all: 3, open: 0 });
    assert!(here.warned.borrow().is_empty());
    here.job(4, true);
    here.job(5, true);
    assert_eq!(collect_all(&here).unwrap(), Swept { all: 5, open: 2 });
    assert_eq!(here.warned.borrow().len(), 1, "{:?}", here.warned);
    assert!(here.warned.borrow()[0].contains("2 jobs are"));
}

#[test]
fn a_list_holds_the_newest_in_their_state_of_now() {
    let here = Here::new(&[Says::State(JobState::Running)]);
    let jobs: Vec<JobId> = (1..=4).map(|n| here.job(n, true).job).collect();
    let id = |job: &Known<'_>| job.record.id;
    assert_eq!(list(&here, None, 2, id).unwrap(), (vec![jobs[3], jobs[2]], true));
    // the ledger does not know yet that they run
    let running = list(&here, Some(JobState::Running), 9, id).unwrap();
    assert_eq!(running, (jobs.iter().rev().copied().collect(), false));
    here.script.answers.borrow_mut()[0] = Says::Ended(0);
    assert_eq!(list(&here, Some(JobState::Running), 9, id).unwrap(), (Vec::new(), false));
}

#[test]
fn only_what_an_engine_has_can_be_cancelled() {
    let here = Here::new(&[Says::State(JobState::Running)]);
    here.job(1, true);
    here.job(2, false);
    let view = View::read(&here.ledger_dir()).unwrap();
    let known = refresh(&here, &view.jobs().collect::<Vec<_>>()).unwrap();
    let ledger = here.ledger().unwrap();
    assert_eq!(cancel(&Engines::of(&here), &ledger, &known[0]).unwrap(), Cancelled::Told);
    let error = cancel(&Engines::of(&here), &ledger, &known[1]).unwrap_err();
    assert!(matches!(error, FollowError::NobodyHasIt(_)), "{error}");
    here.script.answers.borrow_mut()[0] = Says::Ended(0);
    let known = refresh(&here, &view.jobs().take(1).collect::<Vec<_>>()).unwrap();
    assert_eq!(cancel(&Engines::of(&here), &ledger, &known[0]).unwrap(), Cancelled::HadEnded);
    assert_eq!(here.script.cancelled.get(), 1);
}

#[test]
fn recover_looks_at_what_is_open_and_at_nothing_else() {
    let here = Here::new(&[Says::Ended(0)]);
    let (begun, open) = (here.job(1, true).job, here.job(2, false).job);
    let look = || {
        let mut found = Vec::new();
        let looked_at = recover(&here, |job| {
            found.push(match job {
                Recovered::Settled(job, Settled::NotFound) => (job.id, "not found"),
                Recovered::Asked(job) if job.now.is_final() => (job.record.id, "ended"),
                other => panic!("{other:?}"),
            });
        });
        (looked_at.unwrap(), found)
    };
    assert_eq!(look(), (2, vec![(open, "not found"), (begun, "ended")]));
    assert_eq!(here.made.get(), 1, "one round of questions");
    assert_eq!(look(), (1, vec![(open, "not found")]));
}

#[test]
fn a_receipt_that_cannot_be_true_is_named_once() {
    let here = Here::new(&[Says::Nothing]);
    let entry = here.job(1, true);
    let control = here.jobs_dir().join(entry.job.to_string()).join("control");
    std::fs::create_dir_all(&control).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(control.join(format!("receipt-{name}.json")), bytes).unwrap();
    };
    let mut odd = testing::receipt(&entry);
    odd.runtime = crate::job::Name::known("none");
    let whole = serde_json::to_vec(&odd).unwrap();
    write("odd", &whole);
    // as a full disk or a transfer that was cut leaves it
    write("torn", &whole[..whole.len() / 2]);
    let problems = || {
        let view = here.view(&[entry.job], Payloads::Loaded).unwrap();
        let job = view.job(entry.job).unwrap();
        let ledger = here.ledger().unwrap();
        collect(Some(&ledger), job.last(), here.jobs_dir()).unwrap().problems
    };
    let torn = |text: &String| text.contains("receipt-torn") && text.contains("malformed");
    let said = problems();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("receipt-odd") && said[0].contains("by no runtime"), "{said:?}");
    assert!(torn(&said[1]), "{said:?}");
    // it is on record now; the torn one never is
    let said = problems();
    assert!(said.len() == 1 && torn(&said[0]), "{said:?}");
    // the same attempt, told in another way
    odd.exit_code = 1;
    write("twice", &serde_json::to_vec(&odd).unwrap());
    let said = problems();
    assert!(said.iter().any(|text| text.contains("of the same attempt")), "{said:?}");
}

#[test]
fn nothing_ended_well_that_was_never_started() {
    let here = Here::new(&[Says::Nothing]);
    let entry = here.job(1, true);
    let refused = crate::worker::Start::Refused { why: "no".into() };
    let odd = crate::worker::Receipt { start: refused, ..testing::receipt(&entry) };
    here.ledger().unwrap().receipt(&entry, &odd).unwrap();
    let view = here.view(&[entry.job], Payloads::Loaded).unwrap();
    assert_eq!(view.job(entry.job).unwrap().state(), JobState::Submitted);
}

/// What a job leaves long after its end is collected with the whole ledger; `audit image` does not look for it for
/// ever.
#[test]
fn no_job_that_ended_long_ago_is_looked_at_again_and_again() {
    let here = Here::new(&[Says::Ended(0)]);
    let ledger = here.ledger().unwrap();
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let young = Recorded { job: JobId::from_parts(now, 2), ..entry(2) };
    for entry in [entry(1), young] {
        let image = testing::sif(None, SifDigest::of(b"sif"));
        let entry = ledger.intend(&testing::intent(&entry, facts().name, image)).unwrap();
        ledger.submitted(&entry, &testing::key(facts().name, 1)).unwrap();
        ledger.observed(&entry, &Observation::of(JobState::Killed)).unwrap();
        let control = here.dir.path().join(entry.job.to_string()).join("control");
        std::fs::create_dir_all(&control).unwrap();
        let receipt = serde_json::to_vec(&testing::receipt(&entry)).unwrap();
        std::fs::write(control.join("receipt-a1.json"), receipt).unwrap();
    }
    let received = |job: JobId| {
        let view = View::read(&here.ledger_dir()).unwrap();
        view.job(job).unwrap().last().receipts.len()
    };
    collect_open(&here).unwrap();
    assert_eq!((received(entry(1).job), received(young.job)), (0, 1), "{:?}", here.warned);
    collect_all(&here).unwrap();
    assert_eq!(received(entry(1).job), 1);
}
