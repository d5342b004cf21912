//! Pruning, marks and verification on small stores.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::failure::{Failure, Kind};
use crate::job::JobId;
use crate::ledger::testing;
use crate::pin::Recipe;
use crate::store::{Held, Holder, Limits, Needed, Pruned, StoredSif, Turn, Wanted};

const HOUR: Duration = Duration::from_secs(3600);
const LIMITS: Limits = Limits { trash_age: HOUR };

struct Small {
    _dir: tempfile::TempDir,
    store: Store,
    recipe: Recipe,
}

fn small() -> Small {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s")).unwrap();
    let recipe = testing::recipe();
    Small { _dir: dir, store, recipe }
}

fn make_old(path: &Path, age: Duration) {
    // the owner may set times of a read-only file
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

impl Small {
    fn blob(&self, data: &[u8], age: Duration) -> PathBuf {
        let mut file = self.store.incoming().unwrap();
        file.write(data).unwrap();
        let size = data.len() as u64;
        let path = self.store.publish_blob(file, &Digest::of(data), size).unwrap();
        make_old(&path, age);
        path
    }

    /// A SIF of the manifest with the same bytes.
    fn sif(&self, data: &[u8], age: Duration) -> StoredSif {
        let mut file = self.store.incoming().unwrap();
        file.write(data).unwrap();
        let (manifest, digest) = (Digest::of(data), SifDigest::of(data));
        let size = data.len() as u64;
        let made =
            self.store.publish_sif(file, &manifest, &self.recipe, (digest, size), None).unwrap();
        make_old(&made.path, age);
        make_old(&self.store.mapping_path(&manifest, &self.recipe), age);
        made
    }

    fn prune(&self, wanted: Wanted) -> Pruned {
        self.store.prune(wanted, LIMITS, &mut |_| true).unwrap()
    }

    fn is_known(&self, data: &[u8]) -> bool {
        self.store.sif(&Digest::of(data), &self.recipe).unwrap().is_some()
    }

    fn trash(&self) -> usize {
        fs::read_dir(self.store.root().join("trash")).unwrap().count()
    }
}

fn older(age: Duration) -> Wanted {
    Wanted { older_than: Some(age), ..Wanted::default() }
}

#[test]
fn what_was_not_used_for_long_goes() {
    let s = small();
    let (old, young) = (s.blob(b"old layer", HOUR * 3), s.blob(b"young layer", HOUR));
    let used = s.blob(b"used layer", HOUR * 3);
    assert!(s.store.blob(&Digest::of(b"used layer")).is_some());
    s.sif(b"old image", HOUR * 3);
    s.sif(b"used image", HOUR * 3);
    assert!(s.is_known(b"used image"));

    let plan = s.prune(Wanted { dry_run: true, ..older(HOUR * 2) });
    assert!(plan.items.len() == 2 && old.exists() && s.is_known(b"old image"), "{plan:?}");
    make_old(&s.store.mapping_path(&Digest::of(b"old image"), &s.recipe), HOUR * 3);
    let done = s.prune(older(HOUR * 2));
    assert_eq!((done.items.len(), done.freed, done.waiting), (2, 9, 9));
    assert!(!old.exists() && young.exists() && used.exists());
    assert!(!s.is_known(b"old image") && s.is_known(b"used image"));
    assert_eq!(s.trash(), 1);
}

#[test]
fn the_least_recently_used_go_until_the_rest_fits() {
    let s = small();
    s.blob(&[1; 100], HOUR * 4);
    s.sif(&[2; 100], HOUR * 3);
    s.blob(&[3; 100], HOUR * 2);
    s.sif(&[4; 100], HOUR);
    let done = s.prune(Wanted { max_size: Some(250), ..Wanted::default() });
    assert_eq!((done.items.len(), done.left), (2, 200));
    assert!(!s.is_known(&[2; 100]) && s.is_known(&[4; 100]));
    let done = s.prune(Wanted { max_size: Some(0), ..Wanted::default() });
    assert_eq!((done.left, s.is_known(&[4; 100])), (0, false));
}

#[test]
fn a_marked_image_stays_until_its_job_has_ended() {
    let s = small();
    let sif = s.sif(b"image", HOUR * 3);
    let job = JobId::from_parts(1, 1);
    let jobs = tempfile::tempdir().unwrap();
    let dir = jobs.path().join(job.to_string());
    // the job's directory is made after the mark
    assert!(s.store.mark(&Needed::Sif(sif.digest), &job, &dir).unwrap());
    assert_eq!(s.prune(older(HOUR)).needed, 1);
    // an hour later there still is none: the job was refused
    let mark = s.store.marks().unwrap().remove(0);
    fs::create_dir(&dir).unwrap();
    make_old(&mark.path, HOUR);
    assert_eq!(s.prune(older(HOUR)).needed, 1);
    assert!(sif.path.exists());
    // its end is known
    let ended = s.store.prune(older(HOUR), LIMITS, &mut |mark| mark.job != job).unwrap();
    assert_eq!((ended.needed, ended.items.len()), (0, 1));
    assert_eq!(s.store.marks().unwrap(), []);

    let sif = s.sif(b"other", HOUR * 3);
    s.store.mark(&Needed::Sif(sif.digest), &job, &dir).unwrap();
    make_old(&s.store.marks().unwrap()[0].path, HOUR);
    fs::remove_dir(&dir).unwrap();
    assert_eq!(s.prune(older(HOUR)).items.len(), 1, "its directory is gone");

    let sif = s.sif(b"third", HOUR * 3);
    s.store.mark(&Needed::Sif(sif.digest), &job, Path::new("/not/mounted/here/job")).unwrap();
    make_old(&s.store.marks().unwrap()[0].path, HOUR);
    assert_eq!(s.prune(older(HOUR)).needed, 1, "where jobs cannot be seen, nothing is known");
    s.store.unmark(&Needed::Sif(sif.digest), &job).unwrap();
    s.store.unmark(&Needed::Sif(sif.digest), &job).unwrap();
    assert_eq!(s.prune(older(HOUR)).items.len(), 1);
}

#[test]
fn a_mark_says_when_the_image_is_gone() {
    let s = small();
    let gone = SifDigest::of(b"gone");
    assert!(
        !s.store.mark(&Needed::Sif(gone), &JobId::from_parts(1, 1), Path::new("/jobs/1")).unwrap()
    );
}

#[test]
fn a_mark_that_comes_while_its_image_is_pruned_saves_it() {
    let s = small();
    let sif = s.sif(b"image", HOUR * 3);
    let job = JobId::from_parts(1, 1);
    let mut asked = 0;
    s.store.mark(&Needed::Sif(sif.digest), &job, Path::new("/not/mounted/here/job")).unwrap();
    // at first the job seems to have ended; the mark of its rerun has come when it is asked again
    let done = s.store.prune(older(HOUR), LIMITS, &mut |mark| {
        asked += 1;
        if asked == 1 {
            s.store.mark(&mark.of, &JobId::from_parts(2, 2), Path::new("/not/here/2")).unwrap();
            return false;
        }
        true
    });
    assert_eq!((done.unwrap().needed, asked), (1, 2));
    assert!(sif.path.exists() && s.is_known(b"image"));
}

/// A job of podman or docker waits for its archive as another waits for its SIF.
#[test]
fn an_archive_that_a_job_waits_for_stays() {
    let s = small();
    let (manifest, job) = (Digest::of(b"manifest"), JobId::from_parts(1, 1));
    let of = Needed::Archive(manifest);
    let away = Path::new("/not/mounted/here/job");
    assert!(!s.store.mark(&of, &job, away).unwrap(), "it is not there yet");
    let archive = || {
        let mut incoming = s.store.incoming().unwrap();
        incoming.write(b"archive").unwrap();
        let path = s.store.publish_archive(incoming, &manifest).unwrap();
        make_old(&path, HOUR * 3);
        path
    };
    let path = archive();
    assert!(s.store.mark(&of, &job, away).unwrap());
    let mark = s.store.marks().unwrap().remove(0);
    assert_eq!((mark.of, mark.job), (of, job));
    assert_eq!(s.store.inventory().unwrap().items[0].marks, [mark]);
    assert_eq!((s.prune(older(HOUR)).needed, path.exists()), (1, true));
    // one whose mark comes while it is pruned
    let mut asked = 0;
    let done = s.store.prune(older(HOUR), LIMITS, &mut |_| {
        asked += 1;
        if asked == 1 {
            s.store.mark(&of, &JobId::from_parts(2, 2), away).unwrap();
        }
        asked > 1
    });
    assert_eq!((done.unwrap().needed, path.exists()), (1, true));
    // its job has ended
    let done = s.store.prune(older(HOUR), LIMITS, &mut |_| false).unwrap();
    assert_eq!((done.needed, done.freed, path.exists(), s.trash()), (0, 7, false, 0));
    assert_eq!(s.store.marks().unwrap(), []);
    // without a job it is like any index
    let path = archive();
    assert_eq!((s.prune(older(HOUR)).items.len(), path.exists()), (1, false));
}

#[test]
fn the_trash_is_emptied_when_no_job_can_be_using_it() {
    let s = small();
    s.sif(b"image", HOUR * 3);
    s.prune(older(HOUR));
    assert_eq!((s.trash(), s.prune(Wanted::default()).waiting), (1, 5));
    let trashed = s.store.root().join("trash").read_dir().unwrap().next().unwrap().unwrap().path();
    make_old(&trashed, HOUR * 2);
    assert_eq!(s.prune(Wanted::default()).freed, 5);
    assert_eq!(s.trash(), 0);
    s.sif(b"image", HOUR * 3);
    let done = s.prune(Wanted { empty_trash: true, ..older(HOUR) });
    assert_eq!((done.freed, s.trash()), (5, 0));
}

#[test]
fn who_converts_keeps_its_layers() {
    let s = small();
    let blob = s.blob(b"layer", HOUR * 3);
    let manifest = Digest::of(b"image");
    let mut nobody = |_: Option<&Holder>| panic!("nobody else is there");
    let turn = s.store.turn(&manifest, &s.recipe, &mut nobody).unwrap();
    assert!(matches!(turn, Turn::Mine(_)));
    let inventory = s.store.inventory().unwrap();
    assert_eq!(inventory.busy[0].pid, std::process::id());
    assert_eq!(s.prune(older(HOUR)).busy, 1);
    assert!(blob.exists());
    drop(turn);
    assert_eq!(s.prune(older(HOUR)).busy, 0);
    assert!(!blob.exists());
}

#[test]
fn indexes_are_cache_and_go_with_their_image() {
    let s = small();
    let sif = s.sif(b"image", HOUR * 3);
    let hex = sif.digest.hex();
    let beside = s.store.root().join(format!("sifs/sha256/{hex}.pack"));
    let elsewhere = s.store.root().join("packs");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(&beside, "index").unwrap();
    fs::write(elsewhere.join(&hex), "index").unwrap();
    fs::write(elsewhere.join("of-a-layer"), "index").unwrap();
    assert_eq!(s.store.verify(&mut |_| {}).unwrap().faults, []);
    assert_eq!(s.prune(older(HOUR)).items.len(), 3);
    let left: Vec<_> = fs::read_dir(&elsewhere).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["of-a-layer"]);
    assert!(!beside.exists());
}

