//! Which image did this job use?

use std::collections::BTreeMap;

use serde::Serialize;

use super::verdict::{Forger, Reason, Verdict, contradicted, forgers, judge};
use crate::job::{EngineKey, Grade, IntentId, JobRef, JobState, Measured, Nonce, Tasks};
use crate::ledger::{JobRecord, LookupError, Outcome, Payload, ReceiptRecord, Submission, View};
use crate::oci::{ConfigDigest, Digest, Platform, Reference, SifDigest, TreeRoot};
use crate::pin::{Image, Origin, Recipe};
use crate::worker::{Conditions, Contradiction, MountNote, Qualifier, Receipt, Start, contradicts};

/// The answer for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobAnswer {
    /// The job, or one of its tasks.
    pub job: JobRef,
    /// What the user called it, unless that was erased.
    pub name: Option<String>,
    /// Who submitted it, unless that was erased.
    pub user: Option<String>,
    /// Its state as far as it is recorded.
    pub state: JobState,
    /// Which job, or which task of one, it repeats.
    pub rerun_of: Option<JobRef>,
    /// The worst verdict of its submissions; those that the engine refused count only when there
    /// is no other.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The same, for people.
    pub why: String,
    /// What keeps a *Match* from being a plain one, over all attempts that count.
    pub qualified: Vec<Qualifier>,
    /// What else a reader should know.
    pub notes: Vec<String>,
    /// Each time that it was given to an engine.
    pub submissions: Vec<SubmissionAnswer>,
}

/// One submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubmissionAnswer {
    /// Its id.
    pub intent: IntentId,
    /// When it was recorded, before the engine was asked.
    pub recorded_at: jiff::Timestamp,
    /// The image that was asked for.
    pub image: UsedImage,
    /// The kind of engine.
    pub backend: String,
    /// `open`, `submitted`, `refused`, `uncertain`.
    pub outcome: &'static str,
    /// The engine's key, once it took the job; the owner is empty when it was erased.
    pub engine: Option<EngineKey>,
    /// The worst verdict of its attempts.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Of an array: its tasks by their verdicts. Empty for a job that is none, and for one task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TasksAnswer>,
    /// One for each receipt.
    pub attempts: Vec<AttemptAnswer>,
}

/// Tasks of an array of which the same is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TasksAnswer {
    /// Which.
    pub tasks: Tasks,
    /// The worst verdict of the attempts of each.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What keeps a *Match* from being a plain one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub qualified: Vec<Qualifier>,
}

/// An image, in all its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsedImage {
    /// `registry/repository@sha256:...`; none for a SIF that the user gave.
    pub reference: Option<String>,
    /// What the user typed.
    pub asked: Option<Reference>,
    /// The digest of the index.
    pub index: Option<Digest>,
    /// The digest of the platform's manifest.
    pub manifest: Option<Digest>,
    /// The digest of the configuration.
    pub config: Option<ConfigDigest>,
    /// The platform.
    pub platform: Option<Platform>,
    /// Where it came from.
    pub origin: Option<Origin>,
    /// The digest of the SIF.
    pub sif: Option<SifDigest>,
    /// The root of the SIF's hash tree, by which its blocks can be checked when they are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeRoot>,
    /// How the SIF was made.
    pub recipe: Option<Recipe>,
}

/// One start of the job, as a worker told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptAnswer {
    /// The worker's random name for it.
    pub attempt: String,
    /// The worker's host.
    pub host: String,
    /// How the image was measured.
    pub grade: Grade,
    /// What was measured.
    pub measured: Option<String>,
    /// Whose digest that is: `sif`, `tree`, `config`, `manifest`.
    pub measured_what: Option<String>,
    /// When.
    pub measured_at: Option<jiff::Timestamp>,
    /// The runtime.
    pub runtime: String,
    /// How the root file system was provided.
    pub rootfs: Option<String>,
    /// When the program started; none when it was not.
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    pub ended_at: jiff::Timestamp,
    /// How.
    pub exit_code: i32,
    /// When the receipt was recorded.
    pub collected_at: jiff::Timestamp,
    /// The verdict on this attempt.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What cannot be true in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contradictions: Vec<Contradiction>,
    /// Who could have written this receipt though it is not true.
    pub forgeable_by: Vec<Forger>,
    /// What keeps a *Match* from being a plain one.
    pub qualified: Vec<Qualifier>,
    /// Under which conditions it ran; empty as far as it was erased.
    pub conditions: Conditions,
    /// Mounts that the worker did not have, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_mounts: Vec<MountNote>,
    /// What the worker noted; foreign text, and none as far as it was erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The receipt's own intent and nonce, when they are not the submission's.
    pub foreign: Option<(IntentId, Nonce)>,
}

impl JobAnswer {
    /// The image of the last submission in one word: its pinned reference, else the digest of the SIF.
    #[must_use]
    pub fn image(&self) -> Option<String> {
        let image = &self.submissions.last()?.image;
        image.reference.clone().or_else(|| image.sif.map(|digest| digest.to_string()))
    }
}

