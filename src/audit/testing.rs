//! Jobs and receipts for the tests of this folder.

use crate::job::{
    Evidence, Grade, IntentId, JobId, JobSpec, Measured, Nonce, Resources, RuntimeChoice, Terms,
};
use crate::ledger::{Entry, Intent, RecordHash};
use crate::oci::{ConfigDigest, Digest, Platform, Sha256Digest, SifDigest};
use crate::pin::{Image, Pin};
use crate::worker::{Conditions, RECEIPT_SCHEMA, Receipt, Start};

/// A ledger's directory, private whatever the umask is.
pub(super) fn private() -> tempfile::TempDir {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().unwrap()
}

pub(super) fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub(super) fn entry(n: u8) -> Entry {
    Entry {
        job: JobId::from_parts(1_700_000_000_000 + u64::from(n), u128::from(n)),
        intent: IntentId::from_bytes([n; 16]),
        nonce: Nonce::from_bytes([n.wrapping_add(100); 16]),
    }
}

pub(super) fn pin() -> Pin {
    let asked: crate::oci::Reference = "registry.example/group/project:v1".parse().unwrap();
    Pin {
        registry: asked.registry.clone(),
        repository: asked.repository.clone(),
        index: Some(Digest::of(b"index")),
        manifest: Digest::of(b"manifest"),
        config: ConfigDigest::of(b"config"),
        platform: Platform::host(),
        asked,
        resolved_at: at(0),
        origin: None,
    }
}

pub(super) fn oci() -> Image {
    Image::Oci { pin: pin() }
}

pub(super) fn sif(digest: SifDigest) -> Image {
    Image::Sif { pin: Some(pin()), manifest: None, digest, recipe: None }
}

pub(super) fn intent(entry: &Entry, image: Image) -> Intent {
    Intent {
        spec: JobSpec {
            id: entry.job,
            name: Some("analysis".into()),
            image,
            delivery: crate::job::Delivery::Shared { place: "/home/ada/a.sif".into() },
            command: vec!["true".into()],
            mounts: Vec::new(),
            env: Vec::new(),
            runtime: RuntimeChoice::Auto,
            options: Vec::new(),
            resources: Resources::default(),
            workdir: None,
            rerun_of: None,
            terms: Terms::default(),
        },
        intent: entry.intent,
        nonce: entry.nonce,
        backend: "local".parse().unwrap(),
        enclosing: None,
        plan: RecordHash::of(b"plan"),
        user: "ada".into(),
        host: "login1".into(),
    }
}

pub(super) fn receipt(
    entry: &Entry,
    grade: Grade,
    sif: Option<SifDigest>,
    started: bool,
) -> Receipt {
    Receipt {
        notes: Vec::new(),
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
        evidence: Evidence { grade, measured: sif.map(Measured::Sif), measured_at: Some(at(5)) },
        runtime: "builtin".parse().unwrap(),
        rootfs: None,
        skipped_mounts: Vec::new(),
        start: if started {
            Start::Started { at: at(6) }
        } else {
            Start::Refused { why: "no".into() }
        },
        ended_at: at(9),
        exit_code: 0,
        conditions: Conditions::default(),
    }
}
