//! One record: one line of JSON, sealed with a hash of its own bytes and chained to the line before.
//!
//! ```text
//! {"schema":1,"writer":"W","segment":1,"sequence":7,"time":"T","prev":"sha256:P","body":{...},"check":"sha256:C"}\n
//!                                                                     |                                   |
//!  hash of the raw bytes of the line before, without its newline -----+                                   |
//!  hash of this line's bytes up to the comma before "check" ----------------------------------------------+
//! ```
//!
//! `prev` shows that a line in the middle was changed, taken out or moved; `check` shows that a line
//! was damaged, also the last one, which nothing follows yet. Neither is a signature: who can write
//! the file can write a new chain (docs/ledger.md).
//!
//! The frame (JSON object, these seven keys, `check` last) stays the same in every schema; what may
//! change is `body` (`body.rs`). An old program reads of a newer body what it can (`salvage.rs`), keeps it,
//! and appends nothing behind it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::body::Body;
use super::hash::RecordHash;
use super::salvage;

/// The version of the bodies that this program writes.
///
/// 2: open names, tasks, holds, policies, conversions, what qualifies a verdict.
pub const RECORD_SCHEMA: u32 = 2;

/// Who wrote a file: 128 random bits as 32 hex characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId(u128);

impl WriterId {
    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterId({self})")
    }
}

impl FromStr for WriterId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let parsed = u128::from_str_radix(text, 16).ok().filter(|_| hex);
        parsed.map(Self).ok_or_else(|| format!("{text:?} is not a writer id (32 hex characters)"))
    }
}

impl Serialize for WriterId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WriterId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The frame of a record, with the body in the form that is at hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<B> {
    /// The version of the body.
    pub schema: u32,
    /// Who wrote it.
    pub writer: WriterId,
    /// Which of the writer's files, from 1.
    pub segment: u32,
    /// Counts the writer's records over all its segments, from 1.
    pub sequence: u64,
    /// The writer's clock: information, never an order.
    pub time: jiff::Timestamp,
    /// The line before; `None` only for a writer's first.
    pub prev: Option<RecordHash>,
    /// What happened.
    pub body: B,
}

/// A body as far as this program understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Understood.
    Known(Body),
    /// Sound, but newer than this program: what it could read of it.
    Partly {
        /// The part. What is missing has a value that says so.
        body: Body,
        /// Why it is not all.
        why: String,
    },
    /// Sound, but newer, and it does not even say of which submission it speaks: kept and skipped.
    Foreign {
        /// What its `kind` says, if anything.
        kind: String,
        /// Why it is not understood.
        why: String,
    },
}

impl Content {
    /// The job that it speaks of, as far as that can be read.
    #[must_use]
    pub fn job(&self) -> Option<crate::job::JobId> {
        match self {
            Self::Known(body) | Self::Partly { body, .. } => body.job(),
            Self::Foreign { .. } => None,
        }
    }
}

/// Why a line is not a record. It says nothing of who did it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line does not end as every record ends.
    #[error("it is not a record: no check at its end")]
    NoCheck,
    /// The bytes are not the ones that were written.
    #[error("its bytes were changed: the check at its end does not fit")]
    Check,
    /// The check fits, but the frame does not read.
    #[error("it is not a record: {0}")]
    Frame(String),
}

const CHECK: &[u8] = b",\"check\":\"";
/// `,"check":"` + `sha256:` + 64 hex + `"}`.
const CHECK_LEN: usize = CHECK.len() + 71 + 2;

/// The line to write, newline included.
///
/// # Errors
/// When a path in the body is not UTF-8.
pub(super) fn encode(record: &Record<&Body>) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(record)?;
    line.pop(); // the closing brace comes again behind the check
    let check = RecordHash::of(&line);
    line.extend_from_slice(CHECK);
    line.extend_from_slice(check.to_string().as_bytes());
    line.extend_from_slice(b"\"}\n");
    Ok(line)
}

/// The JSON of a line (without its newline) up to its check, when its bytes are those that were written. The
/// closing brace stands behind the check.
///
/// # Errors
/// When the bytes are not those of a record.
fn sound(line: &[u8]) -> Result<&[u8], LineError> {
    let start = line.len().checked_sub(CHECK_LEN).ok_or(LineError::NoCheck)?;
    let (content, end) = line.split_at(start);
    let check = end
        .strip_prefix(CHECK)
        .and_then(|end| end.strip_suffix(b"\"}"))
        .ok_or(LineError::NoCheck)?;
    // every line of a large ledger is checked: no text is made for it
    let hash = RecordHash::of(content);
    let hex = check.strip_prefix(b"sha256:").filter(|hex| hex.len() == 64);
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' - 10 + half };
    let same = hex.is_some_and(|hex| {
        let pairs = hex.chunks_exact(2).zip(hash.bytes());
        pairs.into_iter().all(|(pair, byte)| *pair == [digit(byte >> 4), digit(byte & 15)])
    });
    if same { Ok(content) } else { Err(LineError::Check) }
}

/// The line itself, a whole JSON object, when its bytes are those that were written.
///
/// # Errors
/// When they are not.
pub(super) fn checked(line: &[u8]) -> Result<&[u8], LineError> {
    sound(line).map(|_| line)
}

/// Reads a line (without its newline) after checking its bytes.
///
/// # Errors
/// When the bytes are not those of a record.
pub(super) fn decode(line: &[u8]) -> Result<Record<Content>, LineError> {
    let json = [sound(line)?, b"}"].concat();
    let record: Record<Value> =
        serde_json::from_slice(&json).map_err(|e| LineError::Frame(e.to_string()))?;
    let Record { schema, writer, segment, sequence, time, prev, body } = record;
    Ok(Record { schema, writer, segment, sequence, time, prev, body: understand(schema, &body) })
}

fn understand(schema: u32, body: &Value) -> Content {
    let kind = body.get("kind").and_then(Value::as_str).unwrap_or_default();
    let newer = || format!("schema {schema}; this moorline writes {RECORD_SCHEMA}");
    let why = match Body::deserialize(body) {
        Ok(body @ Body::Other { .. }) if !Body::KINDS.contains(&kind) => {
            let why = format!("kind {kind:?} is not known here");
            return Content::Partly {
                body,
                why: if schema > RECORD_SCHEMA { newer() } else { why },
            };
        }
        // a kind of ours in a shape that is not
        Ok(Body::Other { .. }) | Err(_) => {
            format!("kind {kind:?} in a shape that is not known here")
        }
        Ok(body) if schema > RECORD_SCHEMA => return Content::Partly { body, why: newer() },
        Ok(body) if body.is_whole() => return Content::Known(body),
        Ok(body) => {
            return Content::Partly {
                body,
                why: "an image in a form that is not known here".into(),
            };
        }
    };
    match salvage::salvage(kind, body) {
        Some(body) => Content::Partly { body, why },
        None => Content::Foreign { kind: kind.to_owned(), why },
    }
}
