//! Which way an image takes to the workers of an engine: `--delivery`.
//!
//! ```text
//! shared     the store's SIF, where it lies
//! file       a SIF that the user named: where it lies, or a copy in the job's directory when it lies on a disk
//!            that only this machine has
//! transfer   the engine brings it, with the job's directory, the worker and what the job leaves
//! pull       the worker gets it from the registry by its digest, and makes the same SIF of it
//! cvmfs      the tree that a site publishes under the digest of the image's configuration
//! lfn        grid storage: refused, for want of an engine that stages it
//! auto       shared or file: nothing is moved that workers can read. transfer, where the configuration says that they
//!            cannot (backend.NAME.shared_files)
//! ```

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::SubmitError;
use crate::backend::Facts;
use crate::job::{Delivery, JobId};
use crate::pin::{Image, Pin};

/// What `--delivery` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The best one.
    #[default]
    Auto,
    /// The store's SIF in place.
    Shared,
    /// The user's own file.
    File,
    /// By the engine.
    Transfer,
    /// By the worker, from the registry.
    Pull,
    /// A published tree.
    Cvmfs,
    /// Grid storage.
    Lfn,
}

impl Way {
    /// All of them, by their words.
    pub const ALL: [(&'static str, Self); 7] = [
        ("auto", Self::Auto),
        ("shared", Self::Shared),
        ("file", Self::File),
        ("transfer", Self::Transfer),
        ("pull", Self::Pull),
        ("cvmfs", Self::Cvmfs),
        ("lfn", Self::Lfn),
    ];

    /// The one of an earlier job, where this engine has it; else the best one.
    #[must_use]
    pub fn again(delivery: &Delivery, facts: &Facts) -> Self {
        match delivery {
            Delivery::Transfer { .. } if facts.transfers => Self::Transfer,
            Delivery::Pull { .. } => Self::Pull,
            Delivery::Cvmfs {} => Self::Cvmfs,
            _ => Self::Auto,
        }
    }
}

/// The way that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// As the plan says it.
    pub delivery: Delivery,
    /// A file that is copied into the job's directory first.
    pub copied: Option<PathBuf>,
    /// Why this one, in a sentence without an end.
    pub why: String,
}

/// How many tasks of one job may pull by themselves: each of them asks the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulls {
    /// At most so many.
    pub most: u64,
    /// The user wants it all the same.
    pub forced: bool,
}

impl Pulls {
    /// The number of tasks that may pull where nobody configured one.
    pub const USUAL: u64 = 50;

    /// Whether a job of so many tasks may.
    ///
    /// # Errors
    /// [`SubmitError::TooManyPulls`].
    pub fn may_pull(self, tasks: u64) -> Result<(), SubmitError> {
        if self.forced || tasks <= self.most {
            return Ok(());
        }
        Err(SubmitError::TooManyPulls { tasks, most: self.most })
    }
}

/// The pin by which a worker pulls this image.
///
/// # Errors
/// [`SubmitError::Delivery`] for one that is in no registry, or that no SIF is made of.
pub fn pulled(image: &Image) -> Result<&Pin, SubmitError> {
    let no = |why: &str, hint: &str| {
        let (why, hint) = (why.to_owned(), hint.to_owned());
        Err(SubmitError::Delivery { word: "pull", why, hint })
    };
    match image {
        Image::Sif { pin: Some(pin), .. } => Ok(pin),
        Image::Oci { .. } => no(
            "the worker makes a SIF of what it pulls, and this runtime takes none",
            "name another one, for example --runtime builtin, or leave --delivery out",
        ),
        _ => no("the image is in no registry", "leave --delivery out"),
    }
}

/// The file's name in a job's directory.
const COPY: &str = "image.sif";

/// Where a job goes, as far as its image's way depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The engine.
    pub facts: &'a Facts,
    /// Whether its workers see this machine's files; `None` where nobody says it, so that they are taken to.
    pub shared_files: Option<bool>,
    /// The job.
    pub job: JobId,
    /// Where its directory is made.
    pub jobs_dir: &'a Path,
}