#[test]
fn what_is_not_what_its_name_says_is_found_and_put_away() {
    let s = small();
    let (good, bad) = (s.blob(b"good", HOUR), s.blob(b"bad", HOUR));
    let (image, other) = (s.sif(b"image", HOUR), s.sif(b"other", HOUR));
    assert_eq!(s.store.verify(&mut |_| {}).unwrap().faults, []);

    for path in [&bad, &image.path] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes[0] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let mapping = s.store.mapping_path(&Digest::of(b"other"), &s.recipe);
    fs::remove_file(&mapping).unwrap();
    fs::write(&mapping, "{}").unwrap();
    fs::remove_file(&good).unwrap();
    symlink("/etc/passwd", &good).unwrap();

    let done = s.store.verify(&mut |_| {}).unwrap();
    let mut faults: Vec<PathBuf> = done.faults.iter().map(|fault| fault.path.clone()).collect();
    faults.sort();
    let mut expected = vec![good.clone(), bad, image.path, mapping];
    expected.sort();
    assert_eq!(faults, expected);
    assert!(
        done.faults
            .iter()
            .all(|fault| fault.moved.as_ref().is_some_and(|p| p.is_symlink() || p.exists()))
    );
    assert_eq!((done.blobs, done.sifs, done.mappings), (2, 2, 2));
    assert!(!s.is_known(b"image") && !good.is_symlink() && other.path.exists());
    assert_eq!(s.store.verify(&mut |_| {}).unwrap().faults, []);
}

