//! From points to steps.

use std::path::{Path, PathBuf};

use super::covers::{Cover, covers};
use super::fits::{Fit, fits};
use super::lacking::lacking;
use super::points::{Placed, Point, Role, is_below, place};
use super::skeleton::skeleton;
use super::tree::ImageTree;
use super::{Lacking, LayoutError, Step, What};

/// What a container's root is.
#[derive(Clone, Copy, Debug)]
pub enum Ground<'a> {
    /// A skeleton around the image's tree, which lies at this place of the machine.
    Skeleton(&'a Path),
    /// The image, whose server also shows what mounts need.
    Served,
}

/// How a container's root is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// To be carried out in this order.
    pub steps: Vec<Step>,
    /// What the server of an image has to show besides it; nothing for a skeleton.
    pub lacking: Vec<Lacking>,
    /// What of ours gave way, for the receipt; holds names of the image.
    pub notes: Vec<String>,
    /// Mounts that were asked for and lie over files of the image.
    pub covers: Vec<Cover>,
    /// Where the points that are mounted lie: as it was asked for, and the image's links followed.
    placed: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// Where a point lies in the container; `None` when it gave way. Who hides something below a mount
    /// must ask here: [`super::resolve`] alone knows nothing of the other mounts, and an image could lead
    /// it elsewhere.
    #[must_use]
    pub fn place_of(&self, asked: &Path) -> Option<&Path> {
        self.placed.iter().find(|(target, _)| target == asked).map(|(_, place)| place.as_path())
    }

    /// Where something below a point lies, such as a mount of the machine that came in with a bind.
    #[must_use]
    pub fn place_below(&self, asked: &Path) -> Option<PathBuf> {
        let above = self.placed.iter().filter(|(target, _)| asked.starts_with(target));
        let (target, place) = above.max_by_key(|(target, _)| target.components().count())?;
        // by component: no slash behind it
        Some(place.join(asked.strip_prefix(target).ok()?).components().collect())
    }
}

/// The steps that make a container's root: the image and `points`. `machine` is this machine's own tree: a mount point below a mount must exist there.
///
/// # Errors
/// See [`LayoutError`]: when something that was asked for cannot be mounted. What is mounted by default gives
/// way instead, so that every image starts.
pub fn layout(
    ground: Ground<'_>,
    (image, machine): (&dyn ImageTree, &dyn ImageTree),
    points: &[Point],
) -> Result<Layout, LayoutError> {
    let mut notes = Vec::new();
    let mut placed = place(image, points, &mut notes)?;
    // parents before children
    placed.sort_by(|a, b| a.target.cmp(&b.target));
    let mut kept: Vec<Placed<'_>> = Vec::new();
    for point in placed {
        let above = kept.iter().rfind(|above| is_below(&point.target, &above.target));
        match fits(image, machine, &point, above)? {
            Fit::Yes(note) => {
                notes.extend(note);
                kept.push(point);
            }
            Fit::Aside(note) => notes.extend(note),
        }
    }
    let outermost: Vec<&Placed<'_>> = kept
        .iter()
        .filter(|p| !kept.iter().any(|other| is_below(&p.target, &other.target)))
        .collect();
    let asked = outermost.iter().filter(|p| p.role() == Role::Asked);
    let covers = covers(image, asked.filter_map(|p| bind_of(p)))?;
    let (mut steps, mut missing) = (Vec::new(), Vec::new());
    match ground {
        Ground::Skeleton(root) => {
            skeleton(root, image, Path::new("/"), &outermost, &mut steps)?;
        }
        Ground::Served => missing = lacking(image, &outermost)?,
    }
    for point in &kept {
        if let Some(above) = kept.iter().rfind(|above| is_below(&point.target, &above.target))
            && above.point.supplied
        {
            mount_point(above, point, &mut steps);
        }
        let what = match &point.point.what {
            What::Dev { .. } => {
                let shm = point.target.join("shm");
                What::Dev { own_shm: kept.iter().any(|p| is_below(&p.target, &shm)) }
            }
            what => what.clone(),
        };
        if let What::Dev { own_shm: true } = what {
            notes.push(
                "/dev/shm is the container's own, not the machine's, because a mount lies below it"
                    .into(),
            );
        }
        steps.push(Step::Mount { target: point.target.clone(), what });
    }
    let placed = kept.iter().map(|p| (p.point.target.clone(), p.target.clone())).collect();
    Ok(Layout { steps, lacking: missing, notes, covers, placed })
}

fn bind_of<'a>(placed: &'a Placed<'_>) -> Option<(&'a Path, &'a Path)> {
    match &placed.point.what {
        What::Bind { source, .. } => Some((&placed.target, source)),
        _ => None,
    }
}

/// Makes the mount point inside a directory of Moorline's, and the directories on the way to it.
fn mount_point(above: &Placed<'_>, point: &Placed<'_>, steps: &mut Vec<Step>) {
    let mut way: Vec<&Path> =
        point.target.ancestors().skip(1).take_while(|p| *p != above.target).collect();
    way.reverse();
    steps.extend(way.into_iter().map(|target| Step::Directory { target: target.to_owned() }));
    let target = point.target.clone();
    steps.push(if point.directory() { Step::Directory { target } } else { Step::File { target } });
}

#[cfg(test)]
mod tests;
