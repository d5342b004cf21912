//! Whether a point can be where it was placed: what gives way to the image, and what is refused.

use std::path::{Path, PathBuf};

use super::points::{Placed, Role};
use super::tree::{ImageTree, Node, node};
use super::{LayoutError, What};

/// Whether a point can be where it was placed.
pub(super) enum Fit {
    /// It is mounted; the note says what it replaces.
    Yes(Option<String>),
    /// It is left out.
    Aside(Option<String>),
}

/// Looks at what is at a point's place: the image, or the mount `above` that it lies below.
pub(super) fn fits(
    image: &dyn ImageTree,
    machine: &dyn ImageTree,
    placed: &Placed<'_>,
    above: Option<&Placed<'_>>,
) -> Result<Fit, LayoutError> {
    let shown = placed.target.display();
    let ours = placed.role() != Role::Asked;
    let aside = |why: &str| Ok(Fit::Aside(Some(format!("nothing is mounted at {shown}: {why}"))));
    if let Some(above) = above {
        return match (ours, above.role()) {
            // what was asked for takes the place of all that is of ours below it
            (true, Role::Asked) => Ok(Fit::Aside(None)),
            (true, _) if !above.point.supplied || above.role() == Role::Fixed => {
                let there = above.target.display();
                aside(&format!("the image leads it to {there}, which is mounted itself"))
            }
            _ => below(machine, placed, above),
        };
    }
    if let Some((part, found)) = obstacle(image, Path::new("/"), &placed.target)? {
        if ours {
            return aside(&format!("{} is not a directory in the image", part.display()));
        }
        let (target, what) = (placed.point.target.clone(), name(&found));
        return Err(LayoutError::NotDirectory { target, part, what, whose: "in the image".into() });
    }
    let found = node(image, &placed.target)?;
    let replaces = |what: &str| {
        Ok(Fit::Yes(Some(format!("the image has a {what} at {shown}, which is replaced"))))
    };
    match (placed.role(), &found) {
        (_, Some(Node::Directory)) if placed.directory() => Ok(Fit::Yes(None)),
        (_, Some(Node::File)) if !placed.directory() => Ok(Fit::Yes(None)),
        // a link that was placed at itself, or what no image shows anyway
        (_, None) | (Role::File | Role::Asked, Some(Node::Link(_) | Node::Other)) => {
            Ok(Fit::Yes(None))
        }
        (Role::Fixed, Some(Node::File)) => replaces("file"),
        (Role::Fixed, Some(Node::Link(_))) => replaces("symbolic link"),
        (Role::Fixed, Some(Node::Other)) => replaces("device, pipe or socket"),
        (Role::File | Role::Fixed, Some(Node::Directory)) => {
            aside("the image has a directory there")
        }
        (Role::Default, Some(other)) => aside(&format!("it is a {} in the image", name(other))),
        (_, Some(other)) => Err(LayoutError::Kind {
            target: placed.point.target.clone(),
            there: name(other),
            whose: "in the image".into(),
            source_kind: if placed.directory() { "directory" } else { "file" },
        }),
    }
}

/// Whether a point can be below another mount.
fn below(
    machine: &dyn ImageTree,
    placed: &Placed<'_>,
    above: &Placed<'_>,
) -> Result<Fit, LayoutError> {
    let target = || placed.point.target.clone();
    let source = match &above.point.what {
        What::Bind { directory: false, .. } => {
            return Err(LayoutError::NotDirectory {
                target: target(),
                part: above.target.clone(),
                what: "file",
                whose: "that is mounted".into(),
            });
        }
        // what these hold is known when they are mounted only
        What::Proc | What::Dev { .. } => return Ok(Fit::Yes(None)),
        What::Bind { .. } if above.point.supplied => return Ok(Fit::Yes(None)),
        What::Bind { source, .. } => source,
    };
    let rest = placed.target.strip_prefix(&above.target).unwrap_or(Path::new(""));
    let there = source.join(rest);
    let link = |link| LayoutError::Link { target: target(), link };
    match obstacle(machine, source, &there)? {
        Some((part, Node::Link(_))) => return Err(link(part)),
        Some((part, found)) => {
            let whose = format!("in {}", source.display());
            let what = name(&found);
            return Err(LayoutError::NotDirectory { target: target(), part, what, whose });
        }
        None => {}
    }
    match node(machine, &there)? {
        None => Err(LayoutError::NoMountPoint {
            target: target(),
            missing: there,
            how: if placed.directory() { "mkdir -p" } else { "touch" },
        }),
        Some(Node::Link(_)) => Err(link(there)),
        Some(Node::Other) => Ok(Fit::Yes(None)),
        Some(found) if (found == Node::Directory) == placed.directory() => Ok(Fit::Yes(None)),
        Some(found) => Err(LayoutError::Kind {
            target: target(),
            there: name(&found),
            whose: format!("in {}", source.display()),
            source_kind: if placed.directory() { "directory" } else { "file" },
        }),
    }
}

fn name(node: &Node) -> &'static str {
    match node {
        Node::Directory => "directory",
        Node::File => "file",
        Node::Link(_) => "symbolic link",
        Node::Other => "device, pipe or socket",
    }
}

/// The first part on the way from `top` to a path that is there and no directory.
fn obstacle(
    tree: &dyn ImageTree,
    top: &Path,
    path: &Path,
) -> Result<Option<(PathBuf, Node)>, LayoutError> {
    let mut above: Vec<&Path> =
        path.ancestors().skip(1).take_while(|part| part.starts_with(top)).collect();
    above.reverse();
    for part in above {
        match node(tree, part)? {
            Some(Node::Directory) => {}
            None => return Ok(None),
            Some(found) => return Ok(Some((part.to_owned(), found))),
        }
    }
    Ok(None)
}
