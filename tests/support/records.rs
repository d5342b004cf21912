//! The usual job of a ledger for tests: ids, pin, image, intent, key, receipt. What a test is about, it changes.
//!
//! One file for all: the test programs have it in `support`, the library's own tests as `ledger::testing`.

#![allow(dead_code, reason = "each user takes a part of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use moorline::job::{Delivery, EngineKey, Evidence, Grade, IntentId, JobId, JobSpec, Name, Nonce};
use moorline::ledger::{Intent, RecordHash, Recorded};
use moorline::oci::{ConfigDigest, Digest, Platform, Reference, Sha256Digest, SifDigest};
use moorline::pin::{Codec, Image, Pin, Recipe};
use moorline::worker::{Conditions, RECEIPT_SCHEMA, Receipt, Start};

/// A directory that a ledger may lie in, private whatever the umask is.
pub fn private() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

/// Seconds after the moment in which the usual job was made.
pub fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// The ids of the job with this number: each number has its own, and a later number is a newer job.
pub fn entry(n: u64) -> Recorded {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    Recorded {
        job: JobId::from_parts(1_700_000_000_000 + n, u128::from(n)),
        intent: IntentId::from_bytes(bytes),
        nonce: Nonce::from_bytes([u8::try_from(n % 251).unwrap(); 16]),
    }
}

/// What `asked` named.
pub fn pin_of(asked: &str) -> Pin {
    let asked: Reference = asked.parse().unwrap();
    Pin {
        registry: asked.registry.clone(),
        repository: asked.repository.clone(),
        index: Some(Digest::of(b"index")),
        manifest: Digest::of(b"manifest"),
        config: ConfigDigest::of(b"config"),
        platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
        asked,
        resolved_at: at(0),
        origin: None,
    }
}

/// The usual one.
pub fn pin() -> Pin {
    pin_of("registry.example/group/project:v1")
}

/// A SIF that was made of an image of a registry, or that came from nowhere.
pub fn sif(pin: Option<Pin>, digest: SifDigest) -> Image {
    Image::Sif { pin, manifest: None, digest, recipe: None, tree: None }
}

/// How that SIF was made.
pub fn recipe() -> Recipe {
    Recipe {
        schema: 1,
        layout: 1,
        template: 1,
        codec: Codec::Zstd,
        codec_version: "1.5.7".into(),
        level: 3,
        block_size: 131_072,
    }
}

/// What the job is to do.
pub fn spec(id: JobId, image: Image) -> JobSpec {
    let delivery = Delivery::Shared { place: "/home/ada/a.sif".into() };
    let plain = JobSpec::plain(id, image, delivery, vec!["true".into()]);
    JobSpec { name: Some("analysis".into()), ..plain }
}

/// What is recorded before `backend` hears of it.
pub fn intent(entry: &Recorded, backend: &str, image: Image) -> Intent {
    Intent {
        spec: spec(entry.job, image),
        intent: entry.intent,
        nonce: entry.nonce,
        backend: backend.parse::<Name>().unwrap(),
        enclosing: None,
        plan: RecordHash::of(b"plan"),
        user: "ada".into(),
        host: "login1".into(),
    }
}

/// Its name at an engine.
#[allow(clippy::needless_pass_by_value, reason = "a number or a text, as it is at hand")]
pub fn key(kind: &str, id: impl ToString) -> EngineKey {
    EngineKey {
        kind: kind.into(),
        cluster: None,
        id: id.to_string(),
        submitted_at: at(1),
        owner: "ada".into(),
    }
}

/// Of a start that ended well, and measured nothing.
pub fn receipt(entry: &Recorded) -> Receipt {
    Receipt {
        schema: RECEIPT_SCHEMA,
        writer: "moorline 0.1.0".into(),
        job: entry.job,
        intent: entry.intent,
        nonce: entry.nonce,
        attempt: "a1".into(),
        host: "node7".into(),
        engine: Vec::new(),
        pinned: None,
        expected: None,
        evidence: Evidence { grade: Grade::None, measured: None, measured_at: None },
        runtime: Name::known("builtin"),
        rootfs: None,
        notes: Vec::new(),
        skipped_mounts: Vec::new(),
        start: Start::Started { at: at(6) },
        ended_at: at(9),
        exit_code: 0,
        conditions: Conditions::default(),
    }
}
