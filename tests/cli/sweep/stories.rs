//! The commands that are swept, what is there before, and what must hold afterwards.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use moorline::oci::{Sha256Digest, SifDigest};

use crate::place::Place;
use crate::sweep::points::{Point, Struck, points, strike};
use crate::sweep::prepared::{self, fetched_base, open_run, reachable, spoil_ledger, spoil_store};
use crate::sweep::{images, registry};

type Check = fn(&Story, &Place, &Struck) -> Result<(), String>;

/// A command that is swept.
pub struct Story {
    pub name: &'static str,
    args: Vec<&'static str>,
    template: Place,
    /// The image's SIF.
    sif: SifDigest,
    /// The codes with which it may end; `None` where a job's own code is handed on.
    codes: Option<&'static [i32]>,
    check: Check,
    damage: fn(&Place),
    /// What another process does meanwhile.
    beside: Option<Beside>,
}

type Beside = fn(&Story, &Place, &mut Child) -> Result<(), String>;
/// Makes the image, and what is there before.
type Prepared = (fn(&Path), fn(&Place));

const CODES: &[i32] = &[0, 5, 6, 7, 8, 12];
/// What a job does, seen afterwards.
const JOB: [&str; 4] = ["--", "/bin/sh", "-c", "echo ran >> ran"];

impl Story {
    pub fn all() -> Vec<Self> {
        let store = |name, args: &[&'static str], image, prepare: fn(&Place), check: Check| {
            let template = Place::empty();
            Self::of(name, args, template, (image, prepare), check)
        };
        let known = |place: &Place| {
            place.convert().ok();
        };
        let (tiny, topped) = (images::tiny as fn(&Path), images::topped as fn(&Path));
        let convert = ["convert", "IMAGE"];
        let fetch = ["convert", "REGISTRY:topped"];
        let mut stories = vec![
            store("convert", &convert, tiny, |_| {}, Self::converts),
            store("convert again", &convert, tiny, prepared::half_done, Self::converts),
            store("convert on top", &convert, topped, prepared::base, Self::converts),
            store("convert, shared", &convert, tiny, |_| {}, Self::converts),
            store("convert -o", &["convert", "IMAGE", "-o", "out.sif"], tiny, known, Self::writes),
            store("prune", &["cache", "prune", "--max-size", "0"], tiny, known, Self::prunes),
            store(
                "prune --empty-trash",
                &["cache", "prune", "--older-than", "0s", "--empty-trash"],
                tiny,
                known,
                Self::prunes,
            ),
            store("verify", &["cache", "verify"], tiny, prepared::damaged, Self::verifies),
            store("recover", &["recover"], tiny, open_run, Self::recovers),
            store("convert of a registry", &fetch, topped, reachable, Self::fetches),
            store("registry, top layer changed", &fetch, topped, fetched_base, Self::fetches),
        ];
        stories[3].beside = Some(Self::waits);
        // what was damaged in the store is what it puts away
        stories[7].damage = prepared::litter;
        stories[8].damage = spoil_ledger;
        if images::can_run() {
            let run = [&["run", "--runtime", "builtin", "IMAGE"][..], &JOB].concat();
            let submit =
                [&["submit", "--runtime", "builtin", "--backend", "local", "IMAGE"][..], &JOB];
            let submit = submit.concat();
            let job = |name, args: &[&'static str], check| {
                let story = store(name, args, images::shell, known, check);
                Self { codes: None, ..story }
            };
            stories.push(job("run", &run, Self::runs));
            stories.push(job("submit", &submit, Self::submits));
        }
        stories
    }