/// Chooses.
///
/// # Errors
/// [`SubmitError::Delivery`] when image and engine do not go together with the way that was asked for.
pub fn choose(
    way: Way,
    found: &Delivery,
    Target { facts, shared_files, job, jobs_dir }: Target<'_>,
) -> Result<Chosen, SubmitError> {
    let no = |word, why: String, hint: &str| {
        Err(SubmitError::Delivery { word, why, hint: hint.to_owned() })
    };
    let engine = facts.name;
    let chosen = |delivery, why: String| Ok(Chosen { delivery, copied: None, why });
    match (way, found) {
        (Way::Lfn, _) => {
            return no(
                "lfn",
                "grid storage is reached through the engine dirac, which this moorline does not speak to".into(),
                "leave --delivery out; workers that see no common directory get the image with transfer or pull",
            );
        }
        (Way::Cvmfs | Way::Auto, Delivery::Cvmfs {}) => {
            let why = "workers take the tree that is published under the image's digest";
            return chosen(Delivery::Cvmfs {}, why.to_owned());
        }
        _ => {}
    }
    let own = matches!(found, Delivery::File { .. });
    let Some(place) = found.place().map(Path::to_owned) else {
        return no(
            "auto",
            format!("{} is not known here", found.name()),
            "moorline may be too old",
        );
    };
    match way {
        Way::Cvmfs | Way::Lfn => {
            no("cvmfs", "the image is in no registry".into(), "leave --delivery out")
        }
        Way::Pull if own => no(
            "pull",
            "the image is a file that you named, not one of a registry".to_owned(),
            "leave --delivery out, or write --delivery file",
        ),
        Way::Pull => {
            let brought = if facts.transfers {
                format!("; {engine} brings the worker and the job's files")
            } else {
                String::new()
            };
            chosen(
                Delivery::Pull { brought: facts.transfers },
                format!("workers get the image from its registry by its digest{brought}"),
            )
        }
        Way::Shared if own => no(
            "shared",
            "the image is a file that you named, not one of the store".to_owned(),
            "leave --delivery out, or write --delivery file",
        ),
        Way::File if !own => no(
            "file",
            "the image is not a .sif file that you named".to_owned(),
            "leave --delivery out: the store's SIF is used",
        ),
        Way::Transfer if facts.here => no(
            "transfer",
            format!("{engine} runs jobs on this machine, where the image lies"),
            "leave --delivery out",
        ),
        Way::Transfer if !facts.transfers => no(
            "transfer",
            format!("{engine} brings no files to its workers"),
            "use a directory that the workers see, and leave --delivery out",
        ),
        Way::Transfer => chosen(
            Delivery::Transfer { place },
            format!("{engine} brings the image, the worker and the job's files"),
        ),
        // what is asked for by name is taken: the configuration may be wrong
        Way::Auto if !facts.here && shared_files == Some(false) => apart(facts, place),
        Way::Auto | Way::File if own && !facts.here && !is_shared(&place, jobs_dir) => {
            let copy = jobs_dir.join(job.to_string()).join(COPY);
            let why =
                "your file lies on a disk of this machine: a copy is put into the job's directory";
            let delivery = Delivery::File { place: copy };
            Ok(Chosen { delivery, copied: Some(place), why: why.to_owned() })
        }
        Way::Auto | Way::File | Way::Shared => {
            let why = match (own, facts.here) {
                (true, _) => "your file is read where it lies",
                (false, true) => "jobs run on this machine: the store's SIF is read where it lies",
                (false, false) => {
                    "workers are taken to see the store: its SIF is read where it lies"
                }
            };
            let delivery = if own { Delivery::File { place } } else { Delivery::Shared { place } };
            Ok(Chosen { delivery, copied: None, why: why.to_owned() })
        }
    }
}