#[test]
fn planted_files_are_refused_by_name() {
    let s = small();
    let path = s.store.blob_path(&Digest::of(b"layer"));
    symlink("/etc/passwd", &path).unwrap();
    assert_eq!(s.store.blob(&Digest::of(b"layer")), None);
    let mut file = s.store.incoming().unwrap();
    file.write(b"layer").unwrap();
    let error = s.store.publish_blob(file, &Digest::of(b"layer"), 5).unwrap_err();
    assert!(error.to_string().contains(&*Digest::of(b"layer").hex()), "{error}");

    let sif = s.sif(b"image", HOUR);
    fs::hard_link(&sif.path, s.store.root().join("second")).unwrap();
    let error = s.store.sif(&Digest::of(b"image"), &s.recipe).unwrap_err();
    assert!(error.to_string().contains(&*sif.digest.hex()), "{error}");
}

#[test]
fn others_wait_for_the_one_that_converts() {
    let s = small();
    let manifest = Digest::of(b"image");
    let mine = s.store.turn(&manifest, &s.recipe, &mut |_| {}).unwrap();
    let waiting = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut told = Vec::new();
            let turn = s.store.turn(&manifest, &s.recipe, &mut |holder| {
                told.push(holder.map(|h| h.pid));
                waiting.wait();
            });
            (told, turn.unwrap())
        });
        waiting.wait();
        s.sif(b"image", Duration::ZERO);
        drop(mine);
        let (told, turn) = other.join().unwrap();
        assert_eq!(told, [Some(std::process::id())]);
        assert!(matches!(turn, Turn::Made(sif) if sif.digest == SifDigest::of(b"image")));
    });
    assert_eq!(fs::read_dir(s.store.root().join("leases")).unwrap().count(), 0);
}

