//! The image's files before they become layers: copies of the machine's, and a few that are made.
//!
//! ```text
//! add("/bin/sh")   /bin        -> usr/bin      link, kept as it is
//!                  /usr, /usr/bin              directories
//!                  /usr/bin/sh -> dash         link
//!                  /usr/bin/dash               file; its path is the answer
//! ```
//!
//! A path is walked component by component, so every link on the way is in the image and every
//! entry's parent is a real directory. Owners become 0:0, times and special bits are dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::DemoImageError;

/// As many as Linux follows (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;
/// No single file of the demo is larger.
pub(super) const LARGEST_FILE: u64 = 64 << 20;

/// One entry. Its owner is 0:0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        bytes: Vec<u8>,
    },
    Link {
        target: PathBuf,
    },
    /// Another name for the file at this path, which is in the same layer.
    HardLink {
        file: PathBuf,
    },
}

/// Entries by absolute path, parents first, each with the layer that brings it.
#[derive(Debug)]
pub(super) struct Tree {
    /// Where the machine's files are; `/` except in tests.
    host: PathBuf,
    layer: usize,
    nodes: BTreeMap<PathBuf, (usize, Node)>,
    inodes: BTreeMap<(usize, u64, u64), PathBuf>,
}

impl Tree {
    pub(super) fn new(host: &Path) -> Self {
        let root = (0, Node::Directory { mode: 0o755 });
        Self {
            host: host.to_owned(),
            layer: 0,
            nodes: BTreeMap::from([(PathBuf::from("/"), root)]),
            inodes: BTreeMap::new(),
        }
    }

    /// What is added from now on belongs to the next layer.
    pub(super) fn next_layer(&mut self) {
        self.layer += 1;
    }

    /// Where `path` of the image is on the machine.
    pub(super) fn host(&self, path: &Path) -> PathBuf {
        self.host.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Copies the machine's `path` with every directory and link on the way. The answer is the
    /// path behind all links.
    pub(super) fn add(&mut self, path: &Path) -> Result<PathBuf, DemoImageError> {
        let mut todo = parts(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == OsStr::new("..") {
                here.pop();
                continue;
            }
            let next = here.join(part);
            let host = self.host(&next);
            let read = |source| DemoImageError::Read { path: host.clone(), source };
            let found = host.symlink_metadata().map_err(read)?;
            if found.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(DemoImageError::Links { path: path.to_owned(), limit: MOST_LINKS });
                }
                let target = host.read_link().map_err(read)?;
                todo.extend(parts(&target));
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                self.keep(next, Node::Link { target })?;
            } else if found.is_dir() {
                self.keep(next.clone(), Node::Directory { mode: 0o755 })?;
                here = next;
            } else if found.is_file() {
                if !todo.is_empty() {
                    return Err(read(std::io::ErrorKind::NotADirectory.into()));
                }
                self.copy(next.clone(), &host, &found)?;
                here = next;
            } else {
                return Err(DemoImageError::Kind(host));
            }
        }
        Ok(here)
    }

    fn copy(
        &mut self,
        path: PathBuf,
        host: &Path,
        found: &std::fs::Metadata,
    ) -> Result<(), DemoImageError> {
        if self.nodes.contains_key(&path) {
            return Ok(());
        }
        let inode = (self.layer, found.dev(), found.ino());
        let node = if let Some(file) = self.inodes.get(&inode) {
            // busybox is often one file with a hundred names
            Node::HardLink { file: file.clone() }
        } else {
            self.inodes.insert(inode, path.clone());
            let mode = if found.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            Node::File { mode, bytes: read_bounded(host)? }
        };
        self.keep(path, node)
    }

    /// Adds what the walk found; what is there already stays in its layer.
    fn keep(&mut self, path: PathBuf, node: Node) -> Result<(), DemoImageError> {
        match self.nodes.get(&path) {
            // a made directory keeps its mode when the machine's path leads through it
            Some((_, Node::Directory { .. })) if matches!(node, Node::Directory { .. }) => {}
            Some((_, there)) if *there == node => {}
            Some(_) => return Err(DemoImageError::Conflict(path)),
            None => {
                self.nodes.insert(path, (self.layer, node));
            }
        }
        Ok(())
    }

    /// Puts a made entry at `path`, where nothing is yet; missing parents become directories.
    pub(super) fn put(&mut self, path: &str, node: Node) -> Result<(), DemoImageError> {
        let path = PathBuf::from(path);
        let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents {
            self.keep(parent.to_owned(), Node::Directory { mode: 0o755 })?;
        }
        if self.nodes.contains_key(&path) {
            return Err(DemoImageError::Conflict(path));
        }
        self.keep(path, node)
    }

    /// The entries of one layer and the directories above them: parents first, hard links last,
    /// because a tar names a file before its other names.
    pub(super) fn layer(&self, layer: usize) -> Vec<(&Path, &Node)> {
        let own = || self.nodes.iter().filter(|(_, (of, _))| *of == layer);
        let parents: BTreeSet<&Path> = own().flat_map(|(path, _)| path.ancestors()).collect();
        let (links, mut entries): (Vec<_>, Vec<_>) = self
            .nodes
            .iter()
            .filter(|(path, (of, _))| *of == layer || parents.contains(path.as_path()))
            .map(|(path, (_, node))| (path.as_path(), node))
            .partition(|(_, node)| matches!(node, Node::HardLink { .. }));
        entries.extend(links);
        entries
    }

    /// Whether anything is at `path`.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.nodes.contains_key(path)
    }
}