/// The way to workers of which the configuration says that they see no files of this machine.
///
/// # Errors
/// [`SubmitError::Delivery`] for an engine that brings none.
fn apart(facts: &Facts, place: PathBuf) -> Result<Chosen, SubmitError> {
    let engine = facts.name;
    let said =
        format!("backend.{engine}.shared_files says that workers see no files of this machine");
    if !facts.transfers {
        let why = format!("{said}, and {engine} brings none to them");
        let hint = "set it to true if they see the store and the jobs directory: this engine's workers must";
        return Err(SubmitError::Delivery { word: "auto", why, hint: hint.to_owned() });
    }
    let why = format!("{said}, so {engine} brings the image, the worker and the job's files");
    Ok(Chosen { delivery: Delivery::Transfer { place }, copied: None, why })
}

/// File systems of one machine's own disk or memory: ext2 to ext4, XFS, Btrfs, ZFS, F2FS, tmpfs, ramfs, overlay.
/// Source: linux/magic.h, and statfs(2).
const OWN_DISK: [u32; 8] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x2fc1_2fc1,
    0xf2f5_2010,
    0x0102_1994,
    0x8584_58f6,
    0x794c_7630,
];

/// Whether workers can be taken to see a file: it lies beside the jobs, which they must see, or on no disk that is
/// known to be one machine's own.
fn is_shared(file: &Path, jobs_dir: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.dev());
    // the jobs directory may not be made yet
    let beside = jobs_dir.ancestors().find_map(device);
    if beside.is_some() && device(file) == beside {
        return true;
    }
    let kind = rustix::fs::statfs(file).ok().and_then(|stat| u32::try_from(stat.f_type).ok());
    kind.is_none_or(|kind| !OWN_DISK.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;

    fn choose_for(way: Way, found: &Delivery, kind: &str, jobs: &Path) -> Result<Chosen, String> {
        let facts = backend::engines().find(|facts| facts.name == kind).unwrap();
        let target = target(facts, None, jobs);
        choose(way, found, target).map_err(|e| e.to_string())
    }

    fn target<'a>(facts: &'a Facts, shared_files: Option<bool>, jobs: &'a Path) -> Target<'a> {
        Target { facts, shared_files, job: JobId::from_parts(1, 1), jobs_dir: jobs }
    }

    #[test]
    fn workers_that_see_no_files_get_them() {
        let jobs = Path::new("/jobs");
        for found in ["/store/x.sif", "/home/ada/x.sif"].map(PathBuf::from) {
            for delivery in
                [Delivery::Shared { place: found.clone() }, Delivery::File { place: found.clone() }]
            {
                let choice = |kind: &str, shared, way| {
                    let facts = backend::engines().find(|facts| facts.name == kind).unwrap();
                    choose(way, &delivery, target(facts, shared, jobs))
                };
                let name = |chosen: Result<Chosen, SubmitError>| chosen.unwrap().delivery.name();
                let seen = delivery.name();
                let brought = choice(batch(true), Some(false), Way::Auto).unwrap();
                assert_eq!(brought.delivery, Delivery::Transfer { place: found.clone() });
                assert!(brought.why.contains("shared_files"), "{}", brought.why);
                let refused = choice(batch(false), Some(false), Way::Auto).unwrap_err();
                assert!(refused.to_string().contains("shared_files"), "{refused}");
                // a job of this machine needs nothing, and a word of the user's goes first
                assert_eq!(name(choice("local", Some(false), Way::Auto)), seen);
                let word = if seen.as_str() == "file" { Way::File } else { Way::Shared };
                for engine in [batch(true), batch(false)] {
                    assert_eq!(name(choice(engine, Some(false), word)).as_str(), seen.as_str());
                    for said in [None, Some(true)] {
                        let auto = choice(engine, said, Way::Auto);
                        assert_eq!(auto.unwrap().delivery.name().as_str(), seen.as_str());
                    }
                }
            }
        }
    }

    fn batch(transfers: bool) -> &'static str {
        let is_one = |facts: &&Facts| !facts.here && facts.transfers == transfers;
        backend::engines().find(is_one).unwrap().name
    }

    #[test]
    fn each_way_has_its_images_and_engines() {
        let dir = tempfile::tempdir().unwrap();
        let sif = dir.path().join("x.sif");
        std::fs::write(&sif, "sif").unwrap();
        let stored = || Delivery::Shared { place: sif.clone() };
        let named = || Delivery::File { place: sif.clone() };
        let jobs = dir.path().join("jobs");
        let way = |way, found: Delivery, kind: &str| {
            choose_for(way, &found, kind, &jobs).map(|chosen| chosen.delivery.name().to_string())
        };
        let ok = |name: &str| Ok(name.to_owned());
        for kind in ["local", batch(false), batch(true)] {
            assert_eq!(way(Way::Auto, stored(), kind), ok("shared"));
            assert_eq!(way(Way::Shared, stored(), kind), ok("shared"));
            assert_eq!(way(Way::Auto, named(), kind), ok("file"));
            assert_eq!(way(Way::File, named(), kind), ok("file"));
            assert!(way(Way::File, stored(), kind).unwrap_err().contains("not a .sif file"));
            assert!(way(Way::Shared, named(), kind).unwrap_err().contains("file that you named"));
        }
        for found in [stored(), named()] {
            assert_eq!(way(Way::Transfer, found.clone(), batch(true)), ok("transfer"));
            assert!(
                way(Way::Transfer, found.clone(), batch(false)).unwrap_err().contains("brings no")
            );
            assert!(way(Way::Transfer, found, "local").unwrap_err().contains("on this machine"));
        }
        for kind in ["local", batch(false), batch(true)] {
            assert_eq!(way(Way::Pull, stored(), kind), ok("pull"));
            assert!(way(Way::Pull, named(), kind).unwrap_err().contains("file that you named"));
            assert_eq!(way(Way::Cvmfs, Delivery::Cvmfs {}, kind), ok("cvmfs"));
            assert!(way(Way::Cvmfs, named(), kind).unwrap_err().contains("in no registry"));
            assert!(way(Way::Lfn, stored(), kind).unwrap_err().contains("engine dirac"));
        }
        let pulls = |kind| choose_for(Way::Pull, &stored(), kind, &jobs).unwrap().delivery;
        assert_eq!(pulls("local"), Delivery::Pull { brought: false });
        assert_eq!(pulls(batch(true)), Delivery::Pull { brought: true });
        let newer = Delivery::Other { kind: crate::job::Name::known("of-tomorrow") };
        assert!(way(Way::Auto, newer, "local").unwrap_err().contains("of-tomorrow"));
    }

    #[test]
    fn a_file_of_another_local_disk_is_copied() {
        // memory of this machine, and never where the jobs are
        let Ok(shm) = tempfile::tempdir_in("/dev/shm") else { return };
        let jobs = tempfile::tempdir().unwrap();
        let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
        if device(shm.path()) == device(jobs.path()) {
            return;
        }
        let sif = shm.path().join("x.sif");
        std::fs::write(&sif, "sif").unwrap();
        let found = Delivery::File { place: sif.clone() };
        let here = choose_for(Way::Auto, &found, "local", jobs.path()).unwrap();
        assert_eq!((here.delivery.place(), here.copied), (Some(&*sif), None));
        let far = choose_for(Way::Auto, &found, batch(false), jobs.path()).unwrap();
        assert_eq!(far.copied.as_deref(), Some(&*sif));
        assert!(far.delivery.place().unwrap().starts_with(jobs.path()));
    }

    #[test]
    fn many_tasks_pull_only_when_that_is_wanted() {
        let pulls = Pulls { most: 50, forced: false };
        assert!(pulls.may_pull(1).is_ok() && pulls.may_pull(50).is_ok());
        let error = pulls.may_pull(51).unwrap_err().to_string();
        assert!(error.contains("51") && error.contains("50"), "{error}");
        assert!(Pulls { forced: true, ..pulls }.may_pull(100_000).is_ok());
    }
}
