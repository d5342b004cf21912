//! What is to be mounted, and where it lies once the image's links are followed.
//!
//! Links are followed inside the image and only there: where a path has reached a mount, the rest of
//! it is taken by name, because the image's tree says nothing of what is mounted. (An image could
//! otherwise move a mount elsewhere, by a link of that name.)

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::tree::{ImageTree, Node, follow};
use super::{LayoutError, OUTSIDE, What};

/// After so many rounds targets that depend on each other are given up.
const MOST_ROUNDS: usize = 16;

/// Why something is mounted, which decides what gives way where the image is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Of ours, and must be at this very path: `/proc`, `/dev`, `/sys`, `/work_dir`. What the image has
    /// there is replaced.
    Fixed,
    /// A file of ours below `/etc`: takes the place of a file or link, steps aside for a directory.
    File,
    /// Any other of ours, such as `/tmp`: goes where the image's links lead, and steps aside where it
    /// cannot be.
    Default,
    /// The user asked for it: it is there, or the job does not start.
    Asked,
}

/// Something to be mounted at a path of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Absolute, as the user or Moorline asked.
    pub target: PathBuf,
    /// What.
    pub what: What,
    /// Why.
    pub role: Role,
    /// Whether it is a directory of Moorline's, in which mount points may be made.
    pub supplied: bool,
}

impl Point {
    /// As messages name it.
    pub(super) fn shown(&self) -> String {
        match &self.what {
            What::Bind { source, .. } => {
                format!("{}:{}", source.display(), self.target.display())
            }
            _ => self.target.display().to_string(),
        }
    }
}

/// A point and where it lies; the path holds no link of the image but maybe its last part, which is
/// replaced then.
#[derive(Clone, Debug)]
pub(super) struct Placed<'a> {
    pub(super) point: &'a Point,
    pub(super) target: PathBuf,
}

impl Placed<'_> {
    pub(super) fn directory(&self) -> bool {
        self.point.what.directory()
    }

    pub(super) fn role(&self) -> Role {
        self.point.role
    }
}

/// Places all points; of two for one target the more important stays. Those of ours that cannot be
/// placed step aside with a note.
///
/// # Errors
/// When one that was asked for cannot be placed, or two were asked for at one place.
pub(super) fn place<'a>(
    tree: &dyn ImageTree,
    points: &'a [Point],
    notes: &mut Vec<String>,
) -> Result<Vec<Placed<'a>>, LayoutError> {
    let mut targets: Vec<Option<PathBuf>> = vec![None; points.len()];
    // whose last part, a link, is replaced instead of followed; for good, so that rounds end
    let mut replaced = vec![false; points.len()];
    let mut failed: Vec<Option<LayoutError>> = Vec::new();
    for round in 0.. {
        failed.clear();
        let mut next = Vec::new();
        for (at, point) in points.iter().enumerate() {
            let others: BTreeSet<&Path> = targets
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at)
                .filter_map(|(_, target)| target.as_deref())
                .collect();
            let placed = place_one(tree, point, &others, &mut replaced[at]);
            let (target, error) = match placed {
                Ok(target) => (Some(target), None),
                Err(error) => (None, Some(error)),
            };
            next.push(target);
            failed.push(error);
        }
        if next == targets {
            break;
        }
        if round == MOST_ROUNDS {
            return Err(LayoutError::Links(points[0].target.clone()));
        }
        targets = next;
    }
    let mut all: Vec<Placed<'a>> = Vec::new();
    for ((point, target), error) in points.iter().zip(targets).zip(failed) {
        match (target, error) {
            (Some(target), _) => add(&mut all, Placed { point, target })?,
            (None, Some(LayoutError::Links(_)))
                if matches!(point.role, Role::Default | Role::File | Role::Fixed) =>
            {
                notes.push(format!(
                    "the image's links lead in a circle at {}: nothing is mounted there",
                    point.target.display()
                ));
            }
            (None, Some(error)) => return Err(error),
            (None, None) => {}
        }
    }
    Ok(all)
}

/// Adds one; of two with one target the more important stays, of two that were asked for none may be
/// lost.
fn add<'a>(all: &mut Vec<Placed<'a>>, new: Placed<'a>) -> Result<(), LayoutError> {
    let Some(at) = all.iter().position(|old| old.target == new.target) else {
        all.push(new);
        return Ok(());
    };
    let old = &all[at];
    if old.role() == Role::Asked && new.role() == Role::Asked && old.point.what != new.point.what {
        return Err(LayoutError::Twice {
            target: new.target,
            first: old.point.shown(),
            second: new.point.shown(),
        });
    }
    let rank = |role| match role {
        Role::Default | Role::File => 0,
        Role::Fixed => 1,
        Role::Asked => 2,
    };
    if rank(new.role()) >= rank(old.role()) {
        all[at] = new;
    }
    Ok(())
}

fn place_one(
    tree: &dyn ImageTree,
    point: &Point,
    others: &BTreeSet<&Path>,
    replaced: &mut bool,
) -> Result<PathBuf, LayoutError> {
    let asked: PathBuf = point.target.components().filter(|c| *c != Component::CurDir).collect();
    if asked.starts_with(OUTSIDE) {
        return Err(LayoutError::Reserved(asked));
    }
    if point.role == Role::Fixed {
        return Ok(asked);
    }
    let itself = || {
        let above = follow(tree, asked.parent().unwrap_or(Path::new("/")), others)?;
        Ok(above.join(asked.file_name().unwrap_or_default()))
    };
    if point.role == Role::File || *replaced {
        return itself();
    }
    let found = follow(tree, &asked, others)?;
    if point.role == Role::Asked && others.iter().any(|other| found.starts_with(other)) {
        // a link of the image that leads into what is mounted, such as /etc/hosts -> /dev/null:
        // what was asked for is this name, not the other one
        let itself = itself()?;
        if itself != found && matches!(tree.node(&itself), Ok(Some(Node::Link(_)))) {
            *replaced = true;
            return Ok(itself);
        }
    }
    Ok(found)
}

/// Whether `path` lies below `above` and is not `above` itself.
pub(super) fn is_below(path: &Path, above: &Path) -> bool {
    path != above && path.starts_with(above)
}