    fn of(
        name: &'static str,
        args: &[&'static str],
        mut template: Place,
        (image, prepare): Prepared,
        check: Check,
    ) -> Self {
        let mut reference = Place::empty();
        for place in [&mut template, &mut reference] {
            image(&place.path("image"));
            fs::create_dir(place.path("home")).unwrap();
            let ledger = place.path("ledger").display().to_string();
            place.env.insert("MOORLINE_LEDGER".into(), ledger);
            // nobody waits long for one who died
            place.env.insert("MOORLINE_TEST_LEASE_MS".into(), "5000".into());
        }
        let sif = SifDigest::of(&fs::read(reference.convert().ok()).unwrap());
        prepare(&template);
        let (args, codes, beside) = (args.to_vec(), Some(CODES), None);
        Self { name, args, template, sif, codes, check, damage: spoil_store, beside }
    }

    fn args(&self, place: &Place, round: usize) -> Vec<String> {
        let mut args: Vec<String> = self.args.iter().map(|word| named(word, place)).collect();
        if self.args[0] == "convert" {
            args.extend(["--threads".into(), (round % 3 + 1).to_string()]);
        }
        args
    }

    pub fn points(&self) -> Vec<Point> {
        let place = self.copy();
        let mut points = points(&place, &self.args(&place, 0));
        // those that start processes
        if self.codes.is_none() {
            points.retain(|point| !point.leaves_open());
        }
        points
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

    pub fn strike(&self, point: &Point) -> (Place, Result<Struck, String>) {
        let place = self.copy();
        let beside = |child: &mut Child| self.beside.map_or(Ok(()), |it| it(self, &place, child));
        let struck = strike(&place, &self.args(&place, point.round), point, beside);
        (place, struck)
    }

    /// What must hold after every point.
    pub fn check(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        // the fault came before the program did
        let unborn = struck.code == Some(127) && struck.text.contains("loading shared libraries");
        let fits = |code| match self.codes {
            Some(codes) => codes.contains(&code),
            None => code != 101 && !struck.text.contains("panicked"),
        };
        let orderly = struck.killed || unborn || struck.code.is_some_and(fits);
        // 6 is also the answer of `verify`
        let answered = struck.code == Some(0) || (struck.code == Some(6) && self.name == "verify");
        let silent = struck.killed || unborn || answered || !struck.has_voice;
        let said = silent || self.codes.is_none() || struck.text.contains("error: ");
        if !orderly || !said {
            return Err(format!("it ended badly: {}", struck.text));
        }
        (self.check)(self, place, struck)
            .map_err(|why| format!("{why}\n-- struck:\n{}", struck.text))
    }

    pub fn damage(&self, place: &Place) {
        (self.damage)(place);
    }

    /// The store is whole, the image converts to the right bytes, and nothing is left.
    fn converts(&self, place: &Place, _: &Struck) -> Result<(), String> {
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

    /// As [`Story::converts`], of the registry.
    fn fetches(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        run(place, &["cache", "verify"])?;
        let path = run(place, &["convert", &named("REGISTRY:topped", place)])?;
        self.is_right(Path::new(path.trim()))?;
        self.converts(place, struck)
    }

    fn is_right(&self, path: &Path) -> Result<(), String> {
        let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let found = SifDigest::of(&bytes);
        if found == self.sif { Ok(()) } else { Err(format!("{found} instead of {}", self.sif)) }
    }

    fn writes(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        let out = place.path("out.sif");
        if out.exists() {
            self.is_right(&out)?;
        }
        self.converts(place, struck)?;
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

    fn prunes(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        run(place, &["cache", "verify"])?;
        run(place, &["cache", "prune", "--max-size", "0", "--empty-trash"])?;
        let left = run(place, &["cache", "ls", "--json"])?;
        let left: serde_json::Value = serde_json::from_str(&left).unwrap();
        if left["size"] != 0 || left["trash"]["files"] != 0 {
            return Err(format!("left after the next prune: {left}"));
        }
        self.converts(place, struck)
    }

    fn recovers(_: &Self, place: &Place, _: &Struck) -> Result<(), String> {
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

    /// What was damaged before is found, then or now, and after that all is well.
    fn verifies(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        let found = place.run(&["cache", "verify"]);
        if !matches!(found.code, 0 | 6) {
            return Err(found.to_string());
        }
        self.converts(place, struck)
    }

    /// Beside one that converts and is struck somebody else wants the image, and gets it.
    fn waits(&self, place: &Place, struck: &mut Child) -> Result<(), String> {
        let busy = || place.names("leases").iter().any(|name| name.starts_with("convert-"));
        while !busy() && struck.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let path =
            run(place, &["convert", &place.image()]).map_err(|why| format!("who waited: {why}"))?;
        self.is_right(Path::new(path.trim()))
    }

    /// The job ran at most once; store and ledger are whole, and the next one runs.
    fn runs(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        let ran = lines(&place.path("ran"));
        if ran > 1 || (struck.code == Some(0) && ran != 1) {
            return Err(format!("it ran {ran} times"));
        }
        settles(place)?;
        run(place, &self.again(place))?;
        if lines(&place.path("ran")) != ran + 1 {
            return Err("the next one did not run once".into());
        }
        run(place, &["audit", "verify"])?;
        self.converts(place, struck)
    }

    /// As [`Story::runs`], in the job's own directory.
    fn submits(&self, place: &Place, struck: &Struck) -> Result<(), String> {
        let jobs = place.path("home/.local/state/moorline/jobs");
        let ran = || -> usize {
            let entries = fs::read_dir(&jobs).into_iter().flatten();
            entries.map(|entry| lines(&entry.unwrap().path().join("work/ran"))).sum()
        };
        let before = ran();
        if before > 1 {
            return Err(format!("it ran {before} times"));
        }
        settles(place)?;
        let mut again = self.again(place);
        again.insert(1, "--wait");
        run(place, &again)?;
        if ran() != before + 1 {
            return Err("the next one did not run once".into());
        }
        run(place, &["audit", "verify"])?;
        self.converts(place, struck)
    }

    fn again(&self, place: &Place) -> Vec<&str> {
        let image: &'static str = Box::leak(place.image().into_boxed_str());
        self.args.iter().map(|word| if *word == "IMAGE" { image } else { word }).collect()
    }
}

/// The ledger is whole, and everything in it can be settled.
fn settles(place: &Place) -> Result<(), String> {
    run(place, &["audit", "verify"])?;
    run(place, &["recover"])?;
    run(place, &["jobs", "--json"])?;
    Ok(())
}

/// A word of a command with the image's name in this place.
fn named(word: &str, place: &Place) -> String {
    match word.strip_prefix("REGISTRY") {
        Some(tag) => format!("{}{tag}", registry::place()),
        None => word.replace("IMAGE", &place.image()),
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn run(place: &Place, args: &[&str]) -> Result<String, String> {
    let answer = place.run(args);
    if answer.code == 0 { Ok(answer.stdout) } else { Err(answer.to_string()) }
}
