//! What the index needs of a line, read without making the whole record.
//!
//! ```text
//! line --check--> frame --fast: borrowed fields, the rest is skipped--> Sketch
//!                   \-- anything unusual: the whole record (record.rs, salvage.rs) --> Sketch
//! ```
//!
//! The fast way is taken only for records that this program's own schemas describe. It gives the same sketch as
//! the whole record does; a test compares them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::super::body::Body;
use super::super::record::{self, Content, LineError, RECORD_SCHEMA};
use super::super::tasks::COMPLETE;
use super::name::{ImageKey, Naming};
use crate::job::{JobId, JobState, Measured, Tasks};
use crate::oci::{Digest, Sha256Digest};
use crate::pin::{Image, Recipe};
use crate::worker::{Receipt, Start, exit};

/// The first 8 bytes of an intent's id: they tell the submissions of one job apart.
pub(super) type ShortIntent = [u8; 8];

/// One record, as far as the index needs it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sketch {
    /// The writer's clock, nanoseconds since 1970.
    pub time: i64,
    /// Whether a newer program wrote it.
    pub newer: bool,
    /// What it says of a job; nothing when it speaks of none.
    pub about: Option<About>,
}

/// What a record says of a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct About {
    pub job: JobId,
    pub intent: ShortIntent,
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// The submission, with the names of its image.
    Intent(Arc<ImageKey>),
    /// An engine's name and id, `NAME:ID`.
    Submitted(String),
    Refused,
    Uncertain,
    Observed {
        state: JobState,
        exit_code: Option<i32>,
        /// Of an array whose tasks have all left their receipts.
        complete: bool,
    },
    /// An observation of some tasks of an array: no word on the whole.
    OfTasks,
    Receipt {
        /// Whether it says how the submission ended.
        word: bool,
        /// Whether it is of one task of an array.
        of_task: bool,
        ended_at: i64,
        exit_code: i32,
        told: bool,
        /// What was measured.
        measured: Option<[u8; 32]>,
    },
    Other,
}

/// Why a line has no sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSketch {
    /// It is not what was written.
    Damaged,
    /// A newer program's, and it does not say of which job it speaks.
    Foreign,
}

/// Reads lines. It remembers images: most jobs share one with others.
#[derive(Debug, Default)]
pub(super) struct Sketcher {
    images: HashMap<[u8; 16], Arc<ImageKey>>,
}

/// No more images are remembered.
const MOST_IMAGES: usize = 4096;

#[derive(Deserialize)]
struct Frame<'a> {
    schema: u32,
    time: jiff::Timestamp,
    #[serde(borrow)]
    body: Fast<'a>,
}

#[derive(Deserialize)]
struct Fast<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    job: Option<JobId>,
    #[serde(borrow)]
    intent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image: Option<FastImage<'a>>,
    #[serde(borrow)]
    engine: Option<FastEngine<'a>>,
    /// As a whole: a list that is malformed makes the record one that is not read fast.
    tasks: Option<Tasks>,
    state: Option<JobState>,
    exit_code: Option<i32>,
    #[serde(borrow)]
    engine_state: Option<Cow<'a, str>>,
    matched: Option<bool>,
    #[serde(borrow)]
    receipt: Option<FastReceipt<'a>>,
}

#[derive(Deserialize)]
struct FastEngine<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct FastImage<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    pin: Option<FastPin<'a>>,
    #[serde(borrow)]
    manifest: Option<Cow<'a, str>>,
    #[serde(borrow)]
    digest: Option<Cow<'a, str>>,
    /// As a whole: a codec that is not known here makes the image one that cannot be run.
    #[serde(rename = "recipe")]
    _recipe: Option<Recipe>,
}

#[derive(Deserialize)]
struct FastPin<'a> {
    #[serde(borrow)]
    index: Option<Cow<'a, str>>,
    #[serde(borrow)]
    manifest: Cow<'a, str>,
    #[serde(borrow)]
    config: Cow<'a, str>,
    #[serde(borrow)]
    asked: Cow<'a, str>,
}

#[derive(Deserialize)]
struct FastReceipt<'a> {
    job: JobId,
    #[serde(borrow)]
    intent: Cow<'a, str>,
    #[serde(borrow)]
    evidence: FastEvidence<'a>,
    #[serde(borrow)]
    start: FastStart<'a>,
    ended_at: jiff::Timestamp,
    exit_code: i32,
    task: Option<u32>,
    told: Option<i32>,
}

