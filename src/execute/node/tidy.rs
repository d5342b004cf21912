//! What goes from a node's cache when there is too much, or it was not used for long: SIFs, unpacked trees, and what was made
//! on the way. What a job runs from stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::images::{COPYING, IMAGES, Images, USED, remove_unused};
use crate::listing;
use crate::oci::{Sha256Digest, SifDigest};
use crate::store::{Inventory, Store, What, is_elsewhere, remove_unheld};
use crate::worker::Getting;

/// Where nobody says another limit: 20 GiB.
const USUAL_SIZE: u64 = 20 << 30;
/// Where nobody says another time.
const USUAL_AGE: Duration = Duration::from_secs(30 * 86400);

/// What a node keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// At most so many bytes, the least recently used go first.
    pub size: Option<u64>,
    /// What was not used for this long goes.
    pub age: Option<Duration>,
    /// This SIF stays.
    pub keep: Option<SifDigest>,
    /// Only say it.
    pub dry_run: bool,
    /// Unpacked trees are somebody else's business here: the store's, for those that lie in it.
    pub without_trees: bool,
}

impl Bounds {
    /// Those of a plan.
    pub(in crate::execute) fn of(getting: &Getting, keep: SifDigest) -> Self {
        Self {
            size: Some(getting.cache_size.unwrap_or(USUAL_SIZE)),
            age: Some(getting.cache_age.map_or(USUAL_AGE, Duration::from_secs)),
            keep: Some(keep),
            dry_run: false,
            without_trees: false,
        }
    }
}

/// Something that went.
#[derive(Clone, Debug)]
pub struct Gone {
    /// What.
    pub what: What,
    /// Where it was.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
}

/// What a tidying did, or would do.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// What went.
    pub gone: Vec<Gone>,
    /// What stayed because a job runs from it.
    pub needed: usize,
    /// Bytes that are left.
    pub left: u64,
}

struct Item {
    age: Duration,
    gone: Gone,
}

/// Tidies the cache of this user below `base`; nothing is made there, and what is not this user's alone is not looked at.
#[must_use]
pub fn tidy(base: &Path, bounds: Bounds) -> Kept {
    let dir = base.join(format!("moorline-{}", rustix::process::geteuid().as_raw()));
    if crate::execute::rootfs::is_private(&dir) { tidy_in(&dir, bounds) } else { Kept::default() }
}

/// Makes room for what a job has just got; an image of the job's own goes with the job.
pub(in crate::execute) fn make_room(images: &Images, bounds: Bounds) {
    if let Some(dir) = &images.shared {
        // what could not be removed is met again by the next job
        let _ = tidy_in(dir, bounds);
    }
}

/// The same for `BASE/moorline-UID`.
pub(super) fn tidy_in(dir: &Path, bounds: Bounds) -> Kept {
    let mut items = if bounds.without_trees { Vec::new() } else { trees(dir) };
    let root = dir.join(IMAGES);
    let images = root.is_dir().then(|| Store::open(&root).ok()?.inventory().ok()).flatten();
    if let Some(found) = &images {
        items.extend(sifs(&root, found));
    }
    let busy = images.is_some_and(|found| !found.busy.is_empty());
    // the least recently used first; of what was used at one time what is cheapest to get again
    items.sort_by(|a, b| (b.age, a.gone.what).cmp(&(a.age, b.gone.what)));
    let mut kept = Kept { left: items.iter().map(|item| item.gone.size).sum(), ..Kept::default() };
    for Item { age, gone } in items {
        let old = bounds.age.is_some_and(|most| age > most);
        let over = bounds.size.is_some_and(|most| kept.left > most);
        if !(old || over) {
            continue;
        }
        let stays = match gone.what {
            What::Sif(digest) | What::Tree(digest) if Some(digest) == bounds.keep => true,
            _ if bounds.dry_run => false,
            What::Sif(_) => remove_unused(&gone.path).is_err(),
            // who runs from another machine's is not known here
            What::Tree(_) => {
                (is_elsewhere(&gone.path) && !old) || !remove_unheld(&gone.path).unwrap_or(false)
            }
            What::Blob(_) | What::Archive(_) | What::Index => {
                busy || fs::remove_file(&gone.path).is_err()
            }
        };
        if stays {
            kept.needed += 1;
        } else {
            kept.left -= gone.size;
            kept.gone.push(gone);
        }
    }
    kept
}