/// Answers for the job that `text` means (see [`View::find`]).
///
/// # Errors
/// When there is no such job, or several.
pub fn audit_job(view: &View, text: &str) -> Result<JobAnswer, LookupError> {
    view.find(text).map(answer)
}

pub(super) fn answer(job: &JobRecord) -> JobAnswer {
    let submissions: Vec<_> = job.submissions.iter().map(submission).collect();
    let ran = submissions.iter().filter(|s| s.outcome != "refused").map(|s| s.reason);
    let reason = worst(ran).unwrap_or(Reason::NotSubmitted);
    let (name, user) = match &job.last().personal {
        Payload::Present(personal) => (personal.name.clone(), personal.user.clone()),
        _ => (None, None),
    };
    JobAnswer {
        job: job.which(),
        name,
        user,
        state: job.state(),
        rerun_of: job.last().repeats(),
        verdict: reason.verdict(),
        reason,
        why: reason.sentence().to_owned(),
        qualified: of_match(reason, all_qualifiers(&submissions)),
        notes: notes(job),
        submissions,
    }
}

/// As recorded, and once more from what the receipt says: an older program recorded none.
fn qualified(record: &ReceiptRecord) -> Vec<Qualifier> {
    let mut all = record.qualifiers.clone();
    all.extend(record.receipt.qualifiers());
    all.sort_unstable();
    all.dedup();
    all
}

/// Only a *Match* has a *but*: what did not run, or is not proved, is qualified by nothing.
fn of_match(reason: Reason, qualified: Vec<Qualifier>) -> Vec<Qualifier> {
    if reason.verdict() == Verdict::Match { qualified } else { Vec::new() }
}