#[derive(Deserialize)]
struct FastEvidence<'a> {
    #[serde(borrow)]
    measured: Option<FastMeasured<'a>>,
    /// Schema 1.
    #[serde(borrow)]
    sif: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct FastMeasured<'a> {
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

#[derive(Deserialize)]
struct FastStart<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
}

impl Sketcher {
    /// Reads a line, without its newline.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<Sketch, NoSketch> {
        let content = match record::checked(line) {
            Ok(content) => content,
            Err(LineError::NoCheck | LineError::Check | LineError::Frame(_)) => {
                return Err(NoSketch::Damaged);
            }
        };
        match self.fast(content) {
            Some(sketch) => Ok(sketch),
            None => self.whole(line),
        }
    }

    fn fast(&self, json: &[u8]) -> Option<Sketch> {
        let Frame { schema, time, body } = serde_json::from_slice(json).ok()?;
        if schema > RECORD_SCHEMA {
            return None;
        }
        let time = nanoseconds(time);
        if body.kind == "converted" {
            return Some(Sketch { time, newer: false, about: None });
        }
        let intent = short(&body.intent?)?;
        let job = body.job?;
        let what = match body.kind.as_ref() {
            "intent" => What::Intent(self.fast_image(&body.image?)?),
            "submitted" => {
                let engine = body.engine?;
                What::Submitted(format!("{}:{}", engine.kind, engine.id))
            }
            "refused" => What::Refused,
            "uncertain" => What::Uncertain,
            "observed" if body.tasks.is_some() => What::OfTasks,
            "observed" => What::Observed {
                state: body.state?,
                exit_code: body.exit_code,
                complete: body.engine_state.as_deref() == Some(COMPLETE),
            },
            "receipt" => {
                let (receipt, matched) = (body.receipt?, body.matched?);
                let own = matched && receipt.job == job && short(&receipt.intent)? == intent;
                let refused = match receipt.start.state.as_ref() {
                    "refused" => true,
                    "started" => false,
                    _ => return None,
                };
                let measured = receipt.evidence.measured.map(|m| m.digest);
                let measured = measured.or(receipt.evidence.sif);
                What::Receipt {
                    word: own
                        && !(refused && measured.is_none() && receipt.exit_code == exit::DUPLICATE),
                    of_task: receipt.task.is_some(),
                    ended_at: nanoseconds(receipt.ended_at),
                    exit_code: receipt.exit_code,
                    told: receipt.told.is_some(),
                    measured: measured.as_deref().and_then(bytes),
                }
            }
            "held" | "released" | "cancelled" | "note" | "policy" => What::Other,
            _ => return None,
        };
        Some(Sketch { time, newer: false, about: Some(About { job, intent, what }) })
    }

    fn fast_image(&self, image: &FastImage<'_>) -> Option<Arc<ImageKey>> {
        // only in the forms that this program can run is it the whole image
        if !matches!(image.kind.as_ref(), "oci" | "sif") {
            return None;
        }
        let pin = image.pin.as_ref();
        let naming = Naming {
            manifest: pin.map(|pin| pin.manifest.as_ref()).or(image.manifest.as_deref()),
            index: pin.and_then(|pin| pin.index.as_deref()),
            config: pin.map(|pin| pin.config.as_ref()),
            sif: image.digest.as_deref(),
            asked: pin.map(|pin| pin.asked.as_ref()),
        };
        // one that was not seen before is read as a whole
        self.images.get(&naming.key()).map(Arc::clone)
    }

    fn image(&mut self, naming: &Naming<'_>) -> Option<Arc<ImageKey>> {
        let key = naming.key();
        if let Some(known) = self.images.get(&key) {
            return Some(Arc::clone(known));
        }
        if self.images.len() >= MOST_IMAGES {
            self.images.clear();
        }
        let made = Arc::new(naming.image()?);
        self.images.insert(key, Arc::clone(&made));
        Some(made)
    }

    /// By the whole record.
    fn whole(&mut self, line: &[u8]) -> Result<Sketch, NoSketch> {
        let record = record::decode(line).map_err(|_| NoSketch::Damaged)?;
        let time = nanoseconds(record.time);
        let (body, newer) = match record.body {
            Content::Known(body) => (body, false),
            Content::Partly { body, .. } => (body, true),
            Content::Foreign { .. } => return Err(NoSketch::Foreign),
        };
        let about = self.about(&body, newer);
        Ok(Sketch { time, newer, about })
    }

    fn about(&mut self, body: &Body, newer: bool) -> Option<About> {
        let (job, intent) = (body.job()?, body.intent()?);
        let what = match body {
            Body::Intent { image, .. } => What::Intent(self.image_of(image, newer)),
            Body::Submitted { engine, .. } => {
                What::Submitted(format!("{}:{}", engine.kind, engine.id))
            }
            Body::Refused { .. } => What::Refused,
            Body::Uncertain { .. } => What::Uncertain,
            Body::Observed { tasks: Some(_), .. } => What::OfTasks,
            Body::Observed { state, exit_code, engine_state, .. } => What::Observed {
                state: *state,
                exit_code: *exit_code,
                complete: engine_state.as_deref() == Some(COMPLETE),
            },
            Body::Receipt { receipt, matched, .. } => {
                let own = *matched && (receipt.job, receipt.intent) == (job, intent);
                of_receipt(receipt, own)
            }
            _ => What::Other,
        };
        Some(About { job, intent: first(intent.to_bytes()), what })
    }

    fn image_of(&mut self, image: &Image, newer: bool) -> Arc<ImageKey> {
        let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
        let pin = image.pin();
        let (manifest, index) = (text(image.manifest()), text(pin.and_then(|pin| pin.index)));
        let config = pin.map(|pin| pin.config.to_string());
        let sif = image.sif().map(|digest| digest.to_string());
        let asked = pin.map(|pin| pin.asked.to_string());
        let naming = Naming {
            manifest: manifest.as_deref(),
            index: index.as_deref(),
            config: config.as_deref(),
            sif: sif.as_deref(),
            asked: asked.as_deref(),
        };
        let known = if newer { naming.image().map(Arc::new) } else { self.image(&naming) };
        known.unwrap_or_default()
    }
}

