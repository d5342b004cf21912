//! Jobs, receipts and directories for the ledger's tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use moorline::job::{
    Access, EngineKey, EnvVar, Evidence, Grade, Input, JobSpec, JobState, Measured, Mount, Need,
    Observation, Resources, RuntimeChoice, Terms,
};
use moorline::ledger::{Intent, Ledger, RecordHash, Report, verify};
use moorline::oci::{Digest, Sha256Digest, SifDigest};
use moorline::pin::Image;
use moorline::worker::{Conditions, Cover, MountMade, MountNote, Receipt, Start, WorkerUser};

use crate::support::records;

pub use crate::support::records::{at, entry};

/// Every text that could name a person holds the word SENTINEL.
pub fn spec(n: u64) -> JobSpec {
    let recipe = records::recipe();
    let image = Image::Sif {
        pin: Some(records::pin()),
        manifest: None,
        digest: SifDigest::of(b"sif"),
        recipe: Some(recipe),
        tree: None,
    };
    JobSpec {
        name: Some("SENTINEL-name".into()),
        delivery: moorline::job::Delivery::Shared { place: "/home/SENTINEL-place/a.sif".into() },
        command: vec!["run".into(), "SENTINEL-argument \n \u{1b}[31m\u{202e}".into()],
        mounts: vec![Mount {
            source: "/SENTINEL-mount".into(),
            target: "/data".into(),
            access: Access::Ro,
            need: Need::Required,
            below: None,
        }],
        env: vec![EnvVar { name: "SENTINEL_env".into(), value: "SENTINEL-value".into() }],
        runtime: RuntimeChoice::Builtin,
        options: vec!["--SENTINEL-option".into()],
        resources: Resources { cpus: Some(2), ..Resources::default() },
        workdir: Some("/SENTINEL-workdir".into()),
        terms: Terms {
            inputs: vec![Input {
                source: "/SENTINEL-input".into(),
                name: "SENTINEL-file".into(),
                sha256: Digest::of(b"x"),
                size: 1,
            }],
            ..Terms::default()
        },
        ..records::spec(entry(n).job, image)
    }
}

pub fn intent(n: u64) -> Intent {
    let spec = spec(n);
    let usual = records::intent(&entry(n), "slurm", spec.image.clone());
    Intent { spec, user: "SENTINEL-user".into(), host: "SENTINEL-host".into(), ..usual }
}

pub fn key(n: u64) -> EngineKey {
    EngineKey {
        cluster: Some("main".into()),
        owner: "SENTINEL-owner".into(),
        ..records::key("slurm", n)
    }
}

pub fn receipt(n: u64) -> Receipt {
    Receipt {
        engine: vec!["SLURM_JOB_ID=12".into()],
        pinned: Some(Digest::of(b"manifest")),
        expected: Some(SifDigest::of(b"sif")),
        evidence: Evidence {
            grade: Grade::Measured,
            measured: Some(Measured::Sif(SifDigest::of(b"sif"))),
            measured_at: Some(at(2)),
        },
        rootfs: Some("squashfuse".into()),
        skipped_mounts: vec![MountNote {
            source: "/SENTINEL-skipped".into(),
            target: "/data".into(),
            why: "SENTINEL-why".into(),
        }],
        start: Start::Refused { why: "SENTINEL-refused".into() },
        exit_code: 212,
        conditions: Conditions {
            options: vec!["--SENTINEL-flag".into()],
            covers: vec![Cover {
                target: "/SENTINEL-target".into(),
                source: "/SENTINEL-source".into(),
            }],
            keys: vec!["SENTINEL-key".into()],
            kernel: Some("6.1.0".into()),
            user: Some(WorkerUser { uid: 1000, name: Some("SENTINEL-account".into()) }),
            argv: vec!["SENTINEL-argv".into()],
            mounts: vec![MountMade {
                source: "/SENTINEL-mounted".into(),
                target: "/SENTINEL-shown".into(),
                ro: true,
            }],
            ..Conditions::default()
        },
        ..records::receipt(&entry(n))
    }
}

pub fn observation() -> Observation {
    Observation {
        state: JobState::Failed,
        exit_code: Some(212),
        engine_state: Some("FAILED".into()),
        reason: Some("SENTINEL-reason".into()),
    }
}

/// One record of each kind, for two jobs.
pub fn write_all_kinds(ledger: &Ledger) {
    let (one, two) = (ledger.intend(&intent(1)).unwrap(), ledger.intend(&intent(2)).unwrap());
    ledger.submitted(&one, &key(12)).unwrap();
    ledger.observed(&one, &observation()).unwrap();
    assert!(ledger.receipt(&one, &receipt(1)).unwrap());
    ledger.cancelled(&one).unwrap();
    ledger.note(&one, "SENTINEL-note").unwrap();
    ledger.uncertain(&two, "SENTINEL-uncertain").unwrap();
    ledger.refused(&two, "SENTINEL-no").unwrap();
}

/// One file: an intent and three records without payload.
pub fn small(dir: &Path) -> PathBuf {
    let ledger = Ledger::open(dir).unwrap();
    let one = ledger.intend(&intent(1)).unwrap();
    for _ in 0..3 {
        ledger.cancelled(&one).unwrap();
    }
    let mut files = segments(dir);
    assert_eq!(files.len(), 1);
    files.remove(0)
}

pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    files
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A private directory, in memory where there is one: thousands of syncs are what these tests do.
pub fn scratch() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    let builder = builder.permissions(fs::Permissions::from_mode(0o700));
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap()
}

/// Checks the ledger and expects nothing wrong.
pub fn sound(dir: &Path) -> Report {
    let report = verify(dir).unwrap();
    assert!(report.is_consistent(), "{:#?}", report.findings);
    report
}

/// Seals a line as the format says, written a second time.
pub fn seal(json: &str) -> String {
    let open = json.strip_suffix('}').unwrap();
    format!("{open},\"check\":\"{}\"}}", RecordHash::of(open.as_bytes()))
}
