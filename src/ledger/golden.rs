//! One record of each kind, byte by byte: what lies on people's disks must stay readable.

use snapbox::{assert_data_eq, file};

use super::body::{Body, EngineName};
use super::hash::RecordHash;
use super::personal::{Personal, seal};
use super::record::{Content, RECORD_SCHEMA, Record, WriterId, decode, encode};
use crate::job::{
    Evidence, Grade, Input, IntentId, JobId, JobState, Measured, Mount, Name, Network, Nonce,
    Resources, RuntimeChoice, Tasks, Terms,
};
use crate::ledger::testing;
use crate::oci::{ConfigDigest, Digest, Platform, Reference, Sha256Digest, SifDigest, TreeRoot};
use crate::pin::{Image, Origin, Pin};
use crate::worker::{
    Conditions, Cover, Hides, Output, RECEIPT_SCHEMA, Receipt, RuntimeProgram, Start,
};

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

/// The bodies that schema 1 had.
#[expect(clippy::too_many_lines, reason = "one record of each kind")]
fn bodies_1(receipt_schema: u32) -> Vec<Body> {
    let (job, intent) = (JobId::from_parts(1_700_000_000_000, 1), IntentId::from_bytes([1; 16]));
    let nonce = Nonce::from_bytes([2; 16]);
    let personal = RecordHash::of(b"payload");
    let recipe = testing::recipe();
    let sif = Image::Sif {
        pin: Some(pin()),
        manifest: None,
        digest: SifDigest::of(b"sif"),
        recipe: Some(recipe),
        tree: None,
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
        schema: receipt_schema,
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
            measured: Some(Measured::Sif(SifDigest::of(b"sif"))),
            measured_at: Some(at(5)),
        },
        runtime: Name::known("builtin"),
        rootfs: Some("squashfuse".into()),
        skipped_mounts: Vec::new(),
        start: Start::Started { at: at(6) },
        ended_at: at(9),
        exit_code: 0,
        conditions: Conditions::default(),
    };
    let intended = |image, runtime, resources, rerun_of| Body::Intent {
        job,
        intent,
        nonce,
        backend: Name::known("slurm"),
        image: Box::new(image),
        runtime,
        resources,
        rerun_of,
        terms: Terms::default(),
        delivery: None,
        enclosing: None,
        personal,
    };
    vec![
        intended(sif, RuntimeChoice::Builtin, resources, Some(JobId::from_parts(1, 1))),
        intended(Image::Oci { pin: pin() }, RuntimeChoice::Auto, Resources::default(), None),
        Body::Submitted {
            job,
            intent,
            engine: EngineName {
                kind: Name::known("slurm"),
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
            tasks: None,
            state: JobState::Failed,
            exit_code: Some(137),
            engine_state: Some("NODE_FAIL".into()),
            personal: Some(personal),
        },
        Body::Observed {
            job,
            intent,
            tasks: None,
            state: JobState::Running,
            exit_code: None,
            engine_state: None,
            personal: None,
        },
        Body::Receipt {
            job,
            intent,
            matched: true,
            receipt: Box::new(receipt),
            qualifiers: Vec::new(),
            personal: None,
        },
        Body::Cancelled { job, intent, tasks: None },
        Body::Note { job, intent, personal },
    ]
}

