//! A ledger of many ended jobs, quickly: one real job gives the bodies of its records, each further job gets
//! bodies with its own ids and image, and the frames, hashes and chains are made as the ledger makes them.
//!
//! Payload files are made for the newest jobs only (`write_real`): four million files would measure the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use moorline::job::{
    EngineKey, Evidence, Grade, IntentId, JobId, JobSpec, JobState, Measured, Name, Nonce,
    Observation, Resources, RuntimeChoice, Terms,
};
use moorline::ledger::{Intent, Ledger, RecordHash, Recorded};
use moorline::oci::{ConfigDigest, Digest, Platform, Reference, Sha256Digest, SifDigest};
use moorline::pin::{Image, Pin};
use moorline::worker::{Conditions, RECEIPT_SCHEMA, Receipt, Start};

/// So many different images are used.
pub const IMAGES: u64 = 200;
/// Records of a job: intent, submitted, observed twice, receipt.
pub const RECORDS: u64 = 5;
/// As the ledger ends its segments.
const SEGMENT: u64 = 4 << 20;
/// The first job was made then, and then one each second.
const BEGAN: u64 = 1_700_000_000_000;

/// What belongs to a number.
#[derive(Clone, Copy)]
pub struct Job(pub u64);

impl Job {
    pub fn entry(self) -> Recorded {
        let bytes = |salt: u8| {
            let hash = Digest::of(&[&[salt], &self.0.to_le_bytes()[..]].concat());
            <[u8; 16]>::try_from(&hash.bytes()[..16]).expect("16 bytes")
        };
        Recorded {
            job: JobId::from_parts(BEGAN + self.0 * 1000, u128::from(self.0)),
            intent: IntentId::from_bytes(bytes(1)),
            nonce: Nonce::from_bytes(bytes(2)),
        }
    }

    fn at(self, second: i64) -> jiff::Timestamp {
        let began = i64::try_from(BEGAN / 1000 + self.0).expect("a time");
        jiff::Timestamp::from_second(began + second).expect("a time")
    }

    pub fn manifest(self) -> Digest {
        Digest::of(&(self.0 % IMAGES).to_le_bytes())
    }

    fn sif(self) -> SifDigest {
        SifDigest::of(&(self.0 % IMAGES).to_le_bytes())
    }

    fn engine(self) -> String {
        format!("9{:08}", self.0)
    }

    /// Writes its records as the program does, with payloads.
    pub fn write_real(self, ledger: &Ledger) {
        let entry = self.entry();
        let asked: Reference = "registry.example.org/physics/analysis:v1.2".parse().expect("one");
        let pin = Pin {
            registry: asked.registry.clone(),
            repository: asked.repository.clone(),
            index: None,
            manifest: self.manifest(),
            config: ConfigDigest::of(b"config"),
            platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
            asked,
            resolved_at: self.at(0),
            origin: None,
        };
        let spec = JobSpec {
            id: entry.job,
            name: Some("limits-scan".into()),
            image: Image::Sif {
                pin: Some(pin),
                manifest: None,
                digest: self.sif(),
                recipe: None,
                tree: None,
            },
            delivery: moorline::job::Delivery::Shared {
                place: "/home/ada/.cache/moorline/sifs/a.sif".into(),
            },
            command: vec!["./fit".into(), "--mass".into(), self.0.to_string()],
            mounts: Vec::new(),
            env: Vec::new(),
            runtime: RuntimeChoice::Auto,
            options: Vec::new(),
            resources: Resources { cpus: Some(2), ..Resources::default() },
            workdir: None,
            rerun_of: None,
            terms: Terms::default(),
        };
        let intent = Intent {
            spec,
            intent: entry.intent,
            nonce: entry.nonce,
            backend: Name::known("slurm"),
            enclosing: None,
            plan: RecordHash::of(b"plan"),
            user: "ada".into(),
            host: "login1".into(),
        };
        ledger.intend(&intent).expect("it is recorded");
        let key = EngineKey {
            kind: "slurm".into(),
            cluster: Some("main".into()),
            id: self.engine(),
            submitted_at: self.at(1),
            owner: "ada".into(),
        };
        ledger.submitted(&entry, &key).expect("it is recorded");
        let mut batch = ledger.batch();
        let saw = |state, exit_code, word: &str| Observation {
            exit_code,
            engine_state: Some(word.into()),
            ..Observation::of(state)
        };
        batch.observed(&entry, &saw(JobState::Running, None, "RUNNING")).expect("a payload");
        batch.observed(&entry, &saw(JobState::Completed, Some(0), "COMPLETED")).expect("one");
        batch.receipt(&entry, &self.receipt()).expect("a payload");
        batch.write().expect("they are recorded");
    }

