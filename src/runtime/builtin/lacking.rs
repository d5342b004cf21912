//! What the image's server has to show besides the image, so that each mount is one mount.

use super::points::Placed;
use super::tree::{ImageTree, Node, node};
use super::{Lacking, LayoutError, OUTSIDE};

/// The mount points that the image lacks, of these, and the place of the machine's root meanwhile. Directories on the way
/// to one are made with it.
pub(super) fn lacking(
    image: &dyn ImageTree,
    points: &[&Placed<'_>],
) -> Result<Vec<Lacking>, LayoutError> {
    let mut all = vec![Lacking { target: OUTSIDE.into(), directory: true }];
    for point in points {
        let directory = point.directory();
        let wanted = if directory { Node::Directory } else { Node::File };
        if node(image, &point.target)? != Some(wanted) {
            all.push(Lacking { target: point.target.clone(), directory });
        }
    }
    Ok(all)
}
