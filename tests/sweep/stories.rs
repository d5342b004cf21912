//! The commands that are swept, what is there before, and what must hold afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use moorline::job::{EngineKey, IntentId, JobId, JobSpec, Nonce, Resources, RuntimeChoice};
use moorline::ledger::{Intent, Ledger, RecordHash};
use moorline::oci::{Sha256Digest, SifDigest};
use moorline::pin::Image;

use crate::place::Place;
use crate::points::{Point, Struck, points, strike};

/// A command that is swept.
pub struct Story {
    pub name: &'static str,
    args: Vec<&'static str>,
    template: Place,
    /// The image's SIF.
    sif: SifDigest,
    check: fn(&Story, &Place) -> Result<(), String>,
    damage: fn(&Place),
}

const CODES: [i32; 6] = [0, 5, 6, 7, 8, 12];

impl Story {
    pub fn all() -> Vec<Self> {
        let reference = Place::new(2000);
        let sif = SifDigest::of(&fs::read(reference.convert().ok()).unwrap());
        let make = |name, args: &[&'static str], prepare: fn(&Place), check, damage| {
            let mut template = Place::new(2000);
            let ledger = template.path("ledger").display().to_string();
            template.env.insert("MOORLINE_LEDGER".into(), ledger);
            prepare(&template);
            Self { name, args: args.to_vec(), template, sif, check, damage }
        };
        let known = |place: &Place| {
            place.convert().ok();
        };
        vec![
            make("convert", &["convert", "IMAGE"], |_| {}, Self::converts, spoil_store),
            make("convert again", &["convert", "IMAGE"], half_done, Self::converts, spoil_store),
            make(
                "convert -o",
                &["convert", "IMAGE", "-o", "out.sif"],
                known,
                Self::writes,
                spoil_store,
            ),
            make(
                "cache prune",
                &["cache", "prune", "--max-size", "0"],
                known,
                Self::prunes,
                spoil_store,
            ),
            make(
                "cache prune --empty-trash",
                &["cache", "prune", "--older-than", "0s", "--empty-trash"],
                known,
                Self::prunes,
                spoil_store,
            ),
            make("ledger", &["recover"], open_run, Self::recovers, spoil_ledger),
        ]
    }

    fn args(&self, place: &Place, round: usize) -> Vec<String> {
        let mut args: Vec<String> =
            self.args.iter().map(|word| word.replace("IMAGE", &place.image())).collect();
        if self.args[0] == "convert" {
            args.extend(["--threads".into(), (round % 3 + 1).to_string()]);
        }
        args
    }

    pub fn points(&self) -> Vec<Point> {
        let place = self.copy();
        points(&place, &self.args(&place, 0))
    }

    fn copy(&self) -> Place {
        let mut place = Place::empty();
        let from = self.template.dir.path();
        let copied =
            Command::new("cp").arg("-a").arg(from.join(".")).arg(place.dir.path()).status();
        assert!(copied.unwrap().success());
        for value in self.template.env.keys() {
            let text = self.template.env[value]
                .replace(from.to_str().unwrap(), place.dir.path().to_str().unwrap());
            place.env.insert(value.clone(), text);
        }
        place
    }

    pub fn strike(&self, point: &Point) -> (Place, Struck) {
        let place = self.copy();
        let struck = strike(&place, &self.args(&place, point.round), point);
        (place, struck)
    }

    /// What must hold after every point.
    pub fn check(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        // the fault came before the program did
        let unborn = struck.code == Some(127) && struck.text.contains("loading shared libraries");
        let orderly =
            struck.killed || unborn || struck.code.is_some_and(|code| CODES.contains(&code));
        let silent = struck.killed || unborn || struck.code == Some(0) || !struck.has_voice;
        let said = silent || struck.text.contains("error: ");
        if !orderly || !said {
            return Err(format!("it ended badly: {}", struck.text));
        }
        (self.check)(self, place).map_err(|why| format!("{why}\n-- struck:\n{}", struck.text))
    }

    pub fn damage(&self, place: &Place) {
        (self.damage)(place);
    }

    /// The store is whole, the image converts to the right bytes, and nothing is left.
    fn converts(&self, place: &Place) -> Result<(), String> {
        run(place, &["cache", "verify"])?;
        let path = run(place, &["convert", &place.image()])?;
        self.is_right(Path::new(path.trim()))?;
        run(place, &["cache", "verify"])?;
        for dir in ["tmp", "leases", "trash"] {
            let left = place.names(dir);
            if dir != "trash" && !left.is_empty() {
                return Err(format!("left in {dir}: {left:?}"));
            }
        }
        Ok(())
    }

