//! What is there before a command is swept, and what damages it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use moorline::job::{EngineKey, IntentId, JobId, JobSpec, Nonce, Resources, RuntimeChoice};
use moorline::ledger::{Intent, Ledger, RecordHash};
use moorline::oci::{Sha256Digest, SifDigest};
use moorline::pin::Image;

use crate::place::Place;
use crate::sweep::{images, registry};

/// The image without its top was converted before.
pub fn base(place: &Place) {
    images::tiny(&place.path("base"));
    let base = format!("oci:{}", place.path("base").display());
    place.run(&["convert", &base]).ok();
}

/// The registry may be asked without a certificate.
pub fn reachable(place: &Place) {
    let dir = place.path("home/.config/moorline");
    fs::create_dir_all(&dir).unwrap();
    let host = registry::place().split('/').next().unwrap();
    let text = format!("insecure_registries = [\"{host}\"]\n");
    fs::write(dir.join("config.toml"), text).unwrap();
}

/// The image without its top was fetched and converted before.
pub fn fetched_base(place: &Place) {
    reachable(place);
    place.run(&["convert", &format!("{}:tiny", registry::place())]).ok();
}

/// A converted image, and a blob whose bytes are wrong.
pub fn damaged(place: &Place) {
    place.convert().ok();
    spoil_store(place);
}

/// What is known of the layers is there, the image is not.
pub fn half_done(place: &Place) {
    place.convert().ok();
    fs::remove_dir_all(place.cache().join("sifs")).unwrap();
    fs::remove_dir_all(place.cache().join("pins")).unwrap();
}

/// A `run` that was killed: its end is not recorded.
pub fn open_run(place: &Place) {
    let ledger = Ledger::open(&place.path("ledger")).unwrap();
    let job = JobId::from_parts(1_700_000_000_000, 1);
    let digest = SifDigest::of(b"sif");
    let spec = JobSpec {
        id: job,
        name: None,
        image: Image::Sif { pin: None, manifest: None, digest, recipe: None },
        delivery: moorline::job::Delivery::Shared { place: "/a.sif".into() },
        command: vec!["true".into()],
        mounts: Vec::new(),
        env: Vec::new(),
        runtime: RuntimeChoice::Builtin,
        options: Vec::new(),
        resources: Resources::default(),
        workdir: None,
        rerun_of: None,
        terms: moorline::job::Terms::default(),
    };
    let entry = ledger
        .intend(&Intent {
            spec,
            intent: IntentId::from_bytes([1; 16]),
            nonce: Nonce::from_bytes([2; 16]),
            backend: moorline::job::Name::known("run"),
            enclosing: None,
            plan: RecordHash::of(b"plan"),
            user: "tester".into(),
            host: "here".into(),
        })
        .unwrap();
    let submitted_at = jiff::Timestamp::from_second(1_700_000_001).unwrap();
    let (id, owner) = (job.to_string(), "tester".to_owned());
    let key = EngineKey { kind: "run".into(), cluster: None, id, submitted_at, owner };
    ledger.submitted(&entry, &key).unwrap();
    // its directory is there, and nobody holds it
    let control =
        place.path("home/.local/state/moorline/jobs").join(job.to_string()).join("control");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(control).unwrap();
}

/// A temporary file of nobody.
pub fn litter(place: &Place) {
    fs::write(place.cache().join("tmp/incoming-litter"), "").unwrap();
}

/// A file in the store whose bytes are not those of its name.
pub fn spoil_store(place: &Place) {
    let blobs = place.cache().join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join("0".repeat(64)), "not zeros").unwrap();
}

/// A changed byte in a record.
pub fn spoil_ledger(place: &Place) {
    let dir = place.path("ledger");
    let mut entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let file = entries.find(|path| path.extension().is_some_and(|e| e == "jsonl")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(6).position(|w| w == b"\"time\"").unwrap() + 9;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}
