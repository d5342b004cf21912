//! The mount table of a process, `/proc/PID/mountinfo`, as bytes.
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//! |  |  |    |     |     |          |          |    |         options of the file system
//! |  |  |    |     |     |          |          |    source
//! |  |  |    |     |     |          |          type
//! |  |  |    |     |     |          fields of propagation, none or several; a dash ends them
//! |  |  |    |     |     options of the mount
//! |  |  |    |     mount point, seen from the process's root
//! |  |  |    what of the file system is its root
//! |  |  device
//! |  parent's id
//! id
//! ```
//!
//! Any user of a machine chooses names that stand here, and those are bytes: blanks, newlines and
//! backslashes are written `\040`, everything else as it is, UTF-8 or not. A line that makes no sense
//! is left out; it never spoils the others.
//!
//! Source: `proc_pid_mountinfo(5)`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Unique while it exists.
    pub id: u32,
    /// The mount that it is mounted on.
    pub parent: u32,
    /// Major and minor number; the same for every mount of one file system.
    pub device: (u32, u32),
    /// What of the file system is seen at [`point`](Self::point).
    pub root: PathBuf,
    /// Where, as seen from the process's root.
    pub point: PathBuf,
    /// Flags of this mount, not of its file system.
    pub options: Vec<String>,
    /// Whether a recursive bind leaves it out.
    pub unbindable: bool,
    /// The file system's type, with a subtype: `fuse.sshfs`.
    pub kind: String,
    /// A device, `SERVER:/EXPORT`, or any text.
    pub source: OsString,
    /// Options of the file system, as they stand there.
    pub super_options: OsString,
}

impl MountInfo {
    /// Whether this flag is on the mount.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }
}

/// The mounts of a process, parents before children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(Vec<MountInfo>);

impl Table {
    /// This process's own.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn own() -> io::Result<Self> {
        Self::read(Path::new("/proc/self/mountinfo"))
    }

    /// The table at a path.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read(path)?))
    }

    /// Reads the bytes of a table.
    #[must_use]
    pub fn parse(table: &[u8]) -> Self {
        Self(table.split(|b| *b == b'\n').filter_map(entry).collect())
    }

    /// All mounts.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &MountInfo> {
        self.0.iter()
    }

    /// The mount with this id.
    #[must_use]
    pub fn by_id(&self, id: u32) -> Option<&MountInfo> {
        self.0.iter().find(|e| e.id == id)
    }

    /// The mounts whose points lie below a path and are not that path, compared by component.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a MountInfo> {
        self.0.iter().filter(move |e| e.point != path && e.point.starts_with(path))
    }

    /// Whether something is mounted at exactly this path.
    #[must_use]
    pub fn is_point(&self, path: &Path) -> bool {
        self.0.iter().any(|e| e.point == path)
    }

    /// Whether no path leads to this mount, because another lies over it or over one that it is on.
    #[must_use]
    pub fn is_covered(&self, entry: &MountInfo) -> bool {
        if self.0.iter().any(|e| e.parent == entry.id && e.id != entry.id && e.point == entry.point)
        {
            return true;
        }
        let mut here = Some(entry);
        // as many steps as there are mounts: a table that changed while it was read may have a circle
        for _ in 0..self.0.len() {
            let Some(mount) = here else { return false };
            // on the same mount, over a directory on the way
            let over = |e: &MountInfo| {
                e.parent == mount.parent
                    && e.id != mount.id
                    && e.point != mount.point
                    && mount.point.starts_with(&e.point)
            };
            if self.0.iter().any(over) {
                return true;
            }
            here = self.by_id(mount.parent).filter(|above| above.id != mount.id);
        }
        false
    }
}

/// One line.
fn entry(line: &[u8]) -> Option<MountInfo> {
    let mut fields = line.split(|b| *b == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
    let device = (device.0.parse().ok()?, device.1.parse().ok()?);
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    let options = text(fields.next()?).split(',').map(String::from).collect();
    let mut unbindable = false;
    // fields that a newer kernel adds stand before the dash
    loop {
        match fields.next()? {
            b"-" => break,
            field => unbindable |= field == b"unbindable",
        }
    }
    let kind = text(fields.next()?);
    // an empty source is an empty field
    let source = OsString::from_vec(unescape(fields.next()?));
    let super_options = OsString::from_vec(unescape(fields.next().unwrap_or_default()));
    Some(MountInfo {
        id,
        parent,
        device,
        root,
        point,
        options,
        unbindable,
        kind,
        source,
        super_options,
    })
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

/// A word of the kernel's own.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)))
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        if let Some(code) = code {
            bytes.push(code);
            rest = &after[3..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

/// Whether something is mounted at exactly this path.
#[must_use]
pub fn is_mount_point(path: &Path) -> bool {
    Table::own().is_ok_and(|table| table.is_point(path))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_line_is_read_whole() {
        let table = Table::parse(
            b"36 35 98:0 /sub /a\\040b\\134c rw,noatime shared:3 master:1 - fuse.x /dev/r\\011t rw,a=b\n",
        );
        let entry = table.by_id(36).unwrap();
        assert_eq!((entry.parent, entry.device), (35, (98, 0)));
        assert_eq!(entry.root, Path::new("/sub"));
        assert_eq!(entry.point, Path::new("/a b\\c"));
        assert!(entry.has("noatime") && !entry.has("ro") && !entry.unbindable);
        assert_eq!(
            (entry.kind.as_str(), entry.source.as_os_str()),
            ("fuse.x", OsStr::new("/dev/r\tt"))
        );
        assert_eq!(entry.super_options, "rw,a=b");
        assert!(table.is_point(Path::new("/a b\\c")) && !table.is_point(Path::new("/a")));
    }

    #[test]
    fn what_others_name_spoils_nothing() {
        let table = Table::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              x y\n\n\
              2 1 0:5 / /mnt/\xb1\\012\\777 rw unbindable - tmpfs  rw\n\
              3 1 0:6 / /short rw\n\
              4 1 0:7 / /\xc3\xa9\\ ro shared:1 future:9 - nfs4 s:/e\n",
        );
        let ids: Vec<u32> = table.iter().map(|e| e.id).collect();
        assert_eq!(ids, [1, 2, 4], "lines that make no sense are left out");
        let odd = table.by_id(2).unwrap();
        assert_eq!(odd.point.as_os_str().as_bytes(), b"/mnt/\xb1\n\\777", "777 is no byte");
        assert!(odd.unbindable && odd.source.is_empty());
        assert_eq!(table.by_id(4).unwrap().point.as_os_str().as_bytes(), b"/\xc3\xa9\\");
    }

    #[test]
    fn below_and_covered() {
        let table = Table::parse(
            b"1 0 8:1 / / rw - ext4 d rw\n2 1 0:1 / /a rw - autofs x rw\n3 2 0:2 / /a rw - nfs y rw\n\
              4 3 0:3 / /a/b rw - tmpfs t rw\n5 1 0:4 / /ab rw - tmpfs t rw\n\
              6 1 0:5 / /c/d rw - tmpfs t rw\n7 6 0:6 / /c/d/e rw - tmpfs t rw\n8 1 0:7 / /c rw - tmpfs t rw\n",
        );
        let below: Vec<u32> = table.below(Path::new("/a")).map(|e| e.id).collect();
        assert_eq!(below, [4], "/ab is not below /a");
        let covered: Vec<u32> =
            table.iter().filter(|e| table.is_covered(e)).map(|e| e.id).collect();
        // /a/b lies on the upper one of two
        assert_eq!(covered, [2, 6, 7], "stacked at its point; below a later one; on a covered one");
    }
}