fn of_receipt(receipt: &Receipt, own: bool) -> What {
    let refused = matches!(receipt.start, Start::Refused { .. });
    let measured = receipt.evidence.measured.as_ref().map(Measured::digest);
    What::Receipt {
        word: own && !(refused && measured.is_none() && receipt.exit_code == exit::DUPLICATE),
        of_task: receipt.conditions.task.is_some(),
        ended_at: nanoseconds(receipt.ended_at),
        exit_code: receipt.exit_code,
        told: receipt.conditions.told.is_some(),
        measured: measured.as_deref().and_then(bytes),
    }
}

fn bytes(digest: &str) -> Option<[u8; 32]> {
    digest.parse::<Digest>().ok().map(|digest| *digest.bytes())
}

fn first(bytes: [u8; 16]) -> ShortIntent {
    let mut short = [0; 8];
    short.copy_from_slice(&bytes[..8]);
    short
}

fn short(intent: &str) -> Option<ShortIntent> {
    intent.parse::<crate::job::IntentId>().ok().map(|intent| first(intent.to_bytes()))
}

fn nanoseconds(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fast way and the whole record say the same of every kind of record, of an older, of this and of a
    /// (made-up) newer program.
    #[test]
    fn both_ways_agree() {
        let texts = [
            include_str!("../../../tests/jobs/ledger/records-1.jsonl"),
            include_str!("../../../tests/jobs/ledger/records-2.jsonl"),
            include_str!("../../../tests/jobs/ledger/records-3.jsonl"),
        ];
        let (mut fast, mut all) = (0, 0);
        let mut sketcher = Sketcher::default();
        for line in texts.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty()) {
            let whole = sketcher.whole(line.as_bytes());
            assert_eq!(sketcher.read(line.as_bytes()), whole, "{line}");
            let content = record::checked(line.as_bytes()).unwrap();
            if let Some(sketch) = sketcher.fast(content) {
                assert_eq!(Ok(sketch), whole, "{line}");
                fast += 1;
            }
            all += 1;
        }
        assert!(all > 20 && fast * 2 > all, "{fast} of {all}");
        let damaged = texts[1].lines().next().unwrap().replacen("slurm", "local", 1);
        assert_eq!(Sketcher::default().read(damaged.as_bytes()), Err(NoSketch::Damaged));
    }
}
