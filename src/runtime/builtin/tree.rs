//! An image's tree, as a layout looks at it: names are bytes, links are not followed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::LayoutError;

/// How many links a path may go through, as the kernel counts them (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// What is at a path of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link to this text.
    Link(PathBuf),
    /// A device, pipe or socket: left out.
    Other,
}

/// An image's tree; paths are absolute in the image and hold no links.
pub trait ImageTree {
    /// What is there, `None` for nothing; links are not followed.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn node(&self, path: &Path) -> io::Result<Option<Node>>;
    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn names(&self, path: &Path) -> io::Result<Vec<OsString>>;
}

/// [`ImageTree::node`] with the path in its error.
pub(super) fn node(tree: &dyn ImageTree, path: &Path) -> Result<Option<Node>, LayoutError> {
    tree.node(path).map_err(|source| LayoutError::Tree { path: path.to_owned(), source })
}

/// Where a path of the container leads when the image's symbolic links are followed inside the
/// image; parts that the image lacks are kept as they are.
///
/// # Errors
/// When links lead in a circle or the tree cannot be read.
pub fn resolve(tree: &dyn ImageTree, path: &Path) -> Result<PathBuf, LayoutError> {
    follow(tree, path, &BTreeSet::new())
}

/// The same; behind one of the `mounted` paths the rest is taken by name.
pub(super) fn follow(
    tree: &dyn ImageTree,
    path: &Path,
    mounted: &BTreeSet<&Path>,
) -> Result<PathBuf, LayoutError> {
    let mut rest: Vec<OsString> = parts(path).map(OsStr::to_owned).collect();
    rest.reverse();
    let mut done = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        if mounted.iter().any(|point| done.starts_with(point)) {
            continue;
        }
        if let Some(Node::Link(to)) = node(tree, &done)? {
            links += 1;
            if links > MOST_LINKS {
                return Err(LayoutError::Links(path.to_owned()));
            }
            if to.is_absolute() {
                done = PathBuf::from("/");
            } else {
                done.pop();
            }
            let at = rest.len();
            rest.extend(parts(&to).map(OsStr::to_owned));
            rest[at..].reverse();
        }
    }
    Ok(done)
}

/// The names of a path, with `..` and without `.` and empty ones.
fn parts(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}
