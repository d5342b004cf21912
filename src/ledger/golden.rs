//! One record of each kind, byte by byte: what lies on people's disks must stay readable.

use snapbox::{assert_data_eq, file};

use super::hash::RecordHash;
use super::personal::{Personal, seal};
use super::record::{Body, Content, EngineName, RECORD_SCHEMA, Record, WriterId, decode, encode};
use crate::job::{
    Evidence, Grade, IntentId, JobId, JobState, Mount, Nonce, Resources, RuntimeChoice,
};
use crate::oci::{ConfigDigest, Digest, Platform, Reference, Sha256Digest, SifDigest};
use crate::pin::{Codec, Image, Origin, Pin, Recipe};
use crate::worker::{RECEIPT_SCHEMA, Receipt, Start};

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn pin() -> Pin {
    let asked: Reference = "registry.example/group/project:v1".parse().unwrap();
    Pin {
        registry: asked.registry.clone(),
        repository: asked.repository.clone(),
        index: Some(Digest::of(b"index")),
        manifest: Digest::of(b"manifest"),
        config: ConfigDigest::of(b"config"),
        platform: Platform {
            os: "linux".into(),
            architecture: "arm64".into(),
            variant: Some("v8".into()),
        },
        asked,
        resolved_at: at(0),
        origin: Some(Origin { pipeline: Some(4711), ..Origin::default() }),
    }
}

fn bodies() -> Vec<Body> {
    let (job, intent) = (JobId::from_parts(1_700_000_000_000, 1), IntentId::from_bytes([1; 16]));
    let nonce = Nonce::from_bytes([2; 16]);
    let personal = RecordHash::of(b"payload");
    let recipe = Recipe {
        schema: 1,
        layout: 1,
        template: 1,
        codec: Codec::Zstd,
        codec_version: "1.5.7".into(),
        level: 3,
        block_size: 131_072,
    };
    let sif = Image::Sif {
        pin: Some(pin()),
        manifest: None,
        digest: SifDigest::of(b"sif"),
        recipe: Some(recipe),
        place: "".into(),
    };
    let resources = Resources {
        cpus: Some(2),
        memory_mib: Some(4096),
        time_seconds: Some(7200),
        queue: Some("debug".into()),
        account: Some("physics".into()),
    };
    let receipt = Receipt {
        notes: Vec::new(),
        schema: RECEIPT_SCHEMA,
        writer: "moorline 0.1.0".into(),
        job,
        intent,
        nonce,
        attempt: "a1".into(),
        host: "node7".into(),
        engine: vec!["SLURM_JOB_ID=123".into()],
        pinned: Some(Digest::of(b"manifest")),
        expected: Some(SifDigest::of(b"sif")),
        evidence: Evidence {
            grade: Grade::Measured,
            sif: Some(SifDigest::of(b"sif")),
            measured_at: Some(at(5)),
        },
        runtime: "builtin".into(),
        rootfs: Some("squashfuse".into()),
        skipped_mounts: Vec::new(),
        start: Start::Started { at: at(6) },
        ended_at: at(9),
        exit_code: 0,
    };
    let intended = |image, runtime, resources, rerun_of| Body::Intent {
        job,
        intent,
        nonce,
        backend: "slurm".into(),
        image: Box::new(image),
        runtime,
        resources,
        rerun_of,
        personal,
    };
    vec![
        intended(sif, RuntimeChoice::Builtin, resources, Some(JobId::from_parts(1, 1))),
        intended(Image::Oci { pin: pin() }, RuntimeChoice::Auto, Resources::default(), None),
        Body::Submitted {
            job,
            intent,
            engine: EngineName {
                kind: "slurm".into(),
                cluster: Some("main".into()),
                id: "123".into(),
                submitted_at: at(1),
            },
            personal,
        },
        Body::Refused { job, intent, personal },
        Body::Uncertain { job, intent, personal },
        Body::Observed {
            job,
            intent,
            state: JobState::Failed,
            exit_code: Some(137),
            engine_state: Some("NODE_FAIL".into()),
            personal: Some(personal),
        },
        Body::Observed {
            job,
            intent,
            state: JobState::Running,
            exit_code: None,
            engine_state: None,
            personal: None,
        },
        Body::Receipt { job, intent, matched: true, receipt: Box::new(receipt), personal: None },
        Body::Cancelled { job, intent },
        Body::Note { job, intent, personal },
    ]
}

fn chain() -> Vec<Vec<u8>> {
    let mut prev = None;
    let mut lines = Vec::new();
    for (body, sequence) in bodies().iter().zip(1..) {
        let line = encode(&Record {
            schema: RECORD_SCHEMA,
            writer: WriterId::from_bytes([0xab; 16]),
            segment: 1,
            sequence,
            time: at(i64::try_from(sequence).unwrap()),
            prev,
            body,
        })
        .unwrap();
        prev = Some(RecordHash::of(&line[..line.len() - 1]));
        lines.push(line);
    }
    lines
}

#[test]
fn records_are_written_as_ever() {
    let text = String::from_utf8(chain().concat()).unwrap();
    assert_data_eq!(text, file!["../../tests/ledger/records.jsonl"].raw());
}

#[test]
fn records_of_schema_1_are_read() {
    let text = include_str!("../../tests/ledger/records.jsonl");
    let read: Vec<_> = text.lines().map(|line| decode(line.as_bytes()).unwrap().body).collect();
    let written: Vec<_> = bodies().into_iter().map(Content::Known).collect();
    assert_eq!(read, written);
}

#[test]
fn the_payload_is_written_as_ever() {
    let personal = Personal {
        user: Some("ada".into()),
        host: Some("login1".into()),
        name: Some("fit".into()),
        command: vec!["./fit".into(), "a b\n".into()],
        env: vec!["SEED=1".parse().unwrap()],
        mounts: vec![Mount::cvmfs()],
        options: vec!["--nv".into()],
        workdir: Some("/home/ada/fit".into()),
        place: Some("/home/ada/fit.sif".into()),
        plan: Some(RecordHash::of(b"plan")),
        owner: Some("ada".into()),
        text: Some("why".into()),
        notes: Vec::new(),
        skipped_mounts: Vec::new(),
    };
    let text = String::from_utf8(seal(&personal, [7; 32]).unwrap()).unwrap();
    assert_data_eq!(text, file!["../../tests/ledger/payload.json"].raw());
}
