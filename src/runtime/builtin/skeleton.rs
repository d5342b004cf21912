//! The skeleton: mount points that the image lacks, beside the image's own entries.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::points::{Placed, is_below};
use super::tree::{ImageTree, Node, node};
use super::{LayoutError, OUTSIDE, Step};

/// Makes one directory of the skeleton: everything that the image has in it, and the mount points.
pub(super) fn skeleton(
    root: &Path,
    tree: &dyn ImageTree,
    directory: &Path,
    points: &[&Placed<'_>],
    steps: &mut Vec<Step>,
) -> Result<(), LayoutError> {
    let in_image = node(tree, directory)? == Some(Node::Directory);
    let names = if in_image {
        tree.names(directory)
            .map_err(|source| LayoutError::Tree { path: directory.to_owned(), source })?
    } else {
        Vec::new()
    };
    let mut names: BTreeSet<OsString> = names.into_iter().collect();
    for point in points {
        if let Ok(rest) = point.target.strip_prefix(directory)
            && let Some(first) = rest.components().next()
        {
            names.insert(first.as_os_str().to_owned());
        }
    }
    for name in names {
        let target = directory.join(name);
        if target == Path::new(OUTSIDE) {
            // the machine's root is here meanwhile
            continue;
        }
        let found = node(tree, &target)?;
        let below: Vec<&Placed<'_>> =
            points.iter().filter(|p| is_below(&p.target, &target)).copied().collect();
        if let Some(point) = points.iter().find(|p| p.target == target) {
            steps.push(if point.directory() {
                Step::Directory { target }
            } else {
                Step::File { target }
            });
        } else if below.is_empty() || (found.is_some() && all_there(tree, &below)?) {
            entry(root, target, found, steps);
        } else {
            steps.push(Step::Directory { target: target.clone() });
            skeleton(root, tree, &target, &below, steps)?;
        }
    }
    Ok(())
}

/// Shows an entry of the image as it is.
fn entry(root: &Path, target: PathBuf, found: Option<Node>, steps: &mut Vec<Step>) {
    match found {
        Some(kind @ (Node::Directory | Node::File)) => {
            let source = root.join(target.strip_prefix("/").unwrap_or(&target));
            steps.push(if kind == Node::Directory {
                Step::Directory { target: target.clone() }
            } else {
                Step::File { target: target.clone() }
            });
            steps.push(Step::Image { source, target });
        }
        Some(Node::Link(to)) => steps.push(Step::Link { target, to }),
        Some(Node::Other) | None => {}
    }
}

/// Whether the image has every one of these mount points, so that it can be mounted over in place.
fn all_there(tree: &dyn ImageTree, points: &[&Placed<'_>]) -> Result<bool, LayoutError> {
    for point in points {
        let wanted = if point.directory() { Node::Directory } else { Node::File };
        if node(tree, &point.target)? != Some(wanted) {
            return Ok(false);
        }
    }
    Ok(true)
}