/// All bodies of today, with what schema 2 added.
fn bodies() -> Vec<Body> {
    let mut all = bodies_1(RECEIPT_SCHEMA);
    let (job, intent) = (JobId::from_parts(1_700_000_000_000, 1), IntentId::from_bytes([1; 16]));
    let tasks: Option<Tasks> = Some("1-400,403".parse().unwrap());
    for body in &mut all {
        match body {
            Body::Intent { image, terms, delivery, enclosing, .. } if image.sif().is_some() => {
                *terms = Terms {
                    at_once: None,
                    tasks: tasks.clone(),
                    network: Some(Network::None),
                    umask: Some(0o027),
                    require: Some(Grade::Measured),
                    inputs: Vec::new(),
                    outputs: Vec::new(),
                    grace: Some(30),
                    ..Terms::default()
                };
                *delivery = Some(Name::known("shared"));
                *enclosing = Some(EngineName {
                    kind: Name::known("slurm"),
                    cluster: None,
                    id: "99".into(),
                    submitted_at: at(0),
                });
            }
            Body::Receipt { receipt, qualifiers, .. } => {
                receipt.conditions = Conditions {
                    task: Some(7),
                    nodes: vec!["node7".into(), "node8".into()],
                    ranks: Some(2),
                    program: Some(RuntimeProgram {
                        path: "/usr/bin/apptainer".into(),
                        owner: 0,
                        version: Some("apptainer version 1.4.0".into()),
                        sha256: Some(Digest::of(b"apptainer")),
                    }),
                    options: vec!["--nv".into()],
                    covers: vec![Cover { target: "/opt/a".into(), source: "/data/a".into() }],
                    passed_over: Vec::new(),
                    network: Some(Network::Host),
                    hides: Some(Hides::No),
                    filter: None,
                    served: None,
                    delivery: Some(Name::known("shared")),
                    moved: Some(0),
                    worker: Some(Digest::of(b"worker")),
                    peak_memory: Some(123_456_789),
                    cpu_ms: Some(4321),
                    keys: vec!["afs_pag;1000;_pag".into()],
                    outputs: vec![Output {
                        path: "out.root".into(),
                        size: 3,
                        sha256: Some(Digest::of(b"out")),
                    }],
                    told: Some(15),
                    signal: Some(15),
                    ..Conditions::default()
                };
                *qualifiers = receipt.qualifiers();
                assert_eq!(qualifiers.len(), 3);
            }
            Body::Observed { tasks: about, state: JobState::Running, .. } => {
                about.clone_from(&tasks);
            }
            _ => {}
        }
    }
    let recipe = testing::recipe();
    all.extend([
        Body::Held { job, intent },
        Body::Released { job, intent },
        Body::Policy {
            job,
            intent,
            rule: Name::known("plain-match-only"),
            decision: Name::known("refused"),
            personal: None,
        },
        Body::Converted {
            manifest: Digest::of(b"manifest"),
            recipe,
            sif: SifDigest::of(b"sif"),
            tree: Some(TreeRoot::of(b"tree")),
        },
        Body::Other { kind: Name::known("countersigned"), job, intent, personal: None },
    ]);
    assert_eq!(
        all.iter().map(kind).collect::<std::collections::BTreeSet<_>>().len(),
        Body::KINDS.len() + 1,
        "each kind stands here, and one that is unknown"
    );
    all
}

fn kind(body: &Body) -> String {
    serde_json::to_value(body).unwrap()["kind"].as_str().unwrap().to_owned()
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
    assert_data_eq!(text, file!["../../tests/jobs/ledger/records-2.jsonl"].raw());
}

#[test]
fn records_of_schema_1_are_read() {
    let text = include_str!("../../tests/jobs/ledger/records-1.jsonl");
    let read: Vec<_> = text.lines().map(|line| decode(line.as_bytes()).unwrap().body).collect();
    let written: Vec<_> = bodies_1(1).into_iter().map(Content::Known).collect();
    assert_eq!(read, written);
}

#[test]
fn what_is_written_is_read() {
    let read: Vec<_> = chain().iter().map(|l| decode(&l[..l.len() - 1]).unwrap().body).collect();
    let why = "kind \"countersigned\" is not known here";
    let written: Vec<_> = bodies()
        .into_iter()
        .map(|body| match body {
            Body::Other { .. } => Content::Partly { body, why: why.into() },
            body => Content::Known(body),
        })
        .collect();
    assert_eq!(read, written);
}

#[test]
fn payloads_of_schema_1_are_read() {
    let text = include_str!("../../tests/jobs/ledger/payload-1.json");
    let today = std::fs::read_to_string("tests/jobs/ledger/payload-2.json").unwrap();
    let payload =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["payload"].clone();
    let read: Personal = serde_json::from_value(payload(text)).unwrap();
    let new: Personal = serde_json::from_value(payload(&today)).unwrap();
    assert_eq!(read.command, new.command);
    assert_eq!((read.mounts, read.plan), (new.mounts, new.plan));
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
        inputs: vec![Input {
            source: "/home/ada/fit".into(),
            name: "fit".into(),
            sha256: Digest::of(b"fit"),
            size: 3,
        }],
        ..Personal::default()
    };
    let text = String::from_utf8(seal(&personal, [7; 32]).unwrap()).unwrap();
    assert_data_eq!(text, file!["../../tests/jobs/ledger/payload-2.json"].raw());
}