    fn is_right(&self, path: &Path) -> Result<(), String> {
        let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let found = SifDigest::of(&bytes);
        if found == self.sif { Ok(()) } else { Err(format!("{found} instead of {}", self.sif)) }
    }

    fn writes(&self, place: &Place) -> Result<(), String> {
        let out = place.path("out.sif");
        if out.exists() {
            self.is_right(&out)?;
        }
        self.converts(place)?;
        run(place, &["convert", &place.image(), "-o", "out.sif", "--force"])?;
        self.is_right(&out)?;
        let entries = fs::read_dir(place.dir.path()).unwrap();
        let names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        match names.iter().find(|name| name.starts_with('.')) {
            None => Ok(()),
            Some(left) => Err(format!("left beside the output: {left}")),
        }
    }

    fn prunes(&self, place: &Place) -> Result<(), String> {
        run(place, &["cache", "verify"])?;
        run(place, &["cache", "prune", "--max-size", "0", "--empty-trash"])?;
        let left = run(place, &["cache", "ls", "--json"])?;
        let left: serde_json::Value = serde_json::from_str(&left).unwrap();
        if left["size"] != 0 || left["trash"]["files"] != 0 {
            return Err(format!("left after the next prune: {left}"));
        }
        self.converts(place)
    }

    fn recovers(_: &Self, place: &Place) -> Result<(), String> {
        run(place, &["audit", "verify"])?;
        run(place, &["recover"])?;
        run(place, &["audit", "verify"])?;
        let jobs = run(place, &["jobs", "--json"])?;
        let jobs: serde_json::Value = serde_json::from_str(&jobs).unwrap();
        if jobs.as_array().map(Vec::len) != Some(1) || jobs[0]["state"] != "failed" {
            return Err(format!("the job is {jobs}"));
        }
        Ok(())
    }
}

fn run(place: &Place, args: &[&str]) -> Result<String, String> {
    let answer = place.run(args);
    if answer.code == 0 { Ok(answer.stdout) } else { Err(answer.to_string()) }
}

/// The layers are there, the image is not.
fn half_done(place: &Place) {
    place.convert().ok();
    fs::remove_dir_all(place.cache().join("sifs")).unwrap();
    fs::remove_dir_all(place.cache().join("pins")).unwrap();
}

/// A `run` that was killed: its end is not recorded.
fn open_run(place: &Place) {
    let ledger = Ledger::open(&place.path("ledger")).unwrap();
    let job = JobId::from_parts(1_700_000_000_000, 1);
    let digest = SifDigest::of(b"sif");
    let spec = JobSpec {
        id: job,
        name: None,
        image: Image::Sif {
            pin: None,
            manifest: None,
            digest,
            recipe: None,
            place: "/a.sif".into(),
        },
        command: vec!["true".into()],
        mounts: Vec::new(),
        env: Vec::new(),
        runtime: RuntimeChoice::Builtin,
        options: Vec::new(),
        resources: Resources::default(),
        workdir: None,
        rerun_of: None,
    };
    let entry = ledger
        .intend(&Intent {
            spec,
            intent: IntentId::from_bytes([1; 16]),
            nonce: Nonce::from_bytes([2; 16]),
            backend: "run".into(),
            plan: RecordHash::of(b"plan"),
            user: "tester".into(),
            host: "here".into(),
        })
        .unwrap();
    let submitted_at = jiff::Timestamp::from_second(1_700_000_001).unwrap();
    let (id, owner) = (job.to_string(), "tester".to_owned());
    let key = EngineKey { kind: "run".into(), cluster: None, id, submitted_at, owner };
    ledger.submitted(&entry, &key).unwrap();
}

/// A file in the store whose bytes are not those of its name.
fn spoil_store(place: &Place) {
    let blobs = place.cache().join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join("0".repeat(64)), "not zeros").unwrap();
}

/// A changed byte in a record.
fn spoil_ledger(place: &Place) {
    let dir = place.path("ledger");
    let mut entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let file = entries.find(|path| path.extension().is_some_and(|e| e == "jsonl")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(6).position(|w| w == b"\"time\"").unwrap() + 9;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}