/// Unpacked images.
fn trees(dir: &Path) -> Vec<Item> {
    let now = SystemTime::now();
    let tree = |name: std::ffi::OsString| {
        let digest = format!("sha256:{}", name.to_str()?.split_once('-')?.0).parse().ok()?;
        let path = dir.join(&name);
        let used = fs::symlink_metadata(&path).ok()?.modified().ok()?;
        let age = now.duration_since(used).unwrap_or_default();
        let size = size(&path);
        Some(Item { age, gone: Gone { what: What::Tree(digest), path, size } })
    };
    listing::names(dir).unwrap_or_default().into_iter().filter_map(tree).collect()
}

/// The SIFs of the node, and what lies beside them.
fn sifs(root: &Path, found: &Inventory) -> Vec<Item> {
    let (used, copying) = (root.join(USED), root.join(COPYING));
    let own = |path: &Path| path.starts_with(&used) || path.starts_with(&copying);
    let items = found.items.iter().filter(|item| !own(&item.path));
    let item = |item: &crate::store::Item| {
        let mut age = found.age(item);
        if let What::Sif(digest) = item.what {
            let marked = fs::metadata(used.join(digest.hex())).and_then(|meta| meta.modified());
            if let Ok(marked) = marked {
                age = age.min(found.now.duration_since(marked).unwrap_or_default());
            }
        }
        let (what, path, size) = (item.what, item.path.clone(), item.size);
        Item { age, gone: Gone { what, path, size } }
    };
    items.map(item).collect()
}

/// Bytes of all files of a tree; a file with several names counts each time. A tree may be closed to its own user.
fn size(dir: &Path) -> u64 {
    let mut total = 0;
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for name in listing::names(&dir).unwrap_or_default() {
            let path = dir.join(name);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => todo.push(path),
                Ok(meta) => total += meta.len(),
                Err(_) => {}
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::store::Held;

    fn aged(path: &Path, days: u64) {
        let time = SystemTime::now() - Duration::from_secs(days * 86400);
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn the_least_recently_used_go_and_what_is_used_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join(IMAGES)).unwrap();
        let sif = |bytes: &[u8], days| {
            let mut file = store.incoming().unwrap();
            file.write(bytes).unwrap();
            let digest = SifDigest::of(bytes);
            let path = store.publish_fetched_sif(file, &digest, bytes.len() as u64).unwrap();
            aged(&path, days);
            (path, digest)
        };
        let (oldest, _) = sif(&[1; 1000], 9);
        let (used, used_digest) = sif(&[2; 1000], 8);
        let (young, young_digest) = sif(&[3; 1000], 1);
        // used lately, although it was made long ago
        fs::create_dir(store.root().join(USED)).unwrap();
        fs::write(store.root().join(USED).join(used_digest.hex()), "").unwrap();
        let tree = dir.path().join(format!("{}-aa", young_digest.hex()));
        fs::create_dir_all(tree.join("root")).unwrap();
        fs::write(tree.join("root/file"), [0; 1000]).unwrap();
        aged(&tree, 7);
        let bounds = |size, age| Bounds { size, age, ..Bounds::default() };
        let all = tidy_in(dir.path(), bounds(Some(1 << 30), None));
        assert_eq!((all.left, all.gone.len()), (4000, 0));

        let dry = tidy_in(dir.path(), Bounds { dry_run: true, ..bounds(Some(3500), None) });
        assert_eq!((dry.left, dry.gone.len()), (3000, 1));
        assert!(oldest.exists());
        let done = tidy_in(dir.path(), bounds(Some(3500), None));
        assert_eq!((done.left, done.gone[0].path.as_path()), (3000, oldest.as_path()));
        assert!(!oldest.exists() && tree.exists());

        // the tree is next; a job that runs from it keeps it
        let held = Held::hold(&tree).unwrap().unwrap();
        let done = tidy_in(dir.path(), bounds(Some(2500), None));
        assert!(tree.exists() && !young.exists() && used.exists(), "{done:?}");
        assert_eq!((done.left, done.needed), (2000, 1));
        drop(held);
        let done = tidy_in(dir.path(), bounds(None, Some(Duration::from_secs(86400))));
        assert!(!tree.exists() && used.exists(), "{done:?}");
        let keep = Bounds { keep: Some(used_digest), ..bounds(Some(0), None) };
        assert_eq!(tidy_in(dir.path(), keep).needed, 1);
        assert_eq!(tidy_in(dir.path(), bounds(Some(0), None)).left, 0);
        assert!(!used.exists());
    }
}
