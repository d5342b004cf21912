//! How much room is left where the store lies, and whether that is a good place at all.
//!
//! ```text
//! file system   statvfs(3)                                        always
//! quota         quota -u -w -p -f MOUNT      ext4, xfs with quota; NFS (the server's, by rquotad)
//!               lfs quota -q -u UID MOUNT    Lustre
//! ```
//!
//! Nothing is started here: a caller that may start programs asks the [`QuotaQuestion`] and hands the answer back. Both
//! programs answer in the same nine columns:
//!
//! ```text
//! Filesystem  blocks(KiB)  quota  limit  grace  files  quota  limit  grace
//! ```
//!
//! Sources: `quota(1)` of the quota tools 4.06, `lfs-quota(1)` of Lustre 2.15, `linux/magic.h`,
//! `proc_pid_mountinfo(5)`. Not asked: GPFS, `CephFS` and `BeeGFS`, where statvfs often tells the quota
//! of the directory, and AFS.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Store;
use crate::mountinfo::Table;

/// A warning is worth it above this.
const TIGHT_PERCENT: u64 = 80;
/// Bytes that nobody needs to hear of, on a file system whose other users are not this one's business.
const ROOMY: u64 = 10_000_000_000;

const EXT: u32 = 0xEF53;
const XFS: u32 = 0x5846_5342;
const NFS: u32 = 0x6969;
const LUSTRE: u32 = 0x0BD0_0BD0;
/// `OpenAFS` and the kernel's own.
const AFS: [u32; 2] = [0x5346_414f, 0x6b41_4653];
/// tmpfs and ramfs.
const MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
/// File systems of one machine: btrfs, overlayfs.
const LOCAL: [u32; 4] = [EXT, XFS, 0x9123_683E, 0x794c_7630];
/// What every machine has for itself.
const OWN: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/scratch/local"];

/// What is used of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Bytes of the file system.
    FileSystem,
    /// Bytes of the user's quota.
    Quota,
    /// Files of the user's quota.
    Files,
}

/// How much of something is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What.
    pub of: Of,
    /// Bytes, or files.
    pub used: u64,
    /// As many may be used.
    pub limit: u64,
}

impl Room {
    /// In whole percent; what has no limit is not used up.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let exact = u128::from(self.used) * 100 / u128::from(self.limit.max(1));
        if self.limit == 0 { 0 } else { u64::try_from(exact).unwrap_or(u64::MAX) }
    }

    /// Whether somebody should know.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        let roomy = self.of == Of::FileSystem && self.left() >= ROOMY;
        self.percent() >= TIGHT_PERCENT && !roomy
    }

    /// What may still be used.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// What a program is to be asked about the user's quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaQuestion {
    /// The program's name.
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
}

impl QuotaQuestion {
    /// What it answered: the used part of each quota. A limit of 0 is none; of a soft and a hard one
    /// the lower counts.
    #[must_use]
    pub fn read(answer: &str) -> Vec<Room> {
        let number = |word: &str| word.trim_end_matches('*').parse::<u64>().ok();
        let words: Vec<&str> = answer.split_whitespace().collect();
        let mut rooms = Vec::new();
        // a long name may stand on a line of its own, so lines mean nothing
        for row in words.windows(9).filter(|row| row[0].contains(['/', ':'])) {
            for (of, unit, columns) in [(Of::Quota, 1024, &row[1..4]), (Of::Files, 1, &row[5..8])] {
                let numbers: Vec<u64> = columns.iter().filter_map(|word| number(word)).collect();
                let [used, soft, hard] = numbers[..] else { continue };
                let Some(limit) = [soft, hard].into_iter().filter(|limit| *limit > 0).min() else {
                    continue;
                };
                let of_unit = |n: u64| n.saturating_mul(unit);
                rooms.push(Room { of, used: of_unit(used), limit: of_unit(limit) });
            }
        }
        rooms
    }
}

/// What is known of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Disk<'a> {
    path: &'a Path,
    /// The file system's magic number.
    kind: u32,
}