    fn receipt(self) -> Receipt {
        let entry = self.entry();
        Receipt {
            schema: RECEIPT_SCHEMA,
            writer: "moorline 0.1.0".into(),
            job: entry.job,
            intent: entry.intent,
            nonce: entry.nonce,
            attempt: entry.nonce.to_string(),
            host: "node0017.cluster.example.org".into(),
            engine: vec![format!("SLURM_JOB_ID={}", self.engine())],
            pinned: Some(self.manifest()),
            expected: Some(self.sif()),
            evidence: Evidence {
                grade: Grade::Measured,
                measured: Some(Measured::Sif(self.sif())),
                measured_at: Some(self.at(5)),
            },
            runtime: Name::known("builtin"),
            rootfs: Some("kernel".into()),
            notes: Vec::new(),
            skipped_mounts: Vec::new(),
            start: Start::Started { at: self.at(6) },
            ended_at: self.at(600),
            exit_code: 0,
            conditions: Conditions::default(),
        }
    }

    /// The texts of a record's body that are its own.
    fn texts(self) -> [String; 6] {
        let entry = self.entry();
        let texts = [entry.job.to_string(), entry.intent.to_string(), entry.nonce.to_string()];
        let [job, intent, nonce] = texts;
        [job, intent, nonce, self.engine(), self.manifest().hex(), self.sif().hex()]
    }
}

/// The bodies of one job's records, and where its own texts stand in them.
pub struct Template(Vec<(String, Vec<(usize, usize)>)>);

impl Template {
    pub fn new(scratch: &Path) -> Self {
        let job = Job(7);
        let dir = scratch.join("template");
        job.write_real(&Ledger::open(&dir).expect("a ledger"));
        let texts = job.texts();
        let names =
            fs::read_dir(&dir).expect("it is there").map(|entry| entry.expect("one").path());
        let file = names.into_iter().find(|path| path.extension().is_some_and(|e| e == "jsonl"));
        let text = fs::read_to_string(file.expect("a segment")).expect("it is text");
        let bodies = text.lines().map(|line| {
            let (_, body) = line.split_once(",\"body\":").expect("a body");
            let body = body.rsplit_once(",\"check\":").expect("a check").0.to_owned();
            let mut places: Vec<(usize, usize)> = texts
                .iter()
                .enumerate()
                .flat_map(|(which, text)| body.match_indices(text).map(move |(at, _)| (at, which)))
                .collect();
            places.sort_unstable();
            (body, places)
        });
        let bodies: Vec<_> = bodies.collect();
        assert_eq!(bodies.len() as u64, RECORDS);
        Self(bodies)
    }

    fn bodies(&self, job: Job) -> impl Iterator<Item = String> {
        let texts = job.texts();
        self.0.iter().map(move |(body, places)| {
            let mut body = body.clone().into_bytes();
            for (at, which) in places {
                let text = texts[*which].as_bytes();
                body[*at..*at + text.len()].copy_from_slice(text);
            }
            String::from_utf8(body).expect("digits and letters")
        })
    }
}

/// Appends to a writer of its own, without syncing.
pub struct Appender {
    dir: PathBuf,
    writer: String,
    segment: u32,
    file: Option<BufWriter<File>>,
    size: u64,
    sequence: u64,
    last: Option<RecordHash>,
    pub bytes: u64,
}

impl Appender {
    pub fn new(dir: &Path, number: u64) -> Self {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).expect("a directory");
        let writer = Digest::of(&number.to_be_bytes()).hex()[..32].to_owned();
        let dir = dir.to_owned();
        let (segment, size, sequence, bytes) = (0, SEGMENT, 0, 0);
        Self { dir, writer, segment, file: None, size, sequence, last: None, bytes }
    }

    pub fn job(&mut self, template: &Template, job: Job) {
        for (body, second) in template.bodies(job).zip([0, 1, 30, 610, 611]) {
            if self.size >= SEGMENT {
                self.segment += 1;
                let name = format!("{}-{:06}.jsonl", self.writer, self.segment);
                let mut options = OpenOptions::new();
                let file =
                    options.write(true).create_new(true).mode(0o600).open(self.dir.join(name));
                self.file = Some(BufWriter::with_capacity(1 << 20, file.expect("a segment")));
                self.size = 0;
            }
            self.sequence += 1;
            let prev = self.last.map_or("null".to_owned(), |hash| format!("\"{hash}\""));
            let (writer, segment, sequence) = (&self.writer, self.segment, self.sequence);
            let time = job.at(second);
            let mut line = format!(
                "{{\"schema\":2,\"writer\":\"{writer}\",\"segment\":{segment},\"sequence\":{sequence},\
                 \"time\":\"{time}\",\"prev\":{prev},\"body\":{body}"
            );
            let check = RecordHash::of(line.as_bytes());
            line += &format!(",\"check\":\"{check}\"}}");
            self.last = Some(RecordHash::of(line.as_bytes()));
            line.push('\n');
            self.size += line.len() as u64;
            self.bytes += line.len() as u64;
            let file = self.file.as_mut().expect("it was opened");
            file.write_all(line.as_bytes()).expect("the disk has room");
        }
    }
}