/// A path's components in reverse, for a stack; `.` and the root are dropped.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<OsString> = path
        .components()
        .filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir))
        .map(|c| c.as_os_str().to_owned())
        .collect();
    parts.reverse();
    parts
}

/// Reads a file of at most [`LARGEST_FILE`] bytes.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, DemoImageError> {
    let read = |source| DemoImageError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(read)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(read(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn write(root: &Path, path: &str, mode: u32) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn show(tree: &Tree, layer: usize) -> Vec<String> {
        let line = |(path, node): (&Path, &Node)| match node {
            Node::Directory { mode } => format!("{mode:o} {}/", path.display()),
            Node::File { mode, .. } => format!("{mode:o} {}", path.display()),
            Node::Link { target } => format!("{} -> {}", path.display(), target.display()),
            Node::HardLink { file } => format!("{} = {}", path.display(), file.display()),
        };
        tree.layer(layer).into_iter().map(line).collect()
    }

    #[test]
    fn merged_usr_links_are_kept() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "usr/bin/dash", 0o4755);
        symlink("usr/bin", root.path().join("bin")).unwrap();
        symlink("dash", root.path().join("usr/bin/sh")).unwrap();
        let mut tree = Tree::new(root.path());
        assert_eq!(tree.add(Path::new("/bin/sh")).unwrap(), Path::new("/usr/bin/dash"));
        assert_eq!(tree.add(Path::new("/usr/bin/dash")).unwrap(), Path::new("/usr/bin/dash"));
        assert_eq!(
            show(&tree, 0),
            [
                "755 //",
                "/bin -> usr/bin",
                "755 /usr/",
                "755 /usr/bin/",
                "755 /usr/bin/dash",
                "/usr/bin/sh -> dash"
            ]
        );
    }

    #[test]
    fn store_paths_through_absolute_and_upward_links() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "nix/store/abc-bash/bin/bash", 0o555);
        write(root.path(), "nix/store/abc-bash/share/README", 0o444);
        symlink("bash", root.path().join("nix/store/abc-bash/bin/sh")).unwrap();
        std::fs::create_dir(root.path().join("bin")).unwrap();
        symlink("/nix/store/abc-bash/share/../bin/sh", root.path().join("bin/sh")).unwrap();
        let mut tree = Tree::new(root.path());
        let real = tree.add(Path::new("/bin/sh")).unwrap();
        assert_eq!(real, Path::new("/nix/store/abc-bash/bin/bash"));
        // the directory that is left by `..` must be there for the kernel to follow the link
        assert!(tree.has(Path::new("/nix/store/abc-bash/share")));
        assert!(!tree.has(Path::new("/nix/store/abc-bash/share/README")));
    }

    #[test]
    fn one_file_with_many_names_is_stored_once_a_layer() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "bin/sh", 0o755);
        std::fs::hard_link(root.path().join("bin/sh"), root.path().join("bin/cat")).unwrap();
        let mut tree = Tree::new(root.path());
        tree.add(Path::new("/bin/sh")).unwrap();
        tree.add(Path::new("/bin/cat")).unwrap();
        assert_eq!(show(&tree, 0), ["755 //", "755 /bin/", "755 /bin/sh", "/bin/cat = /bin/sh"]);
    }

    #[test]
    fn layers_repeat_the_directories_above_their_files() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "lib/libc.so", 0o755);
        write(root.path(), "bin/sh", 0o755);
        let mut tree = Tree::new(root.path());
        tree.put("/tmp", Node::Directory { mode: 0o1777 }).unwrap();
        tree.add(Path::new("/lib/libc.so")).unwrap();
        tree.next_layer();
        tree.add(Path::new("/bin/sh")).unwrap();
        tree.add(Path::new("/lib/libc.so")).unwrap();
        assert_eq!(show(&tree, 0), ["755 //", "755 /lib/", "755 /lib/libc.so", "1777 /tmp/"]);
        assert_eq!(show(&tree, 1), ["755 //", "755 /bin/", "755 /bin/sh"]);
    }

    #[test]
    fn what_cannot_be_copied() {
        let root = tempfile::tempdir().unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        write(root.path(), "file", 0o644);
        rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), 0o644.into()).unwrap();
        let mut tree = Tree::new(root.path());
        let add = |tree: &mut Tree, path: &str| tree.add(Path::new(path)).unwrap_err();
        assert!(matches!(add(&mut tree, "/loop"), DemoImageError::Links { .. }));
        assert!(matches!(add(&mut tree, "/gone"), DemoImageError::Read { .. }));
        assert!(matches!(add(&mut tree, "/file/below"), DemoImageError::Read { .. }));
        assert!(matches!(add(&mut tree, "/pipe"), DemoImageError::Kind(_)));
        tree.put("/etc", Node::Link { target: "var/etc".into() }).unwrap();
        let passwd = Node::File { mode: 0o644, bytes: vec![] };
        assert!(matches!(tree.put("/etc/passwd", passwd), Err(DemoImageError::Conflict(_))));
    }
}