impl Disk<'_> {
    fn unsuitable(&self, shared: bool) -> Option<&'static str> {
        if AFS.contains(&self.kind) {
            return Some("lies on AFS, where jobs without a token cannot read it");
        }
        if !shared {
            return None;
        }
        if MEMORY.contains(&self.kind) {
            return Some("lies in this machine's memory, which no worker sees");
        }
        // a site may well mount a shared file system there
        let own = OWN.iter().any(|dir| self.path.starts_with(dir));
        (own && LOCAL.contains(&self.kind)).then_some(
            "lies on a local disk of this machine, in a directory that each worker has for itself",
        )
    }

    /// `mount` is the mount's point and whether it counts quotas.
    fn question(&self, uid: u32, mount: Option<(String, bool)>) -> Option<QuotaQuestion> {
        let (point, counts) = mount?;
        let args = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self.kind {
            NFS => {}
            EXT | XFS if counts => {}
            LUSTRE => {
                let args = args(&["quota", "-q", "-u", &uid.to_string(), &point]);
                return Some(QuotaQuestion { program: "lfs", args });
            }
            _ => return None,
        }
        Some(QuotaQuestion { program: "quota", args: args(&["-u", "-w", "-p", "-f", &point]) })
    }
}

/// The mount of a device: its point, and whether it counts quotas. One whose name is not text is left
/// out: the programs are asked by that name.
fn mount_of(table: &Table, device: (u32, u32), path: &Path) -> Option<(String, bool)> {
    let mut found: Option<(String, bool)> = None;
    for entry in table.iter() {
        let Some(point) = entry.point.to_str() else { continue };
        if entry.device != device || !path.starts_with(point) {
            continue;
        }
        let named = |o: &str| o.contains("quota") && o != "noquota" && !o.starts_with("gr");
        let counts = entry.super_options.to_string_lossy().split(',').any(named);
        if found.as_ref().is_none_or(|(known, _)| known.len() <= point.len()) {
            found = Some((point.to_owned(), counts));
        }
    }
    found
}