fn all_qualifiers(submissions: &[SubmissionAnswer]) -> Vec<Qualifier> {
    let own = submissions.iter().flat_map(|s| &s.attempts).filter(|a| a.foreign.is_none());
    let mut all: Vec<_> = own.flat_map(|a| a.qualified.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The worst of several reasons: by verdict, then the first.
fn worst(reasons: impl Iterator<Item = Reason>) -> Option<Reason> {
    reasons.reduce(|worst, next| if next.verdict() > worst.verdict() { next } else { worst })
}

fn submission(submission: &Submission) -> SubmissionAnswer {
    // a copy that the engine took started nothing: it is a note, and says nothing of the job
    let counts = |record: &&ReceiptRecord| !submission.is_duplicate(&record.receipt);
    let stories = Stories::of(submission);
    let attempts: Vec<_> =
        submission.receipts.iter().filter(counts).map(|r| attempt(&stories, r)).collect();
    let refused = matches!(submission.outcome, Outcome::Refused(_));
    let without = if refused { Reason::NotSubmitted } else { Reason::NoReceipt };
    let tasks = tasks(submission, &attempts, without);
    // a task that left no receipt counts as much as the others
    let all = attempts.iter().map(|a| a.reason).chain(tasks.iter().map(|of| of.reason));
    let reason = worst(all).unwrap_or(without);
    SubmissionAnswer {
        intent: submission.entry.intent,
        recorded_at: submission.time,
        image: UsedImage::of(&submission.image),
        backend: submission.backend.to_string(),
        // a receipt of a job that was refused: it ran after all
        outcome: match &submission.outcome {
            Outcome::Open => "open",
            Outcome::Submitted(_) => "submitted",
            Outcome::Refused(_) if attempts.is_empty() => "refused",
            Outcome::Refused(_) | Outcome::Uncertain(_) => "uncertain",
        },
        engine: submission.key().cloned(),
        verdict: reason.verdict(),
        reason,
        tasks,
        attempts,
    }
}

/// The tasks of an array by their verdicts.
fn tasks(submission: &Submission, attempts: &[AttemptAnswer], without: Reason) -> Vec<TasksAnswer> {
    let Some(tasks) = submission.tasks() else { return Vec::new() };
    let mut by_task: BTreeMap<u32, Vec<&AttemptAnswer>> = BTreeMap::new();
    for attempt in attempts {
        if let Some(task) = attempt.conditions.task {
            by_task.entry(task).or_default().push(attempt);
        }
    }
    let of = |task: u32| {
        let attempts = || by_task.get(&task).into_iter().flatten();
        let mut qualified: Vec<Qualifier> =
            attempts().flat_map(|attempt| attempt.qualified.iter().copied()).collect();
        qualified.sort_unstable();
        qualified.dedup();
        let reason = worst(attempts().map(|attempt| attempt.reason)).unwrap_or(without);
        (task, (reason, of_match(reason, qualified)))
    };
    let answer = |(tasks, (reason, qualified)): (Tasks, (Reason, Vec<Qualifier>))| TasksAnswer {
        tasks,
        verdict: reason.verdict(),
        reason,
        qualified,
    };
    Tasks::together(tasks.numbers().map(of)).into_iter().map(answer).collect()
}

fn attempt(stories: &Stories<'_>, record: &ReceiptRecord) -> AttemptAnswer {
    let submission = stories.submission;
    let (entry, receipt) = (&submission.entry, &record.receipt);
    let contradictions = stories.contradictions(receipt);
    let reason = match judge(entry, &submission.image, Some(receipt)) {
        Reason::SameDigest if !submission.whole => Reason::NeedsNewer,
        reason => contradicted(reason, &contradictions),
    };
    AttemptAnswer {
        attempt: receipt.attempt.clone(),
        host: receipt.host.clone(),
        grade: receipt.evidence.grade,
        measured: receipt.evidence.measured.as_ref().map(Measured::digest),
        measured_what: receipt.evidence.measured.as_ref().map(|m| m.kind().to_owned()),
        measured_at: receipt.evidence.measured_at,
        runtime: receipt.runtime.to_string(),
        rootfs: receipt.rootfs.clone(),
        started_at: match receipt.start {
            Start::Started { at } => Some(at),
            Start::Refused { .. } => None,
        },
        ended_at: receipt.ended_at,
        exit_code: receipt.exit_code,
        collected_at: record.time,
        verdict: reason.verdict(),
        reason,
        contradictions,
        qualified: of_match(reason, qualified(record)),
        forgeable_by: forgers(receipt),
        conditions: receipt.conditions.clone(),
        skipped_mounts: receipt.skipped_mounts.clone(),
        notes: receipt.notes.clone(),
        foreign: (!entry.wrote(receipt)).then_some((receipt.intent, receipt.nonce)),
    }
}

/// The receipts of a submission by their attempts: an array has thousands.
struct Stories<'s> {
    submission: &'s Submission,
    by_attempt: BTreeMap<&'s str, Vec<&'s Receipt>>,
}

impl<'s> Stories<'s> {
    fn of(submission: &'s Submission) -> Self {
        let mut by_attempt: BTreeMap<&str, Vec<&Receipt>> = BTreeMap::new();
        let all = submission.receipts.iter().map(|record| &record.receipt);
        for receipt in all.filter(|receipt| submission.entry.wrote(receipt)) {
            by_attempt.entry(&receipt.attempt).or_default().push(receipt);
        }
        Self { submission, by_attempt }
    }

    /// What cannot be true in a receipt of the submission.
    fn contradictions(&self, receipt: &Receipt) -> Vec<Contradiction> {
        if !self.submission.entry.wrote(receipt) {
            return Vec::new();
        }
        let others = self.by_attempt.get(receipt.attempt.as_str()).into_iter().flatten();
        contradicts(receipt, &self.submission.image, others.copied())
    }
}

fn notes(job: &JobRecord) -> Vec<String> {
    let mut notes = Vec::new();
    for submission in &job.submissions {
        let intent = submission.entry.intent;
        if !submission.whole {
            notes.push(format!(
                "submission {intent}: a newer moorline recorded it; this one shows what it can read"
            ));
        }
        let unread = submission.history.iter().filter(|event| !event.whole).count();
        if unread > 0 {
            let records = if unread == 1 { "record needs" } else { "records need" };
            notes.push(format!("submission {intent}: {unread} {records} a newer moorline"));
        }
        match &submission.personal {
            Payload::Present(personal) => notes.extend(personal.notes.iter().cloned()),
            Payload::Left => {}
            Payload::Erased => {
                notes.push(format!("submission {intent}: names and texts were erased"));
            }
            Payload::Damaged(why) => {
                notes.push(format!("submission {intent}: the payload is damaged: {why}"));
            }
        }
        match &submission.outcome {
            Outcome::Open => notes.push(format!(
                "submission {intent}: the engine's answer is not recorded; it may or may not run"
            )),
            Outcome::Uncertain(_) => {
                notes.push(format!(
                    "submission {intent}: nobody can say whether the engine took it"
                ));
            }
            Outcome::Submitted(_) | Outcome::Refused(_) => {}
        }
        let stories = Stories::of(submission);
        for record in &submission.receipts {
            let name = &record.receipt.attempt;
            if !submission.entry.wrote(&record.receipt) {
                notes.push(format!("attempt {name}: {}", Reason::ForeignReceipt.sentence()));
            }
            if submission.is_duplicate(&record.receipt) {
                notes.push(format!(
                    "attempt {name} on {}: a copy that the engine took; its program was not started",
                    record.receipt.host
                ));
            }
            for wrong in stories.contradictions(&record.receipt) {
                let note = format!("attempt {name}: {}", wrong.sentence());
                // of two that differ, each says it
                if wrong != Contradiction::ToldTwice || !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
    }
    notes
}

impl UsedImage {
    /// The names of an image.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let pin = image.pin();
        let (sif, recipe) = match image {
            Image::Sif { digest, recipe, .. } => (Some(*digest), recipe.clone()),
            other => (other.sif(), None),
        };
        Self {
            reference: pin.map(|pin| pin.reference().to_string()),
            asked: pin.map(|pin| pin.asked.clone()),
            index: pin.and_then(|pin| pin.index),
            manifest: image.manifest(),
            config: pin.map(|pin| pin.config),
            platform: pin.map(|pin| pin.platform.clone()),
            origin: pin.and_then(|pin| pin.origin.clone()),
            sif,
            tree: image.tree(),
            recipe,
        }
    }
}