#[test]
fn a_blob_gets_its_name_only_when_it_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let right = Digest::of(b"layer");

    let mut wrong = store.incoming().unwrap();
    wrong.write(b"other").unwrap();
    let error = store.publish_blob(wrong, &right, 5).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(store.blob(&right), None);
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);

    let mut good = store.incoming().unwrap();
    good.write(b"layer").unwrap();
    let path = store.publish_blob(good, &right, 5).unwrap();
    assert_eq!(store.blob(&right), Some(path.clone()));
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o444);
}

#[test]
fn a_store_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    Store::open(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Store::open(&root), Err(StoreError::Unsafe { .. })));
}

#[test]
fn a_newer_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    Store::open(&root).unwrap();
    fs::set_permissions(root.join("version"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(root.join("version"), "7\n").unwrap();
    assert!(matches!(Store::open(&root), Err(StoreError::Version { .. })));
}

#[test]
fn what_was_just_asked_for_stays_whatever_the_limit() {
    let s = small();
    let old = s.sif(&[1; 100], HOUR);
    let made = s.sif(&[2; 100], Duration::ZERO);
    let wanted = Wanted { max_size: Some(50), keep: Some(made.digest), ..Wanted::default() };
    assert_eq!(s.prune(wanted).left, 100);
    assert!(made.path.exists() && !old.path.exists());
}

#[test]
fn unpacked_images_go_like_others_unless_a_job_runs_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let hex = "ab".repeat(32);
    let tree = |number: u32, days: u64| {
        let path = store.node_cache().join(format!("moorline-7/{hex}-{number}"));
        fs::create_dir_all(path.join("root")).unwrap();
        fs::write(path.join("root/file"), "12345").unwrap();
        let time = SystemTime::now() - Duration::from_secs(days * 86400);
        File::open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    let (young, old, held) = (tree(1, 1), tree(2, 40), tree(3, 40));
    let hold = Held::hold(&held).unwrap().unwrap();
    let found = store.inventory().unwrap();
    assert_eq!((found.items.len(), found.size()), (3, 15));
    let limits = Limits { trash_age: Duration::ZERO };
    let prune = |wanted| store.prune(wanted, limits, &mut |_| true).unwrap();
    let wanted = Wanted { older_than: Some(Duration::from_secs(86400 * 30)), ..Wanted::default() };
    let done = prune(wanted);
    assert_eq!((done.freed, done.needed, done.left), (5, 1, 10));
    assert_eq!([&young, &old, &held].map(|path| path.exists()), [true, false, true]);
    drop(hold);
    assert_eq!(prune(Wanted { max_size: Some(0), ..Wanted::default() }).left, 0);
    assert!(!young.exists() && !held.exists());
}