impl Store {
    fn place(&self) -> Option<Disk<'_>> {
        let kind = u32::try_from(rustix::fs::statfs(&self.root).ok()?.f_type).ok()?;
        Some(Disk { path: &self.root, kind })
    }

    /// Why its file system is no good place for a store, one that other machines read if `shared`;
    /// `None` when nothing is known against it.
    #[must_use]
    pub fn unsuitable(&self, shared: bool) -> Option<&'static str> {
        self.place()?.unsuitable(shared)
    }

    /// What is used of its file system, of what this user may use.
    #[must_use]
    pub fn file_system(&self) -> Option<Room> {
        let stat = rustix::fs::statvfs(&self.root).ok()?;
        let used = stat.f_blocks.checked_sub(stat.f_bfree)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let limit = bytes(used.saturating_add(stat.f_bavail));
        Some(Room { of: Of::FileSystem, used: bytes(used), limit })
    }

    /// What to ask for the user's quota there; `None` where there is none that can be asked for.
    #[must_use]
    pub fn quota(&self) -> Option<QuotaQuestion> {
        let device = std::fs::metadata(&self.root).ok()?.dev();
        let device = (rustix::fs::major(device), rustix::fs::minor(device));
        let table = Table::own().ok()?;
        let root = std::fs::canonicalize(&self.root).ok()?;
        let mount = mount_of(&table, device, &root);
        self.place()?.question(rustix::process::getuid().as_raw(), mount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, kind: u32) -> Disk<'_> {
        Disk { path: Path::new(path), kind }
    }

    #[test]
    fn places_that_workers_cannot_read_are_named() {
        let said = |path, kind, shared| place(path, kind).unsuitable(shared);
        for kind in AFS {
            assert!(said("/afs/cell/user", kind, false).unwrap().contains("AFS"));
        }
        for kind in MEMORY {
            assert_eq!(said("/dev/shm/store", kind, false), None);
            assert!(said("/dev/shm/store", kind, true).unwrap().contains("memory"));
        }
        for kind in LOCAL {
            assert!(said("/var/tmp/store", kind, true).unwrap().contains("local disk"));
            assert_eq!(said("/var/tmp/store", kind, false), None);
            assert_eq!(said("/home/me/.cache/moorline", kind, true), None);
            assert_eq!(said("/tmpfoo", kind, true), None, "whole names are compared");
        }
        assert_eq!(said("/tmp/mounted", NFS, true), None);
        assert_eq!(said("/work/store", LUSTRE, true), None);
    }

    #[test]
    fn warnings_come_from_four_fifths_on() {
        let room = |used, limit| Room { of: Of::Quota, used, limit };
        assert!(!room(799, 1000).is_tight() && room(800, 1000).is_tight());
        assert!(room(1500, 1000).is_tight() && room(1500, 1000).left() == 0);
        assert!(!room(5, 0).is_tight(), "no limit");
        assert_eq!(room(u64::MAX, u64::MAX).percent(), 100);
        let disk = |left| Room { of: Of::FileSystem, used: 1 << 40, limit: (1 << 40) + left };
        assert!(disk(ROOMY - 1).is_tight() && !disk(ROOMY).is_tight());
    }

    #[test]
    fn the_programs_answers_are_read() {
        let quota =
            |used: u64, limit: u64| Room { of: Of::Quota, used: used << 10, limit: limit << 10 };
        let files = |used, limit| Room { of: Of::Files, used, limit };
        // quota -u -w -p, one over its soft limit
        let answer = "Disk quotas for user anna (uid 1000): \n\
             \x20    Filesystem  blocks   quota   limit   grace   files   quota   limit   grace\n\
             server:/home  900*     800    1000  1764000000     20       0       0       0\n";
        assert_eq!(QuotaQuestion::read(answer), [quota(900, 800)]);
        let answer = "Disk quotas for user anna (uid 1000): \n Filesystem blocks quota limit grace \
             files quota limit grace\n /dev/loop0 20 0 1000 0 90 100 200 0\n";
        assert_eq!(QuotaQuestion::read(answer), [quota(20, 1000), files(90, 100)]);
        // lfs quota -q, the name on a line of its own
        let answer = "/lustre/a-very-long-name-of-a-mount\n  4096  0 8192 - 10* 5 0 6d23h\n";
        assert_eq!(QuotaQuestion::read(answer), [quota(4096, 8192), files(10, 5)]);
        for none in ["", "Disk quotas for user anna (uid 1000): none\n", "/a b c d e f g h i", "/"]
        {
            assert_eq!(QuotaQuestion::read(none), []);
        }
        assert_eq!(QuotaQuestion::read("/x 99999999999999999999 1 1 - 1 0 0 -"), []);
    }

    #[test]
    fn only_who_can_know_is_asked() {
        let table = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
             30 22 7:0 / /home rw - ext4 /dev/loop0 rw,usrquota\n\
             31 22 0:50 / /nfs rw - nfs4 server:/x rw,vers=4.2\n";
        let table = Table::parse(table);
        let mount = |device, path| mount_of(&table, device, Path::new(path));
        assert_eq!(mount((7, 0), "/home/me"), Some(("/home".into(), true)));
        assert_eq!(mount((254, 0), "/srv"), Some(("/".into(), false)));
        assert_eq!(mount((9, 9), "/srv"), None);
        let ask = |kind, mount| place("/x", kind).question(7, mount);
        assert_eq!(ask(EXT, mount((254, 0), "/srv")), None, "it counts none");
        assert_eq!(
            ask(EXT, mount((7, 0), "/home/me")).unwrap().args.join(" "),
            "-u -w -p -f /home"
        );
        assert_eq!(ask(NFS, mount((0, 50), "/nfs/me")).unwrap().program, "quota");
        let lustre = ask(LUSTRE, Some(("/lustre".into(), false))).unwrap();
        assert_eq!(
            (lustre.program, lustre.args.join(" ")),
            ("lfs", "quota -q -u 7 /lustre".into())
        );
        assert_eq!(ask(AFS[0], mount((254, 0), "/afs")), None);
    }
}
